"""The subcommands ``photomaker-bot faces list`` and ``remove``: to undo that somebody registers another's face."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Register the subcommands."""
    faces = commands.add_parser("faces", help="faces that members have registered so that nobody adds them")
    actions = faces.add_subparsers(required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="who has registered one, by Discord id; the bot may run meanwhile")
    listed.set_defaults(command=_list)
    remove = actions.add_parser("remove", help="erase a member's face, and unlock whom it locks; the bot may run")
    remove.add_argument("member", type=int, metavar="ID", help="the member's Discord id")
    remove.set_defaults(command=_remove)


def _list(_options: argparse.Namespace) -> int:
    return asyncio.run(_print_all())


def _remove(options: argparse.Namespace) -> int:
    return asyncio.run(_erase(options.member))


async def _print_all() -> int:
    from bot.config import load_settings
    from storage import Database, FaceOptOutStore

    database = await Database.open(load_settings().database_url)
    try:
        faces = await FaceOptOutStore(database).all()
    finally:
        await database.close()
    for face in faces:
        print(
            f"{face.user_id}: registered {face.registered_at:%Y-%m-%d %H:%M} UTC, photos: {face.photos}, "
            f"locked people of others: {face.locked}"
        )
    if not faces:
        print("Nobody has registered a face.")
    return 0


async def _erase(user_id: int) -> int:
    from bot.config import load_settings
    from storage import Database, FaceOptOutStore

    database = await Database.open(load_settings().database_url)
    try:
        store = FaceOptOutStore(database)
        if await store.find(user_id) is None:
            print(f"{user_id} has not registered a face.")
            return 1
        is_final = await store.withdraw(user_id)
    finally:
        await database.close()
    print(f"Erased: the face of {user_id}.")
    if not is_final:
        print("Another program is reading the database: what was erased is in its log until the bot's next start.")
    return 0
