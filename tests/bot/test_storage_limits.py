"""The limits of what a member may store, as the operator sets them and members meet them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.app import PhotoMakerBot
from photomaker_core.loading.photomaker import PhotoMaker
from storage import NewPhoto
from tests.support.server import Server, settings, upload


@pytest.fixture
def simcord_bot(tmp_path: Path, tiny_model: PhotoMaker) -> PhotoMakerBot:
    return PhotoMakerBot(settings(tmp_path, max_identities=2, max_stored_mib=1), load=lambda: tiny_model)


async def test_a_member_keeps_no_more_people_than_the_operator_allows(server: Server) -> None:
    for name in ("newton", "euler"):
        assert "Added" in (await server.add(server.ada, name)).content
    assert "You have 2 identities, which is the most" in (await server.add(server.ada, "lenna")).content
    assert "Added" in (await server.add(server.bob, "lenna")).content
    await server.command(server.ada, "identity delete", name="euler")
    assert "Added" in (await server.add(server.ada, "lenna")).content


async def test_a_members_photos_take_no_more_room_than_the_operator_allows(server: Server) -> None:
    store = server.bot.identities.store
    await store.add(server.ada.id, "newton", [NewPhoto(bytes(2**20 - 100))], "I am this person")
    told = (await server.add(server.ada, "euler", upload(1))).content
    assert "All of your photos may take 1 MiB, and 1.0 MiB are taken" in told
    assert "Added" in (await server.add(server.bob, "euler", upload(1))).content
