"""`Torrent.read`: content in order while it arrives, and an end where it never will."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from swarm import SettingsError, StorageError
from tests.e2e.transfers import (
    assert_same,
    offer_file,
    offer_folder,
    open_session,
    seed,
    settings_of,
    within,
)

PIECE = 64 * 1024


async def test_content_is_read_while_it_arrives(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 20 * PIECE + 7, PIECE)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(
            offer.raw, save_to=tmp_path / "here", is_sequential=True, peers=[("127.0.0.1", seeder.port)]
        )
        async with asyncio.timeout(20):
            assert await torrent.read(PIECE - 5, 19 * PIECE) == offer.content()[PIECE - 5 : 20 * PIECE - 5]


async def test_what_was_not_selected_is_refused_at_once_and_what_lies_beside_the_selection_is_read(
    tmp_path: Path,
) -> None:
    # Of "b" the piece with the end of "a" holds the first bytes.
    offer = offer_folder(tmp_path / "seed", {"a": PIECE + 100, "b": 3 * PIECE}, PIECE)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(
            offer.raw, save_to=tmp_path / "here", files=[0], peers=[("127.0.0.1", seeder.port)]
        )
        async with asyncio.timeout(20):
            with pytest.raises(SettingsError, match="bytes of b, which was not selected"):
                await torrent.read(PIECE + 50, 2 * PIECE)
            assert await torrent.read(PIECE + 50, 100) == offer.content()[PIECE + 50 : PIECE + 150]


async def test_what_was_not_selected_but_is_here_from_another_time_is_read(tmp_path: Path) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": PIECE, "b": 3 * PIECE}, PIECE)
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await session.add(offer.raw, content=offer.path, files=[0])
        async with asyncio.timeout(20):
            assert await torrent.read(PIECE, PIECE) == offer.content()[PIECE : 2 * PIECE]


async def test_what_a_seed_has_lost_is_refused(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 3 * PIECE, PIECE)
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await seed(session, offer)
        offer.path.write_bytes(bytes(3 * PIECE))
        os.utime(offer.path, ns=(0, 0))
        async with asyncio.timeout(20):
            with pytest.raises(StorageError, match=r"file.bin: .* not what the torrent says"):
                await torrent.read(0, 10)


async def test_what_somebody_else_has_overwritten_is_read_when_it_was_fetched_again(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 20 * PIECE, PIECE)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "here", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
        path = tmp_path / "here/file.bin"
        await torrent.read(0, 1)
        path.write_bytes(bytes(20 * PIECE))
        os.utime(path, ns=(0, 0))
        async with asyncio.timeout(20):
            assert await torrent.read(0, 20 * PIECE) == offer.content()
        assert_same(path, offer.path)
