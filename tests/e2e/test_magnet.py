"""Magnet links between real sessions: from an info-hash to the content, over the links first made."""

from __future__ import annotations

from pathlib import Path

from swarm.metainfo import magnet
from tests.e2e.transfers import (
    Offer,
    assert_same,
    offer_file,
    open_session,
    seed,
    settings_of,
    within,
)


def link_of(offer: Offer, *ports: int) -> str:
    peers = [("127.0.0.1", port) for port in ports]
    return magnet.make(offer.metainfo.info_hash, name="what it is called", peers=peers)


async def test_magnet_link_becomes_the_content_over_one_link(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 3 * 1024 * 1024 + 5, 32 * 1024)
    async with (
        open_session(settings_of(tmp_path / "s1")) as seeder,
        open_session(settings_of(tmp_path / "s2")) as leecher,
    ):
        seeded = await seed(seeder, offer)
        torrent = await leecher.add(link_of(offer, seeder.port), save_to=tmp_path / "leech")
        assert torrent.metainfo.info_bytes == offer.metainfo.info_bytes
        await within(torrent.completed())
        assert_same(tmp_path / "leech" / "file.bin", offer.path)
        # The link over which the metadata came brought the content too.
        assert seeded.runner is not None and seeded.runner._next_number == 1
