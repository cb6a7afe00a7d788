"""PhotoMaker on SDXL: the public library.

:func:`load_photomaker` loads a model, a :class:`StepEngine` draws with it one denoising step at a time, and a
:class:`Runner` shares one engine between many jobs. Importing this package loads no torch until a name of it is used.

Every error that a user can cause is a :class:`UserError`::

    UserError
    ├── PromptError
    ├── PhotoError
    ├── SettingsError
    ├── DrawingError
    └── ModelError
        ├── MissingFaceEmbedderError
        └── UnfusedLoraError
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from photomaker_core.errors import (
    DrawingError,
    MissingFaceEmbedderError,
    ModelError,
    PhotoError,
    PromptError,
    SettingsError,
    UnfusedLoraError,
    UserError,
)

if TYPE_CHECKING:
    from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
    from photomaker_core.sampling.generation import Generation, GenerationSettings, Img2ImgInit
    from photomaker_core.sampling.step_engine import StepEngine
    from photomaker_core.serving.runner import ImageJob, Runner

__all__ = [
    "DrawingError",
    "Generation",
    "GenerationSettings",
    "ImageJob",
    "Img2ImgInit",
    "MissingFaceEmbedderError",
    "ModelError",
    "PhotoError",
    "PhotoMaker",
    "PromptError",
    "Runner",
    "SettingsError",
    "StepEngine",
    "UnfusedLoraError",
    "UserError",
    "load_photomaker",
]

_MODULE_OF: Final = {
    "Generation": "sampling.generation",
    "GenerationSettings": "sampling.generation",
    "ImageJob": "serving.runner",
    "Img2ImgInit": "sampling.generation",
    "PhotoMaker": "loading.photomaker",
    "Runner": "serving.runner",
    "StepEngine": "sampling.step_engine",
    "load_photomaker": "loading.photomaker",
}


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
