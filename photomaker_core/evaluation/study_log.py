"""A study's judgements in a file, one line a picture, so that a study that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from photomaker_core.errors import UserError


class StudyLog:
    """The judgements by the names of their pictures. ``about`` says what they depend on besides.

    Raises :class:`UserError` where the file is of a study with another model, or other settings.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self._path = path
        self._judged: dict[str, dict[str, Any]] = {}
        lines = path.read_text().splitlines() if path.exists() else []
        head = json.dumps({"about": dict(about)})
        if not lines:
            path.write_text(f"{head}\n")
        elif lines[0] != head:
            raise UserError(f"{path} is of a study with another model or other settings. Name another --out.")
        for line in lines[1:]:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # It was stopped while it wrote this line.
            self._judged[entry.pop("picture")] = entry

    def __contains__(self, picture: str) -> bool:
        return picture in self._judged

    def __getitem__(self, picture: str) -> Mapping[str, Any]:
        return self._judged[picture]

    def add(self, judged: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep judgements, each under the name of its picture."""
        with self._path.open("a") as file:
            for picture, entry in judged.items():
                file.write(f"\n{json.dumps({'picture': picture, **entry})}")
                self._judged[picture] = dict(entry)


def weights_digest(*modules: nn.Module) -> str:
    """A digest of the weights of modules, the same for the same numbers."""
    digest = hashlib.sha256()
    for module in modules:
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
