"""The dataset card beside the shards: what is in them, where it comes from, and what it must not be used for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from photomaker_core.dataset.dataset_config import DatasetConfig
from photomaker_core.dataset.report.counts import Counts, count
from photomaker_core.dataset.tables import Table


def write_card(config: DatasetConfig, packed: Table, folder: Path) -> None:
    """Write ``README.md`` in the form that dataset hubs read, with the front matter's fields in YAML."""
    counts = count(packed.rows())
    partial = folder / "README.md.partial"
    partial.write_text(_card(config, counts), encoding="utf-8")
    partial.replace(folder / "README.md")


def _card(config: DatasetConfig, counts: Counts) -> str:
    rules = config.rules
    title = " ".join(config.title.split())
    networks = {
        "faces": config.faces,
        "person masks": config.segmenter,
        "captions": config.captions,
        "class word by region": config.regions,
    }
    return f"""---
pretty_name: {_quoted(title)}
license: other
task_categories: [text-to-image]
size_categories: [{_size_category(counts.kept)}]
tags: [webdataset, photomaker, id-oriented]
---

# {title}

{counts.kept:,} pictures of {counts.kept_people:,} people in WebDataset shards: every picture cropped around the face,
with a mask of the person, a caption and the caption's class word. Made with `photomaker dataset` after PhotoMaker
(arXiv 2312.04461, 4.1) from {counts.pictures:,} candidates.

## Samples

`PERSON_PICTURE.jpg` is the crop, `.mask.png` is white where the person is, `.txt` the caption with the trigger word
behind the class word, `.json` the person, source, licence, class word and the face's box. A person's samples follow
each other and lie in one shard. `index.parquet` lists them, `dropped.parquet` lists every other candidate with the
stage and the reason.

    photomaker train CONFIG    # with data: {{shards: DIR, side_px: N}}

## Counts

| dropped by | reason | pictures |
| --- | --- | ---: |
{_reasons(counts)}

| class word | pictures |
| --- | ---: |
{_table(counts.class_words)}

## Sources and licences

| source | pictures kept |
| --- | ---: |
{_table(counts.hosts)}

| licence as the source states it | pictures kept |
| --- | ---: |
{_table(counts.licences)}

Each picture remains under its own licence; this card grants none. "unknown" means that the source said nothing.

## How it was made

Shortest side at least {rules.min_side_px} px, face box at least {rules.min_face_px} x {rules.min_face_px} px, the face
more than {rules.min_face_share:.0%} of the crop. ID check: mean L2 distance at most the recogniser's same-person mean
plus {rules.outlier_factor:g} standard deviations. At least {rules.min_pictures} pictures a person.

| role | network |
| --- | --- |
{chr(10).join(f"| {role} | {choice.use} |" for role, choice in networks.items())}

## Intended use and limits

For training and studying models that keep a person's likeness. The pictures show people who may not have agreed to it:
keep the shards private unless every licence and every person allows otherwise, remove a person on request (their
samples share the key before the underscore), and do not use them to recognise, watch or judge anybody.

The groups are as pure as the face recogniser, which errs more often for faces unlike those it was trained on (children,
some skin tones, old photographs). Class words come from captions: they say what a caption model saw, not who somebody
is. Captions and masks are machine-made and were not checked by hand.
"""


def _reasons(counts: Counts) -> str:
    rows = [f"| {by} | {_cell(reason)} | {number:,} |" for (by, reason), number in counts.reasons.most_common()]
    return "\n".join(rows) or "| – | nothing was dropped | 0 |"


def _table(counted: Counter[str]) -> str:
    rows = [f"| {_cell(name)} | {number:,} |" for name, number in counted.most_common(50)]
    if len(counted) > 50:
        rows.append(
            f"| {len(counted) - 50} more | {sum(counted.values()) - sum(n for _, n in counted.most_common(50)):,} |"
        )
    return "\n".join(rows)


def _cell(text: str) -> str:
    """Make a stranger's text harmless in a Markdown table: no markup, no direction marks."""
    plain = "".join(char if char.isprintable() else " " for char in text)[:120]
    for mark in "\\`*_[]<>|":
        plain = plain.replace(mark, f"\\{mark}")
    return plain or "(empty)"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _size_category(pictures: int) -> str:
    steps = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for limit, name in steps if pictures < limit), "1M<n<10M")
