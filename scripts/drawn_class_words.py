"""Trains how class words are read from drawn people as the detector frames them (on a CPU, some minutes).

The judge's own reading of sex and age was trained on whole portraits; in a scene the frame comes from a face box.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from photomaker_core.dataset.adapters.drawn_captions import CLASS_WORD_WEIGHTS, WORDS, class_word_features
from photomaker_core.dataset.adapters.drawn_faces import DrawnFaces, portrait_around
from photomaker_core.dataset.boxes import intersection_over_union
from photomaker_core.dataset.drawn_corpus import compose_scene
from photomaker_core.nano.judge import PortraitJudge, load_judge
from photomaker_core.nano.portrait_set import identity_number
from photomaker_core.nano.scenes import Scene, random_scene, reference_scene

PEOPLE: Final = 400_000
SCENES: Final = 4_000
HELD_OUT: Final = 200
FIRST: Final = 500_000
STEPS: Final = 600
_BATCH: Final = 100


def main() -> None:
    """Train, print the accuracy on people left out, and save."""
    torch.manual_seed(0)
    judge = load_judge()
    features, words = _examples(judge)
    mean, deviation = features[HELD_OUT:].mean(0), features[HELD_OUT:].std(0) + 1e-3
    features = (features - mean) / deviation
    reader = nn.Linear(features.shape[1], len(WORDS))
    optimizer = torch.optim.AdamW(reader.parameters(), 5e-3, weight_decay=0.3)
    for _ in range(STEPS):
        noisy = features[HELD_OUT:] + 0.3 * torch.randn_like(features[HELD_OUT:])
        loss = functional.cross_entropy(reader(noisy), words[HELD_OUT:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    right = (reader(features[:HELD_OUT]).argmax(-1) == words[:HELD_OUT]).float().mean()
    print(f"loss {loss.item():.3f}, right of {HELD_OUT} faces left out: {right:.1%}")
    weight = reader.weight.detach() / deviation
    save_file({"weight": weight.half(), "bias": (reader.bias.detach() - weight @ mean).half()}, CLASS_WORD_WEIGHTS)


def _examples(judge: PortraitJudge) -> tuple[Tensor, Tensor]:
    """Faces as the detector finds them in composed scenes, and their class words."""
    finder = DrawnFaces()
    portraits, words = [], []
    for number in range(SCENES):
        rng = Random(f"class words {number}")
        people = [
            (identity_number(FIRST + rng.randrange(PEOPLE)), _scene(rng), rng.uniform(0.8, 1.25))
            for _ in range(rng.choice((1, 1, 2)))
        ]
        picture, boxes = compose_scene(people, rng)
        for face in finder.find(picture):
            for box, (identity, _, _) in zip(boxes, people, strict=True):
                if intersection_over_union(face.box, box) > 0.5:
                    portraits.append(portrait_around(picture, face.box))
                    words.append(WORDS.index(identity.class_word))
    features = [class_word_features(judge, portraits[first : first + _BATCH]) for first in range(0, len(words), _BATCH)]
    return torch.cat(features), torch.tensor(words)


def _scene(rng: Random) -> Scene:
    return reference_scene(rng) if rng.random() < 0.7 else replace(random_scene(rng), medium="photo", dyed_hair=None)


if __name__ == "__main__":
    main()
