"""torch.compile for the UNet's transformer blocks, without a first user who waits for it.

Compiling takes from seconds to minutes. It is done once, and what came out is kept in a file, which is read while the
model is loaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch

from photomaker_core.errors import ModelError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import Generation, GenerationSettings
from photomaker_core.sampling.regions import equal_shares
from photomaker_core.sampling.step_engine import StepEngine

_PHRASES: Final = 40
"""So many that the prompt has a second chunk."""


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
    """Compile the blocks and draw a step of each kind that is compiled apart, so that later steps are quick."""
    if not hasattr(torch.compiler, "save_cache_artifacts"):
        raise ModelError(f"Keeping compiled code needs torch 2.7 or newer; this is {torch.__version__}.")
    if model.plan.unet_weights != "plain" or model.plan.offload != "none":
        raise ModelError(f"A model with the memory plan {model.plan.name} cannot be compiled.")
    model.require_fused_loras("Compiling")
    engine = StepEngine(model)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="torch")
            model.base.unet.compile_repeated_blocks(dynamic=True)
            for generations in _warm_ups(engine):
                engine.step(generations)
    except RuntimeError as error:
        raise ModelError(f"The UNet cannot be compiled on this machine: {str(error).splitlines()[0]}") from error


def _warm_ups(engine: StepEngine) -> Iterator[list[Generation]]:
    """Generations for one step of each kind that is compiled apart.

    Cross-attention is: without a mask, with one for regions, and with one that hides the padding behind the shorter of
    two prompts. Lengths and numbers of pictures need nothing of their own from two on.
    """
    model, trigger = engine.model, engine.model.trigger_word
    settings = GenerationSettings(model.base.side_px, model.base.side_px, steps=1)
    stack = torch.zeros(1, model.id_encoder.tokens_per_photo, model.id_encoder.width)
    short, long = (
        engine.condition(f"a man {trigger}{rest}", None, stack) for rest in ("", ", at the beach" * _PHRASES)
    )
    both = engine.condition(f"a man {trigger} and a woman {trigger}", None, [stack, stack])
    yield [engine.begin(short, settings)]
    yield [engine.begin(short, settings), engine.begin(short, settings)]
    yield [engine.begin(both, settings, regions=equal_shares(2))]
    yield [engine.begin(short, settings), engine.begin(long, settings)]
