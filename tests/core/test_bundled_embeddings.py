"""Words that a LoRA file brings: what they stand for, for whom, and where they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from photomaker_core.loading.base_model import load_base
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.models.lora_layers import LoraWeights
from photomaker_core.models.prompt_tokenizer import PromptTokenizer
from photomaker_core.models.text_encoders import TextEncoders
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from tests.support.latents import assert_as_alone
from tests.support.tiny_model import CPU, TINY_ADAPTER, TINY_BASE

WITH: LoraWeights = (("ink", 1.0),)
FEATURES = torch.ones(2, 1, 256)


def vectors(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    first, second = torch.randn(2, count, 128, generator=torch.Generator().manual_seed(seed)) * 0.3
    return first, second


def lora_file(path: Path, words: Mapping[str, tuple[Tensor, Tensor]], strength: float = 0.0) -> Path:
    """A LoRA of one layer; of no strength it changes nothing."""
    module = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q"
    weights = {f"{module}.lora_A.weight": torch.ones(2, 64), f"{module}.lora_B.weight": strength * torch.ones(64, 2)}
    for word, (first, second) in words.items():
        weights |= {f"bundle_emb.{word}.clip_l": first, f"bundle_emb.{word}.clip_g": second}
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PhotoMaker:
    folder = tmp_path_factory.mktemp("loras")
    loaded = load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU)
    loaded.add_style_lora("other", lora_file(folder / "other.safetensors", {"wash": vectors(1, 7)}))
    loaded.add_style_lora(
        "ink", lora_file(folder / "ink.safetensors", {"ink": vectors(3), "soft.wet ink": vectors(2, 1)})
    )
    loaded.add_style_lora("second", lora_file(folder / "second.safetensors", {"ink": vectors(2, 2)}))
    return loaded


def latents(model: PhotoMaker, prompts: Mapping[str, LoraWeights], steps: int = 2) -> list[Tensor]:
    engine = StepEngine(model)
    generations = [
        engine.begin(
            engine.condition(prompt, None, FEATURES, loras),
            GenerationSettings(64, 64, steps, style_loras=loras, seed=1),
        )
        for prompt, loras in prompts.items()
    ]
    while not generations[0].is_done:
        engine.step(generations)
    return [one.latents for one in generations]


def with_diffusers(prompt: str, words: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The prompt's embedding by diffusers' own loader and pipeline."""
    pipeline = load_base(str(TINY_BASE), CPU).pipeline
    for word, pair in words.items():
        for number, (tokenizer, encoder) in enumerate(
            ((pipeline.tokenizer, pipeline.text_encoder), (pipeline.tokenizer_2, pipeline.text_encoder_2))
        ):
            pipeline.load_textual_inversion({word: pair[number]}, token=word, tokenizer=tokenizer, text_encoder=encoder)
    tokens, _, pooled, _ = pipeline.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=False)
    return tokens, pooled


@pytest.mark.parametrize("prompt", ["a man in ink", "ink, a dog", "an ink drawing of ink", "ink ink ink"])
def test_a_word_is_what_diffusers_makes_of_it(model: PhotoMaker, prompt: str) -> None:
    ours = model.text_encoders_under(WITH).encode(prompt)
    tokens, pooled = with_diffusers(prompt, {"ink": vectors(3)})
    torch.testing.assert_close(ours.tokens, tokens, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.pooled, pooled, atol=1e-5, rtol=1e-4)
    plain = model.base.text.encode(prompt)
    assert (ours.tokens - plain.tokens).abs().max() > 0.01


def test_a_word_is_read_by_the_rows_that_draw_with_its_file_alone(model: PhotoMaker) -> None:
    prompt = "a man img in ink"
    (alone,) = latents(model, {prompt: ()})
    (inked,) = latents(model, {prompt: WITH})
    (again,) = latents(model, {prompt: ()})
    assert (inked - alone).abs().max() > 1e-3
    assert torch.equal(alone, again)
    others = [(("other", 1.0),), (("second", 1.0),)]
    (other,), (second,) = (latents(model, {prompt: loras}) for loras in others)
    assert torch.equal(other, alone)
    assert (second - inked).abs().max() > 1e-3


def test_neighbours_in_a_batch_do_not_see_it(model: PhotoMaker) -> None:
    first, neighbour = latents(model, {"a man img in ink": WITH, "a woman img in wash": WITH})
    (alone,) = latents(model, {"a woman img in wash": WITH})
    (plain,) = latents(model, {"a woman img in wash": ()})
    assert_as_alone(neighbour, alone)
    assert_as_alone(alone, plain)
    assert torch.isfinite(first).all()


def test_of_two_files_with_the_same_word_the_first_is_meant(model: PhotoMaker) -> None:
    both = model.text_encoders_under((("second", 1.0), ("ink", 1.0))).encode("in ink")
    assert torch.equal(both.tokens, model.text_encoders_under((("second", 1.0),)).encode("in ink").tokens)


def test_the_person_stands_behind_it_where_they_should(model: PhotoMaker) -> None:
    text = model.text_encoders_under(WITH)
    engine = StepEngine(model)
    for prompt, start in {
        "ink, a man img": 1 + 3 + 2,
        "a man img in ink": 1 + 1,
        "soft.wet ink: a man img": 1 + 2 + 2,
    }.items():
        conditioning = engine.condition(prompt, None, FEATURES, WITH)
        (person,) = conditioning.people
        assert person.merged == range(start, start + 2)
        assert person.text == range(start, start + 1)
        assert conditioning.dropped_text == ""
        plain = text.encode(prompt.replace(" img", ""))
        torch.testing.assert_close(conditioning.text.tokens, plain.tokens)


def test_weights_and_negative_prompts_take_it(model: PhotoMaker) -> None:
    engine = StepEngine(model)
    plain, weighted = (
        engine.condition(prompt, "ink", FEATURES, WITH) for prompt in ("a man img in ink", "a man img in (ink:1.4)")
    )
    places = [
        place
        for place in range(77)
        if (plain.merged.tokens[0, place] - weighted.merged.tokens[0, place]).abs().max() > 1e-4
    ]
    assert set(places) >= set(range(5, 8))
    torch.testing.assert_close(plain.negative.tokens, model.text_encoders_under(WITH).encode("ink").tokens)
    assert (plain.negative.tokens - model.base.text.encode("ink").tokens).abs().max() > 0.01


def test_a_word_is_never_cut_by_the_end_of_a_chunk(model: PhotoMaker) -> None:
    text: TextEncoders = model.text_encoders_under(WITH)
    tokenizer = text.tokenizers[0]
    for before in range(66, 80):
        ids = tokenizer.ids(f"{'a ' * before}ink ink")
        assert [word for word in tokenizer.words(ids) if len(word) > 1] == [list(tokenizer.learnt["ink"])] * 2
        conditioning = StepEngine(model).condition(f"a man img, {'a ' * before}ink", None, FEATURES, WITH)
        assert conditioning.dropped_text == ""
        assert conditioning.merged.tokens.shape[1] == 77 * (1 if before + 6 <= 74 else 2)


@given(text=st.text(max_size=40))
def test_no_text_fails_and_text_without_the_word_is_read_as_ever(model: PhotoMaker, text: str) -> None:
    plain = model.base.text.tokenizers[0]
    learnt = PromptTokenizer(plain.tokenizer, plain.embeddings, plain.length, {"ink": range(5000, 5003)})
    for odd in (text, f"{text} INK", f"ın\u212a {text}", f"{text}ink"):
        ids = learnt.ids(odd)
        learnt.ids(learnt.text(ids))
        if "ink" not in odd.lower() and odd.isascii():
            assert ids == plain.ids(odd)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"clip_l": torch.zeros(2, 128)}, "it lacks the vectors for one of SDXL's text encoders"),
        ({"string_to_param": torch.zeros(2, 128)}, "it lacks the vectors for one of SDXL's text encoders"),
        ({"clip_l": torch.zeros(2, 768), "clip_g": torch.zeros(2, 1280)}, "not 128 and 128 wide"),
        ({"clip_l": torch.zeros(128), "clip_g": torch.zeros(128)}, "not 128 and 128 wide"),
        ({"clip_l": torch.zeros(2, 128), "clip_g": torch.zeros(3, 128)}, "both must have as many"),
        ({"clip_l": torch.zeros(0, 128), "clip_g": torch.zeros(0, 128)}, "both must have as many"),
        ({"clip_l": torch.full((1, 128), torch.nan), "clip_g": torch.zeros(1, 128)}, "values that are no numbers"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_told(
    parts: Mapping[str, Tensor], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU)
    path = lora_file(tmp_path / "odd.safetensors", {})
    save_file(load_file(path) | {f"bundle_emb.wash.{name}": value for name, value in parts.items()}, path)
    model.add_style_lora("odd", path)
    (note,) = model.notes
    assert note.startswith("LoRA “odd”: its bundled embedding “wash” is left out: ")
    assert reason in note
    assert note in caplog.text
    prompt = "a man in wash"
    assert torch.equal(
        model.text_encoders_under((("odd", 1.0),)).encode(prompt).tokens, model.base.text.encode(prompt).tokens
    )
