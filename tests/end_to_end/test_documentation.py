"""Documents name files that exist, and tests that are there."""

from __future__ import annotations

import ast
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


def rows_of_the_threat_model() -> list[str]:
    lines = (ROOT / "docs/security.md").read_text().partition("\n## ")[0].splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith(("| ---", "| Who |"))]


def named_in(path: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text())
    return {one.name for one in ast.walk(tree) if isinstance(one, functions) and one.name.startswith("test_")}


def test_the_threat_model_has_rows() -> None:
    assert len(rows_of_the_threat_model()) >= 11


@pytest.mark.parametrize("row", rows_of_the_threat_model(), ids=lambda row: row.split("|")[1].strip())
def test_every_threat_names_tests_that_are_there(row: str) -> None:
    evidence = row.rstrip("| ").rpartition(" | ")[2]
    files = [ROOT / "tests" / name for name in re.findall(r"`([\w/]+\.py)`", evidence)]
    assert files
    assert all(map(named_in, files))
    assert set(re.findall(r"`(test_\w+)`", evidence)) <= set().union(*map(named_in, files))
