"""What there is, as the JSON objects of Discord's API, version 10."""

from __future__ import annotations

from typing import Any

from discord.utils import snowflake_time

from tests.support.discord_double.world import Channel, File, Interaction, Message, User, World

_ALL_PERMISSIONS = str((1 << 53) - 1)
_TEXT, _CONVERSATION = 0, 1


def user(one: User) -> dict[str, Any]:
    names = {"username": one.name, "global_name": None, "discriminator": "0", "avatar": None}
    return {"id": str(one.id), "bot": one.is_bot, **names}


def member(one: User, *, is_inner: bool = False) -> dict[str, Any]:
    """A member of a server; ``is_inner`` where the user stands beside it."""
    about = {"roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False, "mute": False, "flags": 0}
    about |= {"permissions": _ALL_PERMISSIONS, "nick": None, "avatar": None, "premium_since": None, "pending": False}
    return about if is_inner else {"user": user(one), **about}


def channel(one: Channel) -> dict[str, Any]:
    if one.recipient is not None:
        return {"id": str(one.id), "type": _CONVERSATION, "last_message_id": None, "recipients": [user(one.recipient)]}
    return {
        "id": str(one.id),
        "type": _TEXT,
        "guild_id": str(one.guild_id),
        "name": "pictures",
        "position": 0,
        "permission_overwrites": [],
        "permissions": _ALL_PERMISSIONS,
        "nsfw": False,
        "topic": None,
        "parent_id": None,
        "last_message_id": None,
        "rate_limit_per_user": 0,
    }


def guild(world: World, guild_id: int) -> dict[str, Any]:
    """A server as GUILD_CREATE tells it."""
    everyone = {"id": str(guild_id), "name": "@everyone", "permissions": _ALL_PERMISSIONS, "position": 0, "color": 0}
    everyone |= {"hoist": False, "managed": False, "mentionable": False, "flags": 0}
    everyone["colors"] = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
    lists: dict[str, Any] = {
        name: [] for name in ("emojis", "stickers", "features", "voice_states", "presences", "threads")
    }
    return lists | {
        "id": str(guild_id),
        "name": world.guilds[guild_id],
        "owner_id": str(world.owner.id),
        "roles": [everyone],
        "channels": [channel(one) for one in world.channels.values() if one.guild_id == guild_id],
        "members": [member(world.bot)],
        "member_count": len(world.members[guild_id]),
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "preferred_locale": "en-US",
        "unavailable": False,
    }


def application(world: World) -> dict[str, Any]:
    texts = dict.fromkeys(("description", "summary", "verify_key"), "")
    rest = {"icon": None, "bot_public": True, "bot_require_code_grant": False, "flags": 0}
    return {"id": str(world.bot.id), "name": world.bot.name, "owner": user(world.owner), **texts, **rest}


def file(one: File, cdn: str) -> dict[str, Any]:
    url = f"{cdn}/attachments/1/{one.id}/{one.name}"
    kind = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}.get(one.name.rpartition(".")[2])
    about = {"size": len(one.content), "content_type": kind, "width": 64, "height": 64}
    return {"id": str(one.id), "filename": one.name, "url": url, "proxy_url": url, **about}


def message(one: Message, cdn: str) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "channel_id": str(one.channel.id),
        "author": user(one.author),
        "content": one.content,
        "attachments": [file(each, cdn) for each in one.files],
        "components": one.components,
        "embeds": one.embeds,
        "flags": one.flags,
        "nonce": one.nonce,
        "timestamp": snowflake_time(one.id).isoformat(),
        "edited_timestamp": None if one.edited_at is None else one.edited_at.isoformat(),
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "tts": False,
        "pinned": False,
        "type": 0,
    }


def interaction(one: Interaction, data: dict[str, Any], cdn: str) -> dict[str, Any]:
    """An interaction as INTERACTION_CREATE tells it; ``data`` is what was chosen or clicked."""
    where = one.channel
    payload: dict[str, Any] = {
        "id": str(one.id),
        "application_id": "900",
        "type": one.kind,
        "token": one.token,
        "version": 1,
        "channel_id": str(where.id),
        "channel": channel(where),
        "app_permissions": _ALL_PERMISSIONS,
        "locale": one.user.locale,
        "entitlements": [],
        "attachment_size_limit": where.upload_limit_bytes,
        "context": 0 if where.guild_id else 1,
        "authorizing_integration_owners": {"0": str(where.guild_id or 0)},
        "data": data,
    }
    if where.guild_id:
        payload |= {"guild_id": str(where.guild_id), "guild_locale": "en-US", "member": member(one.user)}
        payload["guild"] = {"id": str(where.guild_id), "locale": "en-US", "features": []}
    else:
        payload["user"] = user(one.user)
    if one.message is not None:
        payload["message"] = message(one.message, cdn)
    return payload


def callback(one: Interaction, kind: int, cdn: str) -> dict[str, Any]:
    """The answer to an interaction's callback that asks for one."""
    about: dict[str, Any] = {"id": str(one.id), "type": one.kind}
    answer: dict[str, Any] = {"interaction": about}
    shown = one.reply or one.message
    if shown is not None and kind in (4, 5, 6, 7):
        about["response_message_id"] = str(shown.id)
        about["response_message_loading"] = kind == 5
        about["response_message_ephemeral"] = shown.viewer is not None
        answer["resource"] = {"type": kind, "message": message(shown, cdn)}
    return answer
