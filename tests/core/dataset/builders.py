"""Rows and shards of drawn people, as the stages before a test's subject would have left them."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import numpy as np

from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.stages.pack import PackStage
from photomaker_core.models.face_recognition import Face
from photomaker_core.nano.captions import caption
from photomaker_core.nano.portrait_set import identity_number, scene_number
from photomaker_core.nano.portraits import SIZE_PX, draw, face_box


def marked_rows(store: PictureStore, people: int, pictures: int) -> list[PictureRow]:
    """Kept rows after the mark stage, ordered by person; every picture is a portrait with its true mask."""
    rows = []
    for person in range(people):
        identity = identity_number(person)
        for picture in range(pictures):
            scene = scene_number(person, picture)
            portrait, mask = draw(identity, scene)
            content = io.BytesIO()
            portrait.save(content, "PNG")
            text = caption(identity, scene, Random(picture), describe_identity=False)
            rows.append(
                PictureRow(
                    person=f"person {person}",
                    source=f"{person}/{picture}.png",
                    licence="CC0",
                    picture=store.put(content.getvalue()),
                    width=SIZE_PX,
                    height=SIZE_PX,
                    faces=(Face(*face_box(identity, scene), 1.0, np.zeros(4, dtype=np.float32)),),
                    face=0,
                    distance=0.1,
                    crop=(0, 0, SIZE_PX, SIZE_PX),
                    mask=store.put_mask(mask),
                    mask_overlap=1.0,
                    caption=text.replace(identity.class_word, f"{identity.class_word} img", 1),
                    class_word=identity.class_word,
                    group_word=identity.class_word,
                )
            )
    return rows


def packed_shards(folder: Path, people: int, pictures: int, people_a_shard: int = 2) -> Path:
    """A folder of shards with ``people_a_shard`` people each."""
    store = PictureStore(folder / "pictures")
    rows = marked_rows(store, people, pictures)
    stage = PackStage(store, folder / "shards")
    step = people_a_shard * pictures
    for index in range(0, len(rows), step):
        stage.run(rows[index : index + step], index // step)
    return folder / "shards"
