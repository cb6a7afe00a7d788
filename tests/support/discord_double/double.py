"""The server: routes, faults, rate limits and the gateway behind one address, and the members who use the bot."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web
from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL

from tests.support import discord_rules
from tests.support.discord_double import payloads
from tests.support.discord_double.faults import Fault, Faults, response
from tests.support.discord_double.gateway import Gateway
from tests.support.discord_double.rate_limits import RateLimits
from tests.support.discord_double.routes import Files, Routes
from tests.support.discord_double.world import Channel, Interaction, Message, RefusalError, User, World

TOKEN = "OTAw.double.token"
_API = "/api/v10"
_COMMAND, _COMPONENT, _FORM = 2, 3, 5
_SUB_COMMANDS = (1, 2)
_SELECT = 3
_USER, _ATTACHMENT = 6, 11
_MOST_BODY_BYTES = 2**27


class DiscordDouble:
    """Discord, as far as the bot uses it. It stays while bots come, are killed, and come again.

    ``faults`` and ``limits`` are for tests to order, ``world`` is for them to read and change, ``requests`` are all
    that reached it, to be held against Discord's description.
    """

    def __init__(self) -> None:
        self.world = World()
        self.faults, self.limits = Faults(), RateLimits()
        self.gateway = Gateway(self.world, TOKEN, lambda: f"{self.gateway_url}/")
        self.requests: list[discord_rules.Request] = []
        self.unknown: list[str] = []
        """Requests of the bot's for which the double has no route."""
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._routes = Routes(self.world)
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1)
        self.url = ""
        self.guild_id = self.world.add_guild("Studio")
        self.channel = self.world.add_channel(self.guild_id)
        self.ada, self.bob = self.world.add_user("ada", user_id=11), self.world.add_user("bob", user_id=12)

    @property
    def api_url(self) -> str:
        return f"{self.url}{_API}"

    @property
    def gateway_url(self) -> str:
        return f"{self.url.replace('http', 'ws', 1)}/gateway"

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = self._routes.cdn = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self.faults.close()
        self.gateway.abort()
        await self._runner.cleanup()

    async def slash(
        self, user: User, command: str, /, *, channel: Channel | None = None, **options: Any
    ) -> Interaction:
        """Use a slash command, such as ``identity add``; an upload is a name and its bytes.

        The command must have been registered by the bot. Where the bot has no session, nobody answers.
        """
        name, *inner = command.split()
        registered = next(one for one in self.world.commands if one["name"] == name)
        resolved: dict[str, dict[str, Any]] = {}
        data = {"id": registered["id"], "name": name, "type": 1}
        node, innermost = registered, data
        for word in inner:
            node = next(one for one in node["options"] if one["name"] == word)
            child = {"name": word, "type": node["type"]}
            innermost["options"] = [child]
            innermost = child
        kinds = {one["name"]: one["type"] for one in node.get("options", ()) if one["type"] not in _SUB_COMMANDS}
        innermost["options"] = [
            {"name": option, "type": kinds[option], "value": self._value(kinds[option], value, resolved)}
            for option, value in options.items()
        ]
        data["resolved"] = resolved
        return await self._interact(user, channel or self.channel, _COMMAND, data)

    async def click(self, user: User, message: Message, label: str) -> Interaction:
        """Click a button of a message."""
        buttons = [one for one in discord_rules.walk(message.components) if one.get("label") == label]
        data = {"custom_id": buttons[0]["custom_id"], "component_type": buttons[0]["type"]}
        return await self._interact(user, message.channel, _COMPONENT, data, message)

    async def submit(self, shown: Interaction, values: dict[str, str]) -> Interaction:
        """Fill in the texts of the form that an interaction was answered with, by their custom ids.

        What can be chosen in it stays at its first option.
        """
        data = {"custom_id": shown.modal["custom_id"], "components": _filled(shown.modal["components"], values)}
        return await self._interact(shown.user, shown.channel, _FORM, data, shown.message)

    def _value(self, kind: int, value: Any, resolved: dict[str, dict[str, Any]]) -> Any:
        if kind == _ATTACHMENT:
            file = self.world.store_file(*value)
            resolved.setdefault("attachments", {})[str(file.id)] = payloads.file(file, self.url)
            return str(file.id)
        if kind == _USER:
            resolved.setdefault("users", {})[str(value.id)] = payloads.user(value)
            resolved.setdefault("members", {})[str(value.id)] = payloads.member(value, is_inner=True)
            return str(value.id)
        return value

    async def _interact(
        self, user: User, channel: Channel, kind: int, data: dict[str, Any], message: Message | None = None
    ) -> Interaction:
        number = self.world.snowflake()
        interaction = Interaction(number, f"interaction-{number}", user, channel, kind, message)
        self.world.interactions[interaction.token] = interaction
        interaction.sent_at_s = time.monotonic()
        await self.gateway.dispatch("INTERACTION_CREATE", payloads.interaction(interaction, data, self.url))
        return interaction

    def complaints(self) -> list[str]:
        """Everything for which Discord would have refused the bot's requests; nothing where no description is there."""
        found = [f"{one}: the double has no such route" for one in self.unknown]
        if discord_rules.is_described():
            found += [one for request in self.requests for one in discord_rules.complaints(request)]
        return found

    def _application(self) -> web.Application:
        routes, application = self._routes, web.Application(client_max_size=_MOST_BODY_BYTES)
        reply = "/webhooks/{app}/{token}/messages/{message}"
        messages, message = "/channels/{channel}/messages", "/channels/{channel}/messages/{message}"
        table: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", "/users/@me", routes.me),
            ("GET", "/users/{user}", routes.user),
            ("POST", "/users/@me/channels", routes.conversation),
            ("GET", "/oauth2/applications/@me", routes.application),
            ("GET", "/guilds/{guild}", routes.guild),
            ("GET", "/guilds/{guild}/members/{user}", routes.member),
            ("PUT", "/applications/{app}/commands", routes.commands),
            ("PUT", "/applications/{app}/guilds/{guild}/commands", routes.commands),
            ("POST", "/interactions/{interaction}/{token}/callback", routes.callback),
            ("POST", "/webhooks/{app}/{token}", routes.followup),
            ("GET", reply, routes.reply),
            ("PATCH", reply, routes.edit_reply),
            ("DELETE", reply, routes.delete_reply),
            ("POST", messages, routes.post),
            ("GET", messages, routes.history),
            ("GET", message, routes.message),
            ("PATCH", message, routes.edit_message),
            ("DELETE", message, routes.delete_message),
        ]
        for method, path, work in table:
            application.router.add_route(method, f"{_API}{path}", self._handler(path, work))
        application.router.add_get("/attachments/{channel}/{file}/{name}", self._download)
        application.router.add_get("/gateway/", self.gateway.handle)
        application.router.add_route("*", "/{rest:.*}", self._no_route)
        return application

    def _handler(self, template: str, work: Callable[..., Any]) -> Callable[[web.Request], Any]:
        takes = inspect.signature(work).parameters

        async def carried_out(request: web.Request) -> tuple[Fault | None, web.Response | None]:
            body, files = await _content(request)
            path, parts = request.path.removeprefix(_API), dict(request.match_info)
            sizes = tuple((name, len(content)) for name, content in files.values())
            self.requests.append(discord_rules.Request(request.method, path, body, sizes))
            self._note_answer(parts)
            fault = self.faults.next(request.method, path, json.dumps(body, ensure_ascii=False))
            if fault is not None and not fault.late:
                return fault, None
            verdict = self.limits.take(request.method, template, parts)
            if verdict.retry_after_s is not None:
                return None, _too_many(verdict.headers, verdict.retry_after_s, is_global=verdict.is_global)
            given = {"parts": parts, "body": body, "files": files, "query": dict(request.query)}
            return fault, self._answer(request, work, {name: given[name] for name in takes}, verdict.headers)

        async def handle(request: web.Request) -> web.StreamResponse:
            # Reading files takes turns of the loop: what a killed bot sent must not overtake what the next one says.
            async with self._turns[request.path]:
                fault, usual = await carried_out(request)
            if fault is not None:
                return await self.faults.strike(request, fault, usual)
            assert usual is not None
            return usual

        return handle

    def _note_answer(self, parts: dict[str, str]) -> None:
        interaction = self.world.interactions.get(parts.get("token", ""))
        if interaction is not None and interaction.called_at_s is None:
            interaction.called_at_s = time.monotonic()

    def _answer(
        self, request: web.Request, work: Callable[..., Any], given: dict[str, Any], headers: dict[str, str]
    ) -> web.Response:
        is_of_interaction = "token" in request.match_info
        if not is_of_interaction and request.headers.get("Authorization") != f"Bot {TOKEN}":
            return response({"code": 0, "message": "401: Unauthorized"}, 401, headers)
        try:
            return response(work(**given), 200, headers)
        except RefusalError as refusal:
            return response({"code": refusal.code, "message": refusal.words}, refusal.status, headers)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        fault: Fault | None = self.faults.next("GET", request.path, "")
        if fault is not None and not fault.late:
            return await self.faults.strike(request, fault, None)
        try:
            usual = web.Response(body=self._routes.file(dict(request.match_info)))
        except RefusalError as refusal:
            usual = web.Response(text=refusal.words, status=refusal.status)
        return usual if fault is None else await self.faults.strike(request, fault, usual)

    async def _no_route(self, request: web.Request) -> web.Response:
        self.unknown.append(f"{request.method} {request.path}")
        return response({"code": 0, "message": "404: Not Found"}, 404)


def _filled(components: list[dict[str, Any]], values: dict[str, str]) -> list[dict[str, Any]]:
    """The components of a form as a client sends them back."""
    filled = []
    for one in components:
        if one["type"] == _SELECT:
            chosen = one["options"][0]["value"]
            filled.append({"type": one["type"], "custom_id": one["custom_id"], "values": [chosen]})
        elif "custom_id" in one:
            filled.append({"type": one["type"], "custom_id": one["custom_id"], "value": values[one["custom_id"]]})
        elif "component" in one:
            filled.append({"type": one["type"], "component": _filled([one["component"]], values)[0]})
        else:
            filled.append({"type": one["type"], "components": _filled(one["components"], values)})
    return filled


@contextlib.contextmanager
def connecting_to(api_url: str, gateway_url: str) -> Iterator[None]:
    """Let discord.py, which has its addresses in two constants, use others."""
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = api_url, URL(f"{gateway_url}/")
    try:
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = before


async def _content(request: web.Request) -> tuple[Any, Files]:
    """The JSON of a request, and its uploads."""
    if request.content_type.startswith("multipart/"):
        form, files = await request.post(), {}
        for name, part in form.items():
            if isinstance(part, web.FileField):
                files[int(name.removeprefix("files[").removesuffix("]"))] = part.filename, part.file.read()
        return json.loads(str(form["payload_json"])), files
    return (await request.json() if request.can_read_body else None), {}


def _too_many(headers: dict[str, str], retry_after_s: float, *, is_global: bool) -> web.Response:
    body = {"message": "You are being rate limited.", "retry_after": round(retry_after_s, 3), "global": is_global}
    return response(body, 429, headers | {"Via": "1.1 google"})
