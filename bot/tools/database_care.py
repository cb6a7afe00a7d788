"""The subcommands ``photomaker-bot db backup``, ``restore``, ``check``, ``vacuum`` and ``expire``."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any, Final

_MIB: Final = 2**20


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Register the subcommands."""
    database = commands.add_parser("db", help="back up, restore, check, shrink or expire the database")
    actions = database.add_subparsers(required=True, metavar="ACTION")
    backup = actions.add_parser("backup", help="copy the database into a new file; the bot may run meanwhile")
    backup.add_argument("file", type=Path, metavar="FILE", help="the copy, which must not be there yet")
    backup.set_defaults(command=_backup)
    restore = actions.add_parser("restore", help="put a copy in the place of the database, which is kept beside it")
    restore.add_argument("file", type=Path, metavar="FILE", help="what backup wrote")
    restore.set_defaults(command=_restore)
    check = actions.add_parser("check", help="look for damage, and count what is stored")
    check.set_defaults(command=_check)
    vacuum = actions.add_parser("vacuum", help="give the room of what was deleted back to the disk; stop the bot first")
    vacuum.set_defaults(command=_vacuum)
    expire = actions.add_parser("expire", help="erase what is older than RETAIN_..._DAYS allow, without waiting for it")
    expire.set_defaults(command=_expire)


def _database() -> Path:
    from bot.config import load_settings
    from storage.maintenance import sqlite_file

    return sqlite_file(load_settings().database_url)


def _backup(options: argparse.Namespace) -> int:
    from storage.maintenance import back_up

    copy = options.file.expanduser()
    size = back_up(_database(), copy)
    print(f"Written: {copy} ({size / _MIB:.1f} MiB). It holds people's faces: guard it as the database itself.")
    return 0


def _restore(options: argparse.Namespace) -> int:
    from storage.maintenance import restore

    file = _database()
    before = restore(options.file.expanduser(), file)
    print(f"Restored: {file}.")
    if before is not None:
        print(f"What was there is {before} now; delete it when you no longer need it.")
    return 0


def _check(_options: argparse.Namespace) -> int:
    from storage.maintenance import check

    file = _database()
    report = check(file)
    for fault in report.faults:
        print(f"✗ {fault}")
    if not report.faults:
        print(f"✓ {file} is sound")
    print(f"tables: {report.revision or 'no revision'}, {report.state}")
    print(f"size: {report.size_bytes / _MIB:.1f} MiB, {report.free_bytes / _MIB:.1f} of them free")
    for table, count in report.counts.items():
        print(f"{table}: {count}")
    return 1 if report.faults else 0


def _vacuum(_options: argparse.Namespace) -> int:
    from storage.maintenance import vacuum

    before, after = vacuum(_database())
    print(f"{before / _MIB:.1f} MiB before, {after / _MIB:.1f} MiB now.")
    return 0


def _expire(_options: argparse.Namespace) -> int:
    from bot.config import load_settings
    from storage import Database, RetentionStore

    settings = load_settings()
    if settings.retention.are_endless:
        print("Everything is kept for ever: RETAIN_PROMPTS_DAYS and the others are not set.")
        return 0

    async def erase() -> int:
        database = await Database.open(settings.database_url, exclusive=True)
        try:
            expired = await RetentionStore(database).erase_expired(settings.retention)
        finally:
            await database.close()
        print(
            f"Erased: prompts of {expired.prompts} jobs, thumbnails of {expired.thumbnails}, "
            f"pictures of {expired.pictures}, and {expired.jobs} jobs whole."
        )
        if not expired.is_final:
            print("Another program is reading the database: what was erased is in its log until the next start.")
        return 0

    return asyncio.run(erase())
