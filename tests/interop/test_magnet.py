"""Magnet links between us and libtorrent, aria2 and transmission, either end giving the metadata.

libtorrent is also met without a tracker, by address alone. The cases of a test run side by side:
transmission decides every ten seconds only.
"""

from __future__ import annotations

import pytest

from tests.interop.cases import KIB, Case
from tests.interop.conftest import Stage, client_or_skip
from tests.interop.test_one_to_one import START_TIMEOUT_S, TRANSFER_TIMEOUT_S, side_by_side
from tools.bench.clients import Client

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

#: 25 KiB of piece hashes: two pieces of metadata; and a tree, whose names only the metadata tells.
CASES = [Case("long 16K", "long", 16 * KIB), Case("tree 32K", "tree", 32 * KIB)]


@pytest.mark.parametrize("name", ["libtorrent", "aria2", "transmission"])
def test_we_fetch_metadata_and_content_from_another_client(name: str, swarm: Client, stage: Stage) -> None:
    other = client_or_skip(name)

    def move(case: Case) -> str | None:
        torrent = stage.torrent(case)
        link = torrent.by_magnet(stage.tracker.announce)
        with other.seed(torrent, stage.folder(case, "seeder")) as seeder:
            seeder.wait_ready(START_TIMEOUT_S)
            stage.tracker.wait_for_members(torrent.infohash, 1)
            with swarm.leech(link, stage.folder(case, "here"), stage.folder(case, "leecher")) as leecher:
                leecher.wait_complete(TRANSFER_TIMEOUT_S)
        return stage.difference(case, "here", swarm)

    assert side_by_side(move, CASES) == {}


@pytest.mark.parametrize("name", ["libtorrent", "aria2"])
def test_another_client_fetches_metadata_and_content_from_us(name: str, swarm: Client, stage: Stage) -> None:
    other = client_or_skip(name)

    def move(case: Case) -> str | None:
        torrent = stage.torrent(case)
        with swarm.seed(torrent, stage.folder(case, "seeder")) as seeder:
            seeder.wait_ready(START_TIMEOUT_S)
            stage.tracker.wait_for_members(torrent.infohash, 1)
            link = torrent.by_magnet(stage.tracker.announce)
            with other.leech(link, stage.folder(case, "here"), stage.folder(case, "leecher")) as leecher:
                leecher.wait_complete(TRANSFER_TIMEOUT_S)
        return stage.difference(case, "here", other)

    assert side_by_side(move, CASES) == {}


def test_transmission_fetches_metadata_and_content_from_us_when_we_dial(swarm: Client, stage: Stage) -> None:
    """It dials no loopback address, so it comes first, and we learn of it from the tracker."""
    other = client_or_skip("transmission")

    def move(case: Case) -> str | None:
        torrent = stage.torrent(case)
        link = torrent.by_magnet(stage.tracker.announce)
        with other.leech(link, stage.folder(case, "here"), stage.folder(case, "leecher")) as leecher:
            stage.tracker.wait_for_members(torrent.infohash, 1)
            with swarm.seed(torrent, stage.folder(case, "seeder")):
                leecher.wait_complete(TRANSFER_TIMEOUT_S)
        return stage.difference(case, "here", other)

    assert side_by_side(move, CASES) == {}


@pytest.mark.parametrize(
    ("seeding", "leeching"), [("libtorrent", "swarm"), ("swarm", "libtorrent"), ("swarm", "swarm")]
)
def test_an_address_and_an_info_hash_are_enough(seeding: str, leeching: str, stage: Stage) -> None:
    seeder_client, leecher_client = client_or_skip(seeding), client_or_skip(leeching)

    def move(case: Case) -> str | None:
        torrent = stage.torrent(case).by_magnet()
        here, state = stage.folder(case, "here"), stage.folder(case, "leecher")
        with seeder_client.seed(torrent, stage.folder(case, "seeder")) as seeder:
            seeder.wait_ready(START_TIMEOUT_S)
            with leecher_client.leech(torrent, here, state, [seeder.endpoint]) as leecher:
                leecher.wait_complete(TRANSFER_TIMEOUT_S)
        return stage.difference(case, "here", leecher_client)

    assert side_by_side(move, CASES) == {}
