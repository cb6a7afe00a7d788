"""What was stored earlier and is not available any more gives way to what is usual, and the reply says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import simcord

from bot.app import PhotoMakerBot
from bot.domain.draw_request import DrawRequest, RequestFormatError
from bot.domain.places import regions_of
from bot.domain.stored_settings import usable_defaults, usable_request
from photomaker_core.errors import SettingsError
from photomaker_core.loading.photomaker import PhotoMaker
from storage import Preferences, Rules
from tests.support.draw_requests import LIMITS, WITH_TURBO, asked
from tests.support.server import Server, click, drawn, rows, settings


def test_what_is_available_is_taken_as_it_was_stored() -> None:
    defaults = usable_defaults(Preferences(style="Cinematic"), Rules(style="Line art", quality="best"), LIMITS)
    assert (defaults.style, defaults.aspect, defaults.quality) == ("Cinematic", "1:1 square", "best")
    assert defaults.notes == {}
    request = asked(style="Cinematic", lora="papercut", quality="fast", guidance=3.0, style_strength=80)
    assert usable_request(request, LIMITS) == request
    turbo = asked(WITH_TURBO, quality="turbo")
    assert usable_request(turbo, WITH_TURBO) == turbo


def test_a_default_that_is_gone_gives_way_to_the_servers_and_then_to_the_usual_one() -> None:
    defaults = usable_defaults(Preferences(style="Gone", quality="turbo"), Rules(style="Line art"), LIMITS)
    assert (defaults.style, defaults.quality) == ("Line art", "normal")
    assert "“Gone” is not available here any more" in defaults.notes["style"]
    assert "“turbo”" in defaults.notes["quality"]
    assert usable_defaults(Preferences(), Rules(aspect="9:1 strip"), LIMITS).aspect == "1:1 square"


def test_a_request_of_a_bot_that_could_do_more_is_drawn_as_far_as_possible() -> None:
    stored = replace(
        asked(WITH_TURBO, quality="turbo"),
        style="Gone",
        aspect="Gone",
        loras=(("gone", 0.5),),
        count=9,
        guidance=float("nan"),
    )
    request = usable_request(stored, LIMITS)
    assert (request.style, request.aspect, request.loras, request.count) == ("None", "1:1 square", (), 4)
    assert (request.quality, request.steps, request.guidance, request.scheduler) == ("normal", 30, 5.0, "euler")
    assert len(request.notes) == 5
    assert usable_request(request, LIMITS) == request
    assert usable_request(replace(asked(), steps=500), LIMITS).steps == 50


def test_a_layout_that_is_gone_becomes_the_automatic_one() -> None:
    request = usable_request(replace(asked(), layout="in a row"), LIMITS)
    assert request.layout == "automatic"
    assert "“in a row” is not available" in request.notes[0]


@pytest.mark.parametrize("field", ["guidance", "style_strength", "denoise_strength", "upscale_factor"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e300])
def test_stored_numbers_become_finite(field: str, value: float) -> None:
    request = usable_request(replace(asked(), **{field: value}), LIMITS)
    for one in request.settings(1024):
        assert 0 <= one.guidance_scale <= 20
        assert 0 <= one.style_strength_ratio <= 100
        assert one.width == one.height == 1024


@pytest.mark.parametrize("version", [float("inf"), float("nan"), "x", None, [], 99])
def test_a_version_that_is_no_number_is_told(version: object) -> None:
    with pytest.raises(RequestFormatError):
        DrawRequest.from_json(asked().to_json() | {"version": version})


def test_a_layout_without_people_is_told() -> None:
    with pytest.raises(SettingsError, match="not for 0"):
        regions_of(DrawRequest.from_json(asked().to_json() | {"layout": "automatic", "identities": []}))


async def test_a_kept_quality_without_its_lora_still_draws_and_is_told(
    server: Server, chief: simcord.MemberActor
) -> None:
    await server.add(server.ada, "newton")
    told = await server.command(server.ada, "settings", quality="turbo")
    assert "Quality: normal" in told.content
    assert "“turbo” is not available here any more" in told.content
    reply = await server.command(server.ada, "imagine", prompt="a man img")
    assert len(reply.attachments) == 1
    assert "“turbo” is not available here any more" in reply.content
    chosen = await server.command(server.ada, "imagine", prompt="a man img", quality="fast")
    assert "not available" not in chosen.content
    await server.command(server.ada, "settings", reset=True)
    assert "“turbo” is not available" in (await server.command(chief, "admin defaults", quality="turbo")).content
    assert len((await server.command(server.ada, "imagine", prompt="a man img")).attachments) == 1


async def test_buttons_of_an_older_bot_draw_with_what_there_is(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    first = await drawn(server, count=2, steps=20, style="Cinematic")
    rows(
        tmp_path,
        "UPDATE jobs SET request = "
        "json_set(request, '$.style', 'Gone', '$.version', 2, '$.lora', 'gone', '$.new_field', 1)",
    )
    await server.restart(PhotoMakerBot(settings(tmp_path, max_pictures=1, max_steps=5), load=lambda: tiny_model))
    again = await click(server, server.ada, first, "Again")
    assert again.response is not None
    assert len(again.response.attachments) == 1
    for part in (
        "“Gone” is not available",
        "“gone” is not available",
        "Steps are limited to 5",
        "Pictures at once are limited to 1",
    ):
        assert part in again.response.content
    shown = await server.ada.click(first, label="Change")
    changed = await server.ada.submit_modal(shown, {"prompt": "a man img", "negative": "", "seed": ""})
    await server.quiet()
    assert changed.response is not None
    assert "“Gone” is not available" in changed.response.content
    assert len(changed.response.attachments) == 1


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        ("a man img", None),
        ("a man", None),
        ("a Man img at sea", None),
        ("a man, img at sea", "man"),
        ("a woman with IMG", "woman"),
        ("a policeman img", None),
        ("photo img of an old man", "man"),
    ],
)
def test_the_word_taken_for_the_person_is_said_where_it_was_not_written_before_the_trigger(
    prompt: str, word: str | None
) -> None:
    assert asked(prompt=prompt).notes == ((f"I took “{word}” for the person.",) if word else ())
