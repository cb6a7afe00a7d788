"""The tiny random SDXL that most tests draw with, loaded once per test process."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import os
import shutil
import threading
import types
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
import torch
from simcord import interactions
from simcord.backend.errors import BackendError
from simcord.http import router

from tests.support import discord_rules, uploads
from tests.support.discord_double import DiscordDouble, connecting_to
from tests.support.tiny_model import CPU, TINY_ADAPTER, TINY_BASE

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)

from photomaker_core.garbage_collection import imports_kept  # noqa: E402

with imports_kept():
    from bot.app import PhotoMakerBot
    from photomaker_core.library_logging import quiet_libraries
    from photomaker_core.loading.adapter import load_adapter
    from photomaker_core.loading.base_model import load_base
    from photomaker_core.loading.photomaker import PhotoMaker
    from photomaker_core.models.nsfw_classifier import loaded_nsfw_classifier
    from photomaker_core.sampling.generation import Generation
    from photomaker_core.sampling.step_engine import StepEngine
    from storage import Database, IdentityStore, NewPhoto
    from tests.support.doubled_bot import DoubledBot
    from tests.support.gpu_faults import FaultySteps
    from tests.support.server import FICTION, Server, settings

quiet_libraries()

_INVALID_FORM_BODY = 50035


@pytest.fixture(autouse=True)
def _logs_go_where_they_went() -> Iterator[None]:
    """Commands set logging up for the stderr of the moment, which a test's capture closes."""
    before = list(logging.root.handlers)
    yield
    logging.root.handlers[:] = before


@pytest.fixture(autouse=True)
def _discord_takes_every_request(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever the bot sends is held against Discord's rules, also where it hides that it was refused.

    The requests are looked at in the end: checking takes longer than the bot's loop may be kept waiting.
    """
    sent: list[discord_rules.Request] = []
    refused: list[str] = []
    answer = router.dispatch

    def recorded(backend: Any, method: str, path: str, *, files: Sequence[Any] | None = None, **rest: Any) -> Any:
        sizes = tuple((file.filename, file.fp.seek(0, os.SEEK_END)) for file in files or ())
        for file in files or ():
            file.fp.seek(0)
        request = discord_rules.Request(method, path, copy.deepcopy(rest.get("json")), sizes)
        sent.append(request)
        try:
            return answer(backend, method, path, files=files, **rest)
        except BackendError as error:
            if error.code == _INVALID_FORM_BODY:
                refused.append(f"{request}: {error}")
            raise

    monkeypatch.setattr(router, "dispatch", recorded)
    yield
    requests = sent if discord_rules.is_described() else []
    complaints = [*refused, *(one for request in requests for one in discord_rules.complaints(request))]
    if complaints:
        pytest.fail("Discord would refuse:\n" + "\n".join(complaints))


@pytest.fixture(scope="session")
def tiny_model() -> PhotoMaker:
    return PhotoMaker(load_base(str(TINY_BASE), CPU), load_adapter(TINY_ADAPTER))


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait, for the disk, for another process or for the clock."""
    return 1 + (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The simulated Discord waits for the slowest machine, and expected errors are no failures.

    What runs whole processes comes first: side by side, the many short tests then end together.
    """
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)
    for item in items:
        if "simcord_env" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.simcord(settle_timeout=60.0, check_errors=False))


def pytest_collection_finish() -> None:
    """What the libraries and the tests' modules hold is there to the end: no collection needs to look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of today's schema, to be copied: the migrations take longer than most of the tests."""
    path = tmp_path_factory.mktemp("empty") / "bot.db"

    async def migrate() -> None:
        await (await Database.open(f"sqlite+aiosqlite:///{path}")).close()

    asyncio.run(migrate())
    return path


@pytest.fixture
def simcord_bot(tmp_path: Path, tiny_model: PhotoMaker, empty_database: Path) -> PhotoMakerBot:
    shutil.copy(empty_database, tmp_path / empty_database.name)
    return PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model)


@pytest.fixture
async def server(
    simcord_env: simcord.Env, simcord_bot: PhotoMakerBot, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Server]:
    """A server with two members and the bot; in the end, errors that no member can cause fail the test."""
    guild = simcord_env.create_guild("Studio")
    ada, bob = (guild.add_member(simcord_env.create_user(name)) for name in ("ada", "bob"))
    opened = Server(simcord_env, simcord_bot, guild.create_text_channel("pictures"), ada, bob)
    payload_of = interactions.base_payload

    def in_members_locale(*arguments: Any, user_id: int, **options: Any) -> Any:
        record, payload = payload_of(*arguments, user_id=user_id, **options)
        return record, payload | {"locale": opened.locales.get(user_id, "en-US")}

    monkeypatch.setattr(interactions, "base_payload", in_members_locale)
    yield opened
    await opened.bot.close()
    assert opened.unexpected_errors() == []


@pytest.fixture
async def double() -> AsyncIterator[DiscordDouble]:
    """Discord over HTTP and a gateway of its own; in the end, requests that Discord would refuse fail the test."""
    opened = DiscordDouble()
    await opened.start()
    with connecting_to(opened.api_url, opened.gateway_url):
        yield opened
    await opened.stop()
    assert opened.complaints() == []


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A database with ada's identity *newton*, to be copied."""
    path = tmp_path_factory.mktemp("people") / "bot.db"
    shutil.copy(empty_database, path)

    async def fill() -> None:
        database = await Database.open(f"sqlite+aiosqlite:///{path}")
        await IdentityStore(database).add(DiscordDouble().ada.id, "newton", [NewPhoto(uploads.photo())], FICTION)
        await database.close()

    asyncio.run(fill())
    return path


@pytest.fixture
async def doubled_bot(
    double: DiscordDouble, tmp_path: Path, tiny_model: PhotoMaker, people: Path
) -> AsyncIterator[DoubledBot]:
    """The bot, connected to the double, with ada's identity *newton*."""
    shutil.copy(people, tmp_path / people.name)
    running = DoubledBot(double, tmp_path, tiny_model)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def discord_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """discord.py's own waits before it repeats a request or connects again, which take no time here."""
    waits: list[float] = []
    hurried = types.ModuleType("asyncio")
    vars(hurried).update(vars(asyncio))

    async def sleep(seconds: float, result: object = None) -> object:
        waits.append(seconds)
        return await asyncio.sleep(0, result)

    vars(hurried)["sleep"] = sleep
    for module in (discord.client, discord.http, discord.webhook.async_):
        monkeypatch.setattr(module, "asyncio", hurried)
    return waits


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Steps stop until the event is set."""
    going = threading.Event()
    step = StepEngine.step

    def held(engine: StepEngine, generations: list[Generation]) -> None:
        going.wait(60)
        step(engine, generations)

    monkeypatch.setattr(StepEngine, "step", held)
    return going


@pytest.fixture
def faulty_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultySteps]:
    faulty = FaultySteps(monkeypatch)
    yield faulty
    faulty.goes_on.set()


@pytest.fixture
def loaded_anew() -> Iterator[None]:
    """The classifier of the picture check is loaded by the test, and again after it."""
    loaded_nsfw_classifier.cache_clear()
    yield
    loaded_nsfw_classifier.cache_clear()


@pytest.fixture
def chief(server: Server) -> simcord.MemberActor:
    """A member who may manage the server."""
    guild = server.env.guild
    role = guild.create_role("chief", permissions=discord.Permissions(manage_guild=True, manage_messages=True))
    return guild.add_member(server.env.create_user("chief"), roles=[role])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("DISCORD_", "PHOTOMAKER_", "DATABASE_")):
            monkeypatch.delenv(name)
    return tmp_path
