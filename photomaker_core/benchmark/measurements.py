"""The measurements of the benchmark, each taken several times; the medians count."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from PIL import Image

from photomaker_core.benchmark.engine_server import EngineServer, TimedEngine
from photomaker_core.benchmark.pipeline_server import PlainServer
from photomaker_core.benchmark.timing import median_s
from photomaker_core.benchmark.workload import NEGATIVE, PROMPTS, Run, Server, percentile, poisson
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.fair_queue import FairQueue

MEMBERS: Final = (1, 2, 4, 8)
LEVERS: Final[dict[str, dict[str, Any]]] = {
    "every step whole and guided": {},
    "guidance_every 2": {"guidance_every": 2},
    "guidance_interval 0 to 0.7": {"guidance_interval": (0.0, 0.7)},
    "cache_every 2": {"cache_every": 2},
    "cache_every 3": {"cache_every": 3},
    "cache_every 2, guidance_every 2": {"cache_every": 2, "guidance_every": 2},
    "dpmpp_2m, two thirds of the steps": {"scheduler": "dpmpp_2m"},
}
ID_PHOTOS: Final = (1, 2, 4, 8)
WAITING_JOBS: Final = (10, 100, 1000)
LOAD: Final = 0.8
_STEADY: Final = 3
PLAIN: Final = "plain pipeline"
ENGINE: Final = "engine"

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """``people`` are the photos of stored identities; each figure is the median of ``runs``.

    A run of the closed loop draws ``pictures``; one of the Poisson load, and one that tells where the time goes,
    three times as many.
    """

    model: PhotoMaker
    people: list[list[Image.Image]]
    settings: GenerationSettings
    max_batch: int
    runs: int
    pictures: int

    def everything(self, say: Callable[[str], None]) -> Figures:
        """All measurements, announced by ``say``."""
        say("warming up")
        for make in self._servers().values():
            Run(make()).members(2, 1, len(self.people), seed=0)
        say(f"throughput with {', '.join(map(str, MEMBERS))} members")
        throughput = self.throughput()
        say(f"waiting under a Poisson load of {LOAD:.0%} of what the plain pipeline can draw")
        load = self.waiting(LOAD * throughput[PLAIN]["1"])
        say("where the time goes")
        return {
            "throughput_pictures_per_s": throughput,
            "waiting_s": load,
            "time": self.time_shares(),
            "id_photos_s": self.growth_with_id_photos(),
            "waiting_jobs_s": self.growth_with_waiting_jobs(),
            "levers_s": self.levers(),
        }

    def throughput(self) -> Figures:
        """Pictures a second of each server with so many members who ask again as soon as they are served."""
        found: Figures = {name: {} for name in self._servers()}
        for members in MEMBERS:
            for name, make in self._servers().items():
                rates = [
                    Run(make()).members(members, max(1, self.pictures // members), len(self.people), seed)
                    for seed in range(self.runs)
                ]
                found[name][str(members)] = statistics.median(rates)
        return found

    def waiting(self, rate_per_s: float) -> Figures:
        """Seconds to the first preview and to the picture, for the same stream of requests to each server."""
        found: Figures = {}
        for name, make in self._servers().items():
            runs = []
            for seed in range(self.runs):
                stream = poisson(rate_per_s, _STEADY * self.pictures, max(MEMBERS), len(self.people), seed)
                timings = Run(make()).stream(stream)
                waits = [one.waited_s for one in timings]
                takes = [one.took_s for one in timings]
                runs.append(
                    {
                        "preview_p50": percentile(waits, 0.5),
                        "preview_p95": percentile(waits, 0.95),
                        "picture_mean": statistics.mean(takes),
                        "picture_p50": percentile(takes, 0.5),
                        "picture_p95": percentile(takes, 0.95),
                    }
                )
            found[name] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        return found | {"requests_per_s": rate_per_s}

    def time_shares(self) -> Figures:
        """Seconds a picture inside UNet and VAE and outside both: one member, and eight at once."""
        found: Figures = {}
        for name, members in ((PLAIN, 1), (ENGINE, 1), (ENGINE, max(MEMBERS))):
            each = max(1, _STEADY * self.pictures // members)
            shares = [self.time_share(name, members, each, seed) for seed in range(self.runs)]
            found[f"{name}, {members} members"] = {
                key: statistics.median(share[key] for share in shares) for key in shares[0]
            }
        return found

    def time_share(self, name: str, members: int, each: int, seed: int) -> dict[str, float]:
        """The same of one server and one run in which so many members ask for so many pictures ``each``."""
        engine = TimedEngine(self.model)
        server = self.server(name, engine)
        Run(server).members(1, 1, len(self.people), seed)
        with engine.timed_unet() as clock:
            total_s = members * each / Run(server).members(members, each, len(self.people), seed)
        pictures = members * each
        return {
            "total": total_s / pictures,
            "unet": clock.unet_s / pictures,
            "vae": clock.vae_s / pictures,
            "outside": (total_s - clock.unet_s - clock.vae_s) / pictures,
            "outside_share": 1 - (clock.unet_s + clock.vae_s) / total_s,
            "roofline": clock.unet_s / total_s,
        }

    def growth_with_id_photos(self) -> Figures:
        """Seconds to encode so many photos, once when they are added; to condition on them; and for one step."""
        engine, found = StepEngine(self.model), {}
        for photos in ID_PHOTOS:
            pictures = (self.people[0] * photos)[:photos]
            stack = self.model.encode_photos(pictures)
            conditioning = engine.condition(PROMPTS[0], NEGATIVE, stack)
            generation = engine.begin(conditioning, replace(self.settings, steps=100))
            found[str(photos)] = {
                "encode": self._median_s(lambda pictures=pictures: self.model.encode_photos(pictures)),  # type: ignore[misc]
                "condition": self._median_s(lambda stack=stack: engine.condition(PROMPTS[0], NEGATIVE, stack)),  # type: ignore[misc]
                "step": self._median_s(lambda generation=generation: engine.step([generation])),  # type: ignore[misc]
            }
        return found

    def levers(self) -> Figures:
        """Seconds for the steps of one picture with each speed lever."""
        engine = StepEngine(self.model)
        conditioning = engine.condition(PROMPTS[0], NEGATIVE, self.model.encode_photos(self.people[0]))

        def draw(settings: GenerationSettings) -> None:
            generation = engine.begin(conditioning, settings)
            while not generation.is_done:
                engine.step([generation])

        fewer = replace(self.settings, steps=max(1, 2 * self.settings.steps // 3))
        return {
            name: self._median_s(partial(draw, replace(fewer if "scheduler" in how else self.settings, **how)))
            for name, how in LEVERS.items()
        }

    def step_s(self) -> float:
        """Seconds for one guided step of a full batch."""
        engine = StepEngine(self.model)
        conditioning = engine.condition(PROMPTS[0], NEGATIVE, self.model.encode_photos(self.people[0]))
        batch = [engine.begin(conditioning, replace(self.settings, steps=100)) for _ in range(self.max_batch)]
        engine.step(batch)
        return self._median_s(lambda: engine.step(batch))

    def growth_with_waiting_jobs(self) -> Figures:
        """Seconds that choosing a batch takes with so many jobs of as many members waiting."""
        found = {}
        for jobs in WAITING_JOBS:
            queue: FairQueue[int] = FairQueue()
            for number in range(jobs):
                queue.add(number, member=number, key=self.settings.batch_key)
            found[str(jobs)] = self._median_s(lambda queue=queue: queue.next_batch(self.max_batch))  # type: ignore[misc]
        return found

    def _servers(self) -> dict[str, Callable[[], Server]]:
        return {name: partial(self.server, name) for name in (PLAIN, ENGINE)}

    def server(self, name: str, engine: StepEngine | None = None) -> Server:
        """A fresh server: :data:`PLAIN` or :data:`ENGINE`."""
        engine = engine or StepEngine(self.model)
        if name == PLAIN:
            return PlainServer(engine, self.people, self.settings)
        return EngineServer(engine, self.people, self.settings, self.max_batch)

    def _median_s(self, work: Callable[[], object]) -> float:
        return median_s(self.model.base.hardware.device, work, max(3, self.runs))
