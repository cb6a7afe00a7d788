"""The command ``photomaker train``: a YAML file's training, or DreamBooth on one person's photos."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Final

from photomaker_core.cli.option_types import check_counts, not_negative, output_folder
from photomaker_core.errors import UserError
from photomaker_core.garbage_collection import imports_kept
from photomaker_core.library_logging import quiet_libraries
from photomaker_core.nano.shipped_weights import NANO_BASE

_DREAMBOOTH: Final = Path("dreambooth")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options on ``parser``."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file, or the word dreambooth")
    parser.add_argument("--work", type=Path, default=Path("runs"), metavar="DIR", help="where runs lie (default: runs)")
    booth = parser.add_argument_group("dreambooth", "learns one person as a LoRA, the way PhotoMaker makes needless")
    booth.add_argument("--photos", type=Path, nargs="+", default=[], metavar="PHOTO", help="photos of the person")
    booth.add_argument("--class-word", default="person", metavar="WORD", help="man, woman, ... (default: person)")
    booth.add_argument("--base", default=str(NANO_BASE), help="as for generate")
    booth.add_argument("--steps", type=int, default=400)
    booth.add_argument("--learning-rate", type=not_negative, default=1e-4)
    booth.add_argument("--prior", type=int, default=50, metavar="N", help="pictures of the class word (default: 50)")
    booth.add_argument("--full", action="store_true", help="train the whole UNet, not a LoRA")
    parser.set_defaults(run=train)


def train(options: argparse.Namespace) -> int:
    """Run or resume the training; returns the exit status."""
    with imports_kept():
        quiet_libraries()
        from photomaker_core.training.configuration import load_config, run

    if options.config == _DREAMBOOTH:
        return _dreambooth(options)
    config = load_config(options.config)
    run(config, output_folder(options.work))
    return 0


def _dreambooth(options: argparse.Namespace) -> int:
    from photomaker_core.images.photo_decoding import load_photo, normalise_photo, read_photo
    from photomaker_core.training.dreambooth import IDENTIFIER, LORA_RANK, DreamBooth, personalise

    if not options.photos:
        raise UserError("DreamBooth needs photos of the person: --photos PHOTO ...")
    check_counts(options, "steps")
    stored = [normalise_photo(read_photo(path), path.name) for path in options.photos]
    who = f"{options.base} {options.class_word} {options.full}".encode() + b"".join(stored)
    folder = output_folder(options.work) / f"dreambooth-{hashlib.sha256(who).hexdigest()[:8]}"
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
