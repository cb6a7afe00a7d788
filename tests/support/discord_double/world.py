"""Everything that there is on the doubled Discord: users, channels, messages, interactions, and who may do what.

The routes and the gateway change it; tests read in it what members see.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from discord.utils import time_snowflake

EPHEMERAL = 1 << 6
LOADING = 1 << 7
UPLOAD_LIMIT_BYTES = 10 * 2**20
NONCE_MEMORY = timedelta(minutes=5)


class RefusalError(Exception):
    """An answer of Discord's that is an error: HTTP status, JSON error code and its words."""

    def __init__(self, status: int, code: int, words: str = "no") -> None:
        super().__init__(f"{status}/{code} {words}")
        self.status, self.code, self.words = status, code, words


@dataclass(eq=False)
class User:
    """Somebody; ``takes_messages`` is false where they have closed their direct messages."""

    id: int
    name: str
    locale: str = "en-US"
    is_bot: bool = False
    takes_messages: bool = True


@dataclass(eq=False)
class Channel:
    """A text channel of a server, or the conversation with ``recipient``; what the bot may do in it."""

    id: int
    guild_id: int | None = None
    recipient: User | None = None
    is_deleted: bool = False
    bot_may_view: bool = True
    bot_may_send: bool = True
    upload_limit_bytes: int = UPLOAD_LIMIT_BYTES


@dataclass(frozen=True)
class File:
    """An uploaded file."""

    id: int
    name: str
    content: bytes = field(repr=False)


@dataclass(eq=False)
class Message:
    """A message as it stands now. ``said`` are all the contents that it has had, the newest last; ``shown`` the names
    of the files that it had with each. ``viewer`` is set where only one user sees it."""

    id: int
    channel: Channel
    author: User
    flags: int = 0
    content: str = ""
    files: list[File] = field(default_factory=list)
    components: list[Any] = field(default_factory=list)
    embeds: list[Any] = field(default_factory=list)
    nonce: str | None = None
    viewer: User | None = None
    is_deleted: bool = False
    said: list[str] = field(default_factory=list)
    shown: list[list[str]] = field(default_factory=list)
    edited_at: datetime | None = None

    @property
    def file_names(self) -> list[str]:
        return [file.name for file in self.files]


@dataclass(eq=False)
class Interaction:
    """A command, a click or a form. ``reply`` is its first answer; ``is_expired`` when its token is not accepted any
    more. ``sent_at_s`` and ``called_at_s`` say when the bot was told of it and when it first answered, by the monotonic
    clock."""

    id: int
    token: str
    user: User
    channel: Channel
    kind: int
    message: Message | None = None
    reply: Message | None = None
    is_answered: bool = False
    is_expired: bool = False
    modal: Any = None
    sent_at_s: float = 0.0
    called_at_s: float | None = None
    followups: list[Message] = field(default_factory=list)

    @property
    def said(self) -> list[str]:
        """All that its reply has said, the newest last."""
        return [] if self.reply is None else self.reply.said


class World:
    """Owns what there is. Ids are snowflakes of the moment."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.bot = User(900, "photomaker", is_bot=True)
        self.owner = User(901, "owner")
        self.users: dict[int, User] = {one.id: one for one in (self.bot, self.owner)}
        self.channels: dict[int, Channel] = {}
        self.guilds: dict[int, str] = {}
        self.members: dict[int, set[int]] = {}
        self.messages: dict[int, Message] = {}
        self.interactions: dict[str, Interaction] = {}
        self.files: dict[int, File] = {}
        self.commands: list[dict[str, Any]] = []
        self._by_nonce: dict[tuple[int, str], tuple[datetime, Message]] = {}

    def snowflake(self) -> int:
        return time_snowflake(datetime.now(UTC)) + next(self._numbers) % 2**22

    def add_user(self, name: str, *, user_id: int | None = None) -> User:
        user = User(user_id or self.snowflake(), name)
        self.users[user.id] = user
        for members in self.members.values():
            members.add(user.id)
        return user

    def add_guild(self, name: str) -> int:
        guild_id = self.snowflake()
        self.guilds[guild_id] = name
        self.members[guild_id] = set(self.users)
        return guild_id

    def add_channel(self, guild_id: int | None = None, recipient: User | None = None) -> Channel:
        channel = Channel(self.snowflake(), guild_id, recipient)
        self.channels[channel.id] = channel
        return channel

    def conversation(self, user: User) -> Channel:
        """The channel of direct messages with a user."""
        found = next((one for one in self.channels.values() if one.recipient is user), None)
        return found or self.add_channel(recipient=user)

    def store_file(self, name: str, content: bytes) -> File:
        file = File(self.snowflake(), name, content)
        self.files[file.id] = file
        return file

    def post(self, channel: Channel, author: User, *, nonce: str | None = None, flags: int = 0) -> Message:
        message = Message(self.snowflake(), channel, author, flags=flags, nonce=nonce)
        self.messages[message.id] = message
        if nonce is not None:
            self._by_nonce[channel.id, nonce] = datetime.now(UTC), message
        return message

    def of_nonce(self, channel: Channel, nonce: str) -> Message | None:
        """The message of the last minutes that was sent with a nonce."""
        sent_at, message = self._by_nonce.get((channel.id, nonce), (None, None))
        return message if sent_at is not None and datetime.now(UTC) - sent_at < NONCE_MEMORY else None

    def forget_nonces(self) -> None:
        """Let some minutes pass."""
        self._by_nonce.clear()

    def in_channel(self, channel: Channel) -> Iterator[Message]:
        """The messages that everybody in a channel sees, oldest first."""
        for message in self.messages.values():
            is_there = message.channel is channel and not message.is_deleted and not message.flags & LOADING
            if is_there and message.viewer is None:
                yield message

    def showing(self, name_begins: str) -> list[Message]:
        """The messages, wherever they are, that show a file whose name begins so."""
        return [
            message
            for message in self.messages.values()
            if not message.is_deleted
            and not message.channel.is_deleted
            and any(name.startswith(name_begins) for name in message.file_names)
        ]

    def check_bot_in(self, channel: Channel, *, sends: bool = False) -> None:
        """Raise :class:`RefusalError` where the bot may not look into a channel, or not write in it."""
        if channel.is_deleted:
            raise RefusalError(404, 10003, "Unknown Channel")
        if not channel.bot_may_view:
            raise RefusalError(403, 50001, "Missing Access")
        if sends and channel.recipient is not None and not channel.recipient.takes_messages:
            raise RefusalError(403, 50007, "Cannot send messages to this user")
        if sends and not channel.bot_may_send:
            raise RefusalError(403, 50013, "Missing Permissions")
