"""Everything that can be used in the bot, tried by everybody; what comes of it is ``docs/access.md``.

A world holds a person, a picture, a prompt and a request of ada's. Others try each command, option, button, menu and
form on them, as far as Discord lets them: whatever they do, nothing of ada's may change or be told.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import simcord
from discord import app_commands

from tests.support.server import Server

SECRETS: Final = ("secret woods", "my own house")
_NOT_OFFERED: Final = ("is not visible to this user", "outside this member's guild")
OF_EVERYBODY: Final = frozenset({"help", "style", "queue"})
NUMBERED: Final = "somebody else's identity, by its number: {zebedee}"
_PERSON: Final = ("zebedee", NUMBERED)
_OF_TWO: Final = "a man img and a man img"
Options = dict[str, Any]


def _each(option: str, values: Sequence[str] = _PERSON, **others: Any) -> list[Options]:
    return [{option: value, **others} for value in values]


ATTEMPTS: Final[dict[str, list[Options]]] = {
    "help": [{}],
    "history": [{}],
    "queue": [{}],
    "settings": [{}],
    "style": [{}],
    "imagine": [{"prompt": "a man img", "identity": one} for one in _PERSON],
    "edit": _each("identity", hat="cap"),
    "reality": _each("identity"),
    "mix": [
        *_each("id1", id2="yorick"),
        *_each("id2", id1="mine"),
        *_each("id3", id1="mine", id2="mine"),
        *_each("id4", id1="mine", id2="mine", id3="mine"),
    ],
    "together": [
        *_each("id1", id2="yorick", prompt=_OF_TWO),
        *_each("id2", id1="mine", prompt=_OF_TWO),
        *_each("id3", id1="mine", id2="mine", prompt=_OF_TWO),
    ],
    "identity list": [{}],
    "identity show": _each("name"),
    "identity activity": _each("name"),
    "identity default": _each("name"),
    "identity add-photos": _each("name"),
    "identity remove-photo": _each("name", number=1),
    "identity share": _each("name", member="{guest}"),
    "identity unshare": _each("name", member="{guest}"),
    "identity rename": _each("name", new_name="galilei"),
    "identity delete": _each("name"),
    "prompt list": [{}],
    "prompt use": [
        {"name": "house"},
        *_each("identity", name="mine"),
        *_each("id2", name="mine", identity="mine"),
        *_each("id3", name="mine", identity="mine", id2="mine"),
    ],
    "prompt delete": [{"name": "house"}],
    "privacy show": [{}],
    "privacy export": [{}],
    "privacy delete": [{}],
}
"""Commands that name something of somebody's, or show what is somebody's, with what is tried, the owner's try first.

Everybody has a person and a prompt of their own that are called *mine*.
"""

THEIR_OWN: Final = frozenset({"identity add", "identity ask", "prompt save", "privacy opt-out"})
"""Commands that make something new of the member's own and name nothing that there is."""

_USER_OPTIONS: Final = frozenset({"identity", "id1", "id2", "id3", "id4"})


def unwalked(tree: app_commands.CommandTree[Any]) -> list[str]:
    """Commands that nobody tries, and options that name a person and are tried by no attempt."""
    missing = []
    for command in tree.walk_commands():
        if not isinstance(command, app_commands.Command) or command.qualified_name.startswith("admin "):
            continue
        name = command.qualified_name
        if name not in ATTEMPTS and name not in THEIR_OWN:
            missing.append(f"/{name}")
        tried = {option for options in ATTEMPTS.get(name, []) for option in options}
        naming = {option.name for option in command.parameters} & _USER_OPTIONS
        missing += [f"/{name} {option}" for option in sorted(naming - tried)]
    return missing


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who tries: ``title`` heads their column, ``slash`` and ``click`` act where they are."""

    title: str
    member: simcord.MemberActor | simcord.UserHandle
    channel: simcord.ChannelHandle | None = None
    is_owner: bool = False

    async def slash(self, name: str, options: Options) -> simcord.InteractionResult:
        if isinstance(self.member, simcord.MemberActor):
            assert self.channel is not None
            return await self.member.slash(self.channel, name, **options)
        result: simcord.InteractionResult = await self.member.slash(name, **options)
        return result

    async def autocomplete(self, name: str, option: str) -> list[str]:
        if isinstance(self.member, simcord.MemberActor):
            assert self.channel is not None
            found = await self.member.autocomplete(self.channel, name, option, "")
        else:
            found = await self.member.autocomplete(name, option, "")
        return [one["value"] for one in found]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try: ``sentence`` says why it was refused; where Discord does not offer it, it was none."""

    sentence: str | None = None
    is_offered: bool = True


class Walk:
    """Tries things and watches what is ada's."""

    def __init__(self, server: Server, folder: Path, zebedee: int, guest: simcord.UserHandle) -> None:
        self._server, self._folder, self._zebedee, self._guest = server, folder, zebedee, guest

    async def attempt(
        self, act: Callable[[], Awaitable[simcord.InteractionResult]], *, is_owner: bool, typed: str = ""
    ) -> Outcome:
        """Act, and assert that somebody else has seen and changed nothing of ada's.

        Her person's name is no secret to who has ``typed`` it.
        """
        before, cursor = self.stored(), self._server.env.error_cursor
        try:
            result = await act()
        except simcord.SetupError as error:
            if not any(one in str(error) for one in _NOT_OFFERED):
                raise
            return Outcome(is_offered=False)
        await self._server.quiet()
        told = told_by(result)
        assert told or (is_owner and result.deferred), "nobody is left without an answer"
        errors = self._server.env.errors_since(cursor)
        if not is_owner:
            assert self.stored() == before
            secrets = SECRETS if "zebedee" in typed else (*SECRETS, "zebedee")
            assert not [one for one in secrets if one in told]
        return Outcome(first_words(result.response.content) if errors and result.response else None)

    def with_number(self, options: Options) -> Options:
        """Options with zebedee's number and with a guest where they are wanted."""
        filled: Options = {}
        for name, value in options.items():
            text = value.format(zebedee=self._zebedee, guest="{guest}") if isinstance(value, str) else value
            filled[name] = self._guest if text == "{guest}" else text
        return filled

    def stored(self) -> list[tuple[object, ...]]:
        """All rows of what is ada's, and the shares and jobs of her person."""
        ada = self._server.ada.id
        queries = {
            "SELECT id, name FROM identities WHERE owner_id = ?": ada,
            "SELECT * FROM consents WHERE user_id = ?": ada,
            "SELECT * FROM identity_shares WHERE identity_id = ?": self._zebedee,
            "SELECT * FROM id_photos WHERE identity_id = ?": self._zebedee,
            "SELECT job_id FROM job_identities WHERE identity_id = ?": self._zebedee,
            "SELECT * FROM member_preferences WHERE user_id = ?": ada,
            "SELECT * FROM saved_prompts WHERE user_id = ?": ada,
            "SELECT * FROM identity_requests WHERE asker_id = ?": ada,
            "SELECT * FROM opt_outs WHERE user_id = ?": ada,
            "SELECT id, state, message_id, request FROM jobs WHERE user_id = ?": ada,
            "SELECT id, picture, thumbnail FROM results WHERE job_id IN (SELECT id FROM jobs WHERE user_id = ?)": ada,
        }
        with closing(sqlite3.connect(self._folder / "bot.db")) as connection:
            return [row for query, value in queries.items() for row in connection.execute(query, (value,))]


def told_by(result: simcord.InteractionResult) -> str:
    """All that somebody gets to read after an interaction; a form counts as an answer too."""
    told = [str(result.modal) if result.modal else ""]
    for message in (result.response, *result.followups):
        if message is not None:
            files = [one.filename for one in message.attachments]
            told.append(f"{message.content} {[one.to_dict() for one in message.embeds]} {message.components} {files}")
    return "\n".join(one for one in told if one)


def first_words(sentence: str) -> str:
    """The beginning of a sentence, without what differs from world to world."""
    plain = re.sub(r"<@!?\d+>", "@ada", sentence)
    plain = re.sub(r"[\u2068\u2069]", "", re.sub(r"<#\d+>", "#channel", plain))
    plain = re.sub(r"\s+", " ", plain).replace("|", "/")
    return re.split(r"(?<=[.;:]) ", plain)[0].rstrip(";:")
