"""The likeness loss: where faces are cut out, whose count, and what its recogniser learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch import Tensor

from photomaker_core.errors import UserError
from photomaker_core.nano.face_recogniser import FaceRecogniser, face_crops
from photomaker_core.nano.portrait_set import NOBODY
from photomaker_core.nano.portraits import SIZE_PX
from photomaker_core.nano.shipped_weights import NANO_ADAPTER, NANO_BASE
from photomaker_core.training.configuration import TrainConfig, run
from photomaker_core.training.diffusion import Denoised, DiffusionObjective
from photomaker_core.training.face_stage import FaceStage
from photomaker_core.training.likeness_loss import LikenessLoss
from photomaker_core.training.loop_settings import LoopSettings
from photomaker_core.training.pictures import Example
from photomaker_core.training.portrait_latents import PortraitLatents
from tests.support.drawn_set import draw_small_set


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    loaded: AutoencoderKL = AutoencoderKL.from_pretrained(NANO_BASE / "vae", torch_dtype=torch.float32)
    return loaded.requires_grad_(False)


@pytest.fixture(scope="module")
def pictures(vae: AutoencoderKL, tmp_path_factory: pytest.TempPathFactory) -> PortraitLatents:
    portraits = draw_small_set(tmp_path_factory.mktemp("set"))
    return PortraitLatents.encoded(portraits, vae, tmp_path_factory.mktemp("latents"))


@pytest.fixture(scope="module")
def likeness(pictures: PortraitLatents, vae: AutoencoderKL) -> LikenessLoss:
    torch.manual_seed(0)
    return LikenessLoss(FaceRecogniser().requires_grad_(False), vae, pictures, 1.0)


def groups(pictures: PortraitLatents, count: int) -> list[Example]:
    people = pictures.portraits.people
    found = [
        Example(person, picture)
        for person in range(people.shape[0])
        for picture in range(people.shape[1])
        if len(set(people[person, picture].tolist()) - {NOBODY}) >= 2
    ]
    assert len(found) >= count
    return found[:count]


def predicting(latents: Tensor, kept: float) -> Denoised:
    """A UNet's answer that amounts to ``latents``, whatever the noise."""
    shares = torch.full((len(latents),), kept)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    root, rest = kept**0.5, (1 - kept) ** 0.5
    velocity = root * noise - rest * latents
    return Denoised(root * latents + rest * noise, velocity, velocity, shares, torch.ones_like(shares), True)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("timestep", [10, 400, 950])
def test_an_exact_prediction_amounts_to_the_picture(kind: str, timestep: int) -> None:
    scheduler = DDPMScheduler(prediction_type=kind)
    objective = DiffusionObjective(scheduler, snr_gamma=None)
    latents, noise = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([timestep, timestep])
    target = objective._target(latents, noise, timesteps)
    shown = Denoised(
        scheduler.add_noise(latents, noise, timesteps),
        target,
        target,
        scheduler.alphas_cumprod[timesteps],
        torch.ones(2),
        kind == "v_prediction",
    )
    torch.testing.assert_close(shown.originals(), latents, atol=2e-3, rtol=2e-3)
    assert shown.loss() == 0


def test_faces_are_cut_out_where_they_are(pictures: PortraitLatents) -> None:
    examples = [Example(person, picture) for person in range(4) for picture in range(4)]
    faces = pictures.faces(examples)
    shown = pictures.pixels(examples)
    rows, people = faces.are_seen.nonzero(as_tuple=True)
    crops = face_crops(shown, rows, faces.ellipses[rows, people])
    assert crops.shape == (len(rows), 3, 64, 64)
    assert 0 <= crops.min() <= crops.max() <= 1
    for crop, row, ellipse in zip(crops, rows, faces.ellipses[rows, people], strict=True):
        x, y = (min(SIZE_PX - 1, max(0, int(one))) for one in ellipse[:2])
        nearby = shown[row, :, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].mean((1, 2))
        assert (crop[:, 31:33, 31:33].mean((1, 2)) - nearby).abs().max() < 0.2
    moved = face_crops(shown.roll((5, 3), (2, 3)), rows, faces.ellipses[rows, people] + torch.tensor([3, 5, 0, 0]))
    torch.testing.assert_close(moved[:, :, 16:48, 16:48], crops[:, :, 16:48, 16:48], atol=1e-4, rtol=0)


def test_the_picture_itself_resembles_its_people_and_another_does_not(
    pictures: PortraitLatents, likeness: LikenessLoss
) -> None:
    examples = [Example(person, 0) for person in range(4)]
    meant = torch.tensor([[True, False, False]] * 4)
    latents = pictures.latents(examples)
    own, cosine = likeness(predicting(latents, 0.8), examples, meant)
    others, _ = likeness(predicting(latents.roll(1, 0), 0.8), examples, meant)
    assert cosine > 0.9
    assert own < others / 3


def test_the_loss_reaches_the_prediction_in_the_face_of_those_who_are_meant(
    pictures: PortraitLatents, likeness: LikenessLoss
) -> None:
    examples = groups(pictures, 2)
    side = pictures.latents(examples).shape[-1]
    columns = pictures.columns(examples, side)
    for person in range(2):
        shown = predicting(pictures.latents(examples).roll(3, 3), 0.5)
        shown.predicted.requires_grad_(True)
        meant = torch.zeros(2, 3, dtype=torch.bool)
        meant[:, person] = True
        loss, _ = likeness(shown, examples, meant)
        (gradient,) = torch.autograd.grad(loss, shown.predicted)
        strength = gradient.abs().sum(1)
        assert strength[columns == person].mean() > 3 * strength[columns != person].mean() > 0


def test_what_is_nearly_noise_counts_little(pictures: PortraitLatents, likeness: LikenessLoss) -> None:
    examples = [Example(0, 0), Example(1, 0)]
    latents = pictures.latents(examples).flip(0)
    clear, noisy = predicting(latents, 0.9), predicting(latents, 0.001)
    mixed = Denoised(
        *(torch.stack([one[0], other[1]]) for one, other in zip(_tensors(clear), _tensors(noisy), strict=True)), True
    )
    meant = torch.tensor([[True, False, False]] * 2)
    both, _ = likeness(mixed, examples, meant)
    first, _ = likeness(clear, examples, meant & torch.tensor([[True], [False]]))
    torch.testing.assert_close(both, first, atol=0.02, rtol=0.02)


def _tensors(shown: Denoised) -> tuple[Tensor, ...]:
    return shown.noisy, shown.predicted, shown.target, shown.kept, shown.weights


def test_the_recogniser_learns_who_people_are(pictures: PortraitLatents, vae: AutoencoderKL, tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = FaceStage(FaceRecogniser(), vae, pictures, 2e-3, through_vae=0)
    (group,) = stage.parameter_groups()
    optimizer = torch.optim.AdamW(group.parameters, lr=group.learning_rate)
    losses, rates = [], []
    for _ in range(12):
        loss, figures = stage.loss(16, torch.Generator().manual_seed(3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        rates.append(float(figures["identity"]))
    assert losses[-1] < losses[0] / 2
    assert rates[-1] > 0.8  # of eight people


def test_photographs_have_no_likeness_loss(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    config = TrainConfig(
        "photomaker",
        "out",
        LoopSettings(1, 1),
        1e-4,
        data={"folder": "photos"},
        inputs={"base": str(NANO_BASE), "start": str(NANO_ADAPTER), "faces": "faces.safetensors"},
        options={"lora_rank": 32, "id_learning_rate": 1e-4, "likeness": 0.4},
    )
    with pytest.raises(UserError, match=r"options\.likeness needs drawn portraits"):
        run(config, tmp_path)
