"""Writes a check's findings: JSON for programs, a Markdown page for people."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from photomaker_core.benchmark.figure_tables import table
from photomaker_core.benchmark.gpu_check.sections import Findings, Record

Setting = dict[str, str | int]


def write_findings(findings: Findings, setting: Setting, folder: Path) -> str:
    """Write ``gpu-check.json`` and ``gpu-check.md``; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu-check.json").write_text(json.dumps({"setting": setting, **asdict(findings)}, indent=2) + "\n")
    parts = ["# GPU check", ", ".join(f"{name}: {value}" for name, value in setting.items())]
    parts += [f"## {title}\n\n{_records(records)}" for title, records in findings.tables.items()]
    sections = [[name, seconds] for name, seconds in findings.seconds.items()]
    parts.append("## Sections\n\n" + table(["section", "seconds"], sections))
    parts += [f"## Skipped: {name}\n\n{why}" for name, why in findings.skipped.items()]
    parts += [f"## Failed: {name}\n\n```\n{how.strip()}\n```" for name, how in findings.failed.items()]
    page = "\n\n".join(parts)
    (folder / "gpu-check.md").write_text(page + "\n")
    return page


def _records(records: list[Record]) -> str:
    head = list(dict.fromkeys(name for record in records for name in record))
    return table(head, [[record.get(name, "") for name in head] for record in records])
