"""``photomaker-bot doctor``: checks what the bot needs and says what to do about what is missing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import aiohttp
import discord
import torch
from PIL import Image

from bot.config import TURBO, Settings, without_password
from bot.services.model_loading import model_loader
from photomaker_core.errors import ModelError, UserError
from photomaker_core.loading.base_model import best_hardware
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.loading.sdxl_config import photomaker_footprint
from photomaker_core.memory.plans import PLANS
from photomaker_core.models.nsfw_classifier import loaded_nsfw_classifier
from photomaker_core.provenance.certificates import CertificateError, read_certificate
from photomaker_core.provenance.manifest import can_use_manifests
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.schedulers import scheduler_for_distilled
from photomaker_core.sampling.step_engine import StepEngine
from storage import Database, StorageError

_GIB: Final = 2**30
_SOON: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome, with what to do where it is not good."""

    what: str
    is_good: bool
    says: str


async def examine(settings: Settings) -> list[Finding]:
    """Run all checks; none changes anything but the database's migrations."""
    return [
        await _token(settings),
        await _database(settings),
        await asyncio.to_thread(_provenance, settings),
        await asyncio.to_thread(_picture_check, settings),
        await asyncio.to_thread(_memory, settings),
        *await asyncio.to_thread(_model, settings),
    ]


async def _token(settings: Settings) -> Finding:
    if settings.discord_token is None:
        return Finding("token", False, "DISCORD_TOKEN is not set; without it only “photomaker-bot demo” works")
    client = discord.Client(intents=discord.Intents.none())
    try:
        await client.login(settings.discord_token.get_secret_value())
        user = client.user
        return Finding("token", True, f"valid for {user}; invite: {discord.utils.oauth_url(user.id if user else 0)}")
    except discord.LoginFailure:
        return Finding("token", False, "Discord does not accept it; copy it anew from the developer portal")
    except (aiohttp.ClientError, discord.HTTPException, OSError) as error:
        return Finding("token", False, f"Discord cannot be reached to check it: {error}")
    finally:
        await client.close()


async def _database(settings: Settings) -> Finding:
    try:
        database = await Database.open(settings.database_url)
    except StorageError as error:
        return Finding("database", False, str(error))
    await database.close()
    return Finding("database", True, f"{without_password(settings.database_url)} opens and is up to date")


def _provenance(settings: Settings) -> Finding:
    """Check the certificate that the settings name, and how long it is valid."""
    folder = settings.provenance_certificate
    if folder is None:
        return Finding("provenance", True, "pictures are not signed; see “photomaker-bot provenance”")
    try:
        certificate = read_certificate(folder.expanduser())
    except CertificateError as error:
        return Finding("provenance", False, f"pictures go unsigned: {error}")
    if not can_use_manifests():
        return Finding("provenance", False, 'pictures go unsigned: pip install "photomaker-bot[provenance]"')
    says = f"“{certificate.signer}” signs until {certificate.expires:%Y-%m-%d}"
    now = datetime.now(UTC)
    if not certificate.is_current(now):
        return Finding("provenance", False, f"pictures go unsigned: {says}, from {certificate.begins:%Y-%m-%d}")
    if certificate.expires - now < _SOON:
        return Finding("provenance", False, f"{says}, which is soon; make or get a new certificate")
    return Finding("provenance", True, says)


def _picture_check(settings: Settings) -> Finding:
    """Load the classifier and ask it about an empty picture."""
    try:
        classifier = loaded_nsfw_classifier()
        if classifier is None:
            says = 'drawn pictures are not checked for nudity: pip install "photomaker-bot[safety]"'
            return Finding("picture check", True, says)
        classifier.scores([Image.new("RGB", (64, 64))])
    except Exception as error:
        return Finding("picture check", False, str(error))
    says = (
        f"every drawn picture is checked; explicit from a score of {settings.explicit_threshold:g} on, "
        f"in direct messages: {settings.explicit_in_direct_messages}"
    )
    return Finding("picture check", True, says)


def _memory(settings: Settings) -> Finding:
    hardware = best_hardware()
    dtype = str(hardware.dtype).removeprefix("torch.")
    if hardware.device.type != "cuda":
        says = f"no CUDA GPU; drawing runs on {hardware.device} in {dtype}"
        if settings.is_nano:
            return Finding("memory", True, says)
        return Finding("memory", False, f"{says}, which takes many minutes a picture with SDXL")
    free, total = torch.cuda.mem_get_info()
    says = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free on {torch.cuda.get_device_name()}, {dtype}"
    least = photomaker_footprint(hardware.dtype, max_chunks=settings.photomaker_prompt_chunks).peak(PLANS[-1])
    if settings.is_nano or free >= least:
        return Finding("memory", True, says)
    return Finding("memory", False, f"{says}; SDXL with PhotoMaker needs {least / _GIB:.1f} GiB with every offload")


def _model(settings: Settings) -> list[Finding]:
    """Load all that the bot will load, and draw one step with each part of it."""
    try:
        model = model_loader(settings, compiled=settings.photomaker_compiled)()
        findings = [Finding("model", True, _described(model, settings))]
        findings += [Finding("model", True, f"note: {note}") for note in model.notes]
        drawn = _draw(model, settings)
    except UserError as error:
        return [Finding("model", False, str(error))]
    return [*findings, Finding("drawing", True, f"one step each with {', '.join(drawn)}")]


def _described(model: PhotoMaker, settings: Settings) -> str:
    name = "the embedded nano model" if settings.is_nano else Path(settings.photomaker_base).name
    batch = model.largest_batch(settings.max_batch)
    says = f"PhotoMaker {model.version.upper()} on {name}, {model.base.side_px} x {model.base.side_px} pixels"
    if model.footprint is None:
        return says
    peaks = [model.footprint.peak(model.plan, count) / _GIB for count in (1, batch)]
    return (
        f"{says}; memory plan {model.plan.name}: {peaks[0]:.1f} GiB expected for one picture, "
        f"{peaks[1]:.1f} GiB for {batch} at once (MAX_BATCH {settings.max_batch})"
    )


def _draw(model: PhotoMaker, settings: Settings) -> list[str]:
    """Draw one step of a person with the adapter and with each LoRA; raises :class:`ModelError` for what is no picture.

    The person's features are made up: encoding needs a photo, and V2's a face in it.
    """
    engine, side = StepEngine(model), model.base.side_px
    features = torch.full((1, model.id_encoder.tokens_per_photo, model.id_encoder.width), 0.1)
    # At once into the merged conditioning, so that a single step runs with the person in it.
    plain = GenerationSettings(side, side, steps=1, start_merge_step=-1)
    tries = {"the adapter": plain}
    for name in model.style_loras:
        changes = replace(plain, style_loras=((name, 1.0),))
        if name == TURBO:
            changes = replace(changes, scheduler=scheduler_for_distilled(settings.turbo_scheduler), guidance_scale=1.0)
        tries[f"LoRA “{name}”"] = changes
    for what, asked in tries.items():
        conditioning = engine.condition("a man img", None, features, asked.style_loras)
        generation = engine.begin(conditioning, asked)
        while not generation.is_done:
            engine.step([generation])
        pixels = engine.decode(generation.latents)
        if not torch.isfinite(pixels).all():
            raise ModelError(f"Drawing with {what} gives no picture but values that are no numbers (NaN).")
    return list(tries)
