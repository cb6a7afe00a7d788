"""The two commands as an operator uses them: what they print, what they leave behind, how they end."""

from __future__ import annotations

import asyncio
import csv
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import discord
import pytest
import yaml
from aiohttp import web
from PIL import Image
from safetensors.torch import load_file

from bot import cli as bot_cli
from photomaker_core.cli import main as core_cli
from photomaker_core.loading.adapter import load_adapter, save_adapter
from photomaker_core.models.id_encoder import IdEncoder
from tests.conftest import NEWTON, TINY_ADAPTER, TINY_BASE
from tests.single_file import uneven_pipeline, write_single_file

TINY = ["--base", str(TINY_BASE), "--adapter", str(TINY_ADAPTER), "--steps", "2"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("DISCORD_", "PHOTOMAKER_", "DATABASE_")):
            monkeypatch.delenv(name)
    return tmp_path


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def generate(*options: str, photos: list[Path] | None = None) -> int:
    return core_cli.main(["generate", "--identity", *map(str, photos or NEWTON), *TINY, *options])


def test_generate_draws_pictures_that_their_seeds_reproduce(here: Path) -> None:
    assert generate("--prompt", "a man img in a red hat", "--seed", "7", "--count", "2", "--out", "first") == 0
    assert generate("--prompt", "a man img in a red hat", "--seed", "8", "--out", "second") == 0
    assert sorted(path.name for path in Path("first").iterdir()) == ["7.png", "8.png"]
    assert Path("first/8.png").read_bytes() == Path("second/8.png").read_bytes()
    assert Path("first/7.png").read_bytes() != Path("first/8.png").read_bytes()
    assert size("first/7.png") == (128, 128)


def test_generate_takes_a_single_file_base_aspect_style_and_scheduler(here: Path) -> None:
    pipeline = uneven_pipeline(TINY_BASE)
    pipeline.save_pretrained("configuration")
    write_single_file(pipeline, Path("base.safetensors"))
    encoder = IdEncoder(load_adapter(TINY_ADAPTER).id_encoder.vision_model.config, (128, 160))
    save_adapter(Path("photomaker-v1.safetensors"), encoder, {})
    options = ["--base", "base.safetensors", "--base-config", "configuration", "--aspect", "16:9"]
    options += ["--adapter", "photomaker-v1.safetensors", "--style", "Cinematic", "--scheduler", "dpmpp_2m_karras"]
    assert generate("--prompt", "a man img", "--seed", "1", *options) == 0
    width, height = size("out/1.png")
    assert width > height


def test_generate_says_where_it_put_the_trigger_and_what_it_left_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("--prompt", "a man " + "in a very red hat " * 30) == 0
    printed = capsys.readouterr().out
    assert "The trigger word was inserted: a man img in" in printed
    assert "the model does not see:" in printed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--prompt", "a tree"], "img"),
        (["--prompt", "a man img", "--count", "0"], "--count must be at least 1"),
        (["--prompt", "a man img", "--seed", "-1"], "seed"),
        (["--prompt", "a man img", "--steps", "0"], "Steps must be between"),
        (["--prompt", "a man img", "--aspect", "7:1"], "7:1"),
        (["--prompt", "a man img", "--style", "Baroque"], "Baroque"),
        (["--prompt", "a man img", "--scheduler", "magic"], "magic"),
        (["--prompt", "a man img", "--adapter", "nowhere.bin"], "nowhere.bin"),
        (["--prompt", "a man img", "--base", "nowhere/base"], "nowhere/base"),
        (["--prompt", "a man img", "--lora", "nowhere.safetensors:0.5"], "nowhere.safetensors"),
    ],
)
def test_generate_answers_a_mistake_with_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert generate(*options) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("photomaker: ")
    assert sentence in printed.err
    assert not Path("out").exists() or not list(Path("out").iterdir())


@pytest.mark.parametrize(("content", "sentence"), [(None, "No such file"), (b"hello", "not a picture")])
def test_generate_answers_a_bad_photo_with_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, sentence: str
) -> None:
    if content is not None:
        Path("me.jpg").write_bytes(content)
    assert generate("--prompt", "a man img", photos=[Path("me.jpg")]) == 2
    assert "me.jpg" in (printed := capsys.readouterr().err)
    assert sentence in printed


def training(steps: int, checkpoint_every: int = 2) -> Path:
    config = {
        "stage": "vae",
        "output": "vae",
        "data": {"identities": 2, "pictures": 5},
        "learning_rate": 1e-3,
        "loop": {
            "steps": steps,
            "batch_size": 2,
            "warmup_steps": 1,
            "schedule": "constant_with_warmup",
            "log_every": 1,
            "checkpoint_every": checkpoint_every,
        },
    }
    path = Path("train.yaml")
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_training_that_was_interrupted_takes_the_same_steps(here: Path) -> None:
    assert core_cli.main(["train", str(training(4)), "--work", "straight"]) == 0
    assert core_cli.main(["train", str(training(2)), "--work", "resumed"]) == 0
    assert core_cli.main(["train", str(training(4)), "--work", "resumed"]) == 0
    exported = [load_file(f"{work}/vae/export/diffusion_pytorch_model.safetensors") for work in ("straight", "resumed")]
    assert all(exported[0][name].equal(exported[1][name]) for name in exported[0])
    for work in ("straight", "resumed"):
        with Path(work, "vae", "log.csv").open(newline="") as file:
            assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"stage": "magic"}, "Unknown stage 'magic'"),
        ({"loop": {"steps": 1}}, "batch_size"),
        ({"data": {"identities": 2}}, "lacks data.pictures"),
        ({"stage": "text_to_image"}, "lacks inputs.vae"),
        ({"stage": "text_to_image", "inputs": {"vae": "nowhere"}}, "run the stage that makes it first"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_training_answers_a_wrong_configuration_with_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], sentence: str
) -> None:
    path = training(1)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    assert core_cli.main(["train", str(path)]) == 2
    assert sentence in capsys.readouterr().err


def test_training_without_a_configuration(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert core_cli.main(["train", "nowhere.yaml"]) == 2
    assert "no training configuration at nowhere.yaml" in capsys.readouterr().err


def test_run_without_a_token_says_where_to_get_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bot_cli.main(["run"]) == 2
    assert "There is no Discord token. Set DISCORD_TOKEN" in capsys.readouterr().err


def test_compile_without_a_place_for_it_says_how_to_name_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bot_cli.main(["compile"]) == 2
    assert "PHOTOMAKER_COMPILED=" in capsys.readouterr().err


def test_the_configuration_names_every_wrong_variable(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text("DEFAULT_STEPS=many\nMAX_BATCH=0\n")
    monkeypatch.setenv("LOG_LEVEL", "CHATTY")
    assert bot_cli.main(["run"]) == 2
    printed = capsys.readouterr().err
    assert all(name in printed for name in ("DEFAULT_STEPS", "MAX_BATCH", "LOG_LEVEL", ".env.example"))
    assert "Traceback" not in printed


@pytest.fixture
def refusing_discord(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A local server in Discord's place that accepts no token; yields the paths it was asked for."""
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"message": "401: Unauthorized", "code": 0}, status=401)

    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    monkeypatch.setattr(discord.http.Route, "BASE", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield asked
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(runner.cleanup())
    loop.close()


def test_run_with_a_token_that_discord_refuses(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, refusing_discord: list[str]
) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "not.a.token")
    assert bot_cli.main(["run"]) == 2
    assert refusing_discord == ["/users/@me"]
    assert "Discord does not accept this token" in (printed := capsys.readouterr().err)
    assert "not.a.token" not in printed


def test_doctor_finds_everything_that_is_wrong_at_once(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, refusing_discord: list[str]
) -> None:
    Path("file").write_text("in the way")
    monkeypatch.setenv("DISCORD_TOKEN", "not.a.token")
    monkeypatch.setenv("DATABASE_URL", "sqlite+aiosqlite:///file/bot.db")
    monkeypatch.setenv("PHOTOMAKER_BASE", str(TINY_BASE))
    monkeypatch.setenv("PHOTOMAKER_ADAPTER", "nowhere.bin")
    assert bot_cli.main(["doctor"]) == 1
    findings = {line.split(":")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "copy it anew" in findings["✗ token"]
    assert "file" in findings["✗ database"]
    assert "nowhere.bin" in findings["✗ model"]


def test_doctor_without_a_token_accepts_the_rest(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOMAKER_BASE", str(TINY_BASE))
    monkeypatch.setenv("PHOTOMAKER_ADAPTER", str(TINY_ADAPTER))
    assert bot_cli.main(["doctor"]) == 1
    findings = capsys.readouterr().out
    assert "✗ token: DISCORD_TOKEN is not set" in findings
    assert "✓ database: sqlite+aiosqlite:///data/photomaker-bot.db" in findings
    assert "✓ model: PhotoMaker V1 on tiny-sdxl, 128 x 128 pixels" in findings


@pytest.mark.parametrize("module", ["bot.cli", "photomaker_core.cli.main"])
def test_help_is_immediate_and_clean(here: Path, module: str) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", module, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "COMMAND" in done.stdout
    assert "| torch" not in done.stderr


@pytest.mark.parametrize("module", ["bot.cli", "photomaker_core.cli.main"])
def test_a_command_line_starts_without_loading_the_model_libraries(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
