"""Publishes the demo's page when something has changed, and never while a visitor's action is under way.

SimCord publishes the page after a member's action only. It binds an action to the publication that the visitor saw and
refuses one that comes together with another operation: a click that met a publication of ours was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from simcord import ChannelHandle
    from simcord.preview import Preview

_LOOK_EVERY_S: Final = 0.7


class Publication:
    """Lets visitors' actions and publications of ``channel`` take turns. Make one as soon as the preview is open."""

    def __init__(self, preview: Preview, channel: ChannelHandle) -> None:
        self._preview, self._channel = preview, channel
        self._turn = asyncio.Lock()
        # SimCord has no public hook before an action; the demo's test in a browser fails when this one goes.
        page_server: Any = preview
        self._act, self._page_of = page_server._action, page_server._get_page
        page_server._action = self._act_in_turn

    async def keep_current(self) -> None:
        """Publish whenever the channel's messages have changed; ends when it is cancelled."""
        shown = self._messages()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            async with self._turn:
                seen = self._messages()
                if seen != shown:
                    await self._publish()
                    shown = seen

    async def _publish(self) -> None:
        from simcord import SetupError

        with contextlib.suppress(SetupError):
            await self._preview.refresh()

    async def _act_in_turn(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """Hand an action on, as one that belongs to the page as it is published now.

        A repeated request keeps what it was sent with, by which SimCord knows it again.
        """
        async with self._turn:
            page = self._page_of(context_id)
            is_new = body.get("sequence") == page.last_sequence + 1
            if is_new and isinstance(body.get("published_revision"), int):
                body = {**body, "published_revision": page.revision}
            done: dict[str, Any] = await self._act(context_id, body)
            return done

    def _messages(self) -> Hashable:
        return tuple(
            (message.id, message.edited_at, message.content, tuple(one.id for one in message.attachments))
            for message in self._channel.history()
        )
