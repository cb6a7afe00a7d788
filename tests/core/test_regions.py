"""Several people in one picture: where each is, and that nobody's tokens are seen elsewhere."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photomaker_core.conditioning.person_spans import PersonSpan
from photomaker_core.conditioning.stacking import Conditioning
from photomaker_core.errors import SettingsError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.models.regional_attention import (
    attention_grids,
    attention_to_tokens,
    joined_masks,
    masked_attention,
    padded_tokens,
    region_mask,
)
from photomaker_core.models.text_encoders import TextEmbedding
from photomaker_core.sampling.generation import Branch, Generation, GenerationSettings, Img2ImgInit
from photomaker_core.sampling.regions import (
    LAYOUTS,
    AttentionRegions,
    Box,
    BoxRegions,
    Regions,
    equal_shares,
    layout_named,
    regions_from_attention,
)
from photomaker_core.sampling.schedulers import SCHEDULER_NAMES
from photomaker_core.sampling.step_engine import StepEngine, _Row
from tests.support.latents import assert_as_alone

SPANS = (PersonSpan("man", range(2, 4), range(2, 3)), PersonSpan("woman", range(6, 9), range(5, 6)))


@pytest.fixture(scope="module")
def engine(tiny_model: PhotoMaker) -> StepEngine:
    return StepEngine(tiny_model)


def conditioning(engine: StepEngine, people: int = 2, chunks: int = 1, seed: int = 0) -> Conditioning:
    """Random embeddings of a prompt with so many people; the merged ones may be longer than the others."""
    plain = engine.condition("a man and a woman", None, None)
    noise = torch.Generator().manual_seed(seed)
    merged = torch.randn(1, 77 * chunks, plain.text.tokens.shape[2], generator=noise)
    return replace(plain, merged=TextEmbedding(merged, plain.text.pooled), people=SPANS[:people])


def begin(
    engine: StepEngine, people: int = 2, chunks: int = 1, regions: Regions | None = None, **how: object
) -> Generation:
    given = GenerationSettings(64, 64, **{"steps": 4, "start_merge_step": 1} | how)  # type: ignore[arg-type]
    return engine.begin(conditioning(engine, people, chunks), given, regions=regions)


def drawn(engine: StepEngine, *generations: Generation) -> list[torch.Tensor]:
    while active := [one for one in generations if not one.is_done]:
        engine.step(active)
    return [one.latents for one in generations]


JOB = st.fixed_dictionaries(
    {
        "people": st.integers(0, 2),
        "chunks": st.integers(1, 2),
        "has_boxes": st.booleans(),
        "scheduler": st.sampled_from(SCHEDULER_NAMES),
        "steps": st.integers(2, 4),
        "cache_every": st.integers(1, 2),
        "guidance_every": st.integers(1, 2),
        "start_merge_step": st.integers(0, 2),
        "seed": st.integers(0, 99),
    }
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(JOB, min_size=2, max_size=3))
def test_a_picture_of_several_does_not_depend_on_its_neighbours(
    engine: StepEngine, jobs: list[dict[str, object]]
) -> None:
    def started() -> list[Generation]:
        made = []
        for job in jobs:
            how = dict(job)
            people = int(how.pop("people"))  # type: ignore[call-overload]
            regions = equal_shares(people) if how.pop("has_boxes") and people else None
            made.append(begin(engine, people, regions=regions, **how))  # type: ignore[arg-type]
        return made

    alone = [drawn(engine, one)[0] for one in started()]
    for together, expected in zip(drawn(engine, *started()), alone, strict=True):
        assert_as_alone(together, expected)


def test_one_person_without_regions_takes_no_mask(engine: StepEngine) -> None:
    for people in (0, 1):
        generation = begin(engine, people)
        while not generation.is_done:
            assert not engine._unet_inputs([_Row(generation, branch) for branch in Branch]).masks
            engine.step([generation])
        assert generation.regions is None
        assert generation.attention_to_people is None


def test_a_persons_tokens_are_seen_in_their_region_alone(engine: StepEngine) -> None:
    unet = engine.model.base.unet
    seen: list[torch.Tensor] = []
    attention = unet.down_blocks[1].attentions[0].transformer_blocks[0].attn2
    hook = attention.register_forward_hook(lambda _module, _args, output: seen.append(output))
    regions = layout_named("side-by-side", 2)
    for value in (0.0, 1.0):
        generation = begin(engine, regions=regions, start_merge_step=0)
        generation.steps_done = 1
        generation.conditioning.merged.tokens[0, 2:4] += value
        with torch.no_grad():
            engine._forward([_Row(generation, Branch.POSITIVE)])
    hook.remove()
    changed = (seen[0] - seen[1]).abs().amax(-1)[0] > 1e-7
    assert torch.equal(changed, regions.on_grid(4, 4)[0].flatten())


def test_a_padded_row_is_the_unpadded_one_under_any_attention(engine: StepEngine) -> None:
    unet = engine.model.base.unet
    sample, times = torch.randn(1, 4, 8, 8), torch.tensor([500.0])
    tokens = torch.randn(1, 77, 256)
    pooled = engine.condition("a man", None, None).text.pooled
    added = {"text_embeds": pooled, "time_ids": torch.zeros(1, 6)}
    grids = attention_grids(unet, 8, 8)
    mask = joined_masks([None, None], [77, 154], sample)
    assert mask is not None
    longer = padded_tokens([tokens, torch.zeros(1, 154, 256)])[:1]
    processors = unet.attn_processors
    with torch.no_grad():
        plain = unet(sample, times, tokens, added_cond_kwargs=added).sample
        for is_sliced in (False, True):
            if is_sliced:
                unet.set_attention_slice(1)
            with masked_attention(unet, {height * width: mask[:1] for height, width in grids}):
                padded = unet(sample, times, longer, added_cond_kwargs=added).sample
            torch.testing.assert_close(padded, plain, atol=1e-5, rtol=1e-5)
    unet.set_attn_processor(processors)


def test_the_attention_that_is_read_is_the_one_that_is_paid(engine: StepEngine) -> None:
    unet, generation = engine.model.base.unet, begin(engine)
    paid: list[torch.Tensor] = []
    attentions = [one for block in unet.up_blocks for one in getattr(block, "attentions", [])]

    def keep(module: torch.nn.Module, args: tuple[torch.Tensor], inputs: dict[str, torch.Tensor]) -> None:
        query, key = module.to_q(args[0]), module.to_k(inputs["encoder_hidden_states"])  # type: ignore[operator]
        query, key = (module.head_to_batch_dim(one) for one in (query, key))  # type: ignore[operator]
        paid.append(module.get_attention_scores(query, key).mean(0))  # type: ignore[operator]

    hooks = [one.transformer_blocks[0].attn2.register_forward_pre_hook(keep, with_kwargs=True) for one in attentions]
    given = engine._unet_inputs([_Row(generation, Branch.POSITIVE)])
    with torch.no_grad(), attention_to_tokens(unet, {0: [range(2, 4)]}, [given.tokens.shape[1]]) as found:
        unet(given.sample, given.timesteps, given.tokens, added_cond_kwargs=given.added)
    for hook in hooks:
        hook.remove()
    assert len(paid) == 2 * len(attentions) or len(paid) == len(attentions)
    expected = sum(one[:, 2:4].sum(1) for one in paid[-len(attentions) :])
    torch.testing.assert_close(found[0].flatten(), expected, atol=1e-5, rtol=1e-4)


def test_several_without_regions_are_where_their_words_were_looked_at(engine: StepEngine) -> None:
    generation = begin(engine)
    for _ in range(2):
        engine.step([generation])
        assert generation.regions is None
    assert generation.attention_to_people is not None
    generation.attention_to_people = torch.stack([torch.ones(4, 4), torch.ones(4, 4)])
    generation.attention_to_people[0, :, 2:] = generation.attention_to_people[1, :, :2] = 9
    engine.step([generation])
    assert generation.regions is not None
    assert generation.regions.on_grid(4, 4)[0].tolist() == [[False, False, True, True]] * 4


def test_a_picture_that_begins_behind_the_merge_step_has_equal_shares(engine: StepEngine) -> None:
    from PIL import Image

    how = GenerationSettings(64, 64, steps=8, start_merge_step=0)
    generation = engine.begin(conditioning(engine), how, start=Img2ImgInit(Image.new("RGB", (64, 64)), 0.5))
    engine.step([generation])
    assert generation.regions == equal_shares(2)


def test_regions_for_another_number_of_people_are_explained(engine: StepEngine) -> None:
    for people, regions in ((2, equal_shares(3)), (0, equal_shares(2))):
        with pytest.raises(SettingsError, match=f"regions for {regions.people} people, but the prompt has"):
            begin(engine, people, regions=regions)


EDGE = st.floats(0, 1)


@given(st.lists(st.tuples(EDGE, EDGE, EDGE, EDGE), min_size=1, max_size=3), st.integers(4, 40), st.integers(4, 40))
def test_boxes_give_everybody_a_place_and_nobody_anothers(
    edges: list[tuple[float, float, float, float]], height: int, width: int
) -> None:
    try:
        regions = BoxRegions(tuple(Box(*one) for one in edges))
    except SettingsError:
        return
    grid = regions.on_grid(height, width)
    assert grid.shape == (len(edges), height, width)
    assert grid.any(2).any(1).all()
    assert grid.sum(0).max() <= 1


def test_layouts_say_where_the_first_person_is() -> None:
    for name, people in itertools.product(LAYOUTS, (2, 3)):
        for height, width in ((1, 2), (8, 8), (13, 9), (16, 16), (64, 96)):
            grid = layout_named(name, people).on_grid(height, width)
            if height * width >= people:
                assert grid.any(2).any(1).all()
            assert grid.sum(0).max() == 1
    assert layout_named("left-of", 2).on_grid(4, 4)[0, 0].tolist() == [True, True, False, False]
    assert layout_named("right-of", 2).on_grid(4, 4)[0, 0].tolist() == [False, False, True, True]
    front = layout_named("in-front-of", 2).on_grid(16, 16)
    assert front[0, 15, 8]
    assert not front[0, 0].any()


@pytest.mark.parametrize(
    ("edges", "sentence"),
    [
        ((0, 0, 1.5, 1), "between 0 and 1"),
        ((0, 0, 1.1, 1), "between 0 and 1"),
        ((0, 0, float("nan"), 1), "between 0 and 1"),
        ((float("nan"), 0, 1, 1), "between 0 and 1"),
        ((0.5, 0, 0.5, 1), "below"),
        ((0, 0.7, 1, 0.2), "below"),
    ],
)
def test_boxes_out_of_order_are_explained(edges: tuple[float, ...], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Box(*edges)


def test_what_no_layout_or_box_can_show_is_explained() -> None:
    with pytest.raises(SettingsError, match="Unknown layout"):
        layout_named("above", 2)
    with pytest.raises(SettingsError, match="two or three people, not for 4"):
        layout_named("left-of", 4)
    with pytest.raises(SettingsError, match="Box 2 is hidden"):
        BoxRegions((Box(0, 0, 1, 1), Box(0.2, 0.2, 0.4, 0.4)))


def test_clear_attention_is_followed_and_unclear_is_not() -> None:
    columns = torch.linspace(0, 1, 16).expand(16, 16)
    clear = regions_from_attention(torch.stack([0.1 + columns, 5 * (1.1 - columns)]))
    assert isinstance(clear, AttentionRegions)
    assert clear.on_grid(8, 8)[0, 0].tolist() == [False] * 4 + [True] * 4
    finer = clear.on_grid(64, 64)
    assert finer[0, :, 40:].all()
    assert finer[1, :, :24].all()
    noise = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0))
    for maps in (torch.ones(2, 16, 16), torch.zeros(2, 16, 16), 1 + 0.01 * noise, torch.full((2, 16, 16), torch.nan)):
        assert regions_from_attention(maps) == equal_shares(2)


def test_a_mask_hides_a_span_outside_its_region_only() -> None:
    regions = equal_shares(2).on_grid(1, 2)
    mask = region_mask(regions, [range(1, 2), range(2, 4)], 5)
    hidden = mask == -torch.inf
    assert hidden.tolist() == [[[False, False, True, True, False], [False, True, False, False, False]]]
    joined = joined_masks([mask, None], [5, 3], torch.zeros(1))
    assert joined is not None
    assert torch.equal(joined[0].isinf(), hidden[0])
    assert joined[1].isinf().tolist() == [[False] * 3 + [True] * 2] * 2
    assert joined_masks([None, None], [77, 77], torch.zeros(1)) is None
