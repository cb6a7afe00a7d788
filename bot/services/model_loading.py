"""Loads the model that the settings describe, and says by which setting a refusal is mended.

The library's errors name its own arguments. Called by the GPU thread, ``doctor`` and ``compile``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bot.config import Settings
from photomaker_core.errors import MissingFaceEmbedderError, ModelError, UnfusedLoraError
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.memory.unet_layout import UnetLayout
from photomaker_core.models.face_embedder import InsightFaceEmbedder
from photomaker_core.sampling.compilation import compile_from


def model_loader(settings: Settings, *, compiled: Path | None = None) -> Callable[[], PhotoMaker]:
    """Make the function that loads the configured model; ``compiled`` is what ``photomaker-bot compile`` wrote.

    The function that it returns can be sent to another process, knows no token and no database, and raises
    :class:`ModelError` with the setting to change.
    """
    nothing = Settings.model_fields["database_url"].default
    return partial(_load, settings.model_copy(update={"discord_token": None, "database_url": nothing}), compiled)


def _load(settings: Settings, compiled: Path | None) -> PhotoMaker:
    try:
        return _loaded(settings, compiled)
    except MissingFaceEmbedderError as error:
        raise ModelError(f"{error} Set PHOTOMAKER_INSIGHTFACE_DIR to that folder.") from error
    except UnfusedLoraError as error:
        raise ModelError(
            f"{error} Set PHOTOMAKER_FUSE_LORA=true, and leave PHOTOMAKER_STYLE_LORAS and PHOTOMAKER_TURBO_LORA empty."
        ) from error


def _loaded(settings: Settings, compiled: Path | None) -> PhotoMaker:
    if compiled and not compiled.expanduser().is_file():
        raise ModelError(f"There is no compiled model at {compiled}. Make it with: photomaker-bot compile")
    folder = settings.photomaker_insightface_dir
    model = load_photomaker(
        settings.photomaker_base,
        settings.photomaker_adapter,
        base_config=settings.photomaker_base_config,
        face_embedder=InsightFaceEmbedder(folder.expanduser()) if folder else None,
        style_loras=settings.loras,
        fuse_lora=settings.photomaker_fuse_lora,
        memory_plan=settings.memory_plan,
        layout=UnetLayout(settings.photomaker_channels_last, settings.photomaker_fused_qkv),
        max_chunks=settings.photomaker_prompt_chunks,
    )
    if compiled:
        compile_from(model, compiled.expanduser())
    return model
