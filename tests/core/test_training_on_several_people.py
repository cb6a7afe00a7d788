"""Training on pictures of several people: what a set says of them, and conditioning and masks as in drawing."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image

from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.models.regional_attention import attention_grids, region_mask
from photomaker_core.nano import portrait_set as sets
from photomaker_core.nano.portrait_set import NOBODY, PortraitSet, identity_number
from photomaker_core.nano.portraits import SIZE_PX
from photomaker_core.nano.shipped_weights import NANO_ADAPTER, NANO_BASE
from photomaker_core.sampling.regions import equal_shares
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.training.diffusion import DiffusionObjective
from photomaker_core.training.photomaker_stage import PhotoMakerStage, region_masks
from photomaker_core.training.pictures import Example
from photomaker_core.training.portrait_latents import PortraitLatents
from tests.support.drawn_set import PICTURES, draw_small_set


@pytest.fixture(scope="module")
def drawn_set(tmp_path_factory: pytest.TempPathFactory) -> PortraitSet:
    return draw_small_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def nano() -> PhotoMaker:
    return load_photomaker(str(NANO_BASE), NANO_ADAPTER)


@pytest.fixture(scope="module")
def pictures(drawn_set: PortraitSet, nano: PhotoMaker, tmp_path_factory: pytest.TempPathFactory) -> PortraitLatents:
    return PortraitLatents.encoded(drawn_set, nano.base.vae, tmp_path_factory.mktemp("latents"), face_weight=3.0)


@pytest.fixture
def stage(pictures: PortraitLatents) -> PhotoMakerStage:
    nano = load_photomaker(str(NANO_BASE), NANO_ADAPTER, use_lora=False)
    objective = DiffusionObjective(DDPMScheduler.from_config(nano.base.pipeline.scheduler.config))
    rates = {"lora_learning_rate": 1e-3, "id_learning_rate": 1e-3}
    encoder = nano.id_encoder.requires_grad_(True)
    return PhotoMakerStage(nano.base.pipeline, encoder, pictures, objective, lora_rank=4, null_text=0, **rates)


def groups(drawn_set: PortraitSet, size: int = 2) -> list[Example]:
    counts = (drawn_set.people >= 0).sum(-1)
    found = [Example(int(person), int(picture)) for person, picture in zip(*np.nonzero(counts >= size), strict=True)]
    assert len(found) > 5
    return found


def test_a_set_knows_everybody_in_a_picture(drawn_set: PortraitSet, nano: PhotoMaker) -> None:
    tokenizer = nano.base.text.tokenizers[0].tokenizer
    for example in groups(drawn_set):
        where = example.identity, example.picture
        people = [int(number) for number in drawn_set.people[where] if number != NOBODY]
        assert example.identity in people
        assert set(np.unique(drawn_set.masks[where])) <= set(range(len(people) + 1))
        words = [identity_number(person).class_word for person in people]
        everybody, alone = drawn_set.class_tokens[(*where, 0)]
        ids = drawn_set.prompts[(*where, 0)]
        assert [tokenizer.decode([ids[0, place]]).strip() for place in everybody if place != NOBODY] == words
        (place,) = np.nonzero(alone != NOBODY)[0].tolist()
        assert people[place] == example.identity
        assert tokenizer.decode([ids[1, alone[place]]]).strip() == words[place]
        for face, person in zip(drawn_set.faces[where], people, strict=False):
            x, y = (min(SIZE_PX - 1, max(0, round(float(one)))) for one in face[:2])
            assert drawn_set.masks[(*where, y, x)] == people.index(person) + 1 or len(set(people)) < len(people)


def test_people_who_are_not_in_the_set_are_described(tmp_path: Path) -> None:
    folder = sets._folder(tmp_path, 6, PICTURES, 0)
    sets._make_arrays(folder, 6, PICTURES)
    for person in range(6):
        sets._draw_identity(folder, 0, person)
    people, tokens = (np.load(folder / f"{name}.npy") for name in ("people", "class_tokens"))
    elsewhere = people.max(-1) >= 6
    assert elsewhere.sum() > 3
    assert ((tokens[elsewhere][:, 0] != NOBODY).sum(-1) == 1).all()


def test_several_people_are_conditioned_as_in_drawing(
    stage: PhotoMakerStage, pictures: PortraitLatents, drawn_set: PortraitSet, nano: PhotoMaker
) -> None:
    engine, tokenizer = StepEngine(nano), nano.base.text.tokenizers[0].tokenizer
    compared = 0
    for number, example in enumerate(groups(drawn_set)):
        prompts = pictures.prompts([example], nano.base.text, Random(number), describe_identity=False)
        meant = prompts.class_tokens[0] != NOBODY
        photos = [pictures.id_photos(example, person, Random(7), 3) for person in meant.nonzero().flatten().tolist()]
        shown = [[Image.fromarray(drawn_set.pictures[one.identity, one.picture]) for one in group] for group in photos]
        stacks = [nano.encode_photos(group) for group in shown]
        counts = torch.zeros_like(prompts.class_tokens)
        counts[0, meant] = torch.tensor([len(stack) for stack in stacks])
        merged, spans = stage._merged(prompts, torch.cat(stacks).flatten(0, 1), counts)
        words = []
        for place, token in enumerate(prompts.first[0].tolist()):
            if token not in (tokenizer.bos_token_id, tokenizer.eos_token_id):
                words.append(tokenizer.decode([token]).strip())
            if place in prompts.class_tokens[0, meant].tolist():
                words.append("img")
        drawing = engine.condition(" ".join(words), None, stacks if len(stacks) > 1 else stacks[0])
        torch.testing.assert_close(merged.tokens, drawing.merged.tokens, atol=2e-4, rtol=1e-3)
        if len(stacks) > 1:
            own = [person.merged for person in drawing.people]
            people = meant.nonzero().flatten().tolist()
            for person, span in zip(people, own, strict=True):
                assert (spans[0, span.start : span.stop] == person).all()
            assert int((spans != NOBODY).sum()) == sum(map(len, own))
            compared += 1
    assert compared > 2


def test_masks_in_training_are_those_of_drawing(nano: PhotoMaker) -> None:
    grids = attention_grids(nano.base.pipeline.unet, 32, 32)
    spans = torch.full((1, 77), NOBODY)
    places = [range(3, 6), range(9, 10)]
    for person, span in enumerate(places):
        spans[0, span.start : span.stop] = person
    columns = equal_shares(2).on_grid(32, 32).int().argmax(0)
    masks = region_masks(columns.unsqueeze(0), spans, grids)
    assert set(masks) == {height * width for height, width in grids}
    for height, width in grids:
        assert torch.equal(masks[height * width], region_mask(equal_shares(2).on_grid(height, width), places, 77))


def test_a_step_teaches_all_of_the_adapter(stage: PhotoMakerStage) -> None:
    losses = []
    for seed in range(2):
        loss, _ = stage.loss(12, torch.Generator().manual_seed(seed))
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    for group in stage.parameter_groups():
        assert any(one.grad is not None and float(one.grad.abs().max()) > 0 for one in group.parameters)


def test_regions_in_training_are_columns_or_what_is_seen(pictures: PortraitLatents, drawn_set: PortraitSet) -> None:
    examples = groups(drawn_set)
    side = 32
    columns = pictures.columns(examples, side)
    for row, example in enumerate(examples):
        count = int((drawn_set.people[example.identity, example.picture] != NOBODY).sum())
        assert torch.equal(columns[row], equal_shares(count).on_grid(side, side).int().argmax(0))
    outlines = pictures.outlines(examples, side)
    seen = torch.from_numpy(np.stack([drawn_set.masks[one.identity, one.picture] for one in examples]))[:, ::4, ::4]
    owned = seen > 0
    assert torch.equal(outlines[owned], seen[owned].long() - 1)
    assert torch.equal(outlines[~owned], columns[~owned])
    chosen = pictures.regions(examples * 4, Random(0))
    for row in range(len(chosen)):
        assert torch.equal(chosen[row], columns[row % len(examples)]) or torch.equal(
            chosen[row], outlines[row % len(examples)]
        )
