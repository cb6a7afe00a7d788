"""Several people as one stack of ID features."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from photomaker_core.conditioning.identity_mixing import blend_stacks


@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    weights=st.lists(st.floats(0.01, 10), min_size=4, max_size=4),
    places=st.integers(1, 12),
)
def test_each_persons_share_of_the_stack_is_their_weight(sizes: list[int], weights: list[float], places: int) -> None:
    stacks = [torch.full((size, 1, 4), float(person)) for person, size in enumerate(sizes)]
    weights = weights[: len(sizes)]
    blended = blend_stacks(stacks, weights, places)
    total = max(places, len(sizes))
    assert blended.shape == (total, 1, 4)
    counts = [int((blended[:, 0, 0] == person).sum()) for person in range(len(sizes))]
    assert min(counts) >= 1
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - weight / sum(weights) * total) < len(sizes)


def test_a_weight_of_zero_leaves_a_person_out() -> None:
    other = torch.rand(2, 1, 4)
    assert torch.equal(blend_stacks([torch.zeros(2, 1, 4), other], [0, 0.3], 8), other)
    with pytest.raises(ValueError, match="above zero"):
        blend_stacks([torch.zeros(2, 1, 4)], [0], 4)
