"""The ``photomaker`` command: generate pictures, check parity with the reference, train, evaluate, measure.

The subcommands import what they need themselves: ``--help`` answers at once, and the libraries are hushed
before they load.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from photomaker_core.cli import bench, dataset, evaluate, generate, golden_cases, train
from photomaker_core.cpu_threads import bound_spinning
from photomaker_core.errors import MissingFaceEmbedderError, UnfusedLoraError, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A user's mistake is one sentence on stderr and status 2."""
    bound_spinning()
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        status: int = options.run(options)
        return status
    except MissingFaceEmbedderError as error:
        return _refused(f"{error} Here: --insightface DIR.")
    except UnfusedLoraError as error:
        return _refused(f"{error} Leave --lora out, or choose another --memory-plan.")
    except UserError as error:
        return _refused(str(error))
    except OSError as error:
        # A file that cannot be read or written, or a model that cannot be fetched.
        logging.getLogger(__name__).debug("stopped by the operating system", exc_info=True)
        reason = error.strerror or str(error)
        return _refused(f"{error.filename}: {reason}" if error.filename else reason)
    except KeyboardInterrupt:
        return 130


def _refused(sentence: str) -> int:
    # Libraries' reasons, which some sentences quote, come in several lines.
    print(f"photomaker: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="photomaker", description="PhotoMaker: real people in SDXL pictures.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    generate.add_options(commands.add_parser("generate", help="draw a person from photos"))
    golden_cases.add_options(commands.add_parser("parity", help="compare with golden tensors of the reference"))
    train.add_options(commands.add_parser("train", help="run or resume the training that a YAML file describes"))
    evaluate.add_options(
        commands.add_parser("evaluate", help="measure likeness, agreement with the text, and speed, as the paper does")
    )
    dataset.add_options(commands.add_parser("dataset", help="make a dataset: from names to groups of one person"))
    bench.add_options(commands.add_parser("bench", help="measure speed and memory beside a plain pipeline"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
