"""The tables of ``docs/access.md``: written where ``ACCESS_TABLE=write`` is set, else held against what was found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "access.md"


def compare(part: str, head: Sequence[str], rows: Mapping[str, Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Hold a part of the page against ``rows``, each with its first cell as the key, and numbered notes."""
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    lines += [f"| {first} | {' | '.join(cells)} |" for first, cells in rows.items()]
    if notes:
        lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, start=1))]
    begin, end = f"<!-- {part} -->\n", f"\n<!-- end of {part} -->"
    page = PAGE.read_text()
    before, _, rest = page.partition(begin)
    written, _, after = rest.partition(end)
    if os.environ.get("ACCESS_TABLE") == "write":
        PAGE.write_text(before + begin + "\n".join(lines) + end + after)
    else:
        assert written == "\n".join(lines), "docs/access.md is of other behaviour: see tests/bot/test_access.py"
