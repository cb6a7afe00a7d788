"""A corpus with known truth: drawn portraits composed into scenes, with everything that a web search brings along.

One folder a person, as a local source has them, and beside it ``truth.jsonl`` with a line a picture and the person's
true masks. Called by ``photomaker dataset draw`` and by the tests.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from PIL import Image

from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY, identity_number
from photomaker_core.nano.portraits import SIZE_PX, draw, draw_background, face_box
from photomaker_core.nano.scenes import Identity, Scene, random_scene, reference_scene

Box = tuple[float, float, float, float]

TRUTH_FILE: Final = "truth.jsonl"
PICTURES_FOLDER: Final = "pictures"
MASKS_FOLDER: Final = "masks"
SCALE: Final = 2
_STRANGERS: Final = 50_000
_KINDS: Final = {
    "alone": 0.50,
    "with others": 0.19,
    "wrong person": 0.10,
    "tiny face": 0.05,
    "near-duplicate": 0.06,
    "nobody": 0.05,
    "small picture": 0.03,
    "corrupt": 0.02,
}
_KEPT_KINDS: Final = frozenset({"alone", "with others"})


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """The truth about one picture. Boxes are (left, top, right, bottom) in its pixels.

    ``face`` is the face of the person whose name the folder has; ``others`` are all other faces. ``copy_of`` names the
    picture that a near-duplicate repeats. ``belongs`` is true where a perfect pipeline keeps it.
    """

    person: str
    file: str
    kind: str
    class_word: str
    face: Box | None
    others: tuple[Box, ...]
    copy_of: str | None = None

    @property
    def belongs(self) -> bool:
        return self.kind in _KEPT_KINDS


@dataclass(frozen=True, slots=True)
class _Placed:
    """A person in a scene, ``side_px`` large, whose picture's upper left corner is at ``left``, ``top``."""

    identity: Identity
    scene: Scene
    side_px: int
    left: int
    top: int

    @property
    def face(self) -> Box:
        scale = self.side_px / SIZE_PX
        x0, y0, x1, y1 = face_box(self.identity, self.scene)
        return self.left + x0 * scale, self.top + y0 * scale, self.left + x1 * scale, self.top + y1 * scale


def draw_corpus(folder: Path, people: int, pictures: int, first_identity: int = FIRST_HELD_OUT_IDENTITY) -> None:
    """Write ``people`` folders of ``pictures`` pictures each; the same arguments give the same bytes."""
    with _truth(folder) as lines:
        for number in range(first_identity, first_identity + people):
            for one in draw_person(folder, number, pictures):
                lines.write(json.dumps(asdict(one)) + "\n")


def draw_person(folder: Path, number: int, pictures: int) -> list[DrawnPicture]:
    """Write the pictures of person ``number`` and say what is true of them."""
    rng = Random(f"corpus {number}")
    identity, name = identity_number(number), f"person {number:07d}"
    for parent in (PICTURES_FOLDER, MASKS_FOLDER):
        (folder / parent / name).mkdir(parents=True, exist_ok=True)
    kinds = rng.choices(tuple(_KINDS), tuple(_KINDS.values()), k=pictures)
    drawn: list[DrawnPicture] = []
    for index, kind in enumerate(kinds):
        file = f"{name}/{index:04d}.jpg"
        originals = [one for one in drawn if one.belongs]
        if kind == "near-duplicate" and originals:
            drawn.append(_copy(folder, rng.choice(originals), file, rng))
            continue
        kind = "alone" if kind == "near-duplicate" else kind
        picture, mask, truth = _picture(identity, number, name, file, kind, rng)
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=92)
        data = content.getvalue()
        path = folder / PICTURES_FOLDER / file
        path.write_bytes(data[: len(data) // 3] if kind == "corrupt" else data)
        if mask is not None:
            mask.save((folder / MASKS_FOLDER / file).with_suffix(".png"))
        drawn.append(truth)
    return drawn


def read_truth(folder: Path) -> dict[str, DrawnPicture]:
    """Read the truth about each picture, by its path below :data:`PICTURES_FOLDER`."""
    rows = (json.loads(line) for line in (folder / TRUTH_FILE).read_text().splitlines())
    pictures = (
        DrawnPicture(
            **{
                **row,
                "face": None if row["face"] is None else tuple(row["face"]),
                "others": tuple(tuple(box) for box in row["others"]),
            }
        )
        for row in rows
    )
    return {one.file: one for one in pictures}


def compose_scene(people: list[tuple[Identity, Scene, float]], rng: Random) -> tuple[Image.Image, list[Box]]:
    """A picture of all ``people`` (identity, scene, size relative to a portrait) and their face boxes, in order."""
    placed = _places(people, rng)
    picture, _ = _compose(placed, people[0][1], rng)
    return picture, [one.face for one in placed]


def _picture(
    identity: Identity, number: int, name: str, file: str, kind: str, rng: Random
) -> tuple[Image.Image, Image.Image | None, DrawnPicture]:
    scene = _photo(rng)
    truth = DrawnPicture(name, file, kind, identity.class_word, None, ())
    if kind == "nobody":
        return _nobody(scene, rng), None, truth
    size = rng.uniform(0.9, 1.25)
    if kind == "tiny face":
        size = rng.uniform(0.3, 0.42)
    shown = identity
    if kind == "wrong person":
        shown = identity_number(FIRST_HELD_OUT_IDENTITY + _STRANGERS + rng.randrange(_STRANGERS))
    people = [(shown, scene, size)]
    if kind == "with others":
        for _ in range(rng.choice((1, 1, 2))):
            stranger = identity_number(FIRST_HELD_OUT_IDENTITY + _STRANGERS + rng.randrange(_STRANGERS))
            people.append((stranger, _photo(rng), rng.uniform(0.7, 1.1)))
    placed = _places(people, rng)
    picture, mask = _compose(placed, scene, rng)
    faces = [one.face for one in placed]
    if kind == "small picture":
        picture = picture.resize((picture.width // 3, picture.height // 3), Image.Resampling.LANCZOS)
        faces = [tuple(value / 3 for value in face) for face in faces]  # type: ignore[misc]
        mask = mask.resize(picture.size)
    if kind == "wrong person":
        return picture, mask, replace(truth, others=tuple(faces))
    return picture, mask, replace(truth, face=faces[0], others=tuple(faces[1:]))


def _photo(rng: Random) -> Scene:
    """A web search mostly brings photographs: three of four as for an ID photo, the others with hats and glasses."""
    scene = reference_scene(rng) if rng.random() < 0.75 else random_scene(rng)
    return replace(scene, medium="photo", dyed_hair=None, framing="portrait", action="none")


def _places(people: list[tuple[Identity, Scene, float]], rng: Random) -> list[_Placed]:
    """Side by side in random order, standing on the lower edge; neighbours overlap by less than their shoulders."""
    order = list(range(len(people)))
    rng.shuffle(order)
    tallest = max(round(size * SIZE_PX * SCALE) for _, _, size in people)
    height = max(tallest, SIZE_PX * SCALE)
    lefts: dict[int, int] = {}
    x = rng.randrange(0, 40)
    for index in order:
        lefts[index] = x
        x += round(people[index][2] * SIZE_PX * SCALE * 0.86)
    return [
        _Placed(identity, scene, side, lefts[index], height - side)
        for index, (identity, scene, size) in enumerate(people)
        for side in (round(size * SIZE_PX * SCALE),)
    ]


def _compose(placed: list[_Placed], scene: Scene, rng: Random) -> tuple[Image.Image, Image.Image]:
    """The picture and the first person's mask; who stands further to the front is pasted later."""
    right = max(one.left + one.side_px for one in placed)
    height = max(one.top + one.side_px for one in placed)
    size = (max(right + rng.randrange(0, 40), SIZE_PX * SCALE), height)
    side = max(size)
    background = draw_background(scene).resize((side, side), Image.Resampling.BICUBIC)
    picture = background.crop((0, side - size[1], size[0], side))
    mask = Image.new("L", size)
    for index, one in reversed(list(enumerate(placed))):
        portrait, shape = draw(one.identity, one.scene)
        large = (one.side_px, one.side_px)
        shape = shape.resize(large, Image.Resampling.BILINEAR).point(lambda value: 255 if value > 127 else 0)
        picture.paste(portrait.resize(large, Image.Resampling.LANCZOS), (one.left, one.top), shape)
        mask.paste(255 if index == 0 else 0, (one.left, one.top), shape)
    return picture, mask


def _nobody(scene: Scene, rng: Random) -> Image.Image:
    side = rng.randrange(SIZE_PX * SCALE, SIZE_PX * SCALE * 2)
    return draw_background(scene).resize((side, SIZE_PX * SCALE), Image.Resampling.BICUBIC)


def _copy(folder: Path, original: DrawnPicture, file: str, rng: Random) -> DrawnPicture:
    """The same picture as another site has it: scaled, and compressed again."""
    scale = rng.uniform(0.8, 0.95)
    with Image.open(folder / PICTURES_FOLDER / original.file) as picture:
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    small.save(folder / PICTURES_FOLDER / file, "JPEG", quality=75)
    assert original.face is not None
    return replace(
        original,
        file=file,
        kind="near-duplicate",
        face=_scaled(original.face, scale),
        others=tuple(_scaled(box, scale) for box in original.others),
        copy_of=original.file,
    )


def _scaled(box: Box, scale: float) -> Box:
    left, top, right, bottom = box
    return left * scale, top * scale, right * scale, bottom * scale


def _truth(folder: Path) -> io.TextIOWrapper:
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / TRUTH_FILE).open("w", encoding="utf-8")
