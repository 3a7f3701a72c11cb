"""Hybrid torrents of libtorrent, in which every file but the last ends with padding (BEP 47), both ways."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from swarm.base.blocks import BLOCK_BYTES
from tests.e2e.transfers import Offer, assert_same, open_session, seed, settings_of
from tests.interop.conftest import client_or_skip
from tests.interop.test_peer_exchange import HOST, libtorrent, until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(120),
    # What makes torrents has other names from 2.1 on.
    pytest.mark.filterwarnings("default::DeprecationWarning"),
]

FILES = 250
PIECE = 2 * BLOCK_BYTES


def hybrid_offer(folder: Path) -> Offer:
    """Many small files, about half of them shorter than a block."""
    client_or_skip("libtorrent")
    import libtorrent as lt

    rng = random.Random(1)
    content = folder / "folder"
    content.mkdir(parents=True)
    for number in range(FILES):
        (content / f"{number:03}").write_bytes(rng.randbytes(rng.randint(1, 5 * PIECE // 2)))
    made = lt.create_torrent(lt.list_files(str(content)), PIECE)
    lt.set_piece_hashes(made, str(folder))
    return Offer(content, lt.bencode(made.generate()))


def blocks_bytes(offer: Offer) -> int:
    """The length of all blocks that hold bytes of files, whole where padding fills them up."""
    real = [file for file in offer.metainfo.files if not file.is_pad]
    end = offer.metainfo.total_bytes
    return sum(min(-(-file.length // BLOCK_BYTES) * BLOCK_BYTES, end - file.offset) for file in real)


async def test_we_download_of_libtorrent_what_is_not_padding(tmp_path: Path) -> None:
    offer = hybrid_offer(tmp_path / "seed")
    wanted_bytes = blocks_bytes(offer)
    assert wanted_bytes < 0.9 * offer.metainfo.total_bytes
    with libtorrent(offer, tmp_path / "seed") as (handle, port):
        await until(lambda: handle.status().is_seeding)
        async with open_session(settings_of(tmp_path / "state")) as leecher:
            torrent = await leecher.add(offer.raw, save_to=tmp_path / "here", peers=[(HOST, port)])
            await until(lambda: torrent.state == "seeding")
            now = torrent.snapshot()
    assert_same(tmp_path / "here/folder", offer.path)
    assert now.downloaded_bytes == wanted_bytes
    assert now.wasted_bytes == now.failed_pieces == 0
    assert now.done_bytes == now.total_bytes


async def test_libtorrent_downloads_of_us_what_is_not_padding(tmp_path: Path) -> None:
    offer = hybrid_offer(tmp_path / "seed")
    async with open_session(settings_of(tmp_path / "state")) as seeder:
        torrent = await seed(seeder, offer)
        with libtorrent(offer, tmp_path / "lt") as (handle, _):
            handle.connect_peer((HOST, seeder.port))
            await until(lambda: handle.status().is_seeding)
            assert torrent.snapshot().uploaded_bytes == blocks_bytes(offer)
    assert_same(tmp_path / "lt/folder", offer.path)
