"""``photomaker-bot doctor``: checks what the bot needs and says what to do about what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import discord
import torch

from bot.app import model_loader
from bot.config import Settings
from photomaker_core.errors import UserError
from photomaker_core.loading.base_model import best_hardware
from photomaker_core.loading.sdxl_config import photomaker_footprint
from photomaker_core.memory.plans import PLANS
from storage import Database, StorageError

_GIB: Final = 2**30


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
        await asyncio.to_thread(_memory, settings),
        await asyncio.to_thread(_checked, "model", lambda: _model(settings)),
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
    return Finding("database", True, f"{settings.database_url} opens and is up to date")


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
    least = photomaker_footprint(hardware.dtype).peak(PLANS[-1])
    if settings.is_nano or free >= least:
        return Finding("memory", True, says)
    return Finding("memory", False, f"{says}; SDXL with PhotoMaker needs {least / _GIB:.1f} GiB with every offload")


def _model(settings: Settings) -> str:
    model = model_loader(settings)()
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


def _checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, check())
    except UserError as error:
        return Finding(what, False, str(error))
