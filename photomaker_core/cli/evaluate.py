"""``photomaker evaluate``: its options, and the run that they describe."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from photomaker_core.cli.evaluation_progress import TimedMethod
from photomaker_core.cli.model_options import add_model_options, face_embedder
from photomaker_core.cli.option_types import check_counts, not_negative, output_folder, percent
from photomaker_core.cli.speed_options import add_speed_levers
from photomaker_core.errors import UserError
from photomaker_core.garbage_collection import imports_kept
from photomaker_core.library_logging import quiet_libraries
from photomaker_core.memory.plans import PLANS_BY_NAME

if TYPE_CHECKING:
    from PIL import Image

    from photomaker_core.evaluation.evaluation_prompts import EvaluationPrompt
    from photomaker_core.evaluation.methods import Method
    from photomaker_core.evaluation.networks import FaceNetwork, MetricNetworks
    from photomaker_core.evaluation.people import Person
    from photomaker_core.evaluation.study_log import StudyLog
    from photomaker_core.loading.photomaker import PhotoMaker
    from photomaker_core.sampling.generation import GenerationSettings

_METHODS: Final = ("photomaker", "text", "dreambooth", "real")
_DRAWN_PHOTOS: Final = 4
_NVIDIA: Final = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics"
_LORA_NAME: Final = "lora"
_MIX_PROMPTS: Final = 4
_PROMPT_STUDIES: Final = ("weights", "likeness", "length")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options on ``parser``."""
    parser.add_argument("--out", type=Path, default=Path("out/evaluation"), metavar="DIR")
    add_model_options(parser)
    parser.add_argument("--people", type=Path, metavar="DIR", help="folders NAME_CLASSWORD of photos")
    parser.add_argument(
        "--drawn", type=int, default=20, metavar="N", help="without --people: so many procedural people (default: 20)"
    )
    parser.add_argument("--methods", nargs="+", choices=_METHODS, default=["photomaker", "text"])
    parser.add_argument(
        "--photos", type=int, nargs="+", default=[_DRAWN_PHOTOS], metavar="N", help="ID photos; one row for each number"
    )
    parser.add_argument(
        "--style-strength", type=percent, nargs="+", default=[20.0], metavar="PERCENT", help="one row for each"
    )
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="YAML list of texts with {person}")
    parser.add_argument("--prompt-stride", type=int, default=1, metavar="N", help="every so many of the prompts")
    parser.add_argument("--pictures", type=int, default=1, metavar="N", help="pictures for each prompt (default: 1)")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=not_negative, default=5.0)
    add_speed_levers(parser)
    parser.add_argument("--scheduler", default="euler")
    parser.add_argument("--lora", type=Path, metavar="FILE", help="a LoRA to draw with, such as a distilled one")
    parser.add_argument("--memory-plan", choices=tuple(PLANS_BY_NAME), help="default: the fastest that fits")
    parser.add_argument(
        "--ablated",
        nargs="+",
        choices=("average", "no-fusion"),
        default=[],
        help="the adapter was trained so: draw with it in the same way",
    )
    parser.add_argument("--mix", type=int, metavar="PAIRS", help="instead: the mixing study with so many pairs")
    parser.add_argument(
        "--prompt-study",
        nargs="+",
        choices=_PROMPT_STUDIES,
        metavar="PART",
        help=f"instead: whether prompts are followed, by weights and to the end: {', '.join(_PROMPT_STUDIES)}",
    )
    parser.add_argument(
        "--together", type=int, metavar="PICTURES", help="instead: so many pictures of several people, drawn each way"
    )
    parser.add_argument(
        "--people-each", type=int, choices=(2, 3), default=2, help="how many people --together shows (default: 2)"
    )
    parser.add_argument(
        "--compare",
        type=Path,
        nargs=2,
        metavar="RESULTS",
        help="instead: the paired test between two results.json of the same people, prompts and seeds",
    )
    parser.add_argument("--dreambooth-steps", type=int, default=400, metavar="N")
    parser.add_argument(
        "--dreambooth-prior", type=int, default=50, metavar="N", help="pictures of its prior (default: 50)"
    )
    parser.add_argument("--dreambooth-rate", type=not_negative, default=1e-4, metavar="RATE", help="its learning rate")
    parser.add_argument(
        "--networks",
        choices=("portrait", "photo"),
        default="portrait",
        help="portrait: nano's own judge, in the package; photo: CLIP and DINO from the Hugging Face hub, and what the "
        "next options and --insightface name",
    )
    parser.add_argument("--clip", metavar="ID", help="hub id or folder (default: openai/clip-vit-large-patch14)")
    parser.add_argument("--dino", metavar="ID", help="hub id or folder (default: facebook/dino-vits16)")
    parser.add_argument("--lpips", type=Path, metavar="FILE", help=f"TorchScript for Face Div.: {_NVIDIA}/vgg16.pt")
    parser.add_argument(
        "--inception", type=Path, metavar="FILE", help=f"TorchScript for FID: {_NVIDIA}/inception-2015-12-05.pt"
    )
    parser.set_defaults(run=evaluate)


def evaluate(options: argparse.Namespace) -> int:
    """Run the comparison, or a study instead of it, and print its table."""
    if options.compare:
        from photomaker_core.evaluation.paired_results import difference_table, paired_differences

        print(difference_table(paired_differences(*options.compare)))
        return 0
    with imports_kept():
        quiet_libraries()
        from photomaker_core.evaluation.comparison import Comparison, compare
        from photomaker_core.evaluation.evaluation_prompts import PHOTO_PROMPTS, PORTRAIT_PROMPTS, load_prompts
        from photomaker_core.evaluation.people import drawn_people, load_people
        from photomaker_core.evaluation.result_tables import plot_trade, write_report
        from photomaker_core.loading.photomaker import load_photomaker
        from photomaker_core.sampling.generation import GenerationSettings

    check_counts(options, "drawn", "pictures", "prompt_stride", "steps", "dreambooth_steps")
    if min(options.photos) < 1:
        raise UserError("--photos must be at least 1.")
    people = load_people(options.people) if options.people else drawn_people(options.drawn, max(options.photos))
    usual = PORTRAIT_PROMPTS if options.networks == "portrait" else PHOTO_PROMPTS
    prompts = (load_prompts(options.prompts) if options.prompts else usual)[:: options.prompt_stride]
    folder = output_folder(options.out)
    face = face_embedder(options)
    networks = _networks(options, face)
    loras = {_LORA_NAME: options.lora} if options.lora else {}
    plan = PLANS_BY_NAME.get(options.memory_plan)
    load = partial(
        load_photomaker,
        options.base,
        options.adapter,
        base_config=options.base_config,
        face_embedder=face,
        style_loras=loras,
    )
    model = load(fuse_lora=plan is not None and plan.unet_weights == "float8", memory_plan=plan)
    model.id_encoder.fuse_module.sees_class_word = "no-fusion" not in options.ablated
    side = model.base.side_px
    settings = GenerationSettings(
        side,
        side,
        options.steps,
        guidance_scale=options.guidance,
        guidance_interval=tuple(options.guidance_interval),
        guidance_every=options.guidance_every,
        cache_every=options.cache_every,
        scheduler=options.scheduler,
        style_loras=tuple((name, 1.0) for name in loras),
    )
    if options.mix is not None:
        return _mix(options, model, settings, people, prompts, networks)
    if options.together is not None:
        return _together(options, model, settings, people, networks)
    if options.prompt_study is not None:
        return _prompt_study(options, model, settings, people, networks)
    load_plain = partial(load, use_lora=False)
    methods = _methods(options, model, settings, load_plain)
    each = len(prompts) * options.pictures
    timed = [partial(_timed, make, len(people), each) for make in methods]
    results = compare(Comparison(people, prompts, options.pictures, networks), timed)
    write_report(results, people, folder)
    if "photomaker" in options.methods and len(options.photos) == 1 < len(options.style_strength):
        plot_trade(list(zip(options.style_strength, results, strict=False)), folder / "style-strength.png")
    print((folder / "results.md").read_text())
    return 0


def _timed(make: Callable[[], Method], people: int, pictures_each: int) -> Method:
    return TimedMethod(make(), people, pictures_each)


def _networks(options: argparse.Namespace, face: FaceNetwork | None) -> MetricNetworks:
    from photomaker_core.evaluation import networks
    from photomaker_core.loading.base_model import best_hardware

    if options.networks == "portrait":
        return networks.portrait_networks()
    clip, dino = options.clip or networks.DEFAULT_CLIP, options.dino or networks.DEFAULT_DINO
    print(f"Networks: CLIP {clip} and DINO {dino}, from the Hugging Face hub or its cache unless they are folders.")
    for option, measure in (("lpips", "Face Div."), ("inception", "FID"), ("insightface", "Face Sim.")):
        path = getattr(options, option)
        print(f"{measure}: {path or f'not measured; --{option} names its network (see --help)'}")
        if path and not path.expanduser().exists():
            raise UserError(f"There is no {path} for --{option}.")
    return networks.photo_networks(
        clip=clip,
        dino=dino,
        face=face,
        lpips=options.lpips,
        inception=options.inception,
        device=best_hardware().device,
    )


def _methods(
    options: argparse.Namespace, model: PhotoMaker, settings: GenerationSettings, load_plain: Callable[[], PhotoMaker]
) -> list[Callable[[], Method]]:
    """``load_plain`` loads the base without the adapter's LoRA, for the methods that know nothing of PhotoMaker."""
    from dataclasses import replace

    from photomaker_core.evaluation.methods import DrawnMethod, DreamBoothMethod, PhotoMakerMethod, TextOnlyMethod
    from photomaker_core.training.dreambooth import DreamBooth

    made: list[Callable[[], Method]] = []
    if "photomaker" in options.methods:
        several = len(options.photos) > 1, len(options.style_strength) > 1
        for photos in options.photos:
            for strength in options.style_strength:
                name = "PhotoMaker" + f" N={photos}" * several[0] + f" {strength:g} %" * several[1]
                changed = replace(settings, style_strength_ratio=strength)
                made.append(partial(PhotoMakerMethod, model, changed, photos, name, "average" in options.ablated))
    if "dreambooth" in options.methods:
        training = DreamBooth(
            steps=options.dreambooth_steps,
            learning_rate=options.dreambooth_rate,
            prior_pictures=options.dreambooth_prior,
            batch_size=4,
        )
        prior = options.out.expanduser() / "prior"
        made.append(
            partial(DreamBoothMethod, options.base, load_plain, settings, training, prior, photos=max(options.photos))
        )
    if "real" in options.methods:
        made.append(DrawnMethod)
    if "text" in options.methods:
        made.append(lambda: TextOnlyMethod(load_plain(), settings))
    return made


def _mix(
    options: argparse.Namespace,
    model: PhotoMaker,
    settings: GenerationSettings,
    people: list[Person],
    prompts: tuple[EvaluationPrompt, ...],
    networks: MetricNetworks,
) -> int:
    from photomaker_core.evaluation.mixing import mixing_study, mixing_table

    stride = max(1, len(prompts) // _MIX_PROMPTS)
    results = mixing_study(
        model,
        settings,
        people,
        prompts[::stride],
        networks,
        pairs=options.mix,
        blender=None if options.people else _blend,
    )
    table = mixing_table(results)
    (options.out.expanduser() / "mixing.md").write_text(table + "\n")
    print(table)
    return 0


def _prompt_study(
    options: argparse.Namespace,
    model: PhotoMaker,
    settings: GenerationSettings,
    people: list[Person],
    networks: MetricNetworks,
) -> int:
    from photomaker_core.evaluation.prompt_study import STUDIES, run_study, study_table

    folder = options.out.expanduser()
    log = _study_log(folder / "prompt-study.jsonl", model, settings, people)
    for part in options.prompt_study:
        pictures = list(STUDIES[part](people, model))
        run_study(model, settings, people, networks, pictures, log)
        table = study_table(pictures, log, len(people))
        (folder / f"prompt-study-{part}.md").write_text(f"{table}\n")
        print(f"{table}\n", flush=True)
    return 0


def _blend(first: int, second: int) -> list[Image.Image]:
    from photomaker_core.evaluation.people import drawn_blends
    from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY

    return drawn_blends(FIRST_HELD_OUT_IDENTITY + first, FIRST_HELD_OUT_IDENTITY + second, _MIX_PROMPTS)


def _together(
    options: argparse.Namespace,
    model: PhotoMaker,
    settings: GenerationSettings,
    people: list[Person],
    networks: MetricNetworks,
) -> int:
    from photomaker_core.evaluation.several_people import group_pictures, group_table, run_group_study

    check_counts(options, "together")
    folder, each = options.out.expanduser(), options.people_each
    if len(people) < each:
        raise UserError(f"{each} people in a picture need at least {each} to draw; there are {len(people)}.")
    shown = folder / f"together-{each}"
    shown.mkdir(exist_ok=True)
    log = _study_log(folder / f"together-{each}.jsonl", model, settings, people)
    pictures = group_pictures(len(people), each, options.together)
    run_group_study(
        model,
        settings,
        people,
        networks,
        pictures,
        log,
        lambda picture, drawn: drawn.save(shown / f"{picture.row}-{picture.seed:04d}.png".replace(" ", "-")),
    )
    table = group_table(pictures, log)
    (folder / f"together-{each}.md").write_text(f"{table}\n")
    print(table)
    return 0


def _study_log(path: Path, model: PhotoMaker, settings: GenerationSettings, people: list[Person]) -> StudyLog:
    """A study's judgements, which depend on the weights, the settings and the people besides their pictures."""
    from photomaker_core.evaluation.study_log import StudyLog, weights_digest

    about = {
        "weights": weights_digest(model.base.unet, *model.base.text.encoders, model.id_encoder),
        "settings": repr(settings),
        "people": [person.name for person in people],
    }
    return StudyLog(path, about)
