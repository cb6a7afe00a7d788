"""The whole pipeline on a small drawn corpus: what it keeps, that it goes on where it stopped, what it leaves."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from photomaker_core.cli import main as cli
from photomaker_core.dataset.corpus_scores import score_table, scores
from photomaker_core.dataset.dataset_config import DatasetConfig, dataset_config, load_dataset_config
from photomaker_core.dataset.drawn_corpus import draw_corpus, read_truth
from photomaker_core.dataset.pipeline import ALL_STAGES, run, run_stage, table_of
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.stage_factory import STAGES
from photomaker_core.errors import UserError

PEOPLE, PICTURES = 4, 8


class Silent:
    """Nobody watches."""

    def begin(self, stage: str, total: int | None, done: int) -> None: ...

    def advance(self, pictures: int) -> None: ...

    def end(self) -> None: ...


def configuration(folder: Path, corpus: Path, **changes: object) -> DatasetConfig:
    raw = {
        "folder": str(folder),
        "source": {"folder": str(corpus / "pictures"), "licence": "CC0"},
        "faces": "drawn",
        "captions": "drawn",
        "regions": "drawn",
        "rules": {"min_side_px": 128, "min_face_px": 64, "min_face_share": 0.17},
        "batch_rows": 10,
    }
    return dataset_config({**raw, **changes})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    draw_corpus(folder, PEOPLE, PICTURES)
    return folder


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> DatasetConfig:
    config = configuration(tmp_path_factory.mktemp("finished"), corpus)
    run(config, Silent())
    return config


def digests(folder: Path) -> dict[str, str]:
    paths = [*(folder / "shards").glob("*"), *(folder / "tables").glob("*/*.parquet")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_the_same_arguments_draw_the_same_corpus(corpus: Path, tmp_path: Path) -> None:
    draw_corpus(tmp_path, 1, PICTURES)
    for path in (tmp_path / "pictures").rglob("*.jpg"):
        assert path.read_bytes() == (corpus / path.relative_to(tmp_path)).read_bytes()


def test_groups_are_pure_and_most_is_kept(finished: DatasetConfig, corpus: Path) -> None:
    result = scores(finished, corpus)
    by_name = {one.what: one for one in result.scores}
    assert by_name["groups: purity and recall"].precision == 1
    assert by_name["groups: purity and recall"].recall >= 0.75
    assert by_name["class word: group"].precision >= 0.75
    assert "| groups: purity and recall |" in score_table(result)


def test_every_candidate_is_kept_or_has_a_reason_to_the_end(finished: DatasetConfig, corpus: Path) -> None:
    rows = list(table_of(finished, "pack").rows())
    assert {row.source for row in rows} == set(read_truth(corpus))
    assert all(row.is_kept or row.reason for row in rows)
    assert {row.licence for row in rows} == {"CC0"}
    index = pq.read_table(finished.folder / "shards" / "index.parquet").to_pylist()
    dropped = pq.read_table(finished.folder / "shards" / "dropped.parquet").to_pylist()
    assert len(index) == sum(row.is_kept for row in rows)
    assert len(index) + len(dropped) == PEOPLE * PICTURES
    assert all(record["caption"].count(" img") == 1 for record in index)


def test_a_second_run_changes_nothing(finished: DatasetConfig) -> None:
    before = digests(finished.folder)
    run(finished, Silent())
    assert digests(finished.folder) == before


def test_a_run_that_lost_batches_makes_the_same_again(finished: DatasetConfig, tmp_path: Path, corpus: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(finished.folder, folder)
    wanted = digests(folder)
    for stage in ("segment", "pack"):
        (folder / "tables" / stage / "000000.parquet").unlink()
        state = folder / "tables" / stage / "table.json"
        state.write_text(json.dumps({**json.loads(state.read_text()), "batches": None}))
    (folder / "shards" / "000000.tar").unlink()
    (folder / "shards" / "000001.tar.partial").write_bytes(b"half a shard")
    run(configuration(folder, corpus), Silent())
    (folder / "shards" / "000001.tar.partial").unlink(missing_ok=True)
    assert digests(folder) == wanted


def test_other_settings_do_not_go_on_with_old_tables(finished: DatasetConfig, corpus: Path) -> None:
    other = configuration(finished.folder, corpus, rules={"min_side_px": 200})
    with pytest.raises(UserError, match="other settings"):
        run(other, Silent())


def test_stages_run_alone_in_their_order(tmp_path: Path, corpus: Path) -> None:
    config = configuration(tmp_path, corpus)
    with pytest.raises(UserError, match="The stage fetch has to be run"):
        run_stage(config, "detect", Silent())
    with pytest.raises(UserError, match="nothing"):
        run_stage(config, "report", Silent())
    run_stage(config, "fetch", Silent())
    run_stage(config, "report", Silent())
    assert "Pictures a second" in (tmp_path / "report.html").read_text()


def test_the_report_shows_names_as_text_and_needs_no_network(finished: DatasetConfig) -> None:
    page = (finished.folder / "report.html").read_text()
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    assert "near-duplicate" in page or "another person" in page


def test_the_card_counts_and_warns(finished: DatasetConfig) -> None:
    card = (finished.folder / "shards" / "README.md").read_text()
    assert card.startswith("---\n")
    front = yaml.safe_load(card.split("---")[1])
    assert front["size_categories"] == ["n<1K"]
    assert "Intended use and limits" in card
    assert "CC0" in card


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    from photomaker_core.dataset.dataset_card import write_card
    from photomaker_core.dataset.report.report_page import write_report
    from photomaker_core.dataset.tables import Table

    name = "</script><script>alert(1)</script>\u202e|`x`"
    table = Table(tmp_path / "tables" / "pack")
    table.begin("x")
    table.write(0, [PictureRow(name, "https://evil|host/<b>", licence="| `a` \u202e", dropped_by="fetch", reason=name)])
    table.finish(1)
    config = configuration(tmp_path, tmp_path)
    page = write_report(config, table, ["fetch"], {}).read_text()
    assert "<script>alert" not in page
    write_card(config, table, tmp_path)
    assert "\u202e" not in (tmp_path / "README.md").read_text()


def test_the_command_runs_scores_and_says_what_is_wrong(
    finished: DatasetConfig, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = {
        "folder": str(finished.folder),
        "source": {"folder": str(corpus / "pictures"), "licence": "CC0"},
        "faces": "drawn",
        "captions": {"use": "drawn"},
        "regions": "drawn",
        "rules": {"min_side_px": 128, "min_face_px": 64, "min_face_share": 0.17},
        "batch_rows": 10,
    }
    path = tmp_path / "dataset.yaml"
    path.write_text(yaml.safe_dump(raw))
    assert load_dataset_config(path) == finished
    assert cli.main(["dataset", "run", str(path)]) == 0
    assert cli.main(["dataset", "score", str(path), str(corpus)]) == 0
    assert "precision" in capsys.readouterr().out
    for change, words in (
        ({"faces": "nothing"}, "faces: use is"),
        ({"surprise": 1}, "surprise"),
        ({"batch_rows": 0}, "at least 1"),
        ({"engine": "cluster"}, "engine"),
        ({"source": {}}, "exactly one"),
        ({"rules": {"min_side_px": "big"}}, "min_side_px"),
    ):
        path.write_text(yaml.safe_dump({**raw, "folder": str(tmp_path / "other"), **change}))
        assert cli.main(["dataset", "run", str(path)]) == 2
        assert words in capsys.readouterr().err


def test_all_stages_are_commands() -> None:
    assert (*STAGES, "report") == ALL_STAGES
