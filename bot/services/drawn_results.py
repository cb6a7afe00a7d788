"""From a drawing that has finished to what is stored and shown of it. Called by the job service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain.draw_request import DrawRequest
from bot.domain.places import found_places
from bot.presentation import messages
from bot.presentation.image_files import encode_pictures, encode_thumbnails
from bot.services.picture_check import PictureCheck
from photomaker_core.errors import UserError
from photomaker_core.provenance.marking import Marking
from photomaker_core.serving.runner import Finished, Started
from storage import DrawnPicture, NewResult


class NotShownError(UserError):
    """Everything that was drawn is explicit, and such pictures are refused where it was asked for."""


@dataclass(frozen=True, slots=True)
class DrawnResults:
    """The rows of a job's pictures, and what of its request only drawing could tell."""

    results: Sequence[NewResult]
    found: dict[str, Any]

    @property
    def pictures(self) -> list[DrawnPicture]:
        return [DrawnPicture(one.picture, one.is_spoiler) for one in self.results if one.picture is not None]


async def results_of(
    channel_id: int, request: DrawRequest, started: Started, drawn: Finished, check: PictureCheck, marking: Marking
) -> DrawnResults:
    """Check, encode and describe pictures, off the event loop. Raises :class:`NotShownError`."""
    checked = await check.checked(drawn.pictures, channel_id, request.guild_id)
    if not checked.shown:
        raise NotShownError(
            "What I have drawn looks explicit, and explicit pictures are not shown here. I have kept nothing of it. "
            "If I am mistaken, another seed or other words may help."
        )
    pictures = list(checked.shown.values())
    _, contents = await asyncio.to_thread(encode_pictures, pictures, marking)
    thumbnails = await asyncio.to_thread(encode_thumbnails, pictures)
    found: dict[str, Any] = {}
    notes = [
        *messages.photos_left_out(started.photos_given, started.photos_used),
        *messages.explicit_pictures(len(checked.refused), len(checked.blurred)),
    ]
    if notes:
        found["notes"] = [*request.notes, *notes]
    if places := found_places(request, drawn.regions):
        found["kept_regions"] = list(places)
    if checked.refused:
        found["not_shown"] = list(checked.refused)
    return DrawnResults(
        [
            NewResult(request.seed + number, content, thumbnail, number in checked.spoilers)
            for number, content, thumbnail in zip(checked.shown, contents, thumbnails, strict=True)
        ],
        found,
    )
