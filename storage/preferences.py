"""What a member wants where they say nothing, and the prompts they keep. Called by /settings and /prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select

from storage.database import Database
from storage.errors import NotFoundError, StorageError
from storage.identities import name_key
from storage.models import MemberPreferences, SavedPrompt
from storage.users import ensure_user

MAX_SAVED_PROMPTS = 100


@dataclass(frozen=True, slots=True)
class Preferences:
    """``None`` is no preference."""

    identity_id: int | None = None
    style: str | None = None
    aspect: str | None = None
    quality: str | None = None


class PreferenceStore:
    """One row a member."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, user_id: int) -> Preferences:
        async with self._database.transaction() as session:
            row = await session.get(MemberPreferences, user_id)
            return Preferences() if row is None else Preferences(row.identity_id, row.style, row.aspect, row.quality)

    async def change(self, user_id: int, **changes: Any) -> Preferences:
        """Set the named fields of :class:`Preferences`, and leave the others."""
        async with self._database.transaction() as session:
            await ensure_user(session, user_id)
            row = await session.get(MemberPreferences, user_id)
            if row is None:
                row = MemberPreferences(user_id=user_id)
                session.add(row)
            for name, value in changes.items():
                setattr(row, name, value)
        return await self.of(user_id)


@dataclass(frozen=True, slots=True)
class NamedPrompt:
    """A prompt under its name."""

    name: str
    prompt: str


class PromptStore:
    """A member's own library of prompts. Names are compared as those of identities are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, user_id: int, name: str, prompt: str) -> bool:
        """Keep a prompt, in the place of one of the same name; whether there was one.

        Raises :class:`StorageError` when the library is full.
        """
        async with self._database.transaction() as session:
            await ensure_user(session, user_id)
            own = (await session.scalars(select(SavedPrompt).where(SavedPrompt.user_id == user_id))).all()
            for one in own:
                if one.name_key == name_key(name):
                    one.name, one.prompt = name, prompt
                    return True
            if len(own) >= MAX_SAVED_PROMPTS:
                raise StorageError(
                    "You keep {most} prompts, which is the most. Delete one first.", most=MAX_SAVED_PROMPTS
                )
            session.add(SavedPrompt(user_id=user_id, name=name, name_key=name_key(name), prompt=prompt))
            return False

    async def all_of(self, user_id: int, containing: str = "") -> list[NamedPrompt]:
        """By name; those whose names hold ``containing``."""
        query = select(SavedPrompt.name, SavedPrompt.prompt).where(SavedPrompt.user_id == user_id)
        if containing.strip():
            query = query.where(SavedPrompt.name_key.contains(name_key(containing), autoescape=True))
        async with self._database.transaction() as session:
            return [NamedPrompt(*row) for row in await session.execute(query.order_by(SavedPrompt.name_key))]

    async def find(self, user_id: int, name: str) -> NamedPrompt:
        """Raises :class:`NotFoundError`."""
        query = select(SavedPrompt.name, SavedPrompt.prompt).where(
            SavedPrompt.user_id == user_id, SavedPrompt.name_key == name_key(name)
        )
        async with self._database.transaction() as session:
            row = (await session.execute(query)).first()
        if row is None:
            raise NotFoundError("You keep no prompt called “{name}”. /prompt list shows yours.", name=name)
        return NamedPrompt(*row)

    async def delete(self, user_id: int, name: str) -> NamedPrompt:
        """Raises :class:`NotFoundError`."""
        found = await self.find(user_id, name)
        async with self._database.transaction() as session:
            await session.execute(
                delete(SavedPrompt).where(SavedPrompt.user_id == user_id, SavedPrompt.name_key == name_key(name))
            )
        return found
