"""Members' requests to draw one another, their answers, and who wants no request. Called by /identity ask and /privacy.

A request is open for a week. Whoever refuses is not asked by the same member again for a month.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.errors import LimitReachedError, NotFoundError, StorageError
from storage.identities import MEMBER
from storage.models import Identity, IdentityRequest, IdentityShare, OptOut
from storage.upserts import insert_unless_there
from storage.users import lock_user

ASKED: Final = "asked"
ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
OPEN_FOR: Final = timedelta(days=7)
QUIET_AFTER_REFUSAL: Final = timedelta(days=30)
MOST_A_DAY: Final = 5
"""The most requests that one member may make, and that one member may get, within 24 hours."""


class OptedOutError(StorageError):
    """The member wants no requests."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request as it stands; ``identity_id`` is the person that was lent, while it is there."""

    id: int
    asker_id: int
    member_id: int
    guild_id: int
    state: str
    identity_id: int | None
    created_at: datetime
    answered_at: datetime | None


class IdentityRequestStore:
    """Keeps requests to be drawn."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, asker_id: int, member_id: int, guild_id: int) -> RequestInfo:
        """Store a request; raises :class:`OptedOutError` or :class:`LimitReachedError`."""
        now = datetime.now(UTC)
        async with self._database.transaction() as session:
            for user_id in sorted((asker_id, member_id)):
                await lock_user(session, user_id)
            if await is_opted_out(session, member_id):
                raise OptedOutError("This member does not want to be asked.")
            await _check_asker(session, asker_id, member_id, now)
            got = await _number(session, IdentityRequest.member_id == member_id, _since(now, timedelta(days=1)))
            if got >= MOST_A_DAY:
                raise LimitReachedError("This member was asked often enough today. Please try again tomorrow.")
            row = IdentityRequest(asker_id=asker_id, member_id=member_id, guild_id=guild_id, state=ASKED)
            row.created_at, row.identity_id, row.answered_at = now, None, None
            session.add(row)
        return _info(row)

    async def open(self, request_id: int, member_id: int) -> RequestInfo:
        """A member's request that waits for their answer.

        Raises :class:`NotFoundError` where there is none: it was answered, taken back, or is too old.
        """
        async with self._database.reading() as session:
            row = await session.get(IdentityRequest, request_id)
            return _info(_checked(row, member_id))

    async def find(self, request_id: int) -> RequestInfo | None:
        """A request, whatever its state."""
        async with self._database.reading() as session:
            row = await session.get(IdentityRequest, request_id)
            return None if row is None else _info(row)

    async def accept(self, request_id: int, member_id: int, identity_id: int) -> RequestInfo:
        """Lend a person of the member's to whoever asked; raises :class:`NotFoundError`."""
        async with self._database.transaction() as session:
            await lock_user(session, member_id)
            row = _checked(await session.get(IdentityRequest, request_id, with_for_update=True), member_id)
            owner = await session.scalar(select(Identity.owner_id).where(Identity.id == identity_id))
            if owner != member_id:
                raise NotFoundError("This identity does not exist any more.")
            row.state, row.identity_id, row.answered_at = ACCEPTED, identity_id, datetime.now(UTC)
            share = {"identity_id": identity_id, "kind": MEMBER, "target_id": row.asker_id}
            await insert_unless_there(session, IdentityShare, share)
            return _info(row)

    async def refuse(self, request_id: int, member_id: int) -> RequestInfo:
        """Say no; raises :class:`NotFoundError`."""
        async with self._database.transaction() as session:
            row = _checked(await session.get(IdentityRequest, request_id, with_for_update=True), member_id)
            row.state, row.answered_at = REFUSED, datetime.now(UTC)
            return _info(row)

    async def take_back(self, request_id: int, member_id: int) -> RequestInfo:
        """End what was lent with an answer; raises :class:`NotFoundError` where nothing is lent."""
        async with self._database.transaction() as session:
            row = await session.get(IdentityRequest, request_id, with_for_update=True)
            if row is None or row.member_id != member_id or row.identity_id is None:
                raise NotFoundError("Nothing is lent through this request any more.")
            await session.execute(
                delete(IdentityShare).where(
                    IdentityShare.identity_id == row.identity_id,
                    IdentityShare.kind == MEMBER,
                    IdentityShare.target_id == row.asker_id,
                )
            )
            row.identity_id = None
            return _info(row)

    async def withdraw(self, request_id: int) -> None:
        """Forget a request that could not be brought to its member."""
        async with self._database.transaction() as session:
            await session.execute(delete(IdentityRequest).where(IdentityRequest.id == request_id))

    async def opt_out(self, user_id: int) -> None:
        """Let nobody ask a member, and refuse what waits for their answer."""
        async with self._database.transaction() as session:
            await lock_user(session, user_id)
            await insert_unless_there(session, OptOut, {"user_id": user_id})
            waiting = update(IdentityRequest).where(
                IdentityRequest.member_id == user_id, IdentityRequest.state == ASKED
            )
            await session.execute(waiting.values(state=REFUSED, answered_at=datetime.now(UTC)))

    async def opt_in(self, user_id: int) -> None:
        """Let others ask a member again."""
        async with self._database.transaction() as session:
            await session.execute(delete(OptOut).where(OptOut.user_id == user_id))

    async def has_opted_out(self, user_id: int) -> bool:
        async with self._database.reading() as session:
            return await is_opted_out(session, user_id)


async def is_opted_out(session: AsyncSession, user_id: int) -> bool:
    """Whether a member wants no requests."""
    return await session.scalar(select(exists().where(OptOut.user_id == user_id))) or False


async def requests_of(session: AsyncSession, user_id: int) -> list[RequestInfo]:
    """The requests that a user made or got, oldest first."""
    is_theirs = (IdentityRequest.asker_id == user_id) | (IdentityRequest.member_id == user_id)
    return [
        _info(row)
        for row in await session.scalars(select(IdentityRequest).where(is_theirs).order_by(IdentityRequest.id))
    ]


async def _check_asker(session: AsyncSession, asker_id: int, member_id: int, now: datetime) -> None:
    pair = IdentityRequest.asker_id == asker_id, IdentityRequest.member_id == member_id
    if await _number(session, *pair, IdentityRequest.state == ASKED, _since(now, OPEN_FOR)):
        raise LimitReachedError("You have asked this member already. They have a week to answer.")
    refused = IdentityRequest.state == REFUSED, IdentityRequest.answered_at > now - QUIET_AFTER_REFUSAL
    if await _number(session, *pair, *refused):
        raise LimitReachedError("This member has said no. You can ask again a month after that.")
    made = await _number(session, IdentityRequest.asker_id == asker_id, _since(now, timedelta(days=1)))
    if made >= MOST_A_DAY:
        raise LimitReachedError("You have asked {number} members today, which is the most.", number=made)


async def _number(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    return await session.scalar(select(func.count(IdentityRequest.id)).where(*conditions)) or 0


def _since(now: datetime, span: timedelta) -> ColumnElement[bool]:
    return IdentityRequest.created_at > now - span


def _checked(row: IdentityRequest | None, member_id: int) -> IdentityRequest:
    since = datetime.now(UTC) - OPEN_FOR
    if row is None or row.member_id != member_id or row.state != ASKED or row.created_at <= since:
        raise NotFoundError("This request is not open any more.")
    return row


def _info(row: IdentityRequest) -> RequestInfo:
    return RequestInfo(
        row.id, row.asker_id, row.member_id, row.guild_id, row.state, row.identity_id, row.created_at, row.answered_at
    )
