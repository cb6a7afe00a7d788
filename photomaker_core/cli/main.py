"""The ``photomaker`` command: generate pictures, check parity with the reference, train, evaluate.

The commands import what they need themselves: ``--help`` answers at once, and the libraries are hushed
before they load.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tqdm import tqdm

from photomaker_core.cli import bench, evaluate
from photomaker_core.cli.speed_options import add_speed_levers
from photomaker_core.cpu_threads import bound_spinning
from photomaker_core.errors import UserError
from photomaker_core.library_logging import quiet_libraries
from photomaker_core.nano.weight_files import NANO_ADAPTER, NANO_BASE
from photomaker_core.presets.aspect_ratios import DEFAULT_ASPECT, aspect_named
from photomaker_core.presets.styles import STYLES, style_named

_NEW_SEED_LIMIT: Final = 2**31
_DREAMBOOTH: Final = Path("dreambooth")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A user's mistake is one sentence on stderr and status 2."""
    bound_spinning()
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        status: int = options.run(options)
        return status
    except UserError as error:
        print(f"photomaker: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="photomaker", description="PhotoMaker: real people in SDXL pictures.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    generate = commands.add_parser("generate", help="draw a person from photos")
    generate.add_argument(
        "--identity", type=Path, nargs="+", default=[], metavar="PHOTO", help="photos of one person; none: text alone"
    )
    generate.add_argument("--prompt", required=True, help='for example "a man img in a red hat"')
    generate.add_argument("--negative", help="what should not be in the picture")
    generate.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help="where pictures go (default: out)"
    )
    generate.add_argument(
        "--base", default=str(NANO_BASE), help="hub id, folder or .safetensors (default: the nano model)"
    )
    generate.add_argument(
        "--base-config", type=Path, metavar="DIR", help="diffusers folder with the configuration of a .safetensors base"
    )
    generate.add_argument(
        "--adapter", type=Path, default=NANO_ADAPTER, help="photomaker-v1 or -v2, .bin or .safetensors"
    )
    generate.add_argument("--insightface", type=Path, metavar="DIR", help="folder of antelopev2, for V2 adapters")
    generate.add_argument("--lora", action="append", default=[], metavar="FILE[:WEIGHT]", help="a style LoRA")
    generate.add_argument("--style", default="None", help=f"one of: {', '.join(STYLES)}")
    generate.add_argument("--aspect", default=DEFAULT_ASPECT, help="for example 16:9")
    generate.add_argument("--steps", type=int, default=30)
    generate.add_argument("--guidance", type=float, default=5.0)
    add_speed_levers(generate)
    generate.add_argument(
        "--style-strength", type=float, default=20.0, help="percent of the steps that follow the text alone"
    )
    generate.add_argument(
        "--scheduler", default="euler", help="euler, euler_a, dpmpp_2m, dpmpp_2m_karras, ddim, lcm or tcd"
    )
    generate.add_argument("--seed", type=int)
    generate.add_argument("--count", type=int, default=1, help="how many pictures; seeds count up")
    generate.set_defaults(run=_generate)

    parity = commands.add_parser("parity", help="compare with golden tensors of the reference")
    parity.add_argument("cases", type=Path, metavar="DIR")
    parity.add_argument("--adapters", type=Path, help="folder of photomaker-v1/-v2 (default: DIR)")
    parity.add_argument("--base", type=Path, help="base model folder (default: DIR/tiny-sdxl)")
    parity.add_argument("--photos", type=Path, help="folder of the cases' photos (default: DIR/../data/photos)")
    parity.set_defaults(run=_parity)

    train = commands.add_parser("train", help="run or resume the training that a YAML file describes")
    train.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file, or the word dreambooth")
    train.add_argument("--work", type=Path, default=Path("runs"), metavar="DIR", help="where runs lie (default: runs)")
    train.set_defaults(run=_train)
    booth = train.add_argument_group("dreambooth", "learns one person as a LoRA, the way PhotoMaker makes needless")
    booth.add_argument("--photos", type=Path, nargs="+", default=[], metavar="PHOTO", help="photos of the person")
    booth.add_argument("--class-word", default="person", metavar="WORD", help="man, woman, ... (default: person)")
    booth.add_argument("--base", default=str(NANO_BASE), help="as for generate")
    booth.add_argument("--steps", type=int, default=400)
    booth.add_argument("--learning-rate", type=float, default=1e-4)
    booth.add_argument("--prior", type=int, default=50, metavar="N", help="pictures of the class word (default: 50)")
    booth.add_argument("--full", action="store_true", help="train the whole UNet, not a LoRA")

    evaluate.add_options(
        commands.add_parser("evaluate", help="measure likeness, agreement with the text, and speed, as the paper does")
    )
    bench.add_options(commands.add_parser("bench", help="measure speed and memory beside a plain pipeline"))
    return parser


def _generate(options: argparse.Namespace) -> int:
    quiet_libraries()
    from photomaker_core.conditioning.prompt_tokens import place_trigger, without_trigger
    from photomaker_core.images.preprocessing import load_photo, normalise_photo
    from photomaker_core.loading.photomaker import load_photomaker
    from photomaker_core.models.face_embedder import InsightFaceEmbedder
    from photomaker_core.sampling.generation import GenerationSettings
    from photomaker_core.sampling.step_engine import StepEngine

    if options.count < 1:
        raise UserError(f"--count must be at least 1; {options.count} is not.")
    photos = [load_photo(normalise_photo(_read(path), path.name)) for path in options.identity]
    text = options.prompt
    if photos:
        placed = place_trigger(text)
        text = placed.text
        if placed.trigger_inserted:
            print(f"The trigger word was inserted: {text}")
    elif without_trigger(text) != " ".join(text.split()):
        raise UserError("The prompt holds the trigger word, so it needs photos of the person: --identity PHOTO ...")
    prompt, negative = style_named(options.style).apply(text, options.negative)
    aspect = aspect_named(options.aspect)
    loras = dict(_lora(text) for text in options.lora)
    model = load_photomaker(
        options.base,
        options.adapter,
        base_config=options.base_config,
        face_embedder=InsightFaceEmbedder(options.insightface) if options.insightface else None,
        style_loras={path.stem: path for path in loras},
        use_lora=bool(photos),
    )
    width, height = aspect.size_for(model.base.side_px)
    seed = secrets.randbelow(_NEW_SEED_LIMIT) if options.seed is None else options.seed
    engine = StepEngine(model)
    style_loras = tuple((path.stem, weight) for path, weight in loras.items())
    features = model.encode_photos(photos) if photos else None
    conditioning = engine.condition(prompt, negative, features, style_loras)
    if conditioning.dropped_text:
        print(f"The prompt is too long; the model does not see: {conditioning.dropped_text}")
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
        )
        for index in range(options.count)
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=sum(len(one.scheduler.timesteps) for one in generations), desc="drawing", unit="step") as bar:
        for generation in generations:
            while not generation.is_done:
                engine.step([generation])
                bar.update()
            path = options.out / f"{generation.settings.seed}.png"
            engine.finish(generation).save(path)
            bar.write(str(path))
    return 0


def _parity(options: argparse.Namespace) -> int:
    quiet_libraries()
    from photomaker_core.evaluation.parity import TOLERANCES, GoldenFolders, case_names, run_case

    folders = GoldenFolders(
        cases=options.cases,
        adapters=options.adapters or options.cases,
        base=options.base or options.cases / "tiny-sdxl",
        photos=options.photos or options.cases.parent / "data" / "photos",
    )
    results = [run_case(folders, name) for name in case_names(folders)]
    width = max(len(result.name) for result in results)
    print(f"{'case':{width}}  {'tensor':24} {'difference':>10} {'tolerance':>10}")
    for result in results:
        for name, difference in sorted(result.differences.items(), key=lambda pair: -pair[1]):
            mark = "" if difference <= TOLERANCES[name] else "  OVER"
            print(f"{result.name:{width}}  {name:24} {difference:10.1e} {TOLERANCES[name]:10.1e}{mark}")
    failed = [result.name for result in results if not result.passed]
    print(f"{len(results) - len(failed)} of {len(results)} cases within tolerance")
    return 1 if failed else 0


def _train(options: argparse.Namespace) -> int:
    quiet_libraries()
    from photomaker_core.training.configuration import load_config, run

    if options.config == _DREAMBOOTH:
        return _dreambooth(options)
    run(load_config(options.config), options.work)
    return 0


def _dreambooth(options: argparse.Namespace) -> int:
    from photomaker_core.images.preprocessing import load_photo, normalise_photo
    from photomaker_core.training.dreambooth import IDENTIFIER, LORA_RANK, DreamBooth, personalise

    if not options.photos:
        raise UserError("DreamBooth needs photos of the person: --photos PHOTO ...")
    stored = [normalise_photo(_read(path), path.name) for path in options.photos]
    who = f"{options.base} {options.class_word} {options.full}".encode() + b"".join(stored)
    folder = options.work / f"dreambooth-{hashlib.sha256(who).hexdigest()[:8]}"
    training = DreamBooth(
        steps=options.steps,
        learning_rate=options.learning_rate,
        prior_pictures=options.prior,
        lora_rank=None if options.full else LORA_RANK,
    )
    trained = personalise(options.base, [load_photo(one) for one in stored], options.class_word, training, folder)
    use = f"--base {trained}" if options.full else f"--lora {trained}"
    print(f'photomaker generate {use} --prompt "a photo of {IDENTIFIER} {options.class_word}"')
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"The photo {path} cannot be read: {error.strerror}.") from error


def _lora(text: str) -> tuple[Path, float]:
    path, _, weight = text.rpartition(":")
    if not path:
        return Path(text), 1.0
    try:
        return Path(path), float(weight)
    except ValueError:
        return Path(text), 1.0


if __name__ == "__main__":
    sys.exit(main())
