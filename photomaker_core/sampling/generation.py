"""A picture in the making: its settings and its state. Called by everything that draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from PIL import Image
from torch import Tensor

from photomaker_core.conditioning.stacking import Conditioning, merge_step
from photomaker_core.errors import SettingsError
from photomaker_core.models.lora_layers import LoraWeights
from photomaker_core.models.regional_attention import region_mask
from photomaker_core.models.text_encoders import TextEmbedding
from photomaker_core.sampling.regions import Regions, equal_shares, regions_from_attention
from photomaker_core.sampling.schedulers import check_steps


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """Settings of one picture.

    ``width`` and ``height`` are pixels; ``style_strength_ratio`` is the percentage of the steps that
    follow the text alone, unless ``start_merge_step`` says it outright; ``guidance_scale`` of 1 or less
    turns guidance off; ``style_loras`` are (name, weight) pairs of adapters known to the model.

    Three levers change the picture a little for speed. A step without a negative branch is half the work: guidance
    is off outside ``guidance_interval``, in fractions of the steps (Kynkäänniemi et al. 2024); and only every
    ``guidance_every``-th step computes the negative branch, whose distance from the positive one serves the
    steps between (Lv et al. 2024, FasterCache). And only every ``cache_every``-th step computes the whole UNet, the
    others its outermost blocks (Ma et al. 2023, DeepCache).
    """

    width: int
    height: int
    steps: int = 50
    guidance_scale: float = 5.0
    seed: int = 0
    scheduler: str = "euler"
    style_strength_ratio: float = 20.0
    start_merge_step: int | None = None
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_every: int = 1
    cache_every: int = 1
    style_loras: LoraWeights = ()

    def __post_init__(self) -> None:
        start, end = self.guidance_interval
        levers = (self.guidance_scale, self.style_strength_ratio, self.guidance_rescale, start, end)
        counts = (self.guidance_every, self.cache_every, self.start_merge_step or 0)
        require_finite(*levers, *counts, *(weight for _, weight in self.style_loras))
        if not 1 <= self.steps <= 1000:
            raise SettingsError(
                "Steps must be between {low} and {high}; {value} is not.", low=1, high=1000, value=self.steps
            )
        check_steps(self.scheduler, self.steps)
        if not 0 <= self.style_strength_ratio <= 100:
            raise SettingsError(
                "The style strength must be between {low} and {high}; {value} is not.",
                low=0,
                high=100,
                value=self.style_strength_ratio,
            )
        if not 0 <= self.seed < 2**63:
            raise SettingsError("A seed is a whole number from 0 on; {value} is not.", value=self.seed)
        if self.width % 8 or self.height % 8 or min(self.width, self.height) < 64:
            raise SettingsError(
                "Width and height must be multiples of 8 from 64 on; {width} x {height} is not.",
                width=self.width,
                height=self.height,
            )
        if self.guidance_every < 1:
            raise SettingsError(
                "Guidance is computed every so many steps, at least 1; {value} is not.", value=self.guidance_every
            )
        if self.cache_every < 1:
            raise SettingsError(
                "The UNet is computed whole every so many steps, 1 or more; {value} is not.", value=self.cache_every
            )
        if not 0 <= start <= end <= 1:
            raise SettingsError(
                "A guidance interval lies within 0 and 1; {start:g} to {end:g} does not.", start=start, end=end
            )

    @property
    def merge_step(self) -> int:
        if self.start_merge_step is not None:
            return self.start_merge_step
        return merge_step(self.style_strength_ratio, self.steps)

    @property
    def batch_key(self) -> tuple[object, ...]:
        """Generations with equal keys can share a UNet forward."""
        return (self.width, self.height, self.style_loras)

    def guided_at(self, step: int) -> bool:
        """True where classifier-free guidance is on at denoising step ``step``, counted from 0."""
        start, end = self.guidance_interval
        return self.guidance_scale > 1 and start <= step / self.steps < end

    def is_shallow_at(self, step: int) -> bool:
        """True where step ``step`` may take the UNet's deep features from an earlier one."""
        return step % self.cache_every != 0 and step != self.merge_step + 1


def require_finite(*numbers: float) -> None:
    """Raise :class:`SettingsError` for a number that is none, or is infinite."""
    for number in numbers:
        if not math.isfinite(number):
            raise SettingsError("Every setting must be a finite number; {value} is not.", value=number)


@dataclass(frozen=True, slots=True)
class Img2ImgInit:
    """A picture to start from (Meng et al. 2021, SDEdit).

    ``strength`` is the part of the schedule that is drawn anew, above 0 and up to 1: a little keeps the picture, 1
    leaves next to nothing of it.
    """

    picture: Image.Image
    strength: float

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise SettingsError(
                "The strength of a change lies above 0 and up to 1; {value:g} does not.", value=self.strength
            )

    def first_step(self, steps: int) -> int:
        """The step at which a schedule of so many steps is entered."""
        return steps - steps_anew(steps, self.strength)


def steps_anew(steps: int, strength: float) -> int:
    """Count the steps of a schedule that a change of this strength takes, at least one."""
    return max(1, round(steps * strength))


class Branch(Enum):
    """The two predictions of classifier-free guidance."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


@dataclass(slots=True, eq=False)
class Generation:
    """A picture in the making; ``latents`` [1, C, h, w] are kept in float32 between steps.

    ``denoised`` is the last step's estimate of the clean latents, or ``latents`` before the first; ``guidance_delta``
    the positive prediction minus the negative one when that was computed last; ``cached_deep_features`` the UNet's
    deep features of each branch, where later steps use them. ``step_options`` are what the scheduler's ``step`` takes
    besides. A generation that starts from a picture begins at ``first_step`` of its schedule. ``time_ids`` [1, 6] are
    SDXL's, on the model's device.

    With ``regions`` each person's tokens are seen in their region alone, in all steps. Several people without regions
    get them where the identities are merged in, from the attention that their class words were paid until then.
    """

    conditioning: Conditioning
    settings: GenerationSettings
    scheduler: Any
    latents: Tensor
    denoised: Tensor
    time_ids: Tensor
    step_options: dict[str, Any] = field(default_factory=dict)
    guidance_delta: Tensor | None = None
    cached_deep_features: dict[Branch, Tensor] = field(default_factory=dict)
    first_step: int = 0
    steps_done: int = 0
    regions: Regions | None = None
    attention_to_people: Tensor | None = None
    _masks: dict[bool, dict[tuple[int, int], Tensor]] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return self.steps_done >= len(self.scheduler.timesteps)

    @property
    def is_finite(self) -> bool:
        """False where the latents hold numbers that are none; waits for the device."""
        return bool(self.latents.isfinite().all())

    @property
    def needs_negative(self) -> bool:
        """True where the next step computes the negative branch: as the first that is guided, where the identity is
        merged in, and every so many steps."""
        settings, step = self.settings, self.steps_done
        if not settings.guided_at(step):
            return False
        return self.guidance_delta is None or step == settings.merge_step + 1 or step % settings.guidance_every == 0

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The branches that the next step computes."""
        return (Branch.POSITIVE, Branch.NEGATIVE) if self.needs_negative else (Branch.POSITIVE,)

    def cached_deep_features_at(self, branch: Branch) -> Tensor | None:
        """The deep features that this step takes for a branch, or ``None`` where it computes them."""
        return self.cached_deep_features.get(branch) if self.settings.is_shallow_at(self.steps_done) else None

    @property
    def is_text_only(self) -> bool:
        """True where the next step follows the text alone."""
        return self.steps_done <= self.settings.merge_step

    @property
    def spans_to_watch(self) -> Sequence[range]:
        """The class words whose attention in the next step says where people are; none where that is known."""
        if self.regions is not None or len(self.conditioning.people) < 2 or not self.is_text_only:
            return ()
        return [person.text for person in self.conditioning.people]

    def watch(self, attention: Tensor) -> None:
        """Add what a step paid to the class words, [P, h, w]."""
        before = self.attention_to_people
        self.attention_to_people = attention if before is None else before + attention

    def masks(self, branch: Branch, grids: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Tensor] | None:
        """For each of the UNet's ``grids`` what cross-attention adds [1, h * w, L] in the next step on a branch.

        ``None`` where every position sees all tokens. Masks are made once and kept on the latents' device.
        """
        people, is_text_only = self.conditioning.people, self.is_text_only
        if branch is Branch.NEGATIVE or not people:
            return None
        if self.regions is None:
            if is_text_only or len(people) < 2:
                return None
            self.regions = self._found_regions()
        if is_text_only not in self._masks:
            regions, length = self.regions, self.embedding(branch).tokens.shape[1]
            spans = [person.text if is_text_only else person.merged for person in people]
            self._masks[is_text_only] = {
                grid: region_mask(regions.on_grid(*grid), spans, length).to(self.latents.device) for grid in grids
            }
        return self._masks[is_text_only]

    def _found_regions(self) -> Regions:
        if self.attention_to_people is None:
            return equal_shares(len(self.conditioning.people))
        return regions_from_attention(self.attention_to_people)

    def embedding(self, branch: Branch) -> TextEmbedding:
        """The embedding that the next step gives the UNet on a branch."""
        if branch is Branch.NEGATIVE:
            return self.conditioning.negative
        return self.conditioning.at_step(self.steps_done, self.settings.merge_step)
