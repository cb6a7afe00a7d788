"""What a member asked to be drawn: checked settings, as JSON for the job's row, as work for the GPU thread."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from photomaker_core.aspects import DEFAULT_ASPECT, aspect_named
from photomaker_core.errors import PromptError, SettingsError
from photomaker_core.generation import GenerationSettings
from photomaker_core.prompts import DEFAULT_TRIGGER_WORD, place_trigger
from photomaker_core.styles import style_named

MAX_SEED: Final = 2**31 - 1
MAX_PROMPT_CHARACTERS: Final = 1000


@dataclass(frozen=True, slots=True)
class IdentityShare:
    """A person in the picture and their weight in the mix."""

    identity_id: int
    name: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows, and what is taken where a member says nothing."""

    max_steps: int
    max_pictures: int
    default_steps: int
    default_guidance: float


@dataclass(frozen=True, slots=True)
class DrawRequest:
    """A checked request. ``prompt`` and ``negative`` are the member's words, before the style.

    ``weight`` is the member's share of the GPU beside a member of weight 1, when they asked.
    """

    prompt: str
    identities: tuple[IdentityShare, ...]
    style: str
    aspect: str
    steps: int
    guidance: float
    seed: int
    count: int
    negative: str | None = None
    trigger_inserted: bool = False
    weight: float = 1.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> DrawRequest:
        shares = tuple(IdentityShare(**share) for share in content["identities"])
        return cls(**{**content, "identities": shares})

    def styled(self) -> tuple[str, str | None]:
        """Prompt and negative prompt as the model gets them."""
        return style_named(self.style).apply(self.prompt, self.negative)

    def settings(self, side_px: int) -> list[GenerationSettings]:
        """One entry a picture, for a base model of ``side_px``; seeds count up from the request's."""
        width, height = aspect_named(self.aspect).size_for(side_px)
        return [
            GenerationSettings(
                width=width, height=height, steps=self.steps, guidance_scale=self.guidance, seed=self.seed + index
            )
            for index in range(self.count)
        ]


def checked_request(
    *,
    prompt: str,
    identities: tuple[IdentityShare, ...],
    limits: Limits,
    fresh_seed: int,
    style: str | None = None,
    aspect: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    seed: int | None = None,
    count: int = 1,
    negative: str | None = None,
) -> DrawRequest:
    """Check what a member typed and fill in what they left out.

    Raises :class:`PromptError` or :class:`SettingsError` with a sentence for the member.
    """
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise PromptError(
            f"The prompt is {len(prompt)} characters long; at most {MAX_PROMPT_CHARACTERS} are possible, "
            "and the model sees only about the first 70 words anyway."
        )
    placed = place_trigger(prompt, DEFAULT_TRIGGER_WORD)
    steps = limits.default_steps if steps is None else steps
    guidance = limits.default_guidance if guidance is None else guidance
    seed = fresh_seed if seed is None else seed
    _check("Steps", steps, 1, limits.max_steps)
    _check("Guidance", guidance, 0, 20)
    _check("The seed", seed, 0, MAX_SEED)
    _check("The number of pictures", count, 1, limits.max_pictures)
    return DrawRequest(
        prompt=placed.text,
        identities=identities,
        style=style_named(style or "None").name,
        aspect=aspect_named(aspect or DEFAULT_ASPECT).name,
        steps=steps,
        guidance=guidance,
        seed=seed,
        count=count,
        negative=negative.strip() or None if negative else None,
        trigger_inserted=placed.trigger_inserted,
    )


def _check(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"{what} must be between {low} and {high}; {value} is not.")
