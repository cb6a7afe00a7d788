"""Secrets never reach a log, a printed line or a repr, whoever writes it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import cli as bot_cli
from bot.config import ConfigError, Settings, load_settings
from bot.services.provenance import marking_of
from bot.tools.log_redaction import hide_secrets
from photomaker_core.provenance.certificates import make_certificate
from storage import Database, JobStore, NewJob

TOKEN = "MTIzNDU2Nzg5.GmAbCd.tHe-BoTs-OwN-tOkEn"
PASSWORD = "corr%40ct-horse"
PLAIN_PASSWORD = "corr@ct-horse"
REPLY_TOKEN = "aW50ZXJhY3Rpb246MTE4"
SECRETS = (TOKEN, PASSWORD, PLAIN_PASSWORD, REPLY_TOKEN, "PRIVATE KEY")


@pytest.fixture
def secretive(tmp_path: Path) -> Settings:
    make_certificate(tmp_path / "keys", "Example club")
    return load_settings(
        None,
        discord_token=TOKEN,
        database_url=f"postgresql+asyncpg://me:{PASSWORD}@host/name",
        provenance_certificate=tmp_path / "keys",
    )


@pytest.fixture
def log(secretive: Settings) -> Iterator[io.StringIO]:
    """What the bot's log holds, set up as ``run`` does."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    before = list(logging.root.handlers)
    logging.root.handlers[:] = [handler]
    hide_secrets(secretive)
    yield written
    logging.root.handlers[:] = before


def assert_no_secrets(text: str) -> None:
    assert text
    assert [secret for secret in SECRETS if secret in text] == []


def test_no_secret_is_in_a_repr(secretive: Settings) -> None:
    job = NewJob(1, 2, None, REPLY_TOKEN, {})
    for thing in (secretive, marking_of(secretive), marking_of(secretive).certificate, job):
        assert_no_secrets(f"{thing!r} {thing!s} {[thing]}")


def test_no_secret_is_in_the_log_of_settings_errors_and_tracebacks(secretive: Settings, log: io.StringIO) -> None:
    logger = logging.getLogger("test")
    logger.error("starting with %s", secretive)
    try:
        raise ValueError(f"login with {TOKEN} at {secretive.database_url} failed ({PLAIN_PASSWORD})")
    except ValueError:
        logger.exception("it went wrong")
    logger.warning("POST https://discord.com/api/v10/webhooks/118/%s/messages/@original: 429", REPLY_TOKEN)
    logger.warning("POST /interactions/118/%s/callback", REPLY_TOKEN)
    logger.warning("postgresql://other:%s@elsewhere/name", PASSWORD)
    assert "it went wrong" in log.getvalue()
    assert "Traceback" in log.getvalue()
    assert_no_secrets(log.getvalue())


async def test_no_secret_is_in_the_error_of_a_refused_row(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'bot.db'}")
    try:
        with pytest.raises(Exception, match="NOT NULL") as caught:
            await JobStore(database).accept(NewJob(None, 2, None, REPLY_TOKEN, {}))  # type: ignore[arg-type]
        assert_no_secrets(f"{caught.value!s} {caught.value!r}")
    finally:
        await database.close()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PASSWORD}@host/name",
        f"postgresql+asyncpg://me:{PASSWORD}@host:port/name",
        "postgresql+asyncpg://me:PRIVATE KEY/x@host/name",
    ],
)
def test_no_password_is_in_a_refused_setting(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, database_url=url)
    assert_no_secrets(str(caught.value))


def test_doctor_shows_no_password(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql+asyncpg://me:{PASSWORD}@127.0.0.1:1/name")
    monkeypatch.setenv("PHOTOMAKER_ADAPTER", "nowhere.bin")
    bot_cli.main(["doctor"])
    assert_no_secrets(capsys.readouterr().out)
