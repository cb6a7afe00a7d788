"""The check of drawn pictures for explicit content, before anything of them is shown or stored.

Every drawn picture passes :meth:`PictureCheck.are_explicit`: results and previews of jobs, and the samples of styles.
What becomes of an explicit one depends on the channel and is decided when it is drawn. Without the extra ``safety``
nothing counts as explicit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import discord
from PIL import Image

from bot.domain.explicit_pictures import Treatment, treatment_in
from bot.i18n.catalogue import gettext
from bot.presentation.image_files import blurred, blurred_file
from bot.services.job_messages import CONNECTION_ERRORS, Attached
from photomaker_core.models.nsfw_classifier import NsfwClassifier, loaded_nsfw_classifier
from photomaker_core.provenance.marking import Marking
from storage import ServerStore

log = logging.getLogger(__name__)


async def load_classifier(threshold: float) -> NsfwClassifier | None:
    """The classifier where the extra is installed; raises :class:`ModelError` where it cannot be loaded."""
    classifier = await asyncio.to_thread(loaded_nsfw_classifier)
    if classifier is None:
        log.info("pictures are not checked for explicit content: the extra “safety” is not installed")
    else:
        log.info("pictures are checked for explicit content, which is from a score of %g on", threshold)
    return classifier


@dataclass(frozen=True, slots=True)
class CheckedPictures:
    """A job's pictures as they may be shown, by their numbers, counted from 0; the other fields say which are hidden
    behind a spoiler, blurred, or left out."""

    shown: Mapping[int, Image.Image]
    spoilers: tuple[int, ...] = ()
    blurred: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()


class PictureCheck:
    """Says which pictures are explicit, and what to do with them where.

    ``threshold`` is the score from which on a picture is explicit; ``in_direct_messages`` what becomes of it there.
    """

    def __init__(
        self,
        client: discord.Client,
        servers: ServerStore,
        marking: Marking,
        classifier: NsfwClassifier | None,
        threshold: float,
        in_direct_messages: Treatment,
    ) -> None:
        self._client, self._servers, self._marking = client, servers, marking
        self._classifier, self._threshold = classifier, threshold
        self._in_direct_messages = in_direct_messages
        self._one_at_a_time = asyncio.Lock()

    @property
    def is_on(self) -> bool:
        return self._classifier is not None

    async def are_explicit(self, pictures: Sequence[Image.Image]) -> list[bool]:
        """For each picture whether it is explicit. In a thread of its own, and one call at a time: the model has the
        other cores."""
        if self._classifier is None or not pictures:
            return [False] * len(pictures)
        async with self._one_at_a_time:
            scores = await asyncio.to_thread(self._classifier.scores, pictures)
        return [score >= self._threshold for score in scores]

    async def checked(self, pictures: Sequence[Image.Image], channel_id: int, guild_id: int | None) -> CheckedPictures:
        """A job's pictures as its channel may see them; ``guild_id`` is the server whose rules hold, if any."""
        drawn = dict(enumerate(pictures))
        explicit = tuple(number for number, one in enumerate(await self.are_explicit(pictures)) if one)
        if not explicit:
            return CheckedPictures(drawn)
        match await self.treatment(channel_id, guild_id):
            case "spoiler":
                return CheckedPictures(drawn, spoilers=explicit)
            case "blur":
                hidden = await asyncio.to_thread(lambda: {number: blurred(drawn[number]) for number in explicit})
                return CheckedPictures({**drawn, **hidden}, blurred=explicit)
            case "refuse":
                rest = {number: one for number, one in drawn.items() if number not in explicit}
                return CheckedPictures(rest, refused=explicit)

    async def may_be_previewed(self, previews: Sequence[Image.Image]) -> bool:
        """True where none of the previews is explicit; False too where they cannot be checked."""
        try:
            return not any(await self.are_explicit(previews))
        except Exception:
            log.exception("previews cannot be checked, so they are not shown")
            return False

    async def treatment(self, channel_id: int, guild_id: int | None) -> Treatment:
        """What becomes of an explicit picture in a channel. ``guild_id`` is the server whose rules hold, if any.

        It is refused where Discord does not tell what channel that is.
        """
        if guild_id is None:
            return self._in_direct_messages
        channel: object = self._client.get_channel(channel_id) or await self._fetched(channel_id)
        if channel is None:
            return "refuse"
        if isinstance(channel, discord.abc.PrivateChannel):
            return self._in_direct_messages
        rules = await self._servers.rules(guild_id)
        return treatment_in(rules.explicit_pictures, is_age_restricted=_is_age_restricted(channel))

    async def _fetched(self, channel_id: int) -> object:
        try:
            return await self._client.fetch_channel(channel_id)
        except (discord.HTTPException, discord.InvalidData, *CONNECTION_ERRORS) as error:
            log.info("explicit pictures are refused in channel %d, which is not known: %s", channel_id, error)
            return None

    async def for_direct_message(self, files: Sequence[Attached]) -> tuple[Attached, ...]:
        """Files as they may go into a direct message: those behind a spoiler stay so, are blurred, or are left out."""
        if self._in_direct_messages == "spoiler":
            return tuple(files)
        kept = []
        for one in files:
            if not one.is_spoiler:
                kept.append(one)
            elif self._in_direct_messages == "blur":
                content = await asyncio.to_thread(blurred_file, one.content, self._marking)
                kept.append(Attached.picture(one.stem, content))
        return tuple(kept)


def note_on_left_out() -> str:
    """The sentence where :meth:`PictureCheck.for_direct_message` has left something out."""
    return gettext("What looks explicit is not sent in direct messages, so I have left it out.")


def _is_age_restricted(channel: object) -> bool:
    is_nsfw = getattr(channel, "is_nsfw", None)
    return bool(is_nsfw is not None and is_nsfw())
