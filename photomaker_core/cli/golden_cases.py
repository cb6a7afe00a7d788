"""The command ``photomaker parity``: every tensor of the golden cases beside the reference's."""

from __future__ import annotations

import argparse
from pathlib import Path

from photomaker_core.library_logging import quiet_libraries


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options on ``parser``."""
    parser.add_argument("cases", type=Path, metavar="DIR")
    parser.add_argument("--adapters", type=Path, help="folder of photomaker-v1/-v2 (default: DIR)")
    parser.add_argument("--base", type=Path, help="base model folder (default: DIR/tiny-sdxl)")
    parser.add_argument(
        "--photos", type=Path, help="folder of the cases' photos (default: DIR/photos, else DIR/../data/photos)"
    )
    parser.set_defaults(run=parity)


def parity(options: argparse.Namespace) -> int:
    """Run every case and print the differences; returns 1 where one is over its tolerance."""
    quiet_libraries()
    from photomaker_core.evaluation.parity import TOLERANCES, GoldenFolders, case_names, run_case

    beside = options.cases / "photos"
    folders = GoldenFolders(
        cases=options.cases,
        adapters=options.adapters or options.cases,
        base=options.base or options.cases / "tiny-sdxl",
        photos=options.photos or (beside if beside.is_dir() else options.cases.parent / "data" / "photos"),
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
