"""Every fault of Discord's, at every moment of a job: it is drawn once, shown once, and its member hears of its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import aiohttp
import pytest

from bot.services import delivery, job_messages, jobs, open_jobs
from photomaker_core.errors import UserError
from photomaker_core.sampling.generation import Generation
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import Runner
from tests.support import uploads
from tests.support.discord_double import (
    DiscordDouble,
    Fault,
    Interaction,
    answer,
    cut,
    limited,
    reset,
    silence,
    slow,
)
from tests.support.doubled_bot import DoubledBot
from tests.support.server import FICTION, until

REPLY = "/webhooks/*/messages/*"
CALLBACK = "/interactions/*/callback"
PICTURE = "picture-"
"""What a request holds that delivers."""
UNANSWERED = "Discord did not answer me just now. Please look whether it worked, and try again if it did not."
BAR = "▱"
"""What a request holds that shows progress."""

ONCE = [limited(0.02), limited(0.02, from_cloudflare=True), answer(503, late=True), reset(), reset(late=True), cut()]
"""Faults after which the same request succeeds."""

CLOSED = [answer(401, 50027), answer(404, 10015), answer(404, 10008), answer(404, 10003), answer(403, 50001)]
"""Answers that say that a place is closed for good."""

OUTAGE = 6
"""More repetitions than discord.py makes of its own accord."""


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch, discord_waits: list[float]) -> None:
    monkeypatch.setattr(delivery, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(jobs, "TELL_AGAIN_AFTER_S", 0.01)


@pytest.fixture
async def impatient_bot(doubled_bot: DoubledBot, monkeypatch: pytest.MonkeyPatch) -> DoubledBot:
    """One that does not wait five minutes for an answer."""
    monkeypatch.setattr(aiohttp.client, "DEFAULT_TIMEOUT", aiohttp.ClientTimeout(total=1.0))
    monkeypatch.setattr(delivery, "EDIT_PATIENCE_S", 0.2)
    monkeypatch.setattr(open_jobs, "EDIT_INTERVAL_S", 0.0)
    await doubled_bot.restart()
    return doubled_bot


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The jobs that were handed to the model, in order: a job that is there twice was drawn twice."""
    drawn: list[int] = []
    submit = Runner.submit

    def noted(runner: Runner, drawing: object, publish: object) -> None:
        drawn.append(drawing.job_id)  # type: ignore[attr-defined]
        submit(runner, drawing, publish)  # type: ignore[arg-type]

    monkeypatch.setattr(Runner, "submit", noted)
    return drawn


def in_the_reply(drawn: Interaction, double: DiscordDouble, job_id: int, what: object) -> None:
    """The picture is shown once, and there."""
    assert double.world.showing(f"picture-{job_id}-") == [drawn.reply], what


def in_a_message(drawn: Interaction, double: DiscordDouble, job_id: int, what: object) -> None:
    """The picture is shown once, in a message to its member."""
    (message,) = double.world.showing(f"picture-{job_id}-")
    assert message is not drawn.reply, what
    assert message.content.startswith(f"<@{drawn.user.id}> "), what
    assert len(message.said) == 1, what


async def after_each(
    bot: DoubledBot, faults: Sequence[Fault], order: Callable[[Fault], None], check: Callable[..., None], steps: int = 1
) -> None:
    """Draw once for each fault, and check what is shown then, and what is left in the database."""
    for number, fault in enumerate(faults, start=1):
        order(fault)
        drawn = await bot.imagine(bot.double.ada, steps=steps)
        await bot.quiet(number)
        assert set(bot.double.faults.met) == {fault.name}
        check(drawn, bot.double, number, fault.name)
        bot.double.faults.clear()
    assert bot.rows("SELECT DISTINCT state, awaits_delivery, interaction_token FROM jobs") == [("delivered", 0, None)]
    assert bot.rows("SELECT count(*) FROM results WHERE picture IS NOT NULL") == [(0,)]


@pytest.mark.parametrize("saying", ["Your picture is next", PICTURE], ids=["accepted", "delivered"])
async def test_a_fault_of_the_moment_costs_nobody_their_picture(
    double: DiscordDouble, doubled_bot: DoubledBot, submitted: list[int], saying: str
) -> None:
    def order(fault: Fault) -> None:
        double.faults.at("PATCH", REPLY, fault, saying=saying)

    faults = [*ONCE, limited(0.02, is_global=True), answer(500), slow(0.05)]
    await after_each(doubled_bot, faults, order, in_the_reply)
    assert submitted == [*range(1, len(faults) + 1)]


async def test_the_wait_that_discord_asks_for_is_kept(
    double: DiscordDouble, doubled_bot: DoubledBot, discord_waits: list[float]
) -> None:
    double.faults.at("PATCH", REPLY, limited(7.5), saying=PICTURE)
    double.faults.at("PATCH", REPLY, limited(0.3, from_cloudflare=True), saying=PICTURE)
    started_s = asyncio.get_running_loop().time()
    await doubled_bot.imagine(double.ada, steps=1)
    await doubled_bot.quiet(1)
    assert 7.5 in discord_waits
    assert asyncio.get_running_loop().time() - started_s >= 0.3


@pytest.mark.parametrize("late", [False, True], ids=["unheard", "heard"])
@pytest.mark.parametrize("saying", ["Your picture is next", BAR, PICTURE], ids=["accepted", "drawing", "delivered"])
async def test_a_request_that_is_never_answered_costs_nobody_their_picture(
    double: DiscordDouble, impatient_bot: DoubledBot, saying: str, late: bool
) -> None:
    double.faults.at("PATCH", REPLY, silence(late=late), saying=saying)
    drawn = await impatient_bot.imagine(double.ada, steps=2)
    await impatient_bot.quiet(1)
    assert double.faults.met == [silence(late=late).name]
    in_the_reply(drawn, double, 1, saying)


async def test_an_outage_delays_pictures_and_draws_none_twice(
    double: DiscordDouble, doubled_bot: DoubledBot, submitted: list[int]
) -> None:
    def order(fault: Fault) -> None:
        double.faults.at("PATCH", REPLY, fault, saying=PICTURE, times=OUTAGE)

    faults = [answer(502), reset(late=True), limited(0.001)]
    await after_each(doubled_bot, faults, order, in_the_reply)
    assert submitted == [*range(1, len(faults) + 1)]


async def test_a_fault_of_the_progress_costs_nobody_their_picture(
    double: DiscordDouble, doubled_bot: DoubledBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_jobs, "EDIT_INTERVAL_S", 0.0)

    def order(fault: Fault) -> None:
        double.faults.at("PATCH", REPLY, fault, saying=BAR)

    faults = [limited(0.02), answer(503), reset(late=True), *CLOSED[::2], answer(413, 40005)]
    await after_each(doubled_bot, faults, order, in_the_reply, steps=3)


async def test_where_the_reply_is_closed_the_picture_comes_as_a_message(
    double: DiscordDouble, doubled_bot: DoubledBot
) -> None:
    def order(fault: Fault) -> None:
        double.faults.at("PATCH", REPLY, fault, saying=PICTURE)

    await after_each(doubled_bot, CLOSED, order, in_a_message)


@pytest.mark.parametrize("lost", [reset(late=True), cut(), answer(503, late=True)], ids=str)
async def test_an_edit_whose_answer_was_lost_is_seen_after_its_token_has_ended(
    double: DiscordDouble, doubled_bot: DoubledBot, lost: Fault
) -> None:
    double.faults.at("PATCH", REPLY, lost, saying=PICTURE)
    double.faults.at("PATCH", REPLY, answer(401, 50027), saying=PICTURE)
    drawn = await doubled_bot.imagine(double.ada, steps=1)
    await doubled_bot.quiet(1)
    assert double.faults.met == [lost.name, "401/50027"]
    in_the_reply(drawn, double, 1, lost.name)
    assert doubled_bot.rows("SELECT state FROM jobs") == [("delivered",)]


async def test_an_edit_that_nobody_noted_is_seen_after_a_restart_without_a_token(
    double: DiscordDouble, doubled_bot: DoubledBot
) -> None:
    drawn = await doubled_bot.imagine(double.ada, steps=1)
    await doubled_bot.quiet(1)
    await doubled_bot.stop()
    picture = uploads.encoded(uploads.picture(), "PNG")
    for message_id in (drawn.reply and drawn.reply.id, None):
        doubled_bot.rows("UPDATE jobs SET state = 'drawn', awaits_delivery = 1, message_id = ?", message_id)
        doubled_bot.rows("UPDATE results SET picture = ?", picture)
        await doubled_bot.restart()
        await doubled_bot.quiet(1)
        in_the_reply(drawn, double, 1, message_id)


@pytest.mark.parametrize("place", ["channel", "direct"])
async def test_a_message_that_meets_a_fault_comes_once(
    double: DiscordDouble, doubled_bot: DoubledBot, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(job_messages, "TOKEN_LIFETIME", job_messages.TOKEN_LIFETIME * 0)
    double.channel.bot_may_send = place == "channel"
    where = double.channel if place == "channel" else double.world.conversation(double.ada)

    def order(fault: Fault) -> None:
        double.faults.at("POST", f"/channels/{where.id}/messages", fault)

    await after_each(doubled_bot, ONCE, order, in_a_message)
    assert {message.channel for message in double.world.showing(PICTURE)} == {where}


@pytest.mark.parametrize(("method", "path"), [("GET", "/users/*"), ("POST", "/users/@me/channels")])
async def test_a_fault_on_the_way_to_a_direct_message_costs_nobody_their_picture(
    double: DiscordDouble, doubled_bot: DoubledBot, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setattr(job_messages, "TOKEN_LIFETIME", job_messages.TOKEN_LIFETIME * 0)
    double.channel.bot_may_view = False

    def order(fault: Fault) -> None:
        doubled_bot.bot._connection._private_channels_by_user.clear()
        double.faults.at(method, path, fault)

    await after_each(doubled_bot, [answer(500), reset(late=True), cut()], order, in_a_message)


@pytest.mark.parametrize("missing", ["the channel", "the right to see it", "the right to write in it"])
async def test_where_the_channel_is_out_of_reach_the_picture_comes_directly(
    double: DiscordDouble, doubled_bot: DoubledBot, hold: threading.Event, missing: str
) -> None:
    drawn = await doubled_bot.imagine(double.ada, steps=1)
    await until(lambda: drawn.said)
    drawn.is_expired = True
    double.channel.is_deleted = missing == "the channel"
    double.channel.bot_may_view = missing != "the right to see it"
    double.channel.bot_may_send = missing != "the right to write in it"
    hold.set()
    await doubled_bot.quiet(1)
    in_a_message(drawn, double, 1, missing)
    (message,) = double.world.showing(PICTURE)
    assert message.channel is double.world.conversation(double.ada)


async def test_a_deleted_reply_is_not_written_anew_in_its_place(double: DiscordDouble, doubled_bot: DoubledBot) -> None:
    """Its member or a moderator removed it while it was drawn: the picture comes as a message of its own."""
    double.faults.at("PATCH", REPLY, answer(404, 10008), saying=PICTURE)
    drawn = await doubled_bot.imagine(double.ada, steps=1)
    await doubled_bot.quiet(1)
    in_a_message(drawn, double, 1, "deleted")


async def drawn_for_no_place(double: DiscordDouble, doubled_bot: DoubledBot, hold: threading.Event) -> None:
    drawn = await doubled_bot.imagine(double.ada, steps=1)
    await until(lambda: drawn.said)
    drawn.is_expired, double.channel.is_deleted, double.ada.takes_messages = True, True, False
    hold.set()


async def test_where_no_place_is_left_the_row_says_why(
    double: DiscordDouble, doubled_bot: DoubledBot, hold: threading.Event
) -> None:
    await drawn_for_no_place(double, doubled_bot, hold)
    await until(lambda: doubled_bot.rows("SELECT 1 FROM jobs WHERE state = 'failed'"))
    ((error, awaits),) = doubled_bot.rows("SELECT error, awaits_delivery FROM jobs")
    assert [code in str(error) for code in ("50027", "10003", "50007")] == [True] * 3
    assert not awaits
    assert double.world.showing(PICTURE) == []
    assert doubled_bot.rows("SELECT picture FROM results") == [(None,)]


@pytest.mark.parametrize("command", ["queue", "history"])
async def test_who_could_not_be_told_is_told_once_when_they_next_ask(
    double: DiscordDouble, doubled_bot: DoubledBot, hold: threading.Event, command: str
) -> None:
    await drawn_for_no_place(double, doubled_bot, hold)
    await until(lambda: doubled_bot.rows("SELECT 1 FROM jobs WHERE is_untold"))
    double.channel.is_deleted = False
    await double.slash(double.bob, command)
    asked = await double.slash(double.ada, command)
    await until(lambda: doubled_bot.rows("SELECT 1 FROM jobs WHERE NOT is_untold"))
    told = [one for one in double.world.messages.values() if "could not reach you" in one.content]
    assert len(told) == 1
    assert "“a man img”: not delivered" in told[0].content
    again = await double.slash(double.ada, command)
    await until(lambda: asked.said and again.said)
    assert [one for one in double.world.messages.values() if "could not reach you" in one.content] == told


@pytest.mark.parametrize("ends", ["reply", "channel", "direct"])
async def test_what_is_too_large_becomes_smaller_and_then_a_sentence(
    double: DiscordDouble, doubled_bot: DoubledBot, hold: threading.Event, ends: str
) -> None:
    drawn = [await doubled_bot.imagine(double.ada, steps=1) for _ in range(2)]
    await until(lambda: all(one.said for one in drawn))
    for one in drawn:
        one.is_expired = ends != "reply"
    double.channel.bot_may_send = ends != "direct"
    places = [double.channel, double.world.conversation(double.ada)]
    for place in places:
        place.upload_limit_bytes = 12_000
    hold.set()
    await doubled_bot.quiet(2)
    for job_id in (1, 2):
        (message,) = double.world.showing(f"picture-{job_id}-")
        assert message.file_names == [f"picture-{job_id}-1.jpg"]
        assert len(message.files[0].content) <= 12_000
    for place in places:
        place.upload_limit_bytes = 300
    last = await doubled_bot.imagine(double.ada, steps=1)
    await doubled_bot.quiet(3)
    if ends == "direct":
        last.is_expired = True
    assert double.world.showing("picture-3-") == []
    assert "Discord takes no file as large as this" in last.said[-1]


def _broken(_engine: StepEngine, _generations: list[Generation]) -> None:
    raise UserError("The picture came out empty. Please try another seed.")


@pytest.mark.parametrize("ending", ["cancelled", "failed"])
async def test_an_end_without_a_picture_is_told_through_every_fault(
    double: DiscordDouble,
    doubled_bot: DoubledBot,
    hold: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    sentence = "Cancelled." if ending == "cancelled" else "The picture came out empty. Please try another seed."
    if ending == "failed":
        monkeypatch.setattr(StepEngine, "step", _broken)
    for number, fault in enumerate([*ONCE, *CLOSED], start=1):
        double.faults.at("PATCH", REPLY, fault, saying=sentence)
        asked = await doubled_bot.imagine(double.ada, steps=1)
        if ending == "cancelled":
            await until(
                lambda number=number: doubled_bot.rows("SELECT 1 FROM jobs WHERE message_id AND id = ?", number)
            )
            assert asked.reply is not None
            await double.click(double.ada, asked.reply, "Cancel")
        await doubled_bot.quiet(number)
        assert double.faults.met == [fault.name]
        posts = [one.said for one in double.world.messages.values() if one.nonce == f"photomaker-{number}"]
        if fault in CLOSED:
            assert posts == [[f"<@{double.ada.id}> {sentence}"]], fault.name
        else:
            assert (asked.said[-1], posts) == (sentence, []), fault.name
        double.faults.clear()
    hold.set()
    assert doubled_bot.rows("SELECT DISTINCT state, awaits_delivery FROM jobs") == [(ending, 0)]


async def test_a_command_whose_answer_is_not_acknowledged_accepts_nothing_and_says_so(
    double: DiscordDouble, doubled_bot: DoubledBot
) -> None:
    for fault in (reset(), reset(late=True), cut(), answer(503, late=True)):
        double.faults.at("POST", CALLBACK, fault)
        asked = await doubled_bot.imagine(double.ada, steps=1)
        await until(lambda asked=asked: asked.said)
        assert asked.said == [UNANSWERED], fault.name
        assert asked.reply is not None
        assert asked.reply.components == []
    assert doubled_bot.rows("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize("fault", [reset(), reset(late=True), cut()], ids=lambda fault: fault.name)
async def test_an_accepted_job_shows_its_place_and_can_be_cancelled_where_an_answer_was_lost(
    double: DiscordDouble, doubled_bot: DoubledBot, hold: threading.Event, fault: Fault
) -> None:
    double.faults.at("PATCH", REPLY, fault, saying="Your picture is next")
    asked = await doubled_bot.imagine(double.ada, steps=1)
    await until(lambda: doubled_bot.rows("SELECT 1 FROM jobs WHERE message_id"))
    await until(lambda: asked.said)
    assert "Your picture is next" in asked.said[-1]
    assert asked.reply is not None
    await double.click(double.ada, asked.reply, "Cancel")
    await doubled_bot.quiet(1)
    hold.set()
    assert asked.said[-1] == "Cancelled."


async def test_a_click_whose_answer_is_not_acknowledged_accepts_nothing_and_says_so(
    double: DiscordDouble, doubled_bot: DoubledBot
) -> None:
    drawn = await doubled_bot.imagine(double.ada, steps=1)
    await doubled_bot.quiet(1)
    assert drawn.reply is not None
    for fault in (reset(), reset(late=True)):
        double.faults.at("POST", CALLBACK, fault)
        clicked = await double.click(double.ada, drawn.reply, "Again")
        await until(lambda clicked=clicked: clicked.said)
        assert clicked.said == [UNANSWERED], fault.name
    assert doubled_bot.rows("SELECT count(*) FROM jobs") == [(1,)]


async def test_what_was_done_is_not_denied_where_the_word_of_it_is_lost(
    double: DiscordDouble, doubled_bot: DoubledBot
) -> None:
    double.faults.at("PATCH", REPLY, cut(), saying="Added")
    photo = ("photo.jpg", uploads.photo(1))
    asked = await double.slash(double.bob, "identity add", name="lenna", consent=FICTION, photo1=photo)
    await until(lambda: UNANSWERED in asked.said)
    assert doubled_bot.rows("SELECT name FROM identities WHERE owner_id = ?", double.bob.id) == [("lenna",)]


async def test_a_command_that_is_answered_too_late_accepts_nothing(
    double: DiscordDouble, doubled_bot: DoubledBot, caplog: pytest.LogCaptureFixture
) -> None:
    double.faults.at("POST", CALLBACK, answer(404, 10062), times=2)
    asked = await doubled_bot.imagine(double.ada, steps=1)
    await until(lambda: len(double.faults.met) == 2)
    await until(lambda: "could not tell a member" in caplog.text)
    assert asked.said == []
    assert doubled_bot.rows("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize("fault", [answer(404), answer(403), answer(503), reset(), cut()], ids=lambda fault: fault.name)
async def test_a_photo_that_cannot_be_downloaded_is_told_and_adds_nobody(
    double: DiscordDouble, doubled_bot: DoubledBot, fault: Fault
) -> None:
    double.faults.at("GET", "/attachments/*", fault, times=2)  # aiohttp repeats such a request once
    photo = ("photo.jpg", uploads.photo())
    asked = await double.slash(double.bob, "identity add", name="lenna", consent=FICTION, photo1=photo)
    await until(lambda: asked.said)
    assert len(asked.said) == 1
    assert "Please try again" in asked.said[0]
    assert doubled_bot.rows("SELECT count(*) FROM identities") == [(1,)]


async def test_a_message_that_could_not_be_removed_is_removed_by_the_next_click(
    double: DiscordDouble, doubled_bot: DoubledBot
) -> None:
    drawn = await doubled_bot.imagine(double.ada, steps=1)
    await doubled_bot.quiet(1)
    assert drawn.reply is not None
    double.faults.at("DELETE", REPLY, answer(503), times=OUTAGE - 1)
    failed = await double.click(double.ada, drawn.reply, "Delete")
    await until(lambda: failed.followups)
    assert failed.followups[0].said == [UNANSWERED]
    assert double.world.showing(PICTURE) == [drawn.reply]
    await double.click(double.ada, drawn.reply, "Delete")
    await until(lambda: doubled_bot.rows("SELECT 1 FROM jobs WHERE state = 'deleted'"))
    assert double.world.showing(PICTURE) == []
    assert doubled_bot.rows("SELECT picture, thumbnail, settings FROM results") == [(None, None, "{}")]
