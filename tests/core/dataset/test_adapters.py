"""Each adapter on a tiny network of the true architecture with random weights, and the ones that need no weights."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import onnxruntime  # noqa: F401  # the adapter imports it late; an absent package should fail here
import pytest
import torch
from PIL import Image
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessorPil,
    OPTConfig,
    SwinConfig,
)

from photomaker_core.dataset.adapters.clip_regions import ClipRegionScorer
from photomaker_core.dataset.adapters.grabcut import GrabCutSegmenter
from photomaker_core.dataset.adapters.mask2former import Mask2FormerSegmenter
from photomaker_core.dataset.dataset_config import NetworkChoice
from photomaker_core.dataset.network_factory import captioner, face_finder, region_scorer, segmenter
from photomaker_core.errors import ModelError, UserError
from photomaker_core.nano.portrait_set import identity_number, scene_number
from photomaker_core.nano.portraits import draw, face_box
from tests.support.tiny_model import TINY_BASE

FACE = (20.0, 20.0, 44.0, 48.0)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return draw(identity_number(0), scene_number(0, 0))[0]


def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(TINY_BASE / "tokenizer")


def test_mask2former_gives_person_masks_of_the_pictures_size(tmp_path: Path, picture: Image.Image) -> None:
    torch.manual_seed(0)
    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=swin, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
        dim_feedforward=16, encoder_layers=1, decoder_layers=2, num_attention_heads=2, num_queries=6,
        id2label={0: "person", 1: "dog"},
    )  # fmt: skip
    network = Mask2FormerForUniversalSegmentation(config)
    network.class_predictor.bias.data = torch.tensor([4.0, 0.0, 0.0])
    for parameter in network.model.transformer_module.decoder.mask_predictor.parameters():
        parameter.data *= 8  # so that masks are as sure of themselves as trained ones
    network.save_pretrained(tmp_path)
    Mask2FormerImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    masks = segmenter(NetworkChoice("mask2former", {"model": str(tmp_path)})).segment(picture, FACE)
    assert masks
    assert all(mask.shape == (picture.height, picture.width) and mask.dtype == np.bool_ for mask in masks)
    with pytest.raises(ModelError, match="horse"):
        Mask2FormerSegmenter(str(tmp_path), label="horse")


def test_blip_samples_captions_by_the_seed_alone(tmp_path: Path, picture: Image.Image) -> None:
    torch.manual_seed(0)
    words = tokenizer()
    text = {
        "vocab_size": len(words), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "encoder_hidden_size": 16, "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id, "sep_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 16,
    }  # fmt: skip
    BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision)).save_pretrained(tmp_path)
    BlipProcessor(BlipImageProcessorPil(size={"height": 32, "width": 32}), words).save_pretrained(tmp_path)
    blip = captioner(NetworkChoice("blip", {"model": str(tmp_path)}))
    first, again, other = (blip.caption(picture, Random(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_blip2_samples_captions_by_the_seed_alone(tmp_path: Path, picture: Image.Image) -> None:
    torch.manual_seed(0)
    words = tokenizer()
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    opt = OPTConfig(
        vocab_size=len(words) + 1, hidden_size=16, ffn_dim=16, num_hidden_layers=1, num_attention_heads=2,
        word_embed_proj_dim=16, max_position_embeddings=128, pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
    )  # fmt: skip
    config = Blip2Config(
        vision_config={**small, "image_size": 32, "patch_size": 16},
        qformer_config={**small, "encoder_hidden_size": 16, "vocab_size": 50, "cross_attention_frequency": 1},
        text_config=opt.to_dict() | {"model_type": "opt"},
        num_query_tokens=4,
        image_token_index=len(words),
    )
    Blip2ForConditionalGeneration(config).save_pretrained(tmp_path)
    processor = Blip2Processor(BlipImageProcessorPil(size={"height": 32, "width": 32}), words, num_query_tokens=4)
    processor.save_pretrained(tmp_path)
    blip2 = captioner(NetworkChoice("blip2", {"model": str(tmp_path)}))
    first, again, other = (blip2.caption(picture, Random(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_clip_compares_regions_and_words(tmp_path: Path, picture: Image.Image) -> None:
    torch.manual_seed(0)
    words = tokenizer()
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**small, "vocab_size": len(words), "eos_token_id": words.eos_token_id},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    clip = region_scorer(NetworkChoice("clip", {"model": str(tmp_path)}))
    assert isinstance(clip, ClipRegionScorer)
    similarities = clip.region_similarities(picture, ["a man", "a woman in a hat"])
    assert len(similarities) == 2
    assert all(-1.001 <= one <= 1.001 for one in similarities)
    assert clip.label_similarities(["person"], "person") == pytest.approx([1.0], abs=1e-5)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (NetworkChoice("blip", {"model": "/nowhere"}), "cannot be loaded"),
        (NetworkChoice("blip3"), "must be one of"),
        (NetworkChoice("blip"), "options of blip"),
        (NetworkChoice("fixed", {"text": "a man", "colour": 3}), "options of fixed"),
    ],
)
def test_what_cannot_be_built_is_said(choice: NetworkChoice, words: str) -> None:
    with pytest.raises(UserError, match=words):
        captioner(choice)


def test_a_missing_onnx_file_is_named() -> None:
    with pytest.raises(ModelError, match=r"no ONNX file at /nowhere\.onnx"):
        face_finder(NetworkChoice("onnx", {"detector": "/nowhere.onnx", "embedder": "/nowhere.onnx"}))


def test_grabcut_cuts_drawn_people_out() -> None:
    overlaps = []
    for person in range(8):
        identity, scene = identity_number(person), scene_number(person, 0)
        portrait, mask = draw(identity, scene)
        (found,) = GrabCutSegmenter().segment(portrait, face_box(identity, scene))
        real = np.asarray(mask) > 127
        overlaps.append((found & real).sum() / (found | real).sum())
    assert np.mean(overlaps) > 0.8


def test_grabcut_survives_faces_at_the_edge_and_plain_pictures() -> None:
    plain = Image.new("RGB", (60, 40), "navy")
    for face in ((-10.0, -10.0, 20.0, 20.0), (50.0, 30.0, 90.0, 90.0), (0.0, 0.0, 60.0, 40.0), (5.0, 5.0, 6.0, 6.0)):
        (mask,) = GrabCutSegmenter().segment(plain, face)
        assert mask.shape == (40, 60)
