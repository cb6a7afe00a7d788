"""Tables: batches that are whole or not there, and groups in order however the rows came."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.tables import Table, group_by_person
from photomaker_core.errors import UserError
from photomaker_core.models.face_recognition import Face

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
faces = st.builds(
    lambda edges, values: Face(*edges, 0.5, np.asarray(values, dtype=np.float32)),
    st.tuples(*[st.floats(-100, 5000, width=32)] * 4),
    st.lists(st.floats(-1, 1, width=32), max_size=4),
)
rows = st.builds(
    PictureRow,
    person=text,
    source=text,
    licence=text,
    width=st.integers(0, 9999),
    difference_hash=st.integers(0, 2**64 - 1),
    faces=st.lists(faces, max_size=2).map(tuple),
    face=st.none() | st.integers(0, 1),
    distance=st.none() | st.floats(0, 2, width=32),
    crop=st.none() | st.tuples(*[st.integers(0, 9999)] * 4),
    reason=text,
)


def same(first: PictureRow, second: PictureRow) -> bool:
    return repr(first) == repr(second)


@given(st.lists(rows, max_size=4))
@settings(deadline=None, max_examples=50)
def test_rows_come_back_as_they_went(batch: list[PictureRow]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder))
        table.write(0, batch)
        read = table.read(0)
    assert len(read) == len(batch)
    assert all(same(one, other) for one, other in zip(read, batch, strict=True))


@pytest.mark.parametrize(("people", "batch_rows", "source_batch"), [(7, 4, 3), (40, 10, 2), (1, 5, 5)])
def test_groups_come_whole_and_in_order(tmp_path: Path, people: int, batch_rows: int, source_batch: int) -> None:
    everything = [PictureRow(f"p{person}", f"{number}") for person in range(people) for number in range(person % 5 + 1)]
    Random(0).shuffle(everything)
    source, grouped = Table(tmp_path / "source"), Table(tmp_path / "grouped")
    source.begin("a")
    batches = [everything[start : start + source_batch] for start in range(0, len(everything), source_batch)]
    for index, batch in enumerate(batches):
        source.write(index, batch)
    source.finish(len(batches))
    grouped.begin("b")
    group_by_person(source, grouped, batch_rows)
    assert [(row.person, row.source) for row in grouped.rows()] == sorted(
        (row.person, row.source) for row in everything
    )
    seen: set[str] = set()
    for index in range(grouped.batch_count or 0):
        here = {row.person for row in grouped.read(index)}
        assert not here & seen, "a group is in one batch"
        seen |= here
    assert not (tmp_path / "grouped" / "runs").exists()


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    table = Table(tmp_path)
    for index in range(2):
        table.write(index, [PictureRow("a", "b", faces=(Face(1, 2, 3, 4, 0.5, np.ones(3, dtype=np.float32)),))])
    assert table.path(0).read_bytes() == table.path(1).read_bytes()


def test_a_table_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    Table(tmp_path).begin("one")
    Table(tmp_path).begin("one")
    with pytest.raises(UserError, match="other settings"):
        Table(tmp_path).begin("two")
