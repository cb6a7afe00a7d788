"""torch.compile for the UNet's transformer blocks, without a first user who waits for it.

Compiling takes from seconds to minutes. It is done once, and what came out is kept in a file, which is read while the
model is loaded.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import torch

from photomaker_core.errors import ModelError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine

_WARM_UP_PICTURES: Final = (1, 2)


def compile_and_keep(model: PhotoMaker, path: Path) -> None:
    """Compile ``model`` and write what can be reused to ``path``; raises :class:`ModelError`."""
    _compile(model)
    artefacts = torch.compiler.save_cache_artifacts()
    if artefacts is None:
        raise ModelError("torch compiled nothing that could be kept.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(artefacts[0])
    partial.replace(path)


def compile_from(model: PhotoMaker, path: Path) -> None:
    """Compile ``model`` with the help of what ``path`` keeps; raises :class:`ModelError` when it is not there.

    What was kept for another model, card or torch is of no use: compiling then takes as long as it takes.
    """
    if not path.is_file():
        raise ModelError(f"There is no compiled model at {path}.")
    torch.compiler.load_cache_artifacts(path.read_bytes())
    _compile(model)


def _compile(model: PhotoMaker) -> None:
    """Compile the blocks and draw a step of each batch size that is compiled apart, so that later steps are quick."""
    if not hasattr(torch.compiler, "save_cache_artifacts"):
        raise ModelError(f"Keeping compiled code needs torch 2.7 or newer; this is {torch.__version__}.")
    if model.plan.unet_weights != "plain" or model.plan.offload != "none":
        raise ModelError(f"A model with the memory plan {model.plan.name} cannot be compiled.")
    model.require_fused_loras("Compiling")
    engine, side = StepEngine(model), model.base.side_px
    conditioning = engine.condition("a person", None, None)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="torch")
            model.base.unet.compile_repeated_blocks(dynamic=True)
            for pictures in _WARM_UP_PICTURES:
                settings = GenerationSettings(side, side, steps=1)
                engine.step([engine.begin(conditioning, settings) for _ in range(pictures)])
    except RuntimeError as error:
        raise ModelError(f"The UNet cannot be compiled on this machine: {str(error).splitlines()[0]}") from error
