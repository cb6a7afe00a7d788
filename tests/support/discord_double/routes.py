"""The REST routes that the bot uses: interactions, webhooks of interactions, messages, users, commands, and the CDN."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.support.discord_double import payloads
from tests.support.discord_double.world import EPHEMERAL, LOADING, Channel, Interaction, Message, RefusalError, World

MESSAGE, DEFERRED, DEFERRED_UPDATE, UPDATE, MODAL = 4, 5, 6, 7, 9
_MOST_HISTORY = 100

Files = dict[int, tuple[str, bytes]]
"""Uploads by their number in the form: name and content."""


class Routes:
    """Carries requests out in the world. Each method is one route; ``parts`` are the parameters of its path."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.cdn = ""

    def me(self, parts: dict[str, str]) -> Any:
        return payloads.user(self._world.bot)

    def user(self, parts: dict[str, str]) -> Any:
        found = self._world.users.get(int(parts["user"]))
        if found is None:
            raise RefusalError(404, 10013, "Unknown User")
        return payloads.user(found)

    def conversation(self, parts: dict[str, str], body: dict[str, Any]) -> Any:
        user = self._world.users.get(int(body["recipient_id"]))
        if user is None:
            raise RefusalError(400, 50033, "Invalid Recipient(s)")
        return payloads.channel(self._world.conversation(user))

    def application(self, parts: dict[str, str]) -> Any:
        return payloads.application(self._world)

    def guild(self, parts: dict[str, str]) -> Any:
        guild_id = int(parts["guild"])
        if guild_id not in self._world.guilds:
            raise RefusalError(404, 10004, "Unknown Guild")
        return payloads.guild(self._world, guild_id)

    def member(self, parts: dict[str, str]) -> Any:
        members = self._world.members.get(int(parts["guild"]))
        if members is None:
            raise RefusalError(404, 10004, "Unknown Guild")
        if int(parts["user"]) not in members:
            raise RefusalError(404, 10007, "Unknown Member")
        return payloads.member(self._world.users[int(parts["user"])])

    def commands(self, parts: dict[str, str], body: list[dict[str, Any]]) -> Any:
        about = {"application_id": str(self._world.bot.id), "version": "1"}
        defaults = {"description": "", "default_member_permissions": None, "type": 1}
        self._world.commands = [defaults | one | about | {"id": str(self._world.snowflake())} for one in body]
        return self._world.commands

    def callback(self, parts: dict[str, str], body: dict[str, Any], files: Files) -> Any:
        interaction = self._interaction(parts["token"], unknown=RefusalError(404, 10062, "Unknown interaction"))
        if interaction.is_expired:
            raise RefusalError(404, 10062, "Unknown interaction")
        if interaction.is_answered:
            raise RefusalError(400, 40060, "Interaction has already been acknowledged.")
        kind, data = body["type"], body.get("data") or {}
        if kind == MESSAGE:
            self._check_size(interaction.channel, files)
        interaction.is_answered = True
        if kind in (MESSAGE, DEFERRED):
            interaction.reply = self._new_reply(interaction, data)
            if kind == MESSAGE:
                self._write(interaction.reply, data, files)
            else:
                interaction.reply.flags |= LOADING
        elif kind == UPDATE and interaction.message is not None:
            self._write(interaction.message, data, files)
        elif kind == MODAL:
            interaction.modal = data
        return payloads.callback(interaction, kind, self.cdn)

    def followup(self, parts: dict[str, str], body: dict[str, Any], files: Files) -> Any:
        interaction = self._interaction(parts["token"])
        self._check_size(interaction.channel, files)
        reply = interaction.reply
        if reply is not None and reply.flags & LOADING:
            message = reply
        else:
            message = self._new_reply(interaction, body)
            interaction.followups.append(message)
        self._write(message, body, files)
        return payloads.message(message, self.cdn)

    def reply(self, parts: dict[str, str]) -> Any:
        return payloads.message(self._reply(parts), self.cdn)

    def edit_reply(self, parts: dict[str, str], body: dict[str, Any], files: Files) -> Any:
        message = self._reply(parts)
        self._check_size(message.channel, files)
        self._write(message, body, files)
        return payloads.message(message, self.cdn)

    def delete_reply(self, parts: dict[str, str]) -> Any:
        self._reply(parts).is_deleted = True

    def post(self, parts: dict[str, str], body: dict[str, Any], files: Files) -> Any:
        channel = self._channel(parts)
        self._world.check_bot_in(channel, sends=True)
        nonce = str(body["nonce"]) if body.get("enforce_nonce") else None
        known = None if nonce is None else self._world.of_nonce(channel, nonce)
        if known is not None:
            return payloads.message(known, self.cdn)
        self._check_size(channel, files)
        message = self._world.post(channel, self._world.bot, nonce=nonce)
        self._write(message, body, files)
        return payloads.message(message, self.cdn)

    def history(self, parts: dict[str, str], query: dict[str, str]) -> Any:
        channel = self._channel(parts)
        self._world.check_bot_in(channel)
        after, before = int(query.get("after", 0)), int(query.get("before", 2**64))
        limit = min(int(query.get("limit", 50)), _MOST_HISTORY)
        found = [one for one in self._world.in_channel(channel) if after < one.id < before]
        chosen = found[:limit] if "after" in query else found[-limit:]
        return [payloads.message(one, self.cdn) for one in reversed(chosen)]

    def message(self, parts: dict[str, str]) -> Any:
        return payloads.message(self._message(parts), self.cdn)

    def edit_message(self, parts: dict[str, str], body: dict[str, Any], files: Files) -> Any:
        message = self._message(parts)
        self._check_size(message.channel, files)
        self._write(message, body, files)
        return payloads.message(message, self.cdn)

    def delete_message(self, parts: dict[str, str]) -> Any:
        self._message(parts).is_deleted = True

    def file(self, parts: dict[str, str]) -> bytes:
        """A file of the CDN."""
        found = self._world.files.get(int(parts["file"]))
        if found is None:
            raise RefusalError(404, 0, "This content is no longer available.")
        return found.content

    def _interaction(self, token: str, unknown: RefusalError | None = None) -> Interaction:
        found = self._world.interactions.get(token)
        if found is None:
            raise unknown or RefusalError(404, 10015, "Unknown Webhook")
        if found.is_expired and unknown is None:
            raise RefusalError(401, 50027, "Invalid Webhook Token")
        return found

    def _channel(self, parts: dict[str, str]) -> Channel:
        found = self._world.channels.get(int(parts["channel"]))
        if found is None:
            raise RefusalError(404, 10003, "Unknown Channel")
        return found

    def _message(self, parts: dict[str, str]) -> Message:
        channel = self._channel(parts)
        self._world.check_bot_in(channel)
        found = self._world.messages.get(int(parts["message"]))
        if found is None or found.is_deleted or found.channel is not channel or found.viewer is not None:
            raise RefusalError(404, 10008, "Unknown Message")
        return found

    def _reply(self, parts: dict[str, str]) -> Message:
        interaction = self._interaction(parts["token"])
        own = [one for one in (interaction.reply or interaction.message, *interaction.followups) if one is not None]
        if parts["message"] == "@original":
            found = own[0] if own else None
        else:
            found = next((one for one in own if one.id == int(parts["message"])), None)
        if found is None or found.is_deleted or found.channel.is_deleted:
            raise RefusalError(404, 10008, "Unknown Message")
        return found

    def _new_reply(self, interaction: Interaction, data: dict[str, Any]) -> Message:
        message = self._world.post(interaction.channel, self._world.bot)
        if int(data.get("flags") or 0) & EPHEMERAL:
            message.viewer = interaction.user
        return message

    def _check_size(self, channel: Channel, files: Files) -> None:
        if sum(len(content) for _, content in files.values()) > channel.upload_limit_bytes:
            raise RefusalError(413, 40005, "Request entity too large")

    def _write(self, message: Message, data: dict[str, Any], files: Files) -> None:
        """Change what a message says. Attachments that it does not name any more are gone."""
        new = {number: self._world.store_file(name, content) for number, (name, content) in files.items()}
        if "attachments" in data:
            old = {file.id: file for file in message.files}
            named = [int(one["id"]) for one in data["attachments"] or ()]
            message.files = [new[one] if one in new else old[one] for one in named if one in new or one in old]
        else:
            message.files = [*message.files, *new.values()]
        if "content" in data:
            message.content = data["content"] or ""
        for name in ("components", "embeds"):
            if name in data:
                setattr(message, name, data[name] or [])
        message.flags = (message.flags | int(data.get("flags") or 0)) & ~LOADING
        message.said.append(message.content)
        message.shown.append(message.file_names)
        message.edited_at = datetime.now(UTC) if len(message.said) > 1 else None
