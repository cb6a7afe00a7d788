"""Error correction of the watermark's bits: a convolutional code of rate 1/3, read by a soft Viterbi decoder.

Constraint length 7, generators 133, 171, 165 (octal), as in the GSM standard 3GPP TS 45.003; six zero bits end it.
Called by the watermark.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MEMORY: Final = 6
_STATES: Final = 1 << _MEMORY
_GENERATORS: Final = (0o133, 0o171, 0o165)
RATE: Final = len(_GENERATORS)


def coded_length(bits: int) -> int:
    """How many coded bits stand for so many bits."""
    return RATE * (bits + _MEMORY)


def encode(bits: NDArray[np.int8]) -> NDArray[np.int8]:
    """Encode bits (0 or 1); returns ``coded_length`` of them as -1 and 1."""
    state, coded = 0, []
    for bit in [*bits.tolist(), *[0] * _MEMORY]:
        register = bit << _MEMORY | state
        coded += [_SIGNS[register, branch] for branch in range(RATE)]
        state = register >> 1
    return np.array(coded, np.int8)


def decode(soft: NDArray[np.float64]) -> NDArray[np.int8]:
    """Find the bits whose code correlates best with ``soft``, one value a coded bit: its sign is the bit's."""
    steps = len(soft) // RATE
    score = np.full(_STATES, -np.inf)
    score[0] = 0.0
    came_from = np.zeros((steps, _STATES), np.int64)
    for step, observed in enumerate(soft.reshape(steps, RATE)):
        gains = score[_PREDECESSORS] + _SIGNS[_REGISTERS] @ observed
        best = gains.argmax(axis=1)
        came_from[step] = _PREDECESSORS[np.arange(_STATES), best]
        score = gains[np.arange(_STATES), best]
    state, bits = 0, []
    for step in reversed(range(steps)):
        bits.append(state >> (_MEMORY - 1))
        state = int(came_from[step, state])
    return np.array(bits[::-1][: steps - _MEMORY], np.int8)


_SIGNS: Final = np.array(
    [[2 * ((register & taps).bit_count() % 2) - 1 for taps in _GENERATORS] for register in range(2 * _STATES)], np.int8
)
"""The coded bits of each register content (newest bit first)."""
_REGISTERS: Final = np.array([[2 * state, 2 * state + 1] for state in range(_STATES)])
"""The two register contents that lead into each state."""
_PREDECESSORS: Final = _REGISTERS % _STATES
