"""The prompt study: what its rows ask for, and that it goes on where it was stopped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch import nn

from photomaker_core.cli import main as core_cli
from photomaker_core.cli.evaluate import _PROMPT_STUDIES
from photomaker_core.conditioning.prompt_weights import weighted_texts
from photomaker_core.conditioning.trigger_placement import place_trigger, without_trigger
from photomaker_core.errors import UserError
from photomaker_core.evaluation.networks import portrait_networks
from photomaker_core.evaluation.people import drawn_people
from photomaker_core.evaluation.prompt_study import STUDIES, StudyPicture, run_study
from photomaker_core.evaluation.study_log import StudyLog, weights_digest
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings
from tests.support.tiny_model import TINY_ADAPTER, TINY_BASE

PEOPLE = drawn_people(2, 1)


def rows(part: str, model: PhotoMaker) -> dict[str, list[StudyPicture]]:
    found: dict[str, list[StudyPicture]] = {}
    for picture in STUDIES[part](PEOPLE, model):
        found.setdefault(picture.row, []).append(picture)
    return found


@pytest.mark.parametrize("part", ["weights", "likeness"])
def test_rows_differ_by_the_weight_alone(tiny_model: PhotoMaker, part: str) -> None:
    found = rows(part, tiny_model)
    kinds: dict[str, set[tuple[object, ...]]] = {}
    for row, pictures in found.items():
        kind, weight = row.split(" at ")
        plain = tuple(
            (re.sub(r":[\d.]+\)", ")", one.text), one.person, one.seed, *one.wants.items()) for one in pictures
        )
        kinds.setdefault(kind, set()).add(plain)
        for one in pictures:
            placed = place_trigger(one.text)
            assert not placed.trigger_inserted
            assert {text.weight for text in weighted_texts(placed.text)} == {1.0, float(weight)}
    assert all(len(alike) == 1 for alike in kinds.values())


def test_long_prompts_end_with_what_is_asked_and_say_it_nowhere_else(tiny_model: PhotoMaker) -> None:
    tokenizer = tiny_model.base.text.tokenizers[0]
    texts = [one for pictures in rows("length", tiny_model).values() for one in pictures]
    whole = [one for one in texts if not one.row.endswith("without the end")]
    lengths = {len(tokenizer.ids(without_trigger(one.text))) for one in whole}
    assert min(lengths) < 25 < 290 < max(lengths) <= 300
    assert len({one.text.replace(" boy ", " man ").replace(" woman ", " man ") for one in whole}) == 16
    for one in whole:
        *_, end = one.text.split(", ")
        assert one.text.count(end) == 1
        assert one.text.count("img") == 1
        assert StudyPicture(f"{one.row}, without the end", one.text.removesuffix(f", {end}"), one.wants, one.person,
                            one.seed) in texts  # fmt: skip


def test_a_log_goes_on_after_a_cut_line_and_keeps_studies_apart(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    log = StudyLog(path, {"steps": 2})
    log.add({"one": {"cosine": 0.5}, "two": {"cosine": 0.25}})
    path.write_text(path.read_text()[:-8])
    again = StudyLog(path, {"steps": 2})
    assert again["one"] == {"cosine": 0.5}
    assert "two" not in again
    again.add({"two": {"cosine": 0.125}})
    assert StudyLog(path, {"steps": 2})["two"] == {"cosine": 0.125}
    with pytest.raises(UserError, match="Name another --out"):
        StudyLog(path, {"steps": 3})


def test_a_digest_tells_weights_apart() -> None:
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    assert weights_digest(one) == weights_digest(one) != weights_digest(other)


def test_a_study_that_was_stopped_draws_nothing_twice(tiny_model: PhotoMaker, tmp_path: Path) -> None:
    pictures = list(STUDIES["likeness"](PEOPLE[:1], tiny_model))[:3]
    settings = GenerationSettings(64, 64, steps=1)
    judged = []
    for some in (pictures[:1], pictures, pictures):
        log = StudyLog(tmp_path / "study.jsonl", {})
        run_study(tiny_model, settings, PEOPLE[:1], portrait_networks(), some, log)
        judged.append((tmp_path / "study.jsonl").read_text())
    assert judged[1].startswith(judged[0])
    assert judged[1] == judged[2]
    assert set(log[pictures[0].name]["right"]) == {"background"}


def test_the_command_writes_a_table_and_keeps_to_one_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tuple(STUDIES) == _PROMPT_STUDIES
    command = ["evaluate", "--prompt-study", "likeness", "--drawn", "1", "--photos", "1", "--steps", "1"]
    command += ["--base", str(TINY_BASE), "--adapter", str(TINY_ADAPTER), "--out", "study"]
    assert core_cli.main(command) == 0
    printed = capsys.readouterr().out
    for row in ("person at 0.8", "person at 1", "person at 1.2"):
        assert f"| {row} | 4 | " in printed
    assert "right person first of 1" in printed
    assert core_cli.main([*command, "--guidance", "2"]) == 2
    assert "with another model or other settings" in capsys.readouterr().err
