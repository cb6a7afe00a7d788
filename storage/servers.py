"""What the moderators of a server allow. Called by /admin and by the gate that every job passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from storage.database import Database
from storage.models import ServerRules


@dataclass(frozen=True, slots=True)
class Rules:
    """``channels``: where drawing is allowed, empty for everywhere; ``open_jobs``: the most that one member may have
    waiting or running, ``None`` for no limit; ``role_jobs``: the same for members of a role, by its Discord id in
    decimal; ``report_channel``: where reports go. ``style``, ``aspect`` and ``quality`` are taken where neither the
    command nor the member's preferences say anything."""

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

    def most_open_jobs(self, roles: Iterable[int]) -> int | None:
        """How many jobs a member with these roles may have open: the largest number of a role, else everybody's."""
        own = [self.role_jobs[str(role)] for role in roles if str(role) in self.role_jobs]
        return max(own) if own else self.open_jobs


class ServerStore:
    """One row a server, and none for a server without rules of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rules(self, guild_id: int) -> Rules:
        async with self._database.transaction() as session:
            row = await session.get(ServerRules, guild_id)
            return Rules() if row is None else _from_json(row.rules)

    async def change(self, guild_id: int, **changes: Any) -> Rules:
        """Set the named fields of :class:`Rules`, and leave the others."""
        async with self._database.transaction() as session:
            row = await session.get(ServerRules, guild_id)
            old = {} if row is None else row.rules
            rules = _from_json({**old, **changes})
            if row is None:
                session.add(ServerRules(guild_id=guild_id, rules=asdict(rules)))
            else:
                row.rules = asdict(rules)
        return rules


def _from_json(content: dict[str, Any]) -> Rules:
    lists: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return Rules(**lists)
