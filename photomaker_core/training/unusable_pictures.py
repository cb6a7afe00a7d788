"""Which pictures of a dataset have proved unusable: kept and named by the folders and the shards of photographs.

A resumed run knows of none yet and still takes the batches of a run that was never stopped: pictures are drawn as if
all were usable, and those that are not are passed over in an order that does not depend on which are known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from itertools import islice
from random import Random
from typing import Final

from photomaker_core.training.pictures import Example, UnusablePictureError

_LOGGER: Final = logging.getLogger(__name__)
_NAMED: Final = 20
_COUNTED: Final = 100


class UnusablePictures:
    """Pictures by any key of theirs: those that show nobody anything, and those that only cannot be targets."""

    def __init__(self) -> None:
        self._broken: set[Hashable] = set()
        self._no_targets: set[Hashable] = set()

    def __len__(self) -> int:
        return len(self._broken | self._no_targets)

    def is_target(self, key: Hashable) -> bool:
        return key not in self._broken and key not in self._no_targets

    def id_photos(
        self, target: Example, pictures: int, key_of: Callable[[Example], Hashable], rng: Random, most: int
    ) -> list[Example]:
        """Up to ``most`` others of a target's person, who has so many ``pictures``, that are not broken.

        All of them are put in an order, and the first usable ones taken: a sample of the known usable ones would depend
        on what is known.
        """
        count = rng.randint(1, most)
        numbers = [number for number in range(pictures) if number != target.picture]
        rng.shuffle(numbers)
        others = (Example(target.identity, number) for number in numbers)
        return list(islice((one for one in others if key_of(one) not in self._broken), count))

    def broken(self, key: Hashable, name: object, reason: str) -> UnusablePictureError:
        """Leave a picture out whose files cannot be read; the error that says so."""
        return self._add(self._broken, key, name, reason)

    def no_target(self, key: Hashable, name: object, reason: str) -> UnusablePictureError:
        """Leave a picture out as a target, whose caption or ID photos cannot be used; the error that says so."""
        return self._add(self._no_targets, key, name, reason)

    def _add(self, pictures: set[Hashable], key: Hashable, name: object, reason: str) -> UnusablePictureError:
        is_known = key in self._broken or key in self._no_targets
        pictures.add(key)
        count = len(self)
        if not is_known and (count <= _NAMED or count % _COUNTED == 0):
            _LOGGER.warning("%s is left out, the %d. so far: %s", name, count, reason)
        return UnusablePictureError(f"The picture {name} cannot be used: {reason}")
