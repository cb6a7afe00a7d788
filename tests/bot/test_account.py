"""Tests of ``/queue``, ``/history``, ``/settings`` and ``/style``."""

from __future__ import annotations

import asyncio

import simcord

from photomaker_core.presets.styles import STYLES
from tests.support.server import Server, click


async def test_quality_sets_the_steps_and_preferences_are_taken(server: Server) -> None:
    await server.add(server.ada, "newton")
    fast = await server.command(server.ada, "imagine", prompt="a man img", quality="fast", seed=1)
    assert "quality: fast" in fast.content
    normal = await server.command(server.ada, "imagine", prompt="a man img", seed=1)
    assert await fast.attachments[0].read() != await normal.attachments[0].read()
    told = await server.command(server.ada, "settings", quality="best", style="Cinematic", aspect="5:6 portrait")
    assert "Quality: best" in told.content
    best = await server.command(server.ada, "imagine", prompt="a man img")
    assert "5 steps" in best.content
    assert "Cinematic" in best.content
    assert "Style: None" in (await server.command(server.ada, "settings", reset=True)).content
    assert "Cinematic" not in (await server.command(server.ada, "imagine", prompt="a man img")).content


async def imagine(server: Server, prompt: str = "a man img") -> simcord.ResponseMessage:
    return await server.command(server.ada, "imagine", prompt=prompt)


async def test_expected_time_is_told_once_it_was_measured(server: Server) -> None:
    await server.add(server.ada, "newton")
    await server.command(server.ada, "imagine", prompt="a man img", steps=30)
    waiting = asyncio.create_task(server.ada.slash(server.channel, "imagine", prompt="a man img", steps=30))
    await waiting
    await server.quiet()
    assert server.bot.jobs.throughput.expected_s(30) is not None


async def test_history_is_paged_with_thumbnails(server: Server) -> None:
    empty = await server.ada.slash(server.channel, "history")
    assert empty.response is not None
    await server.add(server.ada, "newton")
    for seed in range(6):
        await server.command(server.ada, "imagine", prompt=f"a man img number {seed}", seed=seed)
    shown = await server.ada.slash(server.channel, "history")
    assert shown.response is not None
    assert len(shown.response.attachments) == 4
    text = str(shown.response.components)
    assert "number 5" in text
    assert "number 1" not in text
    await server.ada.click(shown.response, label="Older")
    text = str(shown.response.components)
    assert "number 1" in text
    assert "number 5" not in text
    await click(server, server.ada, shown.response, "Newer")
    other = await server.bob.slash(server.channel, "history")
    assert other.response is not None
    assert "no pictures yet" in str(other.response.components)


async def test_styles_are_listed(server: Server) -> None:
    shown = await server.command(server.ada, "style")
    told = str(shown.components)
    assert "**Cinematic**" in told
    assert "None is loaded here" in told
    pictures = {await one.read() for one in shown.attachments}
    assert len(pictures) == len(STYLES), "each style has a picture of its own"
    again = await server.command(server.bob, "style")
    assert {await one.read() for one in again.attachments} == pictures


async def test_styles_are_listed_while_their_pictures_are_drawn(server: Server) -> None:
    before = len(server.env.http_requests)
    shown = await server.command(server.ada, "style")
    first, *_ = (str(one.json) for one in server.env.http_requests[before:])
    assert "Cinematic, Disney character" in first
    assert "being drawn" in first
    assert len(shown.attachments) == len(STYLES)
    assert "being drawn" not in str(shown.components)
