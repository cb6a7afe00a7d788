"""The ``photomaker-bot`` command: run, demo, doctor, compile, commands, provenance, verify, db, faces.

The commands import what they need themselves: ``--help`` answers at once, and the libraries are hushed
before they load.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import discord

from bot.config import ConfigError, Settings, load_settings
from bot.tools import database_care, provenance, registered_faces
from bot.tools.log_redaction import hide_secrets, keep_content_out
from bot.tools.stop_signals import Stopping, exit_on_signal
from photomaker_core.cpu_threads import bound_spinning
from photomaker_core.errors import UserError
from photomaker_core.garbage_collection import imports_kept
from photomaker_core.library_logging import quiet_libraries
from storage import StorageError

if TYPE_CHECKING:
    from bot.app import PhotoMakerBot

_LAST_PORT = 65_535
_AUTHENTICATION_FAILED = 4004
REFUSED_LOGIN = (
    "Discord does not accept this token. Copy it anew from https://discord.com/developers/applications "
    "(Bot > Reset Token) into DISCORD_TOKEN."
)
REFUSED_START = (
    "Discord refuses what the bot asks for at its start ({reason}). Check DISCORD_GUILD_ID, and that the bot was "
    "invited with the scope applications.commands."
)
UNREACHABLE = (
    "Discord cannot be reached ({reason}). Check this machine's network, its proxy and its clock, and "
    "https://discordstatus.com, then start again."
)
MISSING_LOGIN = (
    "There is no Discord token. Set DISCORD_TOKEN in the environment or in .env "
    "(https://discord.com/developers/applications > your application > Bot), or try: photomaker-bot demo"
)


def main(arguments: Sequence[str] | None = None, *, make_bot: Callable[[Settings], PhotoMakerBot] | None = None) -> int:
    """Run one command; returns the exit status. What the operator can mend is one sentence on stderr.

    ``make_bot`` makes the client that ``run`` starts: tests give one that draws with a tiny model.
    """
    bound_spinning()
    parser = argparse.ArgumentParser(prog="photomaker-bot", description="PhotoMaker as a Discord bot.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the bot with the token in DISCORD_TOKEN")
    run.set_defaults(command=_run, make_bot=make_bot)
    demo = commands.add_parser("demo", help="try the bot in the browser, with no token and no network")
    demo.add_argument("--port", type=_port, default=0, help="port of the page (default: any free one)")
    demo.add_argument("--data", type=Path, default=Path("data/demo"), help="where the demo's database lies")
    demo.add_argument("--no-browser", action="store_true", help="do not open a browser")
    demo.set_defaults(command=_demo)
    doctor = commands.add_parser("doctor", help="check token, database, model files and memory")
    doctor.set_defaults(command=_doctor)
    compile_ = commands.add_parser("compile", help="compile the model once, into the file PHOTOMAKER_COMPILED")
    compile_.set_defaults(command=_compile)
    reference = commands.add_parser("commands", help="print the reference of the slash commands, as Markdown")
    reference.set_defaults(command=_commands)
    provenance.add_commands(commands)
    database_care.add_commands(commands)
    registered_faces.add_commands(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.command(options)
        return status
    except (UserError, StorageError) as error:
        print(f"photomaker-bot: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a whole number from 0 to {_LAST_PORT}; {text!r} is not")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    settings = load_settings()
    if settings.discord_token is None:
        raise ConfigError(MISSING_LOGIN)
    exit_on_signal()
    with imports_kept():
        quiet_libraries()
    _log_to_stderr(settings.log_level)
    hide_secrets(settings)
    stopping = Stopping()
    token = settings.discord_token.get_secret_value()
    asyncio.run(stopping.until_stopped(_serve(options.make_bot, settings, token, stopping)))
    return 0


async def _serve(
    make_bot: Callable[[Settings], PhotoMakerBot] | None, settings: Settings, token: str, stopping: Stopping
) -> None:
    with imports_kept():
        from bot.app import PhotoMakerBot

    async with (make_bot or PhotoMakerBot)(settings) as bot:
        stopping.drain_by(bot.drain)
        try:
            await bot.start(token)
        except discord.LoginFailure as error:
            raise ConfigError(REFUSED_LOGIN) from error
        except discord.ConnectionClosed as error:
            if error.code == _AUTHENTICATION_FAILED:
                raise ConfigError(REFUSED_LOGIN) from error
            raise ConfigError(UNREACHABLE.format(reason=f"the gateway closes with {error.code}")) from error
        except discord.HTTPException as error:
            is_passing = error.status == 429 or error.status >= 500
            raise ConfigError((UNREACHABLE if is_passing else REFUSED_START).format(reason=_reason(error))) from error
        except (aiohttp.ClientError, discord.GatewayNotFound, OSError) as error:
            raise ConfigError(UNREACHABLE.format(reason=_reason(error))) from error


def _reason(error: Exception) -> str:
    """What Discord said, without the pages that come instead of its own answers."""
    if isinstance(error, discord.HTTPException):
        says = "" if error.text.startswith("<") else error.text
        return " ".join(filter(None, [str(error.status), error.response.reason, says]))
    return str(error) or type(error).__name__


def _demo(options: argparse.Namespace) -> int:
    exit_on_signal()
    with imports_kept():
        quiet_libraries()
        from bot.tools.demo import serve_demo

    _log_to_stderr("ERROR")
    settings = load_settings(env_file=None, database_url=f"sqlite+aiosqlite:///{options.data / 'demo.db'}")
    stopping = Stopping()
    serving = serve_demo(settings, options.data, options.port, stopping, open_browser=not options.no_browser)
    asyncio.run(stopping.until_stopped(serving))
    return 0


def _doctor(_options: argparse.Namespace) -> int:
    try:
        settings = load_settings()
    except ConfigError as error:
        print(f"✗ configuration: {error}")
        return 1
    with imports_kept():
        quiet_libraries()
        from bot.tools.doctor import examine

    findings = asyncio.run(examine(settings))
    for finding in findings:
        print(f"{'✓' if finding.is_good else '✗'} {finding.what}: {finding.says}")
    return 0 if all(finding.is_good for finding in findings) else 1


def _compile(_options: argparse.Namespace) -> int:
    settings = load_settings()
    path = settings.photomaker_compiled
    if path is None:
        raise ConfigError("Say where to keep the compiled model: PHOTOMAKER_COMPILED=data/compiled.bin")
    path = path.expanduser()
    quiet_libraries()
    from bot.services.model_loading import model_loader
    from photomaker_core.sampling.compilation import compile_and_keep

    compile_and_keep(model_loader(settings)(), path)
    print(f"compiled: {path} ({path.stat().st_size / 2**20:.1f} MiB)")
    return 0


def _commands(_options: argparse.Namespace) -> int:
    with imports_kept():
        quiet_libraries()
        from bot.tools.command_reference import commands_page

    print(asyncio.run(commands_page()))
    return 0


def _log_to_stderr(level: str) -> None:
    discord.utils.setup_logging(level=logging.getLevelName(level))
    keep_content_out()


if __name__ == "__main__":
    sys.exit(main())
