"""libtorrent has some files of a torrent, and wants no more: it says so, and we part (BEP 21)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.transfers import notices_of, offer_folder, open_session, seed, settings_of
from tests.interop.test_peer_exchange import HOST, libtorrent, until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


async def test_libtorrent_that_becomes_a_partial_seed_is_left_by_who_wants_other_files(
    tmp_path: Path,
) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 200_000, "b": 16384 * 20}, 16384)
    with libtorrent(offer, tmp_path / "lt") as (handle, port):
        handle.prioritize_files([4, 0])
        async with (
            open_session(settings_of(tmp_path / "seeder")) as seeder,
            open_session(settings_of(tmp_path / "leecher")) as leecher,
        ):
            await seed(seeder, offer)
            torrent = await leecher.add(offer.raw, save_to=tmp_path / "here", files=[1], peers=[(HOST, port)])
            await until(lambda: torrent.peers())
            handle.connect_peer((HOST, seeder.port))
            await until(lambda: handle.status().is_finished)
            await until(lambda: "it has nothing for us" in notices_of(torrent))
            assert not handle.status().is_seeding
