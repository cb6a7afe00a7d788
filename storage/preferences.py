"""Preferences of members, and the prompts that they keep. Called by /settings and /prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.errors import LimitReachedError, NotFoundError
from storage.identities import name_key
from storage.models import MemberPreferences, SavedPrompt
from storage.upserts import insert_or_replace
from storage.users import lock_user

MAX_SAVED_PROMPTS: Final = 100


@dataclass(frozen=True, slots=True)
class Preferences:
    """A member's preferences; ``None`` is none."""

    identity_id: int | None = None
    style: str | None = None
    aspect: str | None = None
    quality: str | None = None


class PreferenceStore:
    """Reads and changes preferences, one row a member."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, user_id: int) -> Preferences:
        """A member's preferences; none for somebody unknown."""
        async with self._database.reading() as session:
            return await preferences_of(session, user_id)

    async def change(self, user_id: int, **changes: Any) -> Preferences:
        """Set the named fields of :class:`Preferences`, and leave the others.

        Raises :class:`NotFoundError` for an identity that is gone.
        """
        try:
            async with self._database.transaction() as session:
                await lock_user(session, user_id)
                if changes:
                    row = {"user_id": user_id, **changes}
                    await insert_or_replace(session, MemberPreferences, [row], key=("user_id",))
                return await preferences_of(session, user_id)
        except IntegrityError as error:
            raise NotFoundError("This identity does not exist any more.") from error


async def preferences_of(session: AsyncSession, user_id: int) -> Preferences:
    """A member's preferences; none for somebody unknown."""
    columns = (getattr(MemberPreferences, name) for name in Preferences.__dataclass_fields__)
    row = (await session.execute(select(*columns).where(MemberPreferences.user_id == user_id))).first()
    return Preferences() if row is None else Preferences(*row)


@dataclass(frozen=True, slots=True)
class NamedPrompt:
    """A prompt under its name."""

    name: str
    prompt: str


class PromptStore:
    """Keeps a member's own library of prompts. Names are compared as those of identities are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, user_id: int, name: str, prompt: str) -> bool:
        """Keep a prompt, in the place of one of the same name; returns whether there was one.

        Raises :class:`LimitReachedError` when the library is full.
        """
        key = name_key(name)
        async with self._database.transaction() as session:
            await lock_user(session, user_id)
            is_own = SavedPrompt.user_id == user_id
            is_there = await session.scalar(select(SavedPrompt.id).where(is_own, SavedPrompt.name_key == key))
            number = await session.scalar(select(func.count()).where(is_own)) or 0
            if is_there is None and number >= MAX_SAVED_PROMPTS:
                raise LimitReachedError(
                    "You keep {most} prompts, which is the most. Delete one first.", most=MAX_SAVED_PROMPTS
                )
            row = {"user_id": user_id, "name": name, "name_key": key, "prompt": prompt}
            await insert_or_replace(session, SavedPrompt, [row], key=("user_id", "name_key"))
            return is_there is not None

    async def all_of(
        self, user_id: int, containing: str = "", limit: int | None = None, offset: int = 0
    ) -> list[NamedPrompt]:
        """A member's prompts by name; those whose names hold ``containing``."""
        async with self._database.reading() as session:
            return await prompts_of(session, user_id, containing, limit, offset)

    async def count(self, user_id: int) -> int:
        """The number of prompts that a member keeps."""
        async with self._database.reading() as session:
            return await session.scalar(select(func.count()).where(SavedPrompt.user_id == user_id)) or 0

    async def find(self, user_id: int, name: str) -> NamedPrompt:
        """A member's prompt by name; raises :class:`NotFoundError`."""
        query = select(SavedPrompt.name, SavedPrompt.prompt).where(
            SavedPrompt.user_id == user_id, SavedPrompt.name_key == name_key(name)
        )
        async with self._database.reading() as session:
            row = (await session.execute(query)).first()
        if row is None:
            raise NotFoundError(_UNKNOWN_PROMPT, name=name)
        return NamedPrompt(*row)

    async def delete(self, user_id: int, name: str) -> NamedPrompt:
        """Remove a member's prompt; raises :class:`NotFoundError`."""
        query = (
            delete(SavedPrompt)
            .where(SavedPrompt.user_id == user_id, SavedPrompt.name_key == name_key(name))
            .returning(SavedPrompt.name, SavedPrompt.prompt)
        )
        async with self._database.transaction() as session:
            row = (await session.execute(query)).first()
        if row is None:
            raise NotFoundError(_UNKNOWN_PROMPT, name=name)
        return NamedPrompt(*row)


async def prompts_of(
    session: AsyncSession, user_id: int, containing: str = "", limit: int | None = None, offset: int = 0
) -> list[NamedPrompt]:
    """A member's prompts by name; those whose names hold ``containing``."""
    query = select(SavedPrompt.name, SavedPrompt.prompt).where(SavedPrompt.user_id == user_id)
    if containing.strip():
        query = query.where(SavedPrompt.name_key.contains(name_key(containing), autoescape=True))
    rows = await session.execute(query.order_by(SavedPrompt.name_key).limit(limit).offset(offset))
    return [NamedPrompt(*row) for row in rows]


_UNKNOWN_PROMPT: Final = "You keep no prompt called “{name}”. /prompt list shows yours."
