"""Writes the report: one HTML file that needs no network and no other file.

Thumbnails lie in the page, so it shows whole people up to :data:`MOST_PICTURES`; counts and histograms are of
everything.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from PIL import ImageDraw

from photomaker_core.dataset.dataset_config import DatasetConfig
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.report.counts import BINS, Counts, Histogram, count, short_reason
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.stage_factory import picture_store
from photomaker_core.dataset.tables import Table
from photomaker_core.images.picture_reading import UnreadablePictureError

REPORT_FILE: Final = "report.html"
MOST_PICTURES: Final = 1_500
_THUMBNAIL_PX: Final = 112
_TEMPLATE: Final = Path(__file__).with_name("page.html")


def write_report(
    config: DatasetConfig, table: Table, stages: Sequence[str], timings: dict[str, dict[str, float]]
) -> Path:
    """Write ``report.html`` into the dataset's folder from the furthest stage's table; returns its path."""
    counts = count(table.rows())
    shown = list(_shown(table.rows(), picture_store(config)))
    page = _TEMPLATE.read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(config.title),
        "SUMMARY": _summary(counts, len(shown)),
        "STAGES": _stage_table(counts, stages, timings),
        "REASONS": _reason_table(counts),
        "WORDS": _bars(counts.class_words.most_common(12)),
        "HISTOGRAMS": "".join(_histogram(one) for one in counts.histograms if any(one.kept) or any(one.dropped)),
        "PICTURES": json.dumps(shown, ensure_ascii=True).replace("<", "\\u003c"),
    }
    for name, value in parts.items():
        page = page.replace(f"{{{{{name}}}}}", value)
    path = config.folder / REPORT_FILE
    partial = path.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def _shown(rows: Iterator[PictureRow], store: PictureStore) -> Iterator[dict[str, Any]]:
    total = 0
    for _, group in groupby(rows, key=lambda row: row.person):
        people = list(group)
        if total and total + len(people) > MOST_PICTURES:
            return
        total += len(people)
        yield from (_described(row, store) for row in people[:MOST_PICTURES])


def _described(row: PictureRow, store: PictureStore) -> dict[str, Any]:
    return {
        "person": row.person,
        "source": row.source,
        "licence": row.licence,
        "size": f"{row.width} x {row.height}" if row.width else "",
        "by": row.dropped_by,
        "why": row.reason,
        "group": short_reason(row.reason),
        "caption": row.caption,
        "word": row.group_word,
        "distance": None if row.distance is None else round(row.distance, 3),
        "thumb": _thumbnail(row, store),
    }


def _thumbnail(row: PictureRow, store: PictureStore) -> str:
    """A data URL of the picture, with the chosen face (or all faces) framed; "" where there is no picture."""
    if not row.picture:
        return ""
    try:
        picture = store.open(row.picture)
    except (UnreadablePictureError, OSError):
        return ""
    scale = _THUMBNAIL_PX / max(picture.size)
    small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    pen = ImageDraw.Draw(small)
    for index, face in enumerate(row.faces):
        colour = "#19c37d" if index == row.face else "#f5a524"
        pen.rectangle([edge * scale for edge in face.box], outline=colour, width=2)
    if row.crop is not None:
        pen.rectangle([edge * scale for edge in row.crop], outline="#4c8dff", width=1)
    content = io.BytesIO()
    small.save(content, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _summary(counts: Counts, shown: int) -> str:
    kept = f"{counts.kept / counts.pictures:.0%}" if counts.pictures else "none"
    text = (
        f"<b>{counts.kept:,}</b> of {counts.pictures:,} pictures kept ({kept}), "
        f"<b>{counts.kept_people:,}</b> of {counts.people:,} people."
    )
    if shown < counts.pictures:
        text += f" The grid shows the first {shown:,}; the tables hold all."
    return text


def _stage_table(counts: Counts, stages: Sequence[str], timings: dict[str, dict[str, float]]) -> str:
    left = counts.pictures
    rows = []
    for stage in stages:
        dropped = sum(number for (by, _), number in counts.reasons.items() if by == stage)
        left -= dropped
        timing = timings.get(stage)
        speed = f"{timing['pictures'] / timing['seconds']:,.1f}" if timing and timing["seconds"] else "–"
        share = left / counts.pictures * 100 if counts.pictures else 0
        rows.append(
            f"<tr><th>{stage}<td>{dropped:,}<td>{left:,}<td>{speed}"
            f'<td><span class="bar" style="width:{share:.1f}%"></span></tr>'
        )
    return "".join(rows)


def _reason_table(counts: Counts) -> str:
    return "".join(
        f"<tr><th>{html.escape(stage)}<td>{html.escape(reason)}<td>{number:,}</tr>"
        for (stage, reason), number in counts.reasons.most_common(40)
    )


def _bars(pairs: Sequence[tuple[str, int]]) -> str:
    most = max((number for _, number in pairs), default=1)
    return "".join(
        f'<tr><th>{html.escape(name)}<td>{number:,}<td><span class="bar" style="width:{number / most * 100:.1f}%">'
        "</span></tr>"
        for name, number in pairs
    )


def _histogram(data: Histogram) -> str:
    """One histogram as SVG: kept below, dropped on top of it."""
    most = max(a + b for a, b in zip(data.kept, data.dropped, strict=True))
    bars = []
    for place, (kept, dropped) in enumerate(zip(data.kept, data.dropped, strict=True)):
        tall, more = kept / most * 90, dropped / most * 90
        x = place * 240 / BINS
        bars.append(f'<rect class="kept" x="{x:.1f}" y="{96 - tall:.1f}" width="9" height="{tall:.1f}"/>')
        bars.append(f'<rect class="gone" x="{x:.1f}" y="{96 - tall - more:.1f}" width="9" height="{more:.1f}"/>')
    unit = f" {data.unit}" if data.unit else ""
    return (
        f'<figure><figcaption>{html.escape(data.title)}</figcaption><svg viewBox="0 0 240 112" role="img" '
        f'aria-label="{html.escape(data.title)}">{"".join(bars)}<text x="0" y="109">{data.low:g}{unit}</text>'
        f'<text x="240" y="109" text-anchor="end">{data.high:g}{unit}</text></svg></figure>'
    )
