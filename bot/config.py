"""The bot's configuration, from the environment or a .env file, validated at start."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.lora_names import unusable_name
from bot.setting_names import unknown_names
from photomaker_core.errors import UserError
from photomaker_core.memory.plans import PLANS_BY_NAME, MemoryPlan
from photomaker_core.nano.shipped_weights import NANO_ADAPTER, NANO_BASE
from photomaker_core.presets.prompt_length import DEFAULT_MAX_CHUNKS, LARGEST_MAX_CHUNKS
from storage import RetentionPeriods

log = logging.getLogger(__name__)

AUTOMATIC_PLAN: Final = "auto"
TURBO: Final = "turbo"
"""The name of the distilled LoRA, and of the quality that draws with it."""


class ConfigError(UserError):
    """The configuration is incomplete or wrong; the sentence names the variable."""


class Settings(BaseSettings):
    """One field a variable; ``.env.example`` describes each."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore")

    discord_token: SecretStr | None = None
    discord_guild_id: int | None = None
    database_url: str = Field(default="sqlite+aiosqlite:///data/photomaker-bot.db", repr=False)
    photomaker_base: str = str(NANO_BASE)
    photomaker_base_config: Path | None = None
    photomaker_adapter: Path = NANO_ADAPTER
    photomaker_insightface_dir: Path | None = None
    photomaker_style_loras: Annotated[dict[str, Path], NoDecode] = Field(default_factory=dict)
    photomaker_turbo_lora: Path | None = None
    turbo_steps: int = Field(default=8, ge=1, le=100)
    turbo_scheduler: Literal["lcm", "tcd", "euler", "ddim"] = "lcm"
    photomaker_fuse_lora: bool = False
    photomaker_channels_last: bool = False
    photomaker_fused_qkv: bool = False
    photomaker_compiled: Path | None = None
    photomaker_memory_plan: str = AUTOMATIC_PLAN
    photomaker_prompt_chunks: int = Field(default=DEFAULT_MAX_CHUNKS, ge=1, le=LARGEST_MAX_CHUNKS)
    photomaker_worker: Literal["thread", "process"] = "thread"
    default_steps: int = Field(default=30, ge=1, le=100)
    default_guidance: float = Field(default=5.0, ge=0, le=20)
    max_steps: int = Field(default=100, ge=1, le=1000)
    max_pictures: int = Field(default=4, ge=1, le=10)
    max_batch: int = Field(default=8, ge=1, le=64)
    max_open_jobs: int = Field(default=10, ge=0)
    max_pictures_a_day: int = Field(default=200, ge=0)
    max_server_open_jobs: int = Field(default=50, ge=0)
    max_server_pictures_a_day: int = Field(default=2000, ge=0)
    max_wait_minutes: int = Field(default=120, ge=0)
    max_uploads_an_hour: int = Field(default=60, ge=0)
    role_weights: Annotated[dict[int, Annotated[float, Field(gt=0, le=100)]], NoDecode] = Field(default_factory=dict)
    max_identities: int = Field(default=50, ge=1)
    max_stored_mib: int = Field(default=100, ge=1)
    keep_pictures: bool = False
    explicit_threshold: float = Field(default=0.5, ge=0, le=1)
    explicit_in_direct_messages: Literal["spoiler", "blur", "refuse"] = "refuse"
    retain_prompts_days: int = Field(default=0, ge=0, le=36_500)
    retain_thumbnails_days: int = Field(default=0, ge=0, le=36_500)
    retain_pictures_days: int = Field(default=0, ge=0, le=36_500)
    retain_jobs_days: int = Field(default=0, ge=0, le=36_500)
    stop_grace_seconds: int = Field(default=30, ge=0, le=3600)
    provenance_operator: str = Field(default="photomaker-bot", min_length=1, max_length=64)
    provenance_source_type: bool = True
    provenance_watermark: bool = True
    provenance_certificate: Path | None = None
    provenance_label: str | None = Field(default=None, max_length=60)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("photomaker_style_loras", mode="before")
    @classmethod
    def _loras_by_name(cls, value: Any) -> Any:
        return _json_object(value, '{"papercut": "/models/papercut.safetensors"}')

    @field_validator("photomaker_style_loras")
    @classmethod
    def _choosable_loras(cls, loras: dict[str, Path]) -> dict[str, Path]:
        name = unusable_name(list(loras))
        if name is not None:
            raise ValueError(f"nobody could choose the name “{name}”: it is empty, or another one is read as the same")
        return loras

    @field_validator("role_weights", mode="before")
    @classmethod
    def _weights_by_role(cls, value: Any) -> Any:
        return _json_object(value, '{"1180000000000000000": 2}')

    @field_validator("database_url")
    @classmethod
    def _usable_url(cls, url: str) -> str:
        scheme, found, rest = url.partition("://")
        driver = _DRIVERS.get(scheme.partition("+")[0])
        if not found or driver is None:
            raise ValueError(
                "it names no database; write sqlite+aiosqlite:///data/photomaker-bot.db "
                "or postgresql+asyncpg://user:password@host/name"
            )
        if scheme != driver:
            needed = driver.partition("+")[2]
            raise ValueError(f"write {driver}://{without_password(rest)} (the bot needs the driver {needed})")
        if driver.startswith("sqlite") and not rest.startswith("/"):
            raise ValueError(f"a file follows three slashes: {driver}:///{rest}")
        try:
            _ = urlsplit(url).port
        except ValueError:
            # The reason would quote a part of a password that holds a slash or a colon.
            raise ValueError("its address is no address; write @ : / in a password as %40 %3A %2F") from None
        return url

    @field_validator("photomaker_worker")
    @classmethod
    def _possible_worker(cls, worker: str) -> str:
        if worker == "process" and sys.platform == "win32":
            raise ValueError("a process needs Linux or macOS; write thread")
        return worker

    @field_validator("photomaker_memory_plan")
    @classmethod
    def _known_plan(cls, name: str) -> str:
        if name != AUTOMATIC_PLAN and name not in PLANS_BY_NAME:
            raise ValueError(f"known are {', '.join((AUTOMATIC_PLAN, *PLANS_BY_NAME))}")
        return name

    @property
    def memory_plan(self) -> MemoryPlan | None:
        """The plan that the operator chose, or ``None`` for the fastest that fits."""
        return PLANS_BY_NAME.get(self.photomaker_memory_plan)

    @property
    def retention(self) -> RetentionPeriods:
        """How long what comes of jobs is kept."""
        return RetentionPeriods(
            self.retain_prompts_days or None,
            self.retain_thumbnails_days or None,
            self.retain_pictures_days or None,
            self.retain_jobs_days or None,
        )

    @property
    def loras(self) -> dict[str, Path]:
        """Every LoRA to load beside the adapter's, by name."""
        turbo = {} if self.photomaker_turbo_lora is None else {TURBO: self.photomaker_turbo_lora}
        return {**self.photomaker_style_loras, **turbo}

    @property
    def is_nano(self) -> bool:
        return self.photomaker_base == str(NANO_BASE)


def load_settings(env_file: Path | None = Path(".env"), **overrides: object) -> Settings:
    """Read the settings; raises :class:`ConfigError` naming every variable that is wrong or misspelt."""
    problems = []
    for one in unknown_names([name.upper() for name in Settings.model_fields], env_file):
        if one.nearest is None:
            log.warning("%s in %s is no setting of the bot; it is ignored", one.name, one.place)
        else:
            problems.append(f"{one.name} in {one.place} is no setting; did you mean {one.nearest}?")
    try:
        settings = Settings(_env_file=env_file, **overrides)  # type: ignore[arg-type, call-arg]
    except ValidationError as error:
        problems += [f"{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
    else:
        if not problems:
            return settings
    raise ConfigError(f"The configuration is not valid. {'; '.join(problems)}. See .env.example.")


def without_password(url: str) -> str:
    """A database's URL, or what follows its scheme, fit to be shown."""
    head, at, place = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, user = head.rpartition("://")
    name, colon, _ = user.partition(":")
    return f"{scheme}{slashes}{name}{colon and ':***'}@{place}"


def _json_object(value: Any, example: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        content = json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is no JSON ({error}); it looks like {example}") from error
    if not isinstance(content, dict):
        raise ValueError(f"this holds no names; it looks like {example}")
    return content


_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
"""The driver that the bot needs, by the database that a URL names."""
