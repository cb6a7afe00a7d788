"""Keeps secrets out of the log, also those that libraries write: tokens in Discord's addresses, passwords in errors."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote, urlsplit

from bot.config import Settings

_TOKEN_IN_ADDRESS: Final = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/?\s\"']+")
_PASSWORD_IN_URL: Final = re.compile(r"(\w://[^\s:/@]*:)[^\s/]+(@)")
_HIDDEN: Final = "[hidden]"
LOGGERS_OF_CONTENT: Final = ("aiosqlite", "discord.client", "discord.gateway", "discord.http", "discord.webhook")
"""Libraries that write members' words and photos into the log at the level DEBUG."""


def keep_content_out() -> None:
    """Let no library log what members wrote or uploaded, whatever the operator's level: none of it could be deleted."""
    for name in LOGGERS_OF_CONTENT:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.root.level))


def hide_secrets(settings: Settings) -> None:
    """Make every handler of the root logger hide the secrets in what it writes, tracebacks included."""
    secrets = _secrets(settings)
    for handler in logging.root.handlers:
        handler.setFormatter(_RedactingFormatter(handler.formatter or logging.Formatter(), secrets))


def _secrets(settings: Settings) -> list[str]:
    token = settings.discord_token
    try:
        password = urlsplit(settings.database_url).password or ""
    except ValueError:
        password = ""
    found = {token.get_secret_value() if token else "", password, unquote(password)}
    return sorted(found - {""}, key=len, reverse=True)


class _RedactingFormatter(logging.Formatter):
    """Formats as another formatter does, and hides secrets in the outcome."""

    def __init__(self, inner: logging.Formatter, secrets: Collection[str]) -> None:
        super().__init__()
        self._inner, self._secrets = inner, secrets

    def format(self, record: logging.LogRecord) -> str:
        text = self._inner.format(record)
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        text = _TOKEN_IN_ADDRESS.sub(rf"\g<1>{_HIDDEN}", text)
        return _PASSWORD_IN_URL.sub(rf"\g<1>{_HIDDEN}\g<2>", text)
