"""The command ``photomaker generate``: photos and a prompt become pictures."""

from __future__ import annotations

import argparse
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tqdm import tqdm

from photomaker_core.cli.model_options import add_model_options, face_embedder
from photomaker_core.cli.option_types import check_counts, not_negative, output_folder, percent
from photomaker_core.cli.speed_options import add_speed_levers
from photomaker_core.errors import UserError
from photomaker_core.garbage_collection import imports_kept
from photomaker_core.library_logging import quiet_libraries
from photomaker_core.presets.aspect_ratios import DEFAULT_ASPECT, aspect_named
from photomaker_core.presets.styles import STYLES, style_named

if TYPE_CHECKING:
    from photomaker_core.provenance.marking import Marking

_NEW_SEED_LIMIT: Final = 2**31


@dataclass(frozen=True, slots=True)
class _Lora:
    name: str
    path: Path
    weight: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options on ``parser``."""
    parser.add_argument(
        "--identity",
        type=Path,
        nargs="+",
        action="append",
        default=[],
        metavar="PHOTO",
        help="photos of one person; once for each of several people in the order of the prompt; none: text alone",
    )
    parser.add_argument("--prompt", required=True, help='for example "a man img in a red hat"')
    parser.add_argument(
        "--layout",
        help="where the first of two or three people stands, seen from the others: side-by-side, left-of, right-of or "
        "in-front-of (default: as the picture has it)",
    )
    parser.add_argument("--negative", help="what should not be in the picture")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where pictures go (default: out)")
    add_model_options(parser)
    parser.add_argument("--lora", action="append", default=[], metavar="FILE[:WEIGHT]", help="a style LoRA")
    parser.add_argument("--style", default="None", help=f"one of: {', '.join(STYLES)}")
    parser.add_argument("--aspect", default=DEFAULT_ASPECT, help="for example 16:9")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=not_negative, default=5.0)
    add_speed_levers(parser)
    parser.add_argument(
        "--style-strength", type=percent, default=20.0, help="percent of the steps that follow the text alone"
    )
    parser.add_argument(
        "--scheduler", default="euler", help="euler, euler_a, dpmpp_2m, dpmpp_2m_karras, ddim, lcm or tcd"
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--count", type=int, default=1, help="how many pictures; seeds count up")
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="DIR",
        help="sign the pictures with what photomaker-bot provenance init wrote there",
    )
    parser.add_argument("--no-watermark", action="store_true", help="leave the pixels as they were drawn")
    parser.set_defaults(run=generate)


def generate(options: argparse.Namespace) -> int:
    """Draw the pictures and write them; returns the exit status."""
    check_counts(options, "count")
    style, aspect = style_named(options.style), aspect_named(options.aspect)
    loras = [_lora(number, text) for number, text in enumerate(options.lora, start=1)]
    from photomaker_core.images.photo_decoding import open_photo

    people = [[open_photo(path) for path in paths] for paths in options.identity]
    marking = _marking(options)
    with imports_kept():
        quiet_libraries()
        from photomaker_core.loading.photomaker import load_photomaker
        from photomaker_core.sampling.generation import GenerationSettings
        from photomaker_core.sampling.regions import layout_named
        from photomaker_core.sampling.step_engine import StepEngine

    text = _placed(options.prompt, len(people))
    regions = None if options.layout is None else layout_named(options.layout, len(people))
    prompt, negative = style.apply(text, options.negative)
    folder = output_folder(options.out)
    model = load_photomaker(
        options.base,
        options.adapter,
        base_config=options.base_config,
        face_embedder=face_embedder(options),
        style_loras={one.name: one.path for one in loras},
        use_lora=bool(people),
    )
    width, height = aspect.size_for(model.base.side_px)
    seed = secrets.randbelow(_NEW_SEED_LIMIT) if options.seed is None else options.seed
    engine = StepEngine(model)
    style_loras = tuple((one.name, one.weight) for one in loras)
    stacks = [model.encode_photos(photos) for photos in people]
    conditioning = engine.condition(prompt, negative, stacks, style_loras)
    if conditioning.dropped_text:
        print(f"The prompt is too long; the model does not see: {conditioning.dropped_text}")
    if sum(conditioning.photos_used) < sum(map(len, people)):
        used = zip(conditioning.photos_used, people, strict=True)
        told = ", ".join(f"{number} of {len(photos)}" for number, photos in used)
        print(f"Not all photos find room beside these words; used: {told}")
    generations = [
        engine.begin(
            conditioning,
            GenerationSettings(
                width=width,
                height=height,
                steps=options.steps,
                guidance_scale=options.guidance,
                seed=seed + index,
                scheduler=options.scheduler,
                style_strength_ratio=options.style_strength,
                guidance_interval=tuple(options.guidance_interval),
                guidance_every=options.guidance_every,
                cache_every=options.cache_every,
                style_loras=style_loras,
            ),
            regions=regions,
        )
        for index in range(options.count)
    ]
    with tqdm(total=sum(len(one.scheduler.timesteps) for one in generations), desc="drawing", unit="step") as bar:
        for generation in generations:
            while not generation.is_done:
                engine.step([generation])
                bar.update()
            path = folder / f"{generation.settings.seed}.png"
            path.write_bytes(marking.png(marking.marked(engine.finish(generation))))
            bar.write(str(path))
    return 0


def _marking(options: argparse.Namespace) -> Marking:
    from photomaker_core.provenance.certificates import CertificateError, read_certificate
    from photomaker_core.provenance.marking import Marking
    from photomaker_core.provenance.watermark import tag_of

    certificate = None
    if options.certificate is not None:
        certificate = read_certificate(options.certificate)
        if not certificate.is_current():
            raise CertificateError(
                "The certificate in {path} is valid from {begins:%Y-%m-%d} to {expires:%Y-%m-%d}.",
                path=str(options.certificate),
                begins=certificate.begins,
                expires=certificate.expires,
            )
    tag = None if options.no_watermark else tag_of("photomaker" if certificate is None else certificate.signer)
    return Marking("photomaker", tag, certificate)


def _placed(prompt: str, people: int) -> str:
    """The prompt with a trigger word for each person; raises :class:`UserError` where there are more or fewer."""
    from photomaker_core.conditioning.trigger_placement import (
        DEFAULT_TRIGGER_WORD,
        place_triggers,
        trigger_pattern,
    )

    count = len(trigger_pattern(DEFAULT_TRIGGER_WORD).findall(prompt))
    if not people:
        if count:
            raise UserError("The prompt holds the trigger word, so it needs photos of the person: --identity PHOTO ...")
        return prompt
    if people == 1 < count:
        raise UserError(
            f"The prompt has the trigger word “{DEFAULT_TRIGGER_WORD}” {count} times, for several people. Give "
            "--identity PHOTO ... once for each of them, or use the word once."
        )
    placed = place_triggers(prompt, DEFAULT_TRIGGER_WORD, people)
    if placed.trigger_inserted:
        print(f"The trigger word was inserted: {placed.text}")
    return placed.text


def _lora(number: int, text: str) -> _Lora:
    """``FILE[:WEIGHT]``; two files may have the same name in different folders."""
    path, _, weight = text.rpartition(":")
    if path:
        try:
            value = float(weight)
        except ValueError:
            pass
        else:
            if not -10 <= value <= 10:
                raise UserError(f"A LoRA's weight lies between -10 and 10; {weight} does not.")
            return _Lora(f"{Path(path).stem} ({number})", Path(path), value)
    return _Lora(f"{Path(text).stem} ({number})", Path(text), 1.0)
