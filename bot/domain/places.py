"""The places of several people in the pictures of one request, and what becomes of them when it is drawn anew.

Called where a request becomes work for the model, where a picture is finished, and by the buttons under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.domain.draw_request import DrawRequest
from bot.domain.several_people import AUTOMATIC_LAYOUT, regions_of_layout
from photomaker_core.sampling.kept_regions import ExchangedRegions, KeptRegions, kept_text
from photomaker_core.sampling.regions import Regions, equal_shares


def regions_of(request: DrawRequest) -> tuple[Regions | None, ...]:
    """For each picture where its people are, or ``None`` where it is to show that itself; empty for one person.

    Raises :class:`SettingsError` where it is not known any more.
    """
    if request.layout is None:
        return ()
    people = len(request.identities)
    regions: list[Regions | None] = [regions_of_layout(request.layout, people)] * request.count
    by = request.exchange % people
    if request.layout == AUTOMATIC_LAYOUT and not _finds_places(request):
        kept = [KeptRegions(text, people) for text in request.kept_regions[: request.count]]
        regions = [*kept, *([equal_shares(people)] * (request.count - len(kept)))]
    return tuple(ExchangedRegions(one, by) if one is not None and by else one for one in regions)


def found_places(request: DrawRequest, regions: Sequence[Regions | None]) -> tuple[str, ...]:
    """What to keep of the ``regions`` in which the pictures of a request have shown their people; often nothing."""
    found = [one for one in regions if one is not None]
    return tuple(map(kept_text, found)) if _finds_places(request) and len(found) == request.count else ()


def exchanged(request: DrawRequest) -> DrawRequest:
    """The same pictures, in which each of the people has the place of the next one."""
    return replace(request, exchange=(request.exchange + 1) % len(request.identities))


def of_picture(request: DrawRequest, number: int) -> DrawRequest:
    """A request for one picture that starts from the picture ``number`` of those that another shows, counted from 0."""
    drawn_as = request.shown[number]
    return replace(request, count=1, kept_regions=request.kept_regions[drawn_as : drawn_as + 1], not_shown=())


def with_seed(request: DrawRequest, seed: int) -> DrawRequest:
    """The same with another seed: where the last pictures had people is not where the next will have them."""
    if seed == request.seed:
        return request
    exchange = 0 if request.layout == AUTOMATIC_LAYOUT else request.exchange
    return replace(request, seed=seed, exchange=exchange, kept_regions=())


def _finds_places(request: DrawRequest) -> bool:
    return request.layout == AUTOMATIC_LAYOUT and not request.exchange and request.denoise_strength == 1
