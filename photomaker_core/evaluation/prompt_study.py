"""The prompt study: whether weights move what they stand at, and whether a long prompt is followed to its end.

For drawn people and the portrait judge, which reads what a picture shows. Every row draws the same people from the
same seeds, so that rows differ by the prompt alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from tqdm import tqdm

from photomaker_core.conditioning.trigger_placement import without_trigger
from photomaker_core.errors import UserError
from photomaker_core.evaluation.evaluation_prompts import PERSON
from photomaker_core.evaluation.measures import ranks_among, wilson_interval
from photomaker_core.evaluation.methods import drawn_to_the_end
from photomaker_core.evaluation.networks import MetricNetworks, known_faces
from photomaker_core.evaluation.people import Person
from photomaker_core.evaluation.study_log import StudyLog
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.models.prompt_tokenizer import PromptTokenizer
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine

_BATCH: Final = 8
_CHUNK: Final = 75
_TEXT_WEIGHTS: Final = (0.5, 1.0, 1.5)
_PERSON_WEIGHTS: Final = (0.8, 1.0, 1.2)
_PROMPT_LENGTHS: Final = tuple(round(20 + number * 280 / 15) for number in range(16))
_PEOPLE_A_LENGTH: Final = 8

_HATS: Final[dict[str, tuple[str, Mapping[str, str]]]] = {
    "a photo of a {person} in": ("a red hat", {"hat": "hat", "hat_colour": "red"}),
    "a portrait of a {person} wearing": ("a blue beanie", {"hat": "beanie", "hat_colour": "blue"}),
    "a photo of a {person} with": ("a green cap", {"hat": "cap", "hat_colour": "green"}),
    "a portrait of a {person} in": ("a white hat", {"hat": "hat", "hat_colour": "white"}),
}
_EXPRESSIONS: Final[dict[str, tuple[str, Mapping[str, str]]]] = {
    "a photo of a {person}": ("smiling", {"expression": "smiling"}),
    "a portrait of a {person}": ("with a sad face", {"expression": "sad"}),
    "a portrait of a {person},": ("surprised", {"expression": "surprised"}),
    "closeup photo of a {person}": ("with an angry face", {"expression": "angry"}),
}
_SCENES: Final[dict[str, Mapping[str, str]]] = {
    "a photo of (a {person}:{weight}) at the beach": {"background": "beach"},
    "a photo of (a {person}:{weight}) in a red hat": {"hat": "hat"},
    "a portrait of (a {person}:{weight}) in the forest": {"background": "forest"},
    "a photo of (a {person}:{weight}) wearing a black suit": {"clothes": "suit"},
}
_ENDS: Final[dict[str, Mapping[str, str]]] = {
    "in a red hat": {"hat": "hat"},
    "at the beach": {"background": "beach"},
    "wearing sunglasses": {"glasses": "sunglasses"},
    "in the snow": {"background": "snow"},
}
_ASIDES: Final = (
    "portrait photo",
    "closeup photo",
    "with brown eyes",
    "with light skin",
    "with short hair",
    "serious",
    "with green eyes",
    "a portrait",
    "with a neutral face",
)
"""Phrases that nano knows and that say nothing of what the prompts ask for at their end."""


@dataclass(frozen=True, slots=True)
class StudyPicture:
    """One picture: ``text`` has the trigger word behind the class word; ``person`` counts the study's people."""

    row: str
    text: str
    wants: Mapping[str, str]
    person: int
    seed: int

    @property
    def name(self) -> str:
        """What the picture's judgement is kept under."""
        return f"{self.row} | {self.person} | {self.seed} | {self.text}"


def weight_pictures(people: Sequence[Person], trigger: str) -> Iterator[StudyPicture]:
    """Every person with a hat and with an expression, asked for at each weight."""
    for kind, asked in {"hat": _HATS, "expression": _EXPRESSIONS}.items():
        for weight in _TEXT_WEIGHTS:
            for number, person in enumerate(people):
                for seed, (before, (phrase, wants)) in enumerate(asked.items()):
                    text = f"{_about(before, person, trigger)} ({phrase}:{weight})"
                    yield StudyPicture(f"{kind} at {weight:g}", text, wants, number, seed)


def likeness_pictures(people: Sequence[Person], trigger: str) -> Iterator[StudyPicture]:
    """Every person in four scenes, their own span at each weight."""
    for weight in _PERSON_WEIGHTS:
        for number, person in enumerate(people):
            for seed, (template, wants) in enumerate(_SCENES.items()):
                text = _about(template, person, trigger).replace("{weight}", f"{weight}")
                yield StudyPicture(f"person at {weight:g}", text, wants, number, seed)


def length_pictures(people: Sequence[Person], trigger: str, tokenizer: PromptTokenizer) -> Iterator[StudyPicture]:
    """Sixteen prompts of 20 to 300 tokens with the person anywhere, each with and without what is asked at its end."""
    for index, length in enumerate(_PROMPT_LENGTHS):
        end, wants = list(_ENDS.items())[(index + index // 4) % len(_ENDS)]
        first = _CHUNK * ((length - 1) // _CHUNK)
        bounds = f"{first + 1} to {first + _CHUNK} tokens"
        for number in range(min(_PEOPLE_A_LENGTH, len(people))):
            person = (index * _PEOPLE_A_LENGTH + number) % len(people)
            subject = f"a {people[person].class_word} {trigger}"
            text = _long_text(tokenizer, subject, end, length, index)
            yield StudyPicture(bounds, f"{text}, {end}", wants, person, number)
            yield StudyPicture(f"{bounds}, without the end", text, wants, person, number)


STUDIES: Final[Mapping[str, Callable[[Sequence[Person], PhotoMaker], Iterator[StudyPicture]]]] = {
    "weights": lambda people, model: weight_pictures(people, model.trigger_word),
    "likeness": lambda people, model: likeness_pictures(people, model.trigger_word),
    "length": lambda people, model: length_pictures(people, model.trigger_word, model.base.text.tokenizers[0]),
}
"""The parts of the study by their names at the command line."""


def run_study(
    model: PhotoMaker,
    settings: GenerationSettings,
    people: Sequence[Person],
    networks: MetricNetworks,
    pictures: Sequence[StudyPicture],
    log: StudyLog,
) -> None:
    """Draw and judge the pictures that ``log`` does not know yet. Raises :class:`UserError` for other networks."""
    if networks.face is None or networks.attributes is None:
        raise UserError("The prompt study needs a judge that reads attributes: --networks portrait.")
    engine = StepEngine(model)
    known = known_faces(networks.face, people)
    stacks = [model.encode_photos(person.photos) for person in people]
    todo = [picture for picture in pictures if picture.name not in log]
    for start in tqdm(range(0, len(todo), _BATCH), "prompt study", unit="batch"):
        some = todo[start : start + _BATCH]
        generations = [
            engine.begin(engine.condition(one.text, None, stacks[one.person]), replace(settings, seed=one.seed))
            for one in some
        ]
        drawn = drawn_to_the_end(engine, generations)
        faces = networks.face(drawn)
        ranks = ranks_among(faces, known, [one.person for one in some])
        read = networks.attributes(drawn)
        log.add(
            {
                one.name: {
                    "right": {name: shown[name] == wanted for name, wanted in one.wants.items()},
                    "is_first": rank == 0,
                    "cosine": float(face @ known[one.person]),
                }
                for one, face, rank, shown in zip(some, faces, ranks, read, strict=True)
            }
        )


def study_table(pictures: Sequence[StudyPicture], log: StudyLog, people: int) -> str:
    """The judgements as a Markdown table, one line a row of the study, with 95 % intervals."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for picture in pictures:
        rows.setdefault(picture.row, []).append(log[picture.name])
    wanted = list(dict.fromkeys(name for judged in rows.values() for one in judged for name in one["right"]))
    names = [name.replace("_", " ") for name in wanted]
    head = ["", "pictures", "all that was asked", *names, f"right person first of {people}", "cosine"]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for row, judged in rows.items():
        cells = [row, str(len(judged)), _rate([all(one["right"].values()) for one in judged])]
        cells += [_rate([one["right"][name] for one in judged if name in one["right"]]) for name in wanted]
        cells += [_rate([one["is_first"] for one in judged])]
        cells += [f"{sum(one['cosine'] for one in judged) / len(judged):.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _rate(outcomes: Sequence[bool]) -> str:
    if not outcomes:
        return ""
    low, high = wilson_interval(sum(outcomes), len(outcomes))
    return f"{sum(outcomes)} of {len(outcomes)} ({100 * low:.0f}–{100 * high:.0f} %)"


def _about(template: str, person: Person, trigger: str) -> str:
    return template.replace(PERSON, f"{person.class_word} {trigger}")


def _long_text(tokenizer: PromptTokenizer, subject: str, end: str, length: int, number: int) -> str:
    """A text of up to ``length`` tokens with ``end``: asides, and the subject among them, by turns early and late."""
    rng = Random(f"aside {number}")
    phrases: list[str] = []
    while True:
        longer = [*phrases, rng.choice(_ASIDES)]
        text = without_trigger(", ".join([*longer, subject, end]))
        if len(tokenizer.ids(text)) > length:
            break
        phrases = longer
    phrases.insert(round(len(phrases) * (number % 4) / 3), subject)
    return ", ".join(phrases)
