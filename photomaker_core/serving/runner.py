"""The runner: jobs in, events out, one denoising step at a time.

It owns the jobs between submission and end. The fair queue says whose pictures get the next step, the engine takes
it, and VAE decoding fills in between, so that nobody waits for somebody else's decode. Not thread-safe: the bot's
GPU thread is its caller, or a benchmark.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from PIL import Image
from torch import Tensor

from photomaker_core.conditioning.stacking import Conditioning
from photomaker_core.memory.device_faults import free_memory_after, is_out_of_memory, no_room, require_device
from photomaker_core.models.lora_layers import LoraWeights
from photomaker_core.models.vae import Decoding, broken_picture, decode_in_tiles
from photomaker_core.sampling.generation import Generation, GenerationSettings, Img2ImgInit, steps_anew
from photomaker_core.sampling.regions import Regions
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.fair_queue import FairQueue

log = logging.getLogger(__name__)

_PATIENCE_STEPS = 4


@dataclass(frozen=True, slots=True)
class ImageJob:
    """A request for pictures; ``settings`` has one entry a picture.

    ``id_features`` is a stack [N, T, D], one for each of several people, or ``None`` for a text-only picture. Steps
    are shared fairly between members, in proportion to their ``weight``. All pictures begin at ``start`` where there
    is one. ``regions`` has an entry for each picture that says where its people are; ``None``, or no entry, where the
    picture itself shows it.
    ``prepare`` is called right before the job is begun and returns it with what is read late; what it raises ends it.
    """

    job_id: int
    prompt: str
    negative_prompt: str | None
    id_features: Tensor | Sequence[Tensor] | None
    settings: Sequence[GenerationSettings]
    member: int = 0
    weight: float = 1.0
    start: Img2ImgInit | None = None
    regions: Sequence[Regions | None] = ()
    prepare: Callable[[ImageJob], ImageJob] | None = None

    @property
    def stacks(self) -> Sequence[Tensor]:
        """Each person's stack of ID features."""
        if self.id_features is None:
            return ()
        return (self.id_features,) if isinstance(self.id_features, Tensor) else self.id_features


@dataclass(frozen=True, slots=True)
class Started:
    """Drawing has begun. ``dropped_text`` is the end of the prompt that the model cannot see; of each person's
    ``photos_given`` as many as ``photos_used`` found room beside the words."""

    dropped_text: str
    photos_given: tuple[int, ...] = ()
    photos_used: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """``step`` of ``steps``, summed over the job's pictures; now and then with a small preview of each picture."""

    step: int
    steps: int
    previews: Sequence[Image.Image] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a job that was drawn. ``regions`` are those of each picture, ``None`` where it had none."""

    pictures: list[Image.Image]
    regions: Sequence[Regions | None] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of a job that could not be drawn."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The end of a job that was not wanted any more."""


Event = Started | Progress | Finished | Failed | Cancelled
Publish = Callable[[Event], None]


@dataclass(slots=True, eq=False)
class _Picture:
    """One picture of a job: waiting without a generation, then drawn, then decoded."""

    job: _Job
    settings: GenerationSettings
    regions: Regions | None = None
    generation: Generation | None = None
    decoded: Image.Image | None = None

    @property
    def steps_done(self) -> int:
        return 0 if self.generation is None else self.generation.steps_done - self.generation.first_step

    @property
    def steps(self) -> int:
        if self.generation is not None:
            return len(self.generation.scheduler.timesteps) - self.generation.first_step
        start, steps = self.job.drawing.start, self.settings.steps
        return steps if start is None else steps_anew(steps, start.strength)


@dataclass(slots=True, eq=False)
class _Job:
    drawing: ImageJob
    publish: Publish
    pictures: list[_Picture] = field(default_factory=list)
    conditionings: dict[LoraWeights, Conditioning] = field(default_factory=dict)
    previewed_at_s: float = float("-inf")
    has_previews: bool = True


class Runner:
    """Draws many jobs at once, up to ``max_batch`` pictures in a UNet forward.

    Every ``preview_every_s`` a job's progress carries previews; 0 makes none. ``clock`` counts seconds.
    """

    def __init__(
        self,
        engine: StepEngine,
        max_batch: int,
        *,
        preview_every_s: float = 1.5,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"a batch holds at least one picture; {max_batch} is not possible")
        self._engine, self._max_batch, self._limit = engine, max_batch, max_batch
        self._preview_every_s, self._clock = preview_every_s, clock
        self._jobs: dict[int, _Job] = {}
        self._queue: FairQueue[_Picture] = FairQueue(_PATIENCE_STEPS)
        self._decoding: deque[tuple[_Picture, Decoding]] = deque()

    @property
    def is_idle(self) -> bool:
        return not self._jobs

    def submit(self, drawing: ImageJob, publish: Publish) -> None:
        """Take a job; ``publish`` gets its events, last the one that ends it. ``ValueError`` for an id in use."""
        if drawing.job_id in self._jobs:
            raise ValueError(f"job {drawing.job_id} is here already")
        job = _Job(drawing, publish)
        job.pictures = [
            _Picture(job, settings, regions)
            for settings, regions in zip_longest(drawing.settings, drawing.regions[: len(drawing.settings)])
        ]
        self._jobs[drawing.job_id] = job
        for picture in job.pictures:
            settings = picture.settings
            self._queue.add(
                picture,
                member=drawing.member,
                key=settings.batch_key,
                cost=settings.width * settings.height,
                weight=drawing.weight,
            )

    def cancel(self, job_id: int) -> None:
        """End a job before the next step; does nothing when it has ended already."""
        job = self._jobs.get(job_id)
        if job is not None:
            self._end(job, Cancelled())

    def abort(self, error: Exception) -> None:
        """End every job; for an error that leaves no telling what state they are in."""
        for job in list(self._jobs.values()):
            self._end(job, Failed(error))

    def tick(self) -> None:
        """One denoising step for one batch, then decoding for about as long as the step took.

        Raises :class:`~photomaker_core.memory.device_faults.DeviceLostError`; no job can be drawn any more then.
        """
        started_s = self._clock()
        batch = [picture for picture in self._queue.next_batch(self._limit) if self._begin(picture)]
        batch = [picture for picture in batch if picture in self._queue]
        self._step(batch)
        for picture in batch:
            if picture in self._queue and picture.generation is not None and picture.generation.is_done:
                self._queue.remove(picture)
                self._decoding.append((picture, self._engine.decoding(picture.generation.latents)))
        for job in dict.fromkeys(picture.job for picture in batch):
            self._tell(job)
        if self._decoding:
            self._synchronize()
        self._decode(until_s=2 * self._clock() - started_s)
        if self.is_idle:
            self._limit = self._max_batch

    def _begin(self, picture: _Picture) -> bool:
        """Condition the job and begin the picture where that is still to be done; False where that ended the job."""
        if picture.generation is not None:
            return True
        job, drawing = picture.job, picture.job.drawing
        if drawing.job_id not in self._jobs:
            return False
        try:
            if drawing.prepare is not None:
                job.drawing = replace(drawing.prepare(drawing), prepare=None)
            try:
                picture.generation = self._generation(picture)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning("job %d ran out of memory as it began; trying again: %s", drawing.job_id, error)
                if drawing.start is None:
                    free_memory_after(error)
                else:
                    self._make_room(error)
                picture.generation = self._generation(picture)
        except Exception as error:
            self._fail(job, error)
            return False
        return True

    def _generation(self, picture: _Picture) -> Generation:
        drawing, settings = picture.job.drawing, picture.settings
        conditioning = self._conditioning(picture.job, settings.style_loras)
        return self._engine.begin(conditioning, settings, start=drawing.start, regions=picture.regions)

    def _conditioning(self, job: _Job, style_loras: LoraWeights) -> Conditioning:
        """The job's embeddings under the LoRAs of one of its pictures; the first of them starts the job."""
        if style_loras not in job.conditionings:
            drawing = job.drawing
            conditioning = self._engine.condition(
                drawing.prompt, drawing.negative_prompt, drawing.id_features, style_loras
            )
            if not job.conditionings:
                photos = tuple(len(stack) for stack in drawing.stacks)
                job.publish(Started(conditioning.dropped_text, photos, conditioning.photos_used))
            job.conditionings[style_loras] = conditioning
        return job.conditionings[style_loras]

    def _step(self, batch: Sequence[_Picture]) -> None:
        """Step a batch. Out of memory, it goes on with half; another error is followed to the picture at fault."""
        todo = {picture: picture.steps_done for picture in batch}
        try:
            self._engine.step([picture.generation for picture in batch if picture.generation is not None])
        except Exception as error:
            left = [picture for picture in batch if picture.steps_done == todo[picture]]
            if is_out_of_memory(error):
                free_memory_after(error)
                self._limit = max(1, len(batch) // 2)
            if len(left) == 1:
                self._fail(left[0].job, error)
            elif left:
                log.warning("a step of %d pictures failed (%s); trying halves", len(left), error)
                half = len(left) // 2
                self._step(left[:half])
                self._step(left[half:])

    def _decode(self, until_s: float) -> None:
        """Decode finished pictures, part by part, until it is time for the next step; all, if none is waiting."""
        while self._decoding and (not len(self._queue) or self._clock() < until_s):
            picture, parts = self._decoding[0]
            try:
                next(parts)
                self._engine.synchronize()
            except StopIteration as end:
                self._decoding.popleft()
                self._conclude(picture, end.value)
            except Exception as error:
                self._decoding.popleft()
                self._decode_again(picture, error)

    def _synchronize(self) -> None:
        """Wait for the device; what has failed on it since the last wait may come up here."""
        try:
            self._engine.synchronize()
        except Exception as error:
            require_device(self._engine.model.base.hardware.device, error)
            raise

    def _decode_again(self, picture: _Picture, error: Exception) -> None:
        """Decode in tiles where memory was short, which differs in the last bits; any other error ends the job."""
        vae = self._engine.model.base.vae
        if is_out_of_memory(error) and not vae.use_tiling and picture.generation is not None:
            self._make_room(error)
            self._decoding.appendleft((picture, self._engine.decoding(picture.generation.latents)))
        else:
            self._fail(picture.job, error)

    def _make_room(self, error: BaseException) -> None:
        """Free what a failure holds, and let the VAE work in tiles from now on."""
        free_memory_after(error)
        vae = self._engine.model.base.vae
        if not vae.use_tiling:
            log.warning("memory ran out; from now on pictures are encoded and decoded in tiles")
            decode_in_tiles(vae)

    def _conclude(self, picture: _Picture, pixels: Tensor) -> None:
        job = picture.job
        assert picture.generation is not None
        picture.regions = picture.generation.regions
        try:
            picture.decoded = self._engine.picture(picture.generation, pixels)
        except Exception as error:
            self._fail(job, error)
            return
        pictures = [picture.decoded for picture in job.pictures]
        done = [picture for picture in pictures if picture is not None]
        if len(done) == len(pictures):
            self._end(job, Finished(done, [one.regions for one in job.pictures]))

    def _tell(self, job: _Job) -> None:
        if job.drawing.job_id not in self._jobs:
            return
        step = sum(picture.steps_done for picture in job.pictures)
        steps = sum(picture.steps for picture in job.pictures)
        previews: list[Image.Image] = []
        now = self._clock()
        if self._preview_every_s and now - job.previewed_at_s >= self._preview_every_s:
            job.previewed_at_s = now
            try:
                if not all(one.generation.is_finite for one in job.pictures if one.generation is not None):
                    raise broken_picture()
            except Exception as error:
                self._fail(job, error)
                return
            previews = self._previews(job)
        job.publish(Progress(step, steps, previews))

    def _previews(self, job: _Job) -> list[Image.Image]:
        if not job.has_previews:
            return []
        try:
            return [self._engine.preview(one.generation) for one in job.pictures if one.generation is not None]
        except Exception as error:
            require_device(self._engine.model.base.hardware.device, error)
            log.exception("previews of job %d cannot be made; it is drawn without", job.drawing.job_id)
            job.has_previews = False
            return []

    def _fail(self, job: _Job, error: Exception) -> None:
        """End a job by an error, unless that ends them all."""
        require_device(self._engine.model.base.hardware.device, error)
        if is_out_of_memory(error):
            log.error("job %d found no room", job.drawing.job_id, exc_info=error)
            free_memory_after(error)
            error = no_room()
        self._end(job, Failed(error))

    def _end(self, job: _Job, event: Event) -> None:
        """Forget a job, wherever its pictures are, and tell it so."""
        if self._jobs.pop(job.drawing.job_id, None) is None:
            return
        for picture in job.pictures:
            self._queue.remove(picture)
        self._decoding = deque(entry for entry in self._decoding if entry[0].job is not job)
        job.publish(event)
