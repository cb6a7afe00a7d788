"""The evaluation: its formulas, its people and prompts, and whole comparisons on a tiny model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from photomaker_core.cli import main as cli
from photomaker_core.errors import UserError
from photomaker_core.evaluation.comparison import LEAST_FID_PICTURES, Comparison, compare
from photomaker_core.evaluation.evaluation_prompts import (
    PHOTO_PROMPTS,
    PORTRAIT_PROMPTS,
    EvaluationPrompt,
    load_prompts,
)
from photomaker_core.evaluation.measures import (
    frechet_distance,
    mean_cosine,
    pair_distance,
    paired_cosine,
    ranks_among,
    sign_test,
    wilson_interval,
)
from photomaker_core.evaluation.methods import Drawer, DrawnMethod, PhotoMakerMethod, PromptSpec, TextOnlyMethod
from photomaker_core.evaluation.mixing import mixing_study, mixing_table
from photomaker_core.evaluation.networks import MetricNetworks
from photomaker_core.evaluation.paired_results import _difference
from photomaker_core.evaluation.people import Person, drawn_blends, drawn_people, load_people
from photomaker_core.evaluation.result_tables import write_report
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.nano.attributes import ATTRIBUTES
from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY
from photomaker_core.sampling.generation import GenerationSettings
from tests.support.tiny_model import NEWTON, TINY_ADAPTER, TINY_BASE

COLOURS = {"red": (200, 20, 20), "green": (20, 160, 40), "blue": (30, 40, 200)}
PROMPTS = (EvaluationPrompt("own", "a photo of a {person}"), EvaluationPrompt("own", "a {person} in a hat"))


def colours(pictures: Sequence[Image.Image]) -> Tensor:
    """Mean colours about their centre: a network that tells plain coloured people apart."""
    return torch.tensor(np.stack([np.asarray(one).mean((0, 1)) - 90 for one in pictures])).float()


def words(captions: Sequence[str]) -> Tensor:
    return torch.tensor([[float(len(one)), 1.0, 1.0] for one in captions])


def nearest(pictures: Sequence[Image.Image]) -> list[dict[str, str]]:
    return [
        {"background": min(COLOURS, key=lambda name: np.abs(np.asarray(one).mean((0, 1)) - COLOURS[name]).sum())}
        for one in pictures
    ]


NETWORKS = MetricNetworks(
    text=words, picture=colours, dino=colours, face=colours, perceptual=colours, inception=colours,
    attributes=nearest, face_crop=lambda picture: picture,
)  # fmt: skip


def plain(colour: str) -> Image.Image:
    return Image.new("RGB", (16, 16), COLOURS[colour])


def coloured_people() -> list[Person]:
    return [Person(name, "man", (plain(name), plain(name))) for name in COLOURS]


class Copyist:
    """Draws everybody as they are, or everybody as the first person."""

    def __init__(self, name: str, *, is_faithful: bool) -> None:
        self.name, self._is_faithful = name, is_faithful

    def personalise(self, person: Person) -> Drawer:
        picture = person.photos[0] if self._is_faithful else plain("red")
        return lambda wishes: [picture] * len(wishes)


def test_scores_tell_the_faithful_from_the_indifferent(tmp_path: Path) -> None:
    prompts = (EvaluationPrompt("own", "a {person}", {"background": "red"}),)
    comparison = Comparison(coloured_people(), prompts, 2, NETWORKS)
    results = compare(
        comparison, [lambda: Copyist("Faithful", is_faithful=True), lambda: Copyist("Indifferent", is_faithful=False)]
    )
    faithful, indifferent = (result.scores for result in results)
    assert faithful["ID top-1"] == 100
    assert indifferent["ID top-1"] == pytest.approx(100 / 3)
    assert faithful["Face Sim."] == pytest.approx(100)
    assert indifferent["Face Sim."] < 60
    assert faithful["Face Div."] == pytest.approx(0, abs=1e-6)
    assert results[0].identified == [True] * 6
    assert results[1].rates == {"ID top-1": (2, 6), "Attributes": (6, 6)}
    assert results[0].by_attribute == {"background": (2, 6)}
    assert indifferent["Attributes"] == 100
    assert set(faithful) == {
        "CLIP-T", "CLIP-I", "DINO", "Face Sim.", "Face Div.", "ID top-1", "Attributes", "Speed (s)"
    }  # fmt: skip
    write_report(results, comparison.people, tmp_path)
    assert [one["method"] for one in json.loads((tmp_path / "results.json").read_text())] == ["Faithful", "Indifferent"]
    table = (tmp_path / "results.md").read_text()
    assert "| Faithful |" in table
    assert "33.3 (10–70)" in table
    assert "| Faithful | 2 of 6 |" in table
    with Image.open(tmp_path / "faithful.png") as sheet:
        assert sheet.getpixel((5, 5)) == COLOURS["red"]


def test_two_runs_are_compared_picture_by_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = coloured_people()
    for name, is_faithful, first_seed in (("a", False, 0), ("b", True, 0), ("c", True, 9)):
        comparison = Comparison(people, PROMPTS, 4, MetricNetworks(face=colours), first_seed)
        write_report(compare(comparison, [partial(Copyist, name, is_faithful=is_faithful)]), people, tmp_path / name)
    a, b, c = (str(tmp_path / name / "results.json") for name in "abc")
    assert cli.main(["evaluate", "--compare", a, b]) == 0
    assert "| b against a | 24 | +66.7 (" in capsys.readouterr().out
    assert cli.main(["evaluate", "--compare", b, a]) == 0
    assert "| a against b | 24 | -66.7 (" in capsys.readouterr().out
    (tmp_path / "none.json").write_text("{}")
    mistakes = ((a, c, "other people, prompts"), (a, a, "two methods"), (a, "none", "cannot be read"))
    for one, other, sentence in (*mistakes, (a, str(tmp_path / "none.json"), "Evaluate anew")):
        assert cli.main(["evaluate", "--compare", one, other]) == 2
        assert sentence in capsys.readouterr().err


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_a_paired_difference_turns_round_with_its_runs(outcomes: list[tuple[bool, bool]]) -> None:
    before, after = [first for first, _ in outcomes], [second for _, second in outcomes]
    one, other = _difference("a", "b", before, after), _difference("b", "a", after, before)
    assert -1 <= one.low <= one.difference <= one.high <= 1
    turned = (-other.difference, -other.high, -other.low, other.p)
    assert np.allclose((one.difference, one.low, one.high, one.p), turned)


def test_fid_is_measured_of_many_pictures_beside_that_of_real_ones() -> None:
    people = [Person(name, "man", (plain(name),) * (LEAST_FID_PICTURES // 2)) for name in list(COLOURS)[:2]]
    comparison = Comparison(people, PROMPTS[:1], LEAST_FID_PICTURES // 2, MetricNetworks(inception=colours))
    faithful, indifferent = compare(
        comparison, [lambda: Copyist("Faithful", is_faithful=True), lambda: Copyist("Indifferent", is_faithful=False)]
    )
    assert faithful.scores["FID"] == pytest.approx(0, abs=1e-3)
    assert faithful.scores["FID real"] == pytest.approx(0, abs=1e-3)
    assert indifferent.scores["FID"] > 1000


def test_real_drawings_show_what_the_prompts_want() -> None:
    (person,) = drawn_people(1, 1)
    prompt = next(one for one in PORTRAIT_PROMPTS if one.wants == {"background": "yellow"})
    picture, other = DrawnMethod().personalise(person)([PromptSpec(prompt, 1), PromptSpec(prompt, 2)])
    red, green, blue = picture.getpixel((2, 2))
    assert min(red, green) > 150 > blue
    assert picture.tobytes() != other.tobytes()
    with pytest.raises(UserError, match="cannot be drawn"):
        DrawnMethod().personalise(coloured_people()[0])


def test_rates_come_with_the_interval_that_holds_them() -> None:
    assert wilson_interval(0, 0) == (0, 1)
    assert wilson_interval(81, 263) == pytest.approx((0.2552, 0.3662), abs=5e-4)
    low, high = wilson_interval(10, 10)
    assert low > 0.7
    assert high == pytest.approx(1)


def test_paired_outcomes_are_told_apart_when_they_differ_often_enough() -> None:
    assert sign_test([True, False], [True, False]) == 1
    assert sign_test([False] * 10, [True] * 10) == pytest.approx(2 / 2**10)


@given(st.lists(st.lists(st.floats(-3, 3), min_size=2, max_size=2), min_size=2, max_size=5))
def test_diversity_is_the_mean_over_all_pairs(values: list[list[float]]) -> None:
    rows = torch.tensor(values, dtype=torch.float64)
    pairs = [(one - two).square().sum() for one, two in itertools.combinations(rows, 2)]
    assert pair_distance(rows) == pytest.approx(float(torch.stack(pairs).mean()), abs=1e-9)


def test_columns_without_a_network_are_left_out() -> None:
    comparison = Comparison(coloured_people(), PROMPTS, 1, MetricNetworks(dino=colours))
    (result,) = compare(comparison, [lambda: Copyist("Faithful", is_faithful=True)])
    assert set(result.scores) == {"DINO", "Speed (s)"}


def test_methods_get_the_same_wishes() -> None:
    comparison = Comparison(coloured_people(), PROMPTS, 2, NETWORKS)
    seeds = [wish.seed for person in range(3) for wish in comparison.wishes(person)]
    assert len(set(seeds)) == len(seeds) == 12


def test_photomaker_and_text_alone_are_drawn_with_the_engine(tiny_model: PhotoMaker) -> None:
    photos = tuple(Image.open(path).convert("RGB") for path in NEWTON[:2])
    person = Person("newton", "man", photos)
    settings = GenerationSettings(64, 64, steps=2)
    wishes = [PromptSpec(PROMPTS[0], 1), PromptSpec(PROMPTS[1], 2)]
    drawn = PhotoMakerMethod(tiny_model, settings, photos=2).personalise(person)(wishes)
    again = PhotoMakerMethod(tiny_model, settings, photos=2).personalise(person)(wishes)
    other = TextOnlyMethod(tiny_model, settings).personalise(person)(wishes)
    assert [one.size for one in drawn] == [(64, 64)] * 2
    assert all(one.tobytes() == two.tobytes() for one, two in zip(drawn, again, strict=True))
    assert drawn[0].tobytes() != other[0].tobytes()


def test_mixing_says_whom_the_pictures_show(tiny_model: PhotoMaker) -> None:
    settings = GenerationSettings(64, 64, steps=1)
    results = mixing_study(tiny_model, settings, coloured_people(), PROMPTS, NETWORKS, pairs=2, balances=(0, 100))
    assert [(one.balance, one.pictures) for one in results] == [(0, 4), (100, 4)]
    assert all(one.both_in_top == 1 for one in results), "of three people all are in the top three"
    assert "| 100 % | 4 | 100 % (51–100) |" in mixing_table(results)
    *_, bound = mixing_study(
        tiny_model, settings, coloured_people(), PROMPTS, NETWORKS, pairs=1, balances=(),
        blender=lambda first, _second: [coloured_people()[first].photos[0]],
    )  # fmt: skip
    assert bound.is_bound
    assert bound.first > bound.second
    assert "| 50 %, drawn by the generator | 1 | 100 % (21–100) |" in mixing_table([bound])
    with pytest.raises(UserError, match="same class word"):
        mixing_study(tiny_model, settings, coloured_people()[:1], PROMPTS, NETWORKS, pairs=1)
    with pytest.raises(UserError, match="face network"):
        mixing_study(tiny_model, settings, coloured_people(), PROMPTS, MetricNetworks(), pairs=1)


def test_the_command_compares_photomaker_dreambooth_and_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.yaml").write_text("- a photo of a {person}\n")
    model = ["--base", str(TINY_BASE), "--adapter", str(TINY_ADAPTER), "--drawn", "2", "--photos", "1"]
    quick = [
        "--steps",
        "2",
        "--dreambooth-steps",
        "2",
        "--dreambooth-prior",
        "2",
        "--prompts",
        str(tmp_path / "prompts.yaml"),
    ]
    arguments = ["evaluate", *model, *quick, "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--methods", "photomaker", "dreambooth", "text"]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in ("PhotoMaker", "DreamBooth", "Text only"))
    assert cli.main([*arguments, "--methods", "photomaker", "--style-strength", "0", "100"]) == 0
    assert (tmp_path / "out" / "style-strength.png").stat().st_size > 5000
    assert cli.main([*arguments, "--mix", "1"]) in (0, 2)
    assert cli.main(["evaluate", "--drawn", "0"]) == 2


def test_people_come_from_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        load_people(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no people"):
        load_people(tmp_path)
    home = tmp_path / "isaac newton_man"
    home.mkdir()
    with pytest.raises(UserError, match="no photos"):
        load_people(tmp_path)
    (home / "1.jpg").write_bytes(NEWTON[0].read_bytes())
    (person,) = load_people(tmp_path)
    assert (person.name, person.class_word, len(person.photos)) == ("isaac-newton", "man", 1)
    (tmp_path / "somebody").mkdir()
    with pytest.raises(UserError, match="NAME_CLASSWORD"):
        load_people(tmp_path)


def test_drawn_people_are_always_the_same() -> None:
    first, second = drawn_people(2, 2), drawn_people(2, 2)
    assert [one.name for one in first] == [one.name for one in second]
    assert first[1].photos[1].tobytes() == second[1].photos[1].tobytes()
    assert first[0].photos[0].tobytes() != first[0].photos[1].tobytes()


def test_a_drawn_blend_lies_between_two_people() -> None:
    blends = drawn_blends(FIRST_HELD_OUT_IDENTITY, FIRST_HELD_OUT_IDENTITY + 1, 2)
    assert blends[0].tobytes() != blends[1].tobytes(), "what cannot be averaged is of either"
    again = drawn_blends(FIRST_HELD_OUT_IDENTITY, FIRST_HELD_OUT_IDENTITY + 1, 2)
    assert [one.tobytes() for one in blends] == [one.tobytes() for one in again]


def test_the_prompts_are_of_the_papers_five_kinds_and_ask_for_what_can_be_told() -> None:
    assert {prompt.kind for prompt in PHOTO_PROMPTS} == {
        "expression", "attribute", "decoration", "action", "background"
    }  # fmt: skip
    assert len(PHOTO_PROMPTS) == len(PORTRAIT_PROMPTS) == 40
    assert len({prompt.text for prompt in PHOTO_PROMPTS}) == len({prompt.text for prompt in PORTRAIT_PROMPTS}) == 40
    for prompt in PORTRAIT_PROMPTS:
        assert prompt.wants
        assert all(value in ATTRIBUTES[name] for name, value in prompt.wants.items())
    assert PHOTO_PROMPTS[0].about("sks man") == "a photo of a sks man laughing out loud"


@pytest.mark.parametrize("content", ["- a tree", "42", "- {kind: own}", "[]", "{"])
def test_prompts_that_are_none_are_explained(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"prompt"):
        load_prompts(path)
    with pytest.raises(UserError, match="cannot be read"):
        load_prompts(tmp_path / "nowhere.yaml")


rows = st.integers(2, 6).flatmap(
    lambda count: st.lists(
        st.lists(st.integers(-9, 9).map(float), min_size=3, max_size=3).filter(any), min_size=count, max_size=count
    )
)


@given(rows)
def test_what_is_compared_with_itself_is_alike(values: list[list[float]]) -> None:
    features = torch.tensor(values)
    assert paired_cosine(features, 3 * features) == pytest.approx(1, abs=1e-4)
    assert frechet_distance(features, features.flip(0)) == pytest.approx(0, abs=1e-2)
    assert -1.001 <= mean_cosine(features, features) <= 1.001
    assert pair_distance(features[:1].repeat(3, 1)) == 0


@given(rows, st.integers(-20, 20))
def test_a_shifted_gaussian_is_as_far_as_its_shift(values: list[list[float]], shift: int) -> None:
    features = torch.tensor(values)
    assert frechet_distance(features, features + shift) == pytest.approx(3 * shift**2, abs=0.05)


def test_where_there_is_no_face_nothing_is_alike() -> None:
    nothing = torch.full((1, 3), torch.nan)
    people = torch.eye(3)
    assert ranks_among(torch.cat([nothing, people[1:2]]), people, [0, 1]) == [2, 0]
    assert np.isnan(mean_cosine(nothing, people))
    assert mean_cosine(torch.cat([nothing, people[:1]]), people[:1]) == pytest.approx(1)
    assert np.isnan(pair_distance(nothing))
