"""The tables. A user's deletion takes everything of theirs along (foreign keys cascade).

Ids count up and are never used twice: messages and stored requests outlive what they refer to.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, also on databases that keep no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


_NEVER_REUSED: Final = {"sqlite_autoincrement": True}
"""SQLite alone would give the id of the last row that was deleted to the next one."""


def _now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: JSON, datetime: UtcDateTime, bytes: LargeBinary}


class User(Base):
    """A Discord user, by their Discord id."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(default=_now)


class Identity(Base):
    """A named person of one user. ``name_key`` is the name as it is compared."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("owner_id", "name_key"), _NEVER_REUSED)

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    name_key: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=_now)


class IdentityShare(Base):
    """The right of a member, or of everybody in a server, to draw an identity. ``kind`` is member or server."""

    __tablename__ = "identity_shares"
    __table_args__ = (Index("ix_identity_shares_kind_target_id", "kind", "target_id"),)

    identity_id: Mapped[int] = mapped_column(ForeignKey("identities.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    target_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(default=_now)


class MemberPreferences(Base):
    """A member's preferences, taken where they say nothing."""

    __tablename__ = "member_preferences"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("identities.id", ondelete="SET NULL"))
    style: Mapped[str | None] = mapped_column(String(64))
    aspect: Mapped[str | None] = mapped_column(String(64))
    quality: Mapped[str | None] = mapped_column(String(16))


class SavedPrompt(Base):
    """A prompt that a member keeps under a name."""

    __tablename__ = "saved_prompts"
    __table_args__ = (UniqueConstraint("user_id", "name_key"), _NEVER_REUSED)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    name_key: Mapped[str] = mapped_column(String(128))
    prompt: Mapped[str] = mapped_column(String(1000))
    created_at: Mapped[datetime] = mapped_column(default=_now)


class ServerRules(Base):
    """The rules that the moderators of one server set, by its Discord id. ``rules`` is JSON."""

    __tablename__ = "server_rules"

    guild_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    rules: Mapped[dict[str, Any]]


class Consent(Base):
    """The owner's declaration about the person in the photos, made when they handed them in.

    ``sentence`` is what they read and chose, word by word in their language, ``version`` that of its wording, and
    ``photos`` how many photos they handed in with it; rows of earlier versions of the bot have the declaration alone.
    """

    __tablename__ = "consents"
    __table_args__ = _NEVER_REUSED

    id: Mapped[int] = mapped_column(primary_key=True)
    identity_id: Mapped[int] = mapped_column(ForeignKey("identities.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    declaration: Mapped[str] = mapped_column(String(32))
    sentence: Mapped[str | None]
    version: Mapped[int | None]
    photos: Mapped[int | None]
    given_at: Mapped[datetime] = mapped_column(default=_now)


class IdPhoto(Base):
    """One normalised photo, as JPEG bytes."""

    __tablename__ = "id_photos"
    __table_args__ = (UniqueConstraint("identity_id", "position"), _NEVER_REUSED)

    id: Mapped[int] = mapped_column(primary_key=True)
    identity_id: Mapped[int] = mapped_column(ForeignKey("identities.id", ondelete="CASCADE"))
    position: Mapped[int]
    content: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default=_now)


class IdFeature(Base):
    """The ID features of one photo for one ID encoder: float32, little-endian, [T, D]."""

    __tablename__ = "id_features"

    photo_id: Mapped[int] = mapped_column(ForeignKey("id_photos.id", ondelete="CASCADE"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(128), primary_key=True)
    content: Mapped[bytes]


class Job(Base):
    """A drawing job. ``request`` is what the bot needs to draw it, as JSON; ``guild_id`` the server whose rules hold,
    ``pictures`` their number.

    ``attempts`` counts how often its drawing has begun. ``awaits_delivery`` says that it has ended and its member does
    not know yet; ``error`` is then what they will read. ``is_untold`` says that no place took the word of it.
    ``interaction_token`` lives 15 minutes at Discord and is erased
    when they know; ``source``, the picture that the job starts from, when it ends.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_state_id", "state", "id"),
        Index("ix_jobs_awaits_delivery_id", "awaits_delivery", "id"),
        Index("ix_jobs_guild_id_created_at", "guild_id", "created_at"),
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    guild_id: Mapped[int | None] = mapped_column(BigInteger)
    channel_id: Mapped[int] = mapped_column(BigInteger)
    message_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    interaction_token: Mapped[str | None]
    request: Mapped[dict[str, Any]]
    pictures: Mapped[int] = mapped_column(default=1, server_default="1")
    source: Mapped[bytes | None] = mapped_column(deferred=True)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    awaits_delivery: Mapped[bool] = mapped_column(default=False, server_default=false())
    is_untold: Mapped[bool] = mapped_column(default=False, server_default=false())
    dropped_text: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobIdentity(Base):
    """A person in a job, for whoever asks who drew them."""

    __tablename__ = "job_identities"
    __table_args__ = (Index("ix_job_identities_identity_id_job_id", "identity_id", "job_id"),)

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    identity_id: Mapped[int] = mapped_column(
        ForeignKey("identities.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


class IdentityRequest(Base):
    """A member's request to draw another one, made on the server ``guild_id``; ``state`` is asked, accepted or refused.

    ``identity_id`` is the person that was lent with the answer.
    """

    __tablename__ = "identity_requests"
    __table_args__ = (
        Index("ix_identity_requests_asker_id_created_at", "asker_id", "created_at"),
        Index("ix_identity_requests_member_id_created_at", "member_id", "created_at"),
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    asker_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    member_id: Mapped[int] = mapped_column(BigInteger)
    guild_id: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16), default="asked")
    identity_id: Mapped[int | None] = mapped_column(ForeignKey("identities.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=_now)
    answered_at: Mapped[datetime | None]


class OptOut(Base):
    """A member whom nobody may ask, and from whose messages nobody may save a person."""

    __tablename__ = "opt_outs"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    created_at: Mapped[datetime] = mapped_column(default=_now)


class FaceOptOut(Base):
    """A photo's face of a member whom nobody else may add: its embedding (float32, little-endian) by the network that
    ``fingerprint`` names, and the last stored photo that it was compared with."""

    __tablename__ = "face_opt_outs"
    __table_args__ = _NEVER_REUSED

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    embedding: Mapped[bytes]
    compared_photo_id: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(default=_now)


class IdentityLock(Base):
    """An identity that cannot be drawn while a face that its photos show is registered by somebody else."""

    __tablename__ = "identity_locks"

    identity_id: Mapped[int] = mapped_column(
        ForeignKey("identities.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    face_id: Mapped[int] = mapped_column(
        ForeignKey("face_opt_outs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False, index=True
    )


class Result(Base):
    """One picture of a job: how it was made, a small JPEG of it, and the picture itself until it is delivered, or for
    good where pictures are kept. ``is_spoiler`` says that both are shown behind a spoiler."""

    __tablename__ = "results"
    __table_args__ = (UniqueConstraint("job_id", "position"), _NEVER_REUSED)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    position: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    settings: Mapped[dict[str, Any]]
    picture: Mapped[bytes | None]
    thumbnail: Mapped[bytes | None]
    is_spoiler: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(default=_now)
