"""What the operator's periods take away, as its members meet it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.app import PhotoMakerBot
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.server import Server, click, drawn, rows, settings, until

PERIODS = {"keep_pictures": True, "retain_prompts_days": 30, "retain_thumbnails_days": 7, "retain_pictures_days": 1}


@pytest.fixture
def simcord_bot(tmp_path: Path, tiny_model: PhotoMaker) -> PhotoMakerBot:
    return PhotoMakerBot(settings(tmp_path, **PERIODS), load=lambda: tiny_model)


async def aged(server: Server, folder: Path, model: PhotoMaker, days: int, **changes: object) -> None:
    """Stop the bot, let days go by, and start it again."""
    await server.bot.close()
    rows(folder, f"UPDATE jobs SET finished_at = datetime(finished_at, '-{days} days')")
    await server.restart(PhotoMakerBot(settings(folder, **PERIODS | changes), load=lambda: model))
    await server.quiet()


async def test_members_are_told_the_periods_in_force(server: Server) -> None:
    for name in ("ada", "bob"):
        told = (await server.command(getattr(server, name), "privacy show")).content
        assert "nothing stored" in told
        assert "its prompt and settings 30 days, small pictures 7 days, full pictures (where I keep any) 1 day" in told
        assert "that there was a job until you delete it" in told


async def test_after_a_restart_what_has_expired_is_gone_and_the_buttons_say_so(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    picture = await drawn(server, prompt="a man img in tealwoods")
    thumbnail = bytes(rows(tmp_path, "SELECT thumbnail FROM results")[0][0])  # type: ignore[arg-type]
    await aged(server, tmp_path, tiny_model, 8)
    await until(lambda: rows(tmp_path, "SELECT picture, thumbnail FROM results") == [(None, None)])
    history = await server.command(server.ada, "history")
    assert "tealwoods" in str(history.components), "prompts are kept longer"
    assert history.attachments == []
    await aged(server, tmp_path, tiny_model, 30)
    await until(lambda: rows(tmp_path, "SELECT request FROM jobs") == [("{}",)])
    for label in ("Again", "Change", "More style", "Vary a little", "Upscale", "Keep prompt"):
        answered = await click(server, server.ada, picture, label)
        assert answered.response is not None
        assert "I keep prompts and settings for a limited time" in answered.response.content, label
    assert "for a limited time" in str((await server.command(server.ada, "history")).components)
    assert "for a limited time" in str(
        (await server.command(server.ada, "identity activity", name="newton")).components
    )
    await server.bot.close()
    files = b"".join(path.read_bytes() for path in tmp_path.glob("bot.db*"))
    middle = thumbnail[len(thumbnail) // 2 :][:64]
    assert [secret in files for secret in (b"tealwoods", middle)] == [False, False]


async def test_a_picture_whose_job_is_gone_is_not_known_any_more(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    picture = await drawn(server)
    await aged(server, tmp_path, tiny_model, 3, retain_jobs_days=2)
    await until(lambda: rows(tmp_path, "SELECT count(*) FROM jobs") == [(0,)])
    answered = await click(server, server.ada, picture, "Again")
    assert answered.response is not None
    assert "I do not know this picture any more" in answered.response.content
    assert "You have no pictures yet" in str((await server.command(server.ada, "history")).components)
