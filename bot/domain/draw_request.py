"""A request to draw: what a member typed, checked, stored as JSON, and turned into settings for the model."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from bot.config import TURBO
from bot.domain.lora_choice import USUAL_WEIGHT, LoraChoice, chosen_loras
from bot.domain.member_text import cleaned
from bot.domain.several_people import checked_layout, placed_prompt
from bot.i18n.catalogue import ENGLISH, gettext
from photomaker_core.conditioning.prompt_weights import weighted_texts
from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD, PlacedTriggers
from photomaker_core.errors import PromptError, SettingsError, UserError
from photomaker_core.presets.aspect_ratios import DEFAULT_ASPECT, aspect_named
from photomaker_core.presets.styles import style_named
from photomaker_core.sampling.generation import GenerationSettings

MAX_SEED: Final = 2**31 - 1
MAX_PROMPT_CHARACTERS: Final = 1000
DEFAULT_STYLE_STRENGTH: Final = 20.0
DEFAULT_SCHEDULER: Final = "euler"
DEFAULT_STYLE: Final = "None"
MAX_GUIDANCE: Final = 20.0
MAX_STYLE_STRENGTH: Final = 100.0
_SIDE_MULTIPLE_PX: Final = 64


class RequestFormatError(UserError):
    """A stored request cannot be read."""


@dataclass(frozen=True, slots=True)
class WeightedIdentity:
    """A person in the picture and their weight in the mix."""

    identity_id: int
    name: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Turbo:
    """The usual steps and scheduler of a distilled LoRA (LCM, Hyper-SD, Lightning) that the operator has loaded."""

    steps: int
    scheduler: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's limits, and the values taken where a member says nothing; ``loras`` are the style LoRAs' names,
    ``turbo`` is there where a distilled LoRA is loaded."""

    max_steps: int
    max_pictures: int
    default_steps: int
    default_guidance: float
    loras: tuple[str, ...] = ()
    turbo: Turbo | None = None


@dataclass(frozen=True, slots=True)
class DrawOptions:
    """The options as a member typed them, unchecked; ``None`` where they said nothing."""

    prompt: str
    style: str | None = None
    aspect: str | None = None
    quality: str | None = None
    count: int = 1
    negative: str | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    style_strength: float | None = None
    lora: str | None = None
    layout: str | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """A trade of time for fineness: ``steps`` times the usual number, and the whole UNet every so many of them."""

    steps: float = 1.0
    cache_every: int = 1


QUALITIES: Final = {
    TURBO: Quality(),
    "fast": Quality(cache_every=3),
    "normal": Quality(),
    "best": Quality(steps=1.6),
}
DEFAULT_QUALITY: Final = "normal"
_TURBO_GUIDANCE: Final = 1.0


@dataclass(frozen=True, slots=True)
class DrawRequest:
    """A checked request. ``prompt`` and ``negative`` are the member's words, before the style.

    ``weight`` is the member's share of the GPU beside a member of weight 1, when they asked; ``guild_id`` the server
    where they asked, ``language`` that of their Discord; ``notes`` are sentences in it that the reply repeats. A
    request that starts from a picture draws the share ``denoise_strength`` of the schedule anew, at
    ``upscale_factor`` times the usual size, and sees the identity from the first step on: ``style_strength`` counts
    for pictures that start from noise.

    With a ``layout`` the identities are several people in one picture, in the order of the prompt's trigger words;
    without one they are blended into one person. Each takes the place of the one ``exchange`` places after them. Where
    the layout is automatic, ``kept_regions`` says where people were in each picture, for pictures that start from it
    and for people who have exchanged their places (:mod:`bot.domain.places`). ``not_shown`` are the numbers of the
    pictures that were drawn and left out.
    """

    prompt: str
    identities: tuple[WeightedIdentity, ...]
    style: str
    aspect: str
    steps: int
    guidance: float
    seed: int
    count: int
    negative: str | None = None
    trigger_inserted: bool = False
    weight: float = 1.0
    guild_id: int | None = None
    quality: str = DEFAULT_QUALITY
    scheduler: str = DEFAULT_SCHEDULER
    style_strength: float = DEFAULT_STYLE_STRENGTH
    loras: LoraChoice = ()
    denoise_strength: float = 1.0
    upscale_factor: float = 1.0
    language: str = ENGLISH
    notes: tuple[str, ...] = ()
    layout: str | None = None
    exchange: int = 0
    kept_regions: tuple[str, ...] = ()
    not_shown: tuple[int, ...] = ()

    @property
    def shown(self) -> tuple[int, ...]:
        """The numbers of the pictures that its message shows, counted from 0."""
        return tuple(number for number in range(self.count) if number not in self.not_shown)

    def to_json(self) -> dict[str, Any]:
        return {"version": _VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> DrawRequest:
        """Read a stored request, of earlier versions too; fields that are not known are passed over.

        Raises :class:`RequestFormatError` for a request of a later version, and where something is missing or wrong.
        """
        if not content:
            raise RequestFormatError(_EXPIRED)
        try:
            version = int(content.get("version", 1))
            if version > _VERSION:
                raise RequestFormatError(_UNREADABLE)
            renamed = _RENAMED_FIELDS if version == 1 else {}
            fields = {renamed.get(name, name): value for name, value in content.items()}
            if version < _SEVERAL_LORAS and fields.get("lora") is not None:
                fields["loras"] = ((fields["lora"], USUAL_WEIGHT),)
            return _reader().validate_python(fields)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise RequestFormatError(_UNREADABLE) from error

    def styled(self) -> tuple[str, str | None]:
        """Prompt and negative prompt as the model gets them."""
        return style_named(self.style).apply(self.prompt, self.negative)

    def settings(self, side_px: int) -> list[GenerationSettings]:
        """One entry a picture, for a base model of ``side_px``; seeds count up from the request's."""
        width, height = aspect_named(self.aspect).size_for(side_px)
        turbo = ((TURBO, 1.0),) if self.quality == TURBO else ()
        return [
            GenerationSettings(
                width=_enlarged(width, self.upscale_factor),
                height=_enlarged(height, self.upscale_factor),
                steps=self.steps,
                guidance_scale=self.guidance,
                seed=self.seed + index,
                scheduler=self.scheduler,
                style_strength_ratio=self.style_strength if self.denoise_strength == 1 else 0.0,
                cache_every=QUALITIES[self.quality].cache_every,
                style_loras=(*turbo, *self.loras),
            )
            for index in range(self.count)
        ]


def checked_request(
    options: DrawOptions,
    identities: tuple[WeightedIdentity, ...],
    limits: Limits,
    *,
    seed: int,
    guild_id: int | None = None,
    notes: tuple[str, ...] = (),
) -> DrawRequest:
    """Check what a member typed and fill in what they left out; ``seed`` is taken where they named none.

    Raises :class:`PromptError` or :class:`SettingsError` with a sentence for the member.
    """
    prompt = checked_prompt(options.prompt)
    negative = cleaned(options.negative or "") or None
    if negative is not None and len(negative) > MAX_PROMPT_CHARACTERS:
        raise PromptError(
            "The negative prompt is {length} characters long; at most {most} are possible.",
            length=len(negative),
            most=MAX_PROMPT_CHARACTERS,
        )
    layout = None if options.layout is None else checked_layout(options.layout, len(identities))
    placed = placed_prompt(prompt, [one.name for one in identities], layout)
    weighted_texts(negative or "")
    quality = options.quality or DEFAULT_QUALITY
    steps, guidance, scheduler = usual_steps(quality, limits)
    steps = steps if options.steps is None else options.steps
    guidance = guidance if options.guidance is None else options.guidance
    seed = seed if options.seed is None else options.seed
    strength = DEFAULT_STYLE_STRENGTH if options.style_strength is None else options.style_strength
    _check("Steps must be between {low} and {high}; {value} is not.", steps, 1, limits.max_steps)
    _check("Guidance must be between {low} and {high}; {value} is not.", guidance, 0, MAX_GUIDANCE)
    _check("The seed must be between {low} and {high}; {value} is not.", seed, 0, MAX_SEED)
    _check(
        "The number of pictures must be between {low} and {high}; {value} is not.",
        options.count,
        1,
        limits.max_pictures,
    )
    _check("The style strength must be between {low} and {high}; {value} is not.", strength, 0, MAX_STYLE_STRENGTH)
    about_the_person = _note_on_the_person(prompt, placed)
    return DrawRequest(
        prompt=placed.text,
        identities=identities,
        style=style_named(options.style or DEFAULT_STYLE).name,
        aspect=aspect_named(options.aspect or DEFAULT_ASPECT).name,
        steps=steps,
        guidance=guidance,
        seed=seed,
        count=options.count,
        negative=negative,
        trigger_inserted=placed.trigger_inserted and not about_the_person,
        guild_id=guild_id,
        quality=quality,
        scheduler=scheduler,
        style_strength=strength,
        loras=chosen_loras(options.lora or "", limits.loras),
        notes=(*notes, *about_the_person),
        layout=layout,
    )


def checked_prompt(text: str) -> str:
    """A prompt in its normal form; raises :class:`PromptError` for one that is too long."""
    prompt = cleaned(text)
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise PromptError(
            "The prompt is {length} characters long; at most {most} are possible.",
            length=len(prompt),
            most=MAX_PROMPT_CHARACTERS,
        )
    return prompt


def usual_steps(quality: str, limits: Limits) -> tuple[int, float, str]:
    """Steps, guidance scale and scheduler of a quality; raises :class:`SettingsError` where it is not available."""
    if quality not in QUALITIES:
        raise SettingsError("Unknown quality “{name}”. Known are: {known}.", name=quality, known=", ".join(QUALITIES))
    if quality != TURBO:
        steps = round(limits.default_steps * QUALITIES[quality].steps)
        return min(limits.max_steps, max(1, steps)), limits.default_guidance, DEFAULT_SCHEDULER
    if limits.turbo is None:
        raise SettingsError("There is no turbo here: the bot's operator has loaded no distilled LoRA.")
    return min(limits.max_steps, limits.turbo.steps), _TURBO_GUIDANCE, limits.turbo.scheduler


def _note_on_the_person(prompt: str, placed: PlacedTriggers) -> tuple[str, ...]:
    """A sentence that names the words taken for the people, where they do not stand right before a typed trigger."""
    trigger = rf"{DEFAULT_TRIGGER_WORD}(?!\w)"
    is_typed = re.search(rf"(?<!\w){trigger}", prompt, re.IGNORECASE)
    if not is_typed or all(
        re.search(rf"(?<!\w){re.escape(word)} {trigger}", prompt, re.IGNORECASE) for word in placed.class_words
    ):
        return ()
    if len(placed.class_words) == 1:
        return (gettext("I took “{word}” for the person.", word=placed.class_words[0]),)
    return (gettext("I took these words for the people: {words}.", words=", ".join(placed.class_words)),)


_VERSION: Final = 3
"""The version of stored requests; those of version 1 do not say it."""

_SEVERAL_LORAS: Final = 3
"""From this version on a request has several LoRAs; before it had one, by its name."""

_RENAMED_FIELDS: Final = {"change": "denoise_strength", "enlarge": "upscale_factor"}
"""Fields of stored requests that were called differently in version 1."""

_EXPIRED: Final = (
    "I keep prompts and settings for a limited time, and that of this picture is over. `/privacy show` says how "
    "long it is. Draw a new one with /imagine."
)
_UNREADABLE: Final = "I cannot read this request any more: another version of me has written it. Please ask again."


@cache
def _reader() -> TypeAdapter[DrawRequest]:
    return TypeAdapter(DrawRequest)


def _enlarged(side_px: int, factor: float) -> int:
    return side_px if factor == 1 else round(side_px * factor / _SIDE_MULTIPLE_PX) * _SIDE_MULTIPLE_PX


def _check(sentence: str, value: float, low: float, high: float) -> None:
    """Raise :class:`SettingsError` for what lies outside; NaN lies outside of every range."""
    if not low <= value <= high:
        raise SettingsError(sentence, low=low, high=high, value=value)
