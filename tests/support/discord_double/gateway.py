"""Discord's gateway, version 10: hello, identify, ready, heartbeat, dispatch, resume, reconnect, invalid session."""

from __future__ import annotations

import asyncio
import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.discord_double import payloads
from tests.support.discord_double.world import World

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 0, 1, 2, 6, 7, 9, 10, 11
AUTHENTICATION_FAILED = 4004


@dataclass(eq=False)
class Session:
    """A session of the bot: what was dispatched in it, to be replayed, and its connection of the moment."""

    id: str
    events: list[tuple[int, str, Any]] = field(default_factory=list)
    connection: Connection | None = None


class Connection:
    """One websocket, compressed as a whole where the bot asks for it."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None, compress: str) -> None:
        self.socket, self.transport = socket, transport
        self._packer = zlib.compressobj() if compress == "zlib-stream" else None

    async def send(self, op: int, data: Any = None, *, number: int | None = None, event: str | None = None) -> None:
        text = json.dumps({"op": op, "d": data, "s": number, "t": event})
        if self.socket.closed:
            return
        try:
            if self._packer is None:
                await self.socket.send_str(text)
            else:
                packed = self._packer.compress(text.encode()) + self._packer.flush(zlib.Z_SYNC_FLUSH)
                await self.socket.send_bytes(packed)
        except ConnectionError:
            pass


class Gateway:
    """Accepts the bot's connections. ``met`` lists what it sent to identify itself or to resume, in order."""

    def __init__(self, world: World, token: str, url: Callable[[], str]) -> None:
        self._world, self._token, self._url = world, token, url
        self._sessions: dict[str, Session] = {}
        self._session: Session | None = None
        self.heartbeat_interval_s = 41.25
        self.acknowledges = True
        """False lets heartbeats go without an answer, as on a dead connection."""
        self.resumes = True
        """False forgets every session, so that each resume is told that it is invalid."""
        self.closes_with: int | None = None
        """The code with which whoever identifies is turned away."""
        self.met: list[str] = []
        self.is_ready = asyncio.Event()
        """Set while the bot is connected and knows its servers."""
        self._connections: set[Connection] = set()

    async def dispatch(self, event: str, data: Any) -> bool:
        """Send an event to the bot, or keep it until the bot resumes; false where it has no session."""
        session = self._session
        if session is None:
            return False
        number = len(session.events) + 1
        session.events.append((number, event, data))
        if session.connection is not None:
            await session.connection.send(DISPATCH, data, number=number, event=event)
        return True

    async def ask_to_reconnect(self) -> None:
        await self._send(RECONNECT)

    async def invalidate(self, *, is_resumable: bool) -> None:
        if not is_resumable:
            self._sessions.clear()
        await self._send(INVALID_SESSION, is_resumable)

    async def close(self, code: int) -> None:
        """Close the bot's connection with a code of Discord's."""
        for connection in list(self._connections):
            await connection.socket.close(code=code)

    def abort(self) -> None:
        """Break the bot's connection without a word."""
        for connection in list(self._connections):
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        connection = Connection(socket, request.transport, request.query.get("compress", ""))
        self._connections.add(connection)
        await connection.send(HELLO, {"heartbeat_interval": int(1000 * self.heartbeat_interval_s)})
        session: Session | None = None
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT:
                    break
                message = json.loads(frame.data)
                if message["op"] == HEARTBEAT and self.acknowledges:
                    await connection.send(HEARTBEAT_ACK)
                elif message["op"] in (IDENTIFY, RESUME) and message["d"]["token"] != self._token:
                    await socket.close(code=AUTHENTICATION_FAILED)
                elif message["op"] == IDENTIFY and self.closes_with is not None:
                    await socket.close(code=self.closes_with)
                elif message["op"] == IDENTIFY:
                    session = await self._identify(connection)
                elif message["op"] == RESUME:
                    session = await self._resume(connection, message["d"])
        finally:
            self._connections.discard(connection)
            if session is not None and session.connection is connection:
                session.connection = None
                if session is self._session:
                    self.is_ready.clear()
        return socket

    async def _identify(self, connection: Connection) -> Session:
        self.met.append("identify")
        session = self._session = Session(secrets.token_hex(16), connection=connection)
        self._sessions[session.id] = session
        ready = {
            "v": 10,
            "user": payloads.user(self._world.bot),
            "guilds": [{"id": str(guild_id), "unavailable": True} for guild_id in self._world.guilds],
            "session_id": session.id,
            "resume_gateway_url": self._url(),
            "application": {"id": str(self._world.bot.id), "flags": 0},
        }
        await self.dispatch("READY", ready)
        for guild_id in self._world.guilds:
            await self.dispatch("GUILD_CREATE", payloads.guild(self._world, guild_id))
        self.is_ready.set()
        return session

    async def _resume(self, connection: Connection, data: dict[str, Any]) -> Session | None:
        session = self._sessions.get(data["session_id"]) if self.resumes else None
        if session is None:
            self.met.append("resume refused")
            await connection.send(INVALID_SESSION, False)
            return None
        self.met.append("resume")
        self._session, session.connection = session, connection
        for number, event, content in session.events[data["seq"] or 0 :]:
            await connection.send(DISPATCH, content, number=number, event=event)
        await self.dispatch("RESUMED", {})
        self.is_ready.set()
        return session

    async def _send(self, op: int, data: Any = None) -> None:
        if self._session is not None and self._session.connection is not None:
            await self._session.connection.send(op, data)
