"""transmission and swarm meet in a DHT without any tracker; both ways at once. Exits 0 if both have all.

A program, to be run in a network namespace of its own (`unshare --net`): Transmission 3 ignores every
address in 127.0.0.0/8, for nodes and for peers, so here all are at addresses of 10.77.0.0/24 on the
loopback device.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench.clients import (
    Client,
    Swarm,
    Torrent,
    Transmission,
    first_difference,
    make_torrent,
    write_random,
)
from tools.bench.clients.dht_network import DhtNetwork

PREFIX = "10.77.0."
NODE_COUNT = 20
START_TIMEOUT_S = 30
TRANSFER_TIMEOUT_S = 150


def bring_up_network() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
    for number in range(1, NODE_COUNT + 10):
        address = f"{PREFIX}{number}/32"
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True, timeout=10)


def torrent_in(folder: Path, seed: int) -> Torrent:
    content = folder / "source" / "content.bin"
    write_random(content, 700 << 10, seed=seed)
    return make_torrent(content, folder / "content.torrent", 16 << 10).by_magnet()


def meet(seeding: Client, leeching: Client, network: DhtNetwork, folder: Path, seed: int) -> None:
    torrent = torrent_in(folder, seed)
    with seeding.seed(torrent, folder / "seeder") as seeder:
        seeder.wait_ready(START_TIMEOUT_S)
        network.wait_announced(torrent.infohash, TRANSFER_TIMEOUT_S)
        with leeching.leech(torrent, folder / "here", folder / "leecher") as leecher:
            leecher.wait_complete(TRANSFER_TIMEOUT_S)
    difference = first_difference(torrent.content, folder / "here" / torrent.content.name)
    if difference is not None:
        raise SystemExit(f"{seeding.name} -> {leeching.name}: {difference}")


def main() -> None:
    bring_up_network()
    hosts = [f"{PREFIX}{NODE_COUNT + 2 + number}" for number in range(4)]
    with tempfile.TemporaryDirectory() as scratch, DhtNetwork(NODE_COUNT, prefix=PREFIX) as network:
        theirs, ours = Transmission(host=hosts[0], dht=network.entry), Swarm(host=hosts[1], dht=network.entry)
        ours_too, theirs_too = (
            Swarm(host=hosts[2], dht=network.entry),
            Transmission(host=hosts[3], dht=network.entry),
        )
        with ThreadPoolExecutor(2) as pool:
            works = [
                pool.submit(meet, theirs, ours, network, Path(scratch, "they seed"), 1),
                pool.submit(meet, ours_too, theirs_too, network, Path(scratch, "we seed"), 2),
            ]
            for work in works:
                work.result()


if __name__ == "__main__":
    main()
