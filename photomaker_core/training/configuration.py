"""Builds the stage that a YAML configuration names and trains it. Called by ``photomaker train``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from accelerate import PartialState
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
)

from photomaker_core.errors import PromptError, UserError
from photomaker_core.loading.adapter import load_adapter
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.models.text_encoders import TextEncoders
from photomaker_core.nano.architecture import new_text_encoders, new_unet, new_vae, new_vision_tower
from photomaker_core.nano.face_recogniser import FaceRecogniser, load_face_recogniser
from photomaker_core.nano.judge import PortraitJudge, load_judge
from photomaker_core.nano.portrait_set import PortraitSet, portrait_set
from photomaker_core.nano.shipped_weights import NANO_BASE
from photomaker_core.training.checkpoint import completed_steps
from photomaker_core.training.consistency_stage import ConsistencyStage
from photomaker_core.training.diffusion import DiffusionObjective
from photomaker_core.training.drawn_pictures import DrawnPictures
from photomaker_core.training.face_stage import FaceStage
from photomaker_core.training.judge_stage import JudgeStage
from photomaker_core.training.likeness_loss import LikenessLoss
from photomaker_core.training.loop_settings import LoopSettings
from photomaker_core.training.photo_folder import FolderPictures
from photomaker_core.training.photomaker_stage import PhotoMakerStage
from photomaker_core.training.pictures import TrainingPictures, tokenise
from photomaker_core.training.portrait_latents import PortraitLatents
from photomaker_core.training.sample_pictures import SampleSheet
from photomaker_core.training.shard_pictures import Position, ShardPictures
from photomaker_core.training.stage import Stage, ValidatedStage
from photomaker_core.training.text_to_image_stage import TextToImageStage
from photomaker_core.training.trainer import train
from photomaker_core.training.vae_stage import VaeStage
from photomaker_core.training.vision_stage import VisionStage

_HUB: Final = "hub:"
_VALIDATED: Final = frozenset({"consistency", "photomaker", "text_to_image"})
_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run.

    ``output`` and ``inputs`` are relative to the work folder unless absolute; an input ``hub:OWNER/NAME`` is
    a model of the Hugging Face hub. ``data`` is ``{identities, pictures}`` for drawn portraits, or
    ``{folder, side_px}`` for photographs, or ``{shards, side_px}`` for what ``photomaker dataset`` packed, with
    ``workers``, ``buffer`` and ``latent_cache`` as :class:`ShardPictures` explains them. ``validation`` is held-out
    data in the same form.
    """

    stage: str
    output: str
    loop: LoopSettings
    learning_rate: float
    data: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def portraits(self, work: Path) -> PortraitSet:
        try:
            first = self.data.get("first_identity", 0)
            return portrait_set(work, self.data["identities"], self.data["pictures"], first)
        except KeyError as error:
            raise UserError(f"The configuration of stage {self.stage!r} lacks data.{error.args[0]}.") from error

    def option(self, name: str) -> Any:
        """An option that the stage cannot do without; raises :class:`UserError` when it is not there."""
        try:
            return self.options[name]
        except KeyError as error:
            raise UserError(f"The configuration of stage {self.stage!r} lacks options.{name}.") from error

    def input(self, name: str, work: Path) -> str:
        """A folder, a file or a hub id that this run builds on; raises :class:`UserError` when it is not there."""
        try:
            source = self.inputs[name]
        except KeyError as error:
            raise UserError(f"The configuration of stage {self.stage!r} lacks inputs.{name}.") from error
        if source.startswith(_HUB):
            return source.removeprefix(_HUB)
        if not (work / source).exists():
            raise UserError(
                f"inputs.{name} is {work / source}, which does not exist; run the stage that makes it first."
            )
        return str(work / source)


def load_config(path: Path) -> TrainConfig:
    """Read a YAML configuration; a wrong or missing key is a :class:`UserError` that names it."""
    try:
        raw = yaml.safe_load(path.read_text())
        if not isinstance(raw, dict):
            raise UserError(f"{path} is not a valid training configuration: it holds no keys.")
        return TrainConfig(**{**raw, "loop": LoopSettings(**raw["loop"])})
    except FileNotFoundError as error:
        raise UserError(f"There is no training configuration at {path}.") from error
    except (TypeError, KeyError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not a valid training configuration: {error}") from error


def run(config: TrainConfig, work: Path) -> None:
    """Train the configured stage in ``work`` on the best hardware there is; a second call resumes it.

    Started by ``accelerate launch``, every process takes its share of each step.
    """
    try:
        build = _STAGES[config.stage]
    except KeyError as error:
        raise UserError(f"Unknown stage {config.stage!r}; known are {', '.join(_STAGES)}.") from error
    config.loop.check_packages()
    _check_validation(config)
    stage = build(config, work)
    held_out = stage.held_out_loss if config.validation and isinstance(stage, ValidatedStage) else None
    train(stage, config.loop, work / config.output, held_out)


def _check_validation(config: TrainConfig) -> None:
    if config.validation and config.stage not in _VALIDATED:
        raise UserError(
            f"Stage {config.stage!r} has no validation; it is for {', '.join(sorted(_VALIDATED))}. "
            "Take the key validation out."
        )
    if config.validation and config.validation == config.data:
        raise UserError("validation is the same as data; it needs pictures of people who are not trained on.")
    if config.loop.validate_every and not config.validation:
        raise UserError("loop.validate_every needs held-out pictures: the key validation, with what data has.")


def _vae(config: TrainConfig, work: Path) -> Stage:
    pictures = DrawnPictures(config.portraits(work), PartialState().device)
    return VaeStage(
        new_vae(config.loop.seed),
        pictures,
        config.learning_rate,
        face_weight=config.options.get("face_weight", 1.0),
        standardised_on=config.options.get("standardised_on", 256),
    )


def _text_to_image(config: TrainConfig, work: Path) -> Stage:
    vae = _autoencoder(config, work)
    folder = Path(config.input("tokenizers", work)) if "tokenizers" in config.inputs else NANO_BASE
    tokenizers = [CLIPTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2")]
    encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection]
    if "start" in config.inputs:
        start = Path(config.input("start", work))
        unet = UNet2DConditionModel.from_pretrained(start / "unet", dtype=torch.float32)
        encoders = (
            CLIPTextModel.from_pretrained(start / "text_encoder", dtype=torch.float32),
            CLIPTextModelWithProjection.from_pretrained(start / "text_encoder_2", dtype=torch.float32),
        )
    else:
        unet = new_unet(config.loop.seed)
        encoders = new_text_encoders(
            len(tokenizers[0]), (tokenizers[0].pad_token_id, tokenizers[1].pad_token_id), config.loop.seed
        )
    scheduler = EulerDiscreteScheduler(**config.option("noise_schedule"))
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        unet=unet,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    ).to(PartialState().device)
    return TextToImageStage(
        pipeline,
        _latents(config, work, vae),
        _objective(config, scheduler),
        config.learning_rate,
        null_text=config.options.get("null_text", 0.1),
        held_out=_latents(_of_held_out(config), work, vae) if config.validation else None,
    )


def _autoencoder(config: TrainConfig, work: Path) -> AutoencoderKL:
    vae: AutoencoderKL = AutoencoderKL.from_pretrained(config.input("vae", work))
    return vae.to(PartialState().device).requires_grad_(False)


def _vision(config: TrainConfig, work: Path) -> Stage:
    pictures = DrawnPictures(config.portraits(work), PartialState().device)
    return VisionStage(new_vision_tower(config.loop.seed), pictures, config.learning_rate)


def _judge(config: TrainConfig, work: Path) -> Stage:
    vae = _autoencoder(config, work)
    torch.manual_seed(config.loop.seed)
    judge = load_judge(Path(config.input("start", work))).train() if "start" in config.inputs else PortraitJudge()
    return JudgeStage(
        judge.requires_grad_(True),
        vae,
        _latents(config, work, vae),
        config.learning_rate,
        through_vae=config.options.get("through_vae", 0.25),
        goes_on="start" in config.inputs,
    )


def _photomaker(config: TrainConfig, work: Path) -> Stage:
    options = config.options
    if options.get("likeness") and not config.data.keys().isdisjoint(("folder", "shards")):
        raise UserError("options.likeness needs drawn portraits: only of those it is known where the faces are.")
    pipeline = _base_to_adapt(config, work)
    torch.manual_seed(config.loop.seed)
    encoder, lora_start = _adapter_to_train(config, work, pipeline)
    encoder.fuse_module.sees_class_word = options.get("fuse_class_word", True)
    encoder.requires_grad_(True)
    _freeze_lower_layers(encoder, options.get("vision_layers"))
    pictures = _pictures(config, work, pipeline.vae)
    return PhotoMakerStage(
        pipeline,
        encoder.to(pipeline.device),
        pictures,
        _objective(config, pipeline.scheduler),
        lora_rank=config.option("lora_rank"),
        lora_learning_rate=config.learning_rate,
        id_learning_rate=config.option("id_learning_rate"),
        null_text=options.get("null_text", 0.1),
        masked_loss=options.get("masked_loss", 0.5),
        most_id_photos=options.get("most_id_photos", 4),
        lora_start=lora_start,
        average_photos=options.get("average_photos", False),
        likeness=_likeness(config, work, pictures, pipeline.vae),
        samples=_samples(config, work, pipeline, pictures),
    )


def _likeness(config: TrainConfig, work: Path, pictures: TrainingPictures, vae: AutoencoderKL) -> LikenessLoss | None:
    weight = config.options.get("likeness", 0.0)
    if not weight or not isinstance(pictures, PortraitLatents):
        return None
    recogniser = load_face_recogniser(Path(config.input("faces", work)))
    return LikenessLoss(recogniser, vae, pictures, weight)


def _faces(config: TrainConfig, work: Path) -> Stage:
    vae = _autoencoder(config, work)
    torch.manual_seed(config.loop.seed)
    return FaceStage(FaceRecogniser(), vae, _latents(config, work, vae), config.learning_rate)


def _base_to_adapt(config: TrainConfig, work: Path) -> StableDiffusionXLPipeline:
    """The base ``inputs.base`` on this process's device, for a LoRA beside it."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(config.input("base", work), dtype=_base_dtype(config))
    pipeline.to(PartialState().device)
    if pipeline.vae.config.force_upcast:
        pipeline.vae.to(torch.float32)
    if config.options.get("gradient_checkpointing", False):
        pipeline.unet.enable_gradient_checkpointing()
    return pipeline


def _consistency(config: TrainConfig, work: Path) -> Stage:
    pipeline = _base_to_adapt(config, work)
    torch.manual_seed(config.loop.seed)
    low, high = config.options.get("guidance", (3.0, 8.0))
    pictures = _pictures(config, work, pipeline.vae)
    return ConsistencyStage(
        pipeline,
        pictures,
        config.learning_rate,
        lora_rank=config.option("lora_rank"),
        guidance=(low, high),
        samples=_samples(config, work, pipeline, pictures),
    )


def _adapter_to_train(
    config: TrainConfig, work: Path, pipeline: StableDiffusionXLPipeline
) -> tuple[IdEncoder, dict[str, Tensor]]:
    """The adapter ``inputs.start``, to go on with, or a new ID encoder around the tower ``inputs.vision``."""
    if "start" in config.inputs:
        start = load_adapter(Path(config.input("start", work)))
        ranks = {len(value) for name, value in start.lora_weights.items() if name.endswith("lora.down.weight")}
        if ranks - {config.option("lora_rank")}:
            raise UserError(f"options.lora_rank must be that of the adapter to go on with, {max(ranks)}.")
        return start.id_encoder, start.lora_weights
    source = config.input("vision", work)
    tower = _vision_tower(source)
    projections = (pipeline.text_encoder.config.hidden_size, pipeline.text_encoder_2.config.hidden_size)
    encoder = IdEncoder(tower.config, projections)
    encoder.vision_model.load_state_dict(tower.state_dict())
    projection = _clip_projection(source)
    if projection is not None and projection.shape == encoder.visual_projection.weight.shape:
        encoder.visual_projection.load_state_dict({"weight": projection})
    return encoder, {}


def _clip_projection(source: str) -> Tensor | None:
    """CLIP's own visual projection, which PhotoMaker keeps and adds a second one to; ``None`` for a bare tower."""
    if source.endswith(".safetensors"):
        return None
    model, loaded = CLIPVisionModelWithProjection.from_pretrained(source, output_loading_info=True)
    name = "visual_projection.weight"
    return None if name in loaded["missing_keys"] else model.visual_projection.weight.detach()


def _freeze_lower_layers(encoder: IdEncoder, tuned: int | None) -> None:
    """Leave the vision tower as it is but for its last ``tuned`` layers and what comes after them."""
    if tuned is None:
        return
    tower: Any = encoder.vision_model
    tower = getattr(tower, "vision_model", tower)
    layers = tower.encoder.layers
    if not 0 <= tuned <= len(layers):
        raise UserError(f"options.vision_layers is {tuned}; the vision tower has {len(layers)} layers.")
    tower.requires_grad_(False)
    for module in (*layers[len(layers) - tuned :], tower.post_layernorm):
        module.requires_grad_(tuned > 0)


def _vision_tower(source: str) -> CLIPVisionModel:
    """A transformers folder or hub id, or an adapter file: then its vision tower alone."""
    if source.endswith(".safetensors"):
        return load_adapter(Path(source)).id_encoder.vision_model
    return CLIPVisionModel.from_pretrained(source)


def _base_dtype(config: TrainConfig) -> torch.dtype:
    """The precision of the weights that stay as they are."""
    name = config.options.get("base_dtype", "fp32")
    if name not in _DTYPES:
        raise UserError(f"options.base_dtype is {name!r}; it must be one of {', '.join(_DTYPES)}.")
    if name != "fp32" and config.loop.mixed_precision == "no":
        raise UserError(f"options.base_dtype {name} needs loop.mixed_precision: bf16 or fp16.")
    return _DTYPES[name]


def _pictures(config: TrainConfig, work: Path, vae: AutoencoderKL) -> TrainingPictures:
    if "shards" in config.data:
        return _shards(config, work, vae)
    if "folder" not in config.data:
        return _latents(config, work, vae)
    folder = work / config.data["folder"]
    if not folder.is_dir():
        raise UserError(f"data.folder is {folder}, which does not exist.")
    return FolderPictures(folder, vae, int(config.data.get("side_px", 1024)))


def _samples(
    config: TrainConfig, work: Path, pipeline: StableDiffusionXLPipeline, pictures: TrainingPictures
) -> SampleSheet:
    """Samples of held-out people, or of ``pictures`` where there are none."""
    prompts = tuple(config.options.get("sample_prompts", ()))
    try:
        tokenise(TextEncoders.of(pipeline), prompts)
    except PromptError as error:
        raise UserError(f"options.sample_prompts cannot be used: {error}") from error
    sheet = partial(SampleSheet, people=int(config.options.get("sample_people", 4)), prompts=prompts)
    shown = _of_held_out(config) if config.validation else config
    if "shards" in shown.data:
        # A stream goes on and on: it is opened anew, to show the same people again and take none from training.
        return sheet(partial(_shard_pictures, shown, work, pipeline.vae, Position(), workers=0))
    kept = _pictures(shown, work, pipeline.vae) if config.validation else pictures
    return sheet(lambda: kept)


def _of_held_out(config: TrainConfig) -> TrainConfig:
    return replace(config, data={"side_px": config.data.get("side_px", 1024), **config.validation})


def _shards(config: TrainConfig, work: Path, vae: AutoencoderKL) -> ShardPictures:
    state, loop = PartialState(), config.loop
    done = completed_steps(work / config.output) * loop.batch_size * loop.gradient_accumulation
    position = Position(loop.seed, state.process_index, state.num_processes, done)
    return _shard_pictures(config, work, vae, position, workers=int(config.data.get("workers", 2)))


def _shard_pictures(
    config: TrainConfig, work: Path, vae: AutoencoderKL, position: Position, *, workers: int
) -> ShardPictures:
    folder = work / config.data["shards"]
    if not folder.is_dir():
        raise UserError(f"data.shards is {folder}, which does not exist.")
    cache = config.data.get("latent_cache")
    return ShardPictures(
        folder,
        vae,
        int(config.data.get("side_px", 1024)),
        position,
        workers=workers,
        buffer=int(config.data.get("buffer", 512)),
        latent_cache=None if cache is None else work / cache,
    )


def _latents(config: TrainConfig, work: Path, vae: AutoencoderKL) -> PortraitLatents:
    return PortraitLatents.encoded(
        config.portraits(work),
        vae,
        work,
        config.options.get("dyed_hair", 0.0),
        config.options.get("face_weight", 1.0),
    )


def _objective(config: TrainConfig, scheduler: Any) -> DiffusionObjective:
    return DiffusionObjective(
        DDPMScheduler.from_config(scheduler.config),
        config.options.get("snr_gamma", 5.0),
        config.options.get("timestep_focus", 0.0),
    )


_STAGES: dict[str, Callable[[TrainConfig, Path], Stage]] = {
    "vae": _vae,
    "vision": _vision,
    "judge": _judge,
    "faces": _faces,
    "text_to_image": _text_to_image,
    "photomaker": _photomaker,
    "consistency": _consistency,
}
