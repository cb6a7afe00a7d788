"""How long a prompt can be, in chunks of 75 tokens. Read by the conditioning and by the bot's settings."""

from __future__ import annotations

from typing import Final

DEFAULT_MAX_CHUNKS: Final = 4
LARGEST_MAX_CHUNKS: Final = 8
