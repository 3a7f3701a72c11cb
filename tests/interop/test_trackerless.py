"""Magnet links without any tracker: a DHT of libtorrent nodes, and real clients on either end.

Transmission takes no address of loopback for a DHT node: its half runs in a network namespace, see
`trackerless_transmission.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.cases import KIB
from tests.interop.conftest import client_or_skip
from tools.bench.clients import CLIENTS, Client, Torrent, first_difference, make_torrent, write_random
from tools.bench.clients.dht_network import DhtNetwork

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

START_TIMEOUT_S = 30
TRANSFER_TIMEOUT_S = 90
#: One more than answer a lookup (BEP 5: eight), so that not everybody knows everything; more take longer.
NODE_COUNT = 9


@pytest.fixture
def network() -> Iterator[DhtNetwork]:
    """One for each test: nodes of clients that have gone would cost the next ones their timeouts."""
    client_or_skip("libtorrent")
    with DhtNetwork(NODE_COUNT) as running:
        yield running


def in_the_dht(name: str, network: DhtNetwork) -> Client:
    client_or_skip(name)
    return CLIENTS[name](dht=network.entry)


def trackerless(folder: Path, seed: int) -> Torrent:
    """A torrent that names no tracker, and of which a leecher gets only the info-hash."""
    content = folder / "source" / "content.bin"
    write_random(content, 700 * KIB, seed=seed)
    return make_torrent(content, folder / "content.torrent", 16 * KIB).by_magnet()


@pytest.mark.parametrize(
    ("seeding", "leeching"),
    [
        ("libtorrent", "swarm"),
        ("aria2", "swarm"),
        ("webtorrent", "swarm"),
        ("swarm", "libtorrent"),
        ("swarm", "aria2"),
        ("swarm", "webtorrent"),
        ("swarm", "swarm"),
    ],
)
def test_an_info_hash_and_a_dht_node_are_enough(
    seeding: str, leeching: str, network: DhtNetwork, tmp_path: Path
) -> None:
    # Where aria2 leeches it takes 24 s, whoever seeds (libtorrent: 24.6): it looks for the first time before
    # it knows a node, and again 5 s later; dials every 10 s; begins anew for the content when it has the
    # metadata; and each step waits for a tick of a second.
    seeder_client, leecher_client = in_the_dht(seeding, network), in_the_dht(leeching, network)
    torrent = trackerless(tmp_path, seed=hash((seeding, leeching)) & 0xFFFF)
    with seeder_client.seed(torrent, tmp_path / "seeder") as seeder:
        seeder.wait_ready(START_TIMEOUT_S)
        network.wait_announced(torrent.infohash, TRANSFER_TIMEOUT_S)
        with leecher_client.leech(torrent, tmp_path / "here", tmp_path / "leecher") as leecher:
            leecher.wait_complete(TRANSFER_TIMEOUT_S)
    assert first_difference(torrent.content, tmp_path / "here" / torrent.content.name) is None


def test_transmission_needs_no_tracker_either_to_meet_us() -> None:
    """It takes a minute: Transmission asks the DHT rarely, and decides every ten seconds only."""
    client_or_skip("transmission")
    client_or_skip("libtorrent")
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    program = Path(__file__).with_name("trackerless_transmission.py")
    command = ["unshare", "--net", *as_root, sys.executable, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=220)
    assert done.returncode == 0, done.stderr[-4000:]
