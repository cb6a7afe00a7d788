"""The REST routes of Discord that a job needs, over HTTP: replies to interactions, messages with nonces.

It outlives the bot, which the tests kill. Interactions reach the bot by ``GET /feed`` instead of a gateway.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from discord.utils import time_snowflake

BOT_ID, MEMBER_ID, CHANNEL_ID = 900, 11, 55
_GONE_TOKEN = {"code": 10015, "message": "Unknown Webhook"}


@dataclass
class Told:
    """A message as it stands now. ``contents`` are all that it has said, ``files`` the names of its files now."""

    id: int
    contents: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


class RestDouble:
    """Keeps what the bot says. ``lost_answers`` is the share of requests whose answer does not arrive."""

    def __init__(self, seed: int, lost_answers: float) -> None:
        self.replies: dict[str, Told] = {}
        self.posts: list[Told] = []
        self._by_nonce: dict[str, Told] = {}
        self.closed_tokens: set[str] = set()
        self.feed: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.is_asked = asyncio.Event()
        """Set when the bot asks for an interaction."""
        self._numbers = itertools.count()
        self._rng, self._lost_answers = random.Random(seed), lost_answers
        self._app = web.Application(client_max_size=2**26)
        reply = "/webhooks/{app}/{token}/messages/{message}"
        self._app.add_routes(
            [
                web.get("/feed", self._next_interaction),
                web.get("/users/@me", self._me),
                web.get("/users/{user}", self._user),
                web.post("/users/@me/channels", self._conversation),
                web.get("/oauth2/applications/@me", self._application),
                web.put("/applications/{app}/commands", self._commands),
                web.post("/interactions/{id}/{token}/callback", self._callback),
                web.get(reply, self._reply),
                web.patch(reply, self._edit_reply),
                web.post("/channels/{channel}/messages", self._post),
                web.get("/channels/{channel}/messages", self._history),
            ]
        )
        self._runner = web.AppRunner(self._app, access_log=None)
        self.url = ""

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def use_command(self, name: str, **options: object) -> str:
        """Hand the bot a slash command of the member; returns the interaction's token."""
        number = self._id()
        kinds = {str: 3, int: 4}
        self.feed.put_nowait(
            {
                "id": str(number),
                "application_id": str(BOT_ID),
                "type": 2,
                "token": f"token-{number}",
                "version": 1,
                "channel_id": str(CHANNEL_ID),
                "channel": {"id": str(CHANNEL_ID), "type": 1, "last_message_id": None, "recipients": []},
                "user": _user_payload(MEMBER_ID, "ada"),
                "context": 1,
                "attachment_size_limit": 10 * 2**20,
                "data": {
                    "id": "1",
                    "name": name,
                    "type": 1,
                    "options": [
                        {"name": option, "type": kinds[type(value)], "value": value}
                        for option, value in options.items()
                    ],
                },
            }
        )
        return f"token-{number}"

    async def _next_interaction(self, _request: web.Request) -> web.Response:
        self.is_asked.set()
        return _answer(await self.feed.get())

    async def _me(self, _request: web.Request) -> web.Response:
        return _answer(_user_payload(BOT_ID, "bot") | {"bot": True})

    async def _user(self, request: web.Request) -> web.Response:
        return _answer(_user_payload(int(request.match_info["user"]), "ada"))

    async def _conversation(self, _request: web.Request) -> web.Response:
        return _answer({"id": "77", "type": 1, "recipients": [_user_payload(MEMBER_ID, "ada")]})

    async def _application(self, _request: web.Request) -> web.Response:
        texts = dict.fromkeys(("description", "summary", "verify_key", "name"), "bot")
        owner = _user_payload(MEMBER_ID, "ada")
        flags = {"bot_public": True, "bot_require_code_grant": False, "flags": 0}
        return _answer({"id": str(BOT_ID), "icon": None, "owner": owner, **texts, **flags})

    async def _commands(self, _request: web.Request) -> web.Response:
        return _answer([])

    async def _callback(self, request: web.Request) -> web.Response:
        told = self.replies.setdefault(request.match_info["token"], Told(self._id()))
        interaction = {"id": request.match_info["id"], "type": 2, "response_message_id": str(told.id)}
        resource = {"type": 5, "message": _message_payload(told)}
        return _answer({"interaction": interaction, "resource": resource})

    async def _reply(self, request: web.Request) -> web.Response:
        return _answer(_message_payload(self.replies[request.match_info["token"]]))

    async def _edit_reply(self, request: web.Request) -> web.StreamResponse:
        content = await _content(request)
        token = request.match_info["token"]
        if token in self.closed_tokens and any("picture-" in name for name in _file_names(content)):
            return _answer(_GONE_TOKEN, status=404)
        return self._said(request, self.replies[token], content)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        content = await _content(request)
        nonce = str(content["nonce"]) if content.get("enforce_nonce") else f"none-{self._id()}"
        if nonce in self._by_nonce:
            return _answer(_message_payload(self._by_nonce[nonce]))
        told = self._by_nonce[nonce] = Told(self._id())
        self.posts.append(told)
        return self._said(request, told, content)

    async def _history(self, request: web.Request) -> web.Response:
        after = int(request.query.get("after", 0))
        found = [_message_payload(one) for one in self.posts if one.id > after][:100]
        return _answer(found[::-1])

    def forget_nonces(self) -> None:
        """Let some minutes pass, after which Discord does not know nonces any more."""
        self._by_nonce.clear()

    def _id(self) -> int:
        return time_snowflake(datetime.now(UTC)) + next(self._numbers)

    def _said(self, request: web.Request, told: Told, content: dict[str, Any]) -> web.StreamResponse:
        told.contents.append(str(content.get("content")))
        told.files = _file_names(content)
        if self._rng.random() < self._lost_answers and request.transport is not None:
            request.transport.close()
        return _answer(_message_payload(told))


def _answer(content: object, status: int = 200) -> web.Response:
    """JSON as Discord sends it: without a charset in the content type."""
    return web.Response(body=json.dumps(content).encode(), status=status, headers={"Content-Type": "application/json"})


async def _content(request: web.Request) -> dict[str, Any]:
    if request.content_type.startswith("multipart/"):
        form = await request.post()
        content: dict[str, Any] = json.loads(str(form["payload_json"]))
        return content
    plain: dict[str, Any] = await request.json()
    return plain


def _file_names(content: dict[str, Any]) -> list[str]:
    return [str(one["filename"]) for one in content.get("attachments", [])]


def _user_payload(user_id: int, name: str) -> dict[str, Any]:
    return {"id": str(user_id), "username": name, "discriminator": "0", "avatar": None, "global_name": None}


def _message_payload(told: Told) -> dict[str, Any]:
    empty: dict[str, Any] = {name: [] for name in ("mentions", "mention_roles", "embeds", "components")}
    url = "https://cdn.example/file"
    files = [
        {"id": str(number), "filename": name, "size": 1, "url": url, "proxy_url": url}
        for number, name in enumerate(told.files)
    ]
    return empty | {
        "id": str(told.id),
        "attachments": files,
        "channel_id": str(CHANNEL_ID),
        "author": _user_payload(BOT_ID, "bot"),
        "content": told.contents[-1] if told.contents else "",
        "timestamp": datetime.now(UTC).isoformat(),
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "pinned": False,
        "type": 0,
    }
