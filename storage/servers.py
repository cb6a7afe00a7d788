"""The rules that moderators set for their servers. Called by /admin and where jobs are admitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import Select, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.models import ServerRules
from storage.upserts import insert_unless_there


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one server.

    ``channels``: where drawing is allowed, empty for everywhere. ``open_jobs``: the most that one member may have
    waiting or running, ``None`` for the bot's own limit; ``role_jobs``: the same for members of a role, by its Discord
    id in decimal. ``pictures_a_day``: the most pictures of one member in 24 hours. ``server_jobs`` and
    ``server_pictures_a_day``: the same for all members together. ``wait_minutes``: the longest wait of a new job.
    ``uploads_an_hour``: the most photos that one member may hand in. ``report_channel``: where reports
    go. ``explicit_pictures``: spoiler, blur or refuse; ``None`` for refuse, and spoiler in age-restricted channels.
    ``style``, ``aspect`` and ``quality`` are taken where neither the command nor the member's preferences say
    anything.
    """

    channels: tuple[int, ...] = ()
    blocked_words: tuple[str, ...] = ()
    open_jobs: int | None = None
    report_channel: int | None = None
    is_paused: bool = False
    role_jobs: Mapping[str, int] = field(default_factory=dict)
    forbidden_loras: tuple[str, ...] = ()
    style: str | None = None
    aspect: str | None = None
    quality: str | None = None
    pictures_a_day: int | None = None
    server_jobs: int | None = None
    server_pictures_a_day: int | None = None
    wait_minutes: int | None = None
    uploads_an_hour: int | None = None
    explicit_pictures: str | None = None

    def most_open_jobs(self, roles: Iterable[int]) -> int | None:
        """The most jobs that a member with these roles may have open: a role's largest number, else everybody's."""
        own = [self.role_jobs[str(role)] for role in roles if str(role) in self.role_jobs]
        return max(own) if own else self.open_jobs


class ServerStore:
    """Reads and changes rules: one row a server, and none for a server without rules of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rules(self, guild_id: int) -> Rules:
        """The rules of a server; the usual ones where its moderators set none."""
        async with self._database.reading() as session:
            return await rules_of(session, guild_id)

    async def change(self, guild_id: int, **changes: Any) -> Rules:
        """Set the named fields of :class:`Rules`, and leave the others."""
        return await self.update(guild_id, lambda old: replace(old, **changes))

    async def update(self, guild_id: int, change: Callable[[Rules], Rules]) -> Rules:
        """Put what ``change`` makes of the rules in their place; nobody else changes them meanwhile.

        For changes that depend on what there is, such as adding to a list. What ``change`` raises leaves all as it was.
        """
        async with self._database.transaction() as session:
            await insert_unless_there(session, ServerRules, {"guild_id": guild_id, "rules": {}})
            rules = change(_from_json(await session.scalar(_stored(guild_id).with_for_update()) or {}))
            values = asdict(rules)
            await session.execute(update(ServerRules).where(ServerRules.guild_id == guild_id).values(rules=values))
        return rules


async def rules_of(session: AsyncSession, guild_id: int) -> Rules:
    """The rules of a server; the usual ones where its moderators set none."""
    return _from_json(await session.scalar(_stored(guild_id)) or {})


async def lock_server(session: AsyncSession, guild_id: int) -> None:
    """Keep others from counting what a server has until the end of the transaction; after :func:`lock_user`, always.

    SQLite's writing transactions exclude each other anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": guild_id})


def _stored(guild_id: int) -> Select[tuple[dict[str, Any]]]:
    return select(ServerRules.rules).where(ServerRules.guild_id == guild_id)


def _from_json(content: Mapping[str, Any]) -> Rules:
    """Rules as they were stored, also by a version with other fields."""
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in content.items()
        if name in Rules.__dataclass_fields__
    }
    return Rules(**known)
