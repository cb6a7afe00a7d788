"""Documents name files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")])
FILE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|md|yaml|toml|po|sh))`")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
PLACES = ("", "photomaker_core", "tests", "bot", "docs")
MADE_WHEN_RUN = re.compile(r"^(runs|dataset|out|data)/")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text()
    named = {name for name in FILE.findall(text) if not MADE_WHEN_RUN.match(name) and "NNN" not in name}
    missing = {name for name in named if not any((ROOT / place / name).exists() for place in PLACES)}
    assert missing == set()
    assert {link for link in LINK.findall(text) if not (page.parent / link).exists()} == set()
