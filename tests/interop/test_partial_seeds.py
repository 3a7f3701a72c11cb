"""libtorrent has some files of a torrent, and wants no more: it says so, and we part (BEP 21)."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm.tracker.server import TrackerServer
from swarm.wire.tracker.announce import ScrapeEntry
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


@pytest.mark.parametrize("scheme", ["http", "udp"])
async def test_libtorrent_that_becomes_a_partial_seed_is_none_of_the_downloaders_of_our_tracker(
    scheme: str, tmp_path: Path
) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 200_000, "b": 16384 * 20}, 16384)
    async with TrackerServer(HOST, 0, udp=(HOST, 0)) as tracker:
        url = tracker.urls[0] if scheme == "http" else tracker.udp_urls[0]
        with libtorrent(offer, tmp_path / "lt") as (handle, _):
            handle.add_tracker({"url": url})
            handle.prioritize_files([4, 0])

            def counts() -> ScrapeEntry | None:
                return tracker.store.counts(bytes(offer.metainfo.info_hash))

            await until(lambda: counts() == ScrapeEntry(0, 1, 0, 1))
            async with open_session(settings_of(tmp_path / "seeder")) as seeder:
                await seed(seeder, offer)
                handle.connect_peer((HOST, seeder.port))
                await until(lambda: handle.status().is_finished)
                handle.force_reannounce(0, -1, type(handle).ignore_min_interval)
                await until(lambda: counts() == ScrapeEntry(0, 1, 0, 0))
