"""``photomaker-bot demo``: the real bot in a simulated Discord, as a page in the browser.

SimCord runs discord.py against an in-memory Discord and shows it; everything else is the bot as it is
with a token. Called by ``make demo``.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import webbrowser
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import discord
from aiohttp import web
from discord import ui

from bot.app import PhotoMakerBot
from bot.config import ConfigError, Settings
from bot.domain.consent import FICTION
from bot.domain.draw_request import DrawOptions
from bot.tools.demo_appearance import WELCOME_SHEET, dress, follow_newest, welcome_sheet
from bot.tools.demo_publication import Publication
from bot.tools.stop_signals import Stopping
from bot.views.persistent import PersistentView
from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY, identity_number, scene_number
from photomaker_core.nano.portraits import draw

_HOST: Final = "127.0.0.1"
_SETTLE_TIMEOUT_S: Final = 60.0
SAMPLE_PEOPLE: Final = {"ada": 3, "noah": 6}
_SAMPLE_PHOTOS: Final = 4
_SAMPLE_PROMPT: Final = "a woman img in a red hat at the beach"
_SAMPLE_SIDE_PX: Final = 512

_SHEET: Final = "Two sample people: left a photo of each, beside it what nano draws of them"
_WELCOME: Final = """\
**Welcome.** This is the real bot in a simulated Discord; what it draws comes from *nano*, a tiny PhotoMaker. The \
sheet shows what to expect: left a photo of each sample person, beside it what it draws of them.
Three clicks to a picture: **Add the sample people**, **Draw ada**, and **Again** under what comes.
Or as a member does it:
1. Type `/identity add`; a form takes a name, the consent and up to ten photos. Samples are in `{samples}`.
2. Type `/imagine` with the prompt `a man img in a red hat`.
3. Add somebody else and try `/mix` and `/together`. `/help` tells the rest.
You are {members}; switch between them above. The last one may use `/admin`.
"""


async def serve_demo(settings: Settings, folder: Path, port: int, stopping: Stopping, *, open_browser: bool) -> None:
    """Serve the page until it is closed or the task is cancelled; ``port`` 0 takes any free one.

    What members store is kept in ``folder`` and is there again at the next start. Raises
    :class:`ConfigError` when SimCord is not installed or the port is taken.
    """
    try:
        import simcord
    except ImportError as error:
        raise ConfigError("The demo needs SimCord. Install it with: pip install 'photomaker-bot[demo]'") from error
    try:
        samples = await asyncio.to_thread(write_samples, folder / "samples")
    except OSError as error:
        raise ConfigError(
            f"The demo cannot write to {folder} ({error.strerror}). Choose another place: --data DIR"
        ) from error
    bot = PhotoMakerBot(settings)
    stopping.drain_by(bot.drain)
    try:
        async with simcord.run(bot, settle_timeout=_SETTLE_TIMEOUT_S, check_errors=False) as env:
            guild = env.create_guild("Nano drawing")
            channel = guild.create_text_channel("pictures")
            chief = guild.create_role("chief", permissions=discord.Permissions(manage_guild=True, manage_messages=True))
            members = [guild.add_member(env.create_user(name)) for name in ("you", "friend")]
            members.append(guild.add_member(env.create_user("admin"), roles=[chief]))
            # Ids hold their date: those of the members stay the same from start to start, with all that is theirs.
            assets = dress(env)
            await asyncio.wrap_future(bot.gpu.loaded)
            names = ", ".join(f"**{member.name}**" for member in members)
            await bot.get_partial_messageable(channel.id).send(
                _WELCOME.format(samples=samples, members=names),
                view=_FirstSteps(bot, samples),
                file=discord.File(io.BytesIO(welcome_sheet()), WELCOME_SHEET, description=_SHEET),
            )
            preview = env.preview(channel, viewers=members, layout="channel", assets=assets)
            follow_newest(preview)
            async with preview, _front(preview.url, port) as url:
                print(f"ready: {url}", flush=True)
                if open_browser:
                    await asyncio.to_thread(_open_browser, url)
                publication = Publication(preview, channel)
                publishing = asyncio.create_task(publication.keep_current())
                try:
                    await preview.wait_closed()
                finally:
                    publishing.cancel()
    finally:
        await bot.close()


class _FirstSteps(PersistentView):
    """Buttons that do for a visitor what a member does with commands."""

    def __init__(self, bot: PhotoMakerBot, samples: Path) -> None:
        super().__init__()
        self._bot, self._samples = bot, samples

    @ui.button(label="Add the sample people", style=discord.ButtonStyle.primary)
    async def add(self, interaction: discord.Interaction, _button: ui.Button[_FirstSteps]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        known = await self._bot.identities.store.names(interaction.user.id)
        for name in SAMPLE_PEOPLE:
            if name not in known:
                uploads = await asyncio.to_thread(_sample_photos, self._samples, name)
                await self._bot.identities.add(interaction.user.id, name, uploads, FICTION)
        names = " and ".join(f"**{name}**" for name in SAMPLE_PEOPLE)
        await interaction.followup.send(f"You can draw {names} now.", ephemeral=True)

    @ui.button(label="Draw ada", style=discord.ButtonStyle.primary)
    async def draw(self, interaction: discord.Interaction, _button: ui.Button[_FirstSteps]) -> None:
        await interaction.response.defer(thinking=True)
        await self._bot.drawing.draw(interaction, DrawOptions(_SAMPLE_PROMPT), [(next(iter(SAMPLE_PEOPLE)), 1.0)])


def _sample_photos(folder: Path, name: str) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(folder.glob(f"{name}-*.png"))]


def write_samples(folder: Path) -> Path:
    """Draw photos of two people whom the nano model has never seen, for members to upload."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, offset in SAMPLE_PEOPLE.items():
        number = FIRST_HELD_OUT_IDENTITY + offset
        for picture in range(_SAMPLE_PHOTOS):
            image, _ = draw(identity_number(number), scene_number(number, picture))
            image.resize((_SAMPLE_SIDE_PX, _SAMPLE_SIDE_PX)).save(folder / f"{name}-{picture + 1}.png")
    return folder


@contextlib.asynccontextmanager
async def _front(page_url: str, port: int) -> AsyncIterator[str]:
    """A fixed, short address that leads to the page's own, which carries a secret of this start."""

    async def lead_on(request: web.Request) -> web.Response:
        if request.host.rpartition(":")[0] not in (_HOST, "localhost"):
            raise web.HTTPForbidden
        raise web.HTTPFound(page_url)

    app = web.Application()
    app.router.add_get("/", lead_on)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"Port {port} cannot be used ({error.strerror}). Choose another: make demo PORT=8123"
            ) from error
        yield f"http://{_HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _open_browser(url: str) -> None:
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(url)
