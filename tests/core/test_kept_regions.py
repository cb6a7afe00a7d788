"""Regions that outlive their picture, and people who exchange their places."""

from __future__ import annotations

import pytest
import torch

from photomaker_core.errors import SettingsError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.kept_regions import KEPT_SIDE, ExchangedRegions, KeptRegions, kept_text
from photomaker_core.sampling.regions import LAYOUTS, Regions, equal_shares, layout_named
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import Event, Finished, ImageJob, Runner, Started

GRIDS = ((16, 16), (32, 24), (8, 16), (3, 5), (1, 2))


@pytest.mark.parametrize("people", [2, 3])
@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_kept_is_where_people_were(name: str, people: int) -> None:
    regions = layout_named(name, people)
    kept = KeptRegions(kept_text(regions), people)
    assert torch.equal(kept.on_grid(KEPT_SIDE, KEPT_SIDE), regions.on_grid(KEPT_SIDE, KEPT_SIDE))
    assert kept_text(kept) == kept_text(regions)
    for grid in GRIDS:
        owned = kept.on_grid(*grid)
        if grid[0] * grid[1] >= people:
            assert owned.any((1, 2)).all()
        assert owned.sum(0).max() <= 1


def test_exchanged_people_have_each_others_places() -> None:
    regions = layout_named("in-front-of", 3)
    once = ExchangedRegions(regions)
    for person in range(3):
        assert torch.equal(once.on_grid(32, 32)[person], regions.on_grid(32, 32)[(person + 1) % 3])
    assert torch.equal(ExchangedRegions(regions, 3).on_grid(32, 32), regions.on_grid(32, 32))


@pytest.mark.parametrize("text", ["", "0" * 255, "2" * 256, "x" * 256, "0" * 257])
def test_another_text_is_explained(text: str) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        KeptRegions(text, 2)


def drawn(model: PhotoMaker, photos: tuple[int, int], prompt: str, regions: tuple[Regions | None, ...]) -> list[Event]:
    events: list[Event] = []
    noise = torch.Generator().manual_seed(1)
    stacks = [torch.randn(count, 1, model.id_encoder.width, generator=noise) for count in photos]
    settings = [GenerationSettings(64, 64, steps=3, seed=seed) for seed in (1, 1)]
    runner = Runner(StepEngine(model), 8, preview_every_s=0)
    runner.submit(ImageJob(1, prompt, None, stacks, settings, regions=regions), events.append)
    while not runner.is_idle:
        runner.tick()
    return events


def test_a_jobs_pictures_have_regions_of_their_own_and_say_so(tiny_model: PhotoMaker) -> None:
    left = equal_shares(2)
    right = ExchangedRegions(left)
    *_, end = drawn(tiny_model, (2, 2), "a man img and a woman img", (left, right))
    assert isinstance(end, Finished)
    assert list(end.regions) == [left, right]
    assert end.pictures[0].tobytes() != end.pictures[1].tobytes()
    *_, end = drawn(tiny_model, (2, 2), "a man img and a woman img", (left,))
    assert isinstance(end, Finished)
    assert end.regions[0] is left
    assert end.regions[1] is not None
    assert end.regions[1].people == 2


def test_photos_that_find_no_room_are_told(tiny_model: PhotoMaker) -> None:
    started, *_ = drawn(tiny_model, (60, 40), "a man img and a woman img " + "in the sea " * 80, ())
    assert isinstance(started, Started)
    assert started.photos_given == (60, 40)
    assert started.photos_used < (60, 40)
