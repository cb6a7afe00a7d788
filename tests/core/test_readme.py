"""What the README tells people to type works: every snippet and every command of its own programs.

The tiny base stands in for what has to be downloaded, and few steps for many.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bot import cli as bot_cli
from photomaker_core.cli import main as core_cli
from tests.support.tiny_model import NEWTON, TINY_ADAPTER, TINY_BASE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
SNIPPETS = [code for language, code in BLOCKS if language == "python"]
LINES = "\n".join(code.replace("\\\n", " ") for language, code in BLOCKS if not language).splitlines()
PROSE = re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE)
INLINE = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", PROSE)]
OURS = re.compile(r"photomaker(-bot)? \w")
COMMANDS = sorted({line for line in LINES if OURS.match(line)})
MENTIONED = sorted({line for line in INLINE if OURS.match(line)})
MAKE = sorted({line for line in [*LINES, *INLINE] if line.startswith("make ")})
DOWNLOADED = {
    "SG161222/RealVisXL_V4.0": str(TINY_BASE),
    "photomaker-v1.bin": str(TINY_ADAPTER),
    "tests/golden": str(ROOT / "tests" / "golden"),
    "configs/": f"{ROOT / 'configs'}/",
}
SHORTER = {
    "generate": ["--steps", "1"],
    "train dreambooth": ["--steps", "1", "--prior", "1", "--base", str(TINY_BASE)],
    "evaluate": [
        *(
            "--drawn",
            "1",
            "--dreambooth-steps",
            "1",
            "--dreambooth-prior",
            "1",
            "--prompt-stride",
            "99",
            "--steps",
            "1",
        ),
        *("--base", str(TINY_BASE), "--adapter", str(TINY_ADAPTER)),
    ],
}
NEEDS_DATA = "train configs/sdxl-v1.yaml"
TAKES_MINUTES = "bench"


def substituted(text: str) -> str:
    return re.sub("|".join(map(re.escape, DOWNLOADED)), lambda found: DOWNLOADED[found[0]], text)


@pytest.fixture
def photos(here: Path) -> Path:
    for number, photo in enumerate(NEWTON[:2], start=1):
        (here / f"me-{number}.jpg").write_bytes(photo.read_bytes())
    return here


def test_there_is_something_to_run() -> None:
    assert len(SNIPPETS) >= 1
    assert {command.split()[1] for command in COMMANDS} >= {"generate", "parity", "train", "evaluate", "bench"}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_snippet_runs_and_says_nothing(photos: Path, snippet: str) -> None:
    code = substituted(snippet).replace("=1024", "=64")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (photos / "7.png").is_file()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(photos: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    program, *given = shlex.split(command)
    key = next((one for one in SHORTER if " ".join(given).startswith(one)), "")
    arguments = [substituted(argument) for argument in given] + SHORTER.get(key, [])
    if given[0] == TAKES_MINUTES:
        arguments += ["--runs", "0"]  # refused, but only after every option was understood
    main = bot_cli.main if program.endswith("-bot") else core_cli.main
    status = main(arguments)
    printed = capsys.readouterr()
    refused = given[0] == TAKES_MINUTES or " ".join(given).startswith(NEEDS_DATA)
    assert status == (2 if refused else 0), printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("command", MENTIONED)
def test_a_mentioned_command_exists(command: str) -> None:
    program, *arguments = shlex.split(command)
    main = bot_cli.main if program.endswith("-bot") else core_cli.main
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0


@pytest.mark.parametrize("command", MAKE)
def test_the_make_target_exists(command: str) -> None:
    assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
