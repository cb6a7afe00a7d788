"""Settings that are wrong or misspelt are named in a sentence, by every command that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bot import cli as bot_cli
from bot.config import ConfigError, load_settings
from bot.services.model_loading import model_loader
from photomaker_core.sampling.step_engine import StepEngine


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PHOTOMAKER_STYLE_LORAS", "{papercut: /models/papercut.safetensors}", "this is no JSON"),
        ("PHOTOMAKER_STYLE_LORAS", "/models/papercut.safetensors", "it looks like {"),
        ("PHOTOMAKER_STYLE_LORAS", '["a.safetensors"]', "this holds no names"),
        ("PHOTOMAKER_STYLE_LORAS", '{"papercut": 5}', "PHOTOMAKER_STYLE_LORAS"),
        ("ROLE_WEIGHTS", "{1: 2", "this is no JSON"),
        ("ROLE_WEIGHTS", '{"moderators": 2}', "ROLE_WEIGHTS.MODERATORS"),
        ("ROLE_WEIGHTS", '{"118": NaN}', "ROLE_WEIGHTS.118"),
        ("ROLE_WEIGHTS", '{"118": -1}', "ROLE_WEIGHTS.118"),
        ("DEFAULT_GUIDANCE", "nan", "DEFAULT_GUIDANCE"),
        ("DEFAULT_GUIDANCE", "inf", "DEFAULT_GUIDANCE"),
        ("DATABASE_URL", "sqlite:///x.db", "write sqlite+aiosqlite:///x.db"),
        ("DATABASE_URL", "postgresql://me@host/name", "write postgresql+asyncpg://me@host/name"),
        ("DATABASE_URL", "postgres://me@host/name", "write postgresql+asyncpg://me@host/name"),
        ("DATABASE_URL", "sqlite+pysqlite:///x.db", "write sqlite+aiosqlite:///x.db"),
        ("DATABASE_URL", "sqlite+aiosqlite://x.db", "three slashes: sqlite+aiosqlite:///x.db"),
        ("DATABASE_URL", "mysql://me@host/name", "names no database"),
        ("DATABASE_URL", "data/bot.db", "names no database"),
        ("DATABASE_URL", "postgresql+asyncpg://me@host:port/name", "its address is no address"),
        ("PHOTOMAKER_MEMORY_PLAN", "fast", "known are auto"),
        ("PHOTOMAKER_PROMPT_CHUNKS", "0", "PHOTOMAKER_PROMPT_CHUNKS"),
        ("PHOTOMAKER_PROMPT_CHUNKS", "9", "PHOTOMAKER_PROMPT_CHUNKS"),
        ("DISCORD_GUILD_ID", "studio", "DISCORD_GUILD_ID"),
    ],
)
@pytest.mark.parametrize("command", ["run", "doctor"])
def test_a_wrong_value_is_a_sentence(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    sentence: str,
    command: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert bot_cli.main([command]) in (1, 2)
    printed = capsys.readouterr()
    told = printed.err + printed.out
    assert name in told
    assert sentence in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("PHOTOMAKER_BSAE", "PHOTOMAKER_BASE"),
        ("PHOTOMAKER_STYLE_LORA", "PHOTOMAKER_STYLE_LORAS"),
        ("PHOTOMAKER_TURBO", "PHOTOMAKER_TURBO_LORA"),
        ("photomaker_adaptor", "PHOTOMAKER_ADAPTER"),
        ("DISCORD_TOKN", "DISCORD_TOKEN"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("ROLE_WEIGHT", "ROLE_WEIGHTS"),
        ("MAX_BATHC", "MAX_BATCH"),
        ("TURBO_STEP", "TURBO_STEPS"),
    ],
)
@pytest.mark.parametrize("in_file", [True, False])
def test_a_misspelt_name_is_named_with_the_nearest(
    here: Path, monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str, in_file: bool
) -> None:
    if in_file:
        Path(".env").write_text(f"{misspelt}=something\n")
    else:
        monkeypatch.setenv(misspelt, "something")
    with pytest.raises(ConfigError, match=f"{misspelt.upper()} in .* is no setting; did you mean {meant}") as refused:
        load_settings()
    assert (".env" if in_file else "the environment") in str(refused.value)


def test_other_programs_names_are_left_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Path(".env").write_text("POSTGRES_PASSWORD=x\nCOMPOSE_PROJECT_NAME=bot\nDEFAULT_LOCALE=de\n")
    monkeypatch.setenv("DISCORD_WEBHOOK_OF_ANOTHER_PROGRAM", "x")
    assert load_settings().default_steps == 30
    assert "DISCORD_WEBHOOK_OF_ANOTHER_PROGRAM in the environment is no setting" in caplog.text
    assert "POSTGRES" not in caplog.text


def test_right_values_are_read(here: Path) -> None:
    Path(".env").write_text(
        'PHOTOMAKER_STYLE_LORAS={"papercut": "/models/papercut.safetensors"}\nROLE_WEIGHTS={"118": 2}\n'
        "DATABASE_URL=postgresql+asyncpg://me:pass@host:5432/name\nPHOTOMAKER_BASE=\n"
    )
    settings = load_settings()
    assert settings.photomaker_style_loras == {"papercut": Path("/models/papercut.safetensors")}
    assert settings.role_weights == {118: 2.0}
    assert settings.is_nano


@pytest.mark.parametrize("chunks", [1, 4])
def test_the_operator_says_how_long_a_prompt_can_be(here: Path, chunks: int) -> None:
    Path(".env").write_text("" if chunks == 4 else f"PHOTOMAKER_PROMPT_CHUNKS={chunks}\n")
    model = model_loader(load_settings())()
    assert model.max_chunks == chunks
    stack = torch.zeros(1, model.id_encoder.tokens_per_photo, model.id_encoder.width)
    found = StepEngine(model).condition("a man img " + "in a red hat " * 30, None, stack)
    assert bool(found.dropped_text) == (chunks == 1)
