"""The floor (floor_peer.py) in the shape of a client, so that it is measured by the same code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tools.bench.clients.client import Client, Endpoint, Peer
from tools.bench.clients.libtorrent_client import JsonPeer
from tools.bench.clients.process import Process
from tools.bench.clients.torrents import Torrent

_SCRIPT = Path(__file__).with_name("floor_peer.py")


class Floor(Client):
    """Single files only, one seeder to one leecher, to be dialled."""

    name = "floor"
    is_tracked = False

    def missing(self) -> str | None:
        return None

    def seed(self, torrent: Torrent, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return JsonPeer(Process([sys.executable, _SCRIPT, "seed", torrent.content]))

    def leech(self, torrent: Torrent, folder: Path, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        scratch.mkdir(parents=True, exist_ok=True)
        hashes = scratch / "hashes"
        hashes.write_bytes(torrent.piece_hashes)
        target = folder / torrent.content.name
        (_, port) = peers[0]
        sizes = ["--total-bytes", str(torrent.total_bytes), "--piece-length", str(torrent.piece_length)]
        command: list[str | Path] = [
            sys.executable,
            _SCRIPT,
            "leech",
            target,
            "--port",
            str(port),
            "--hashes",
            hashes,
            *sizes,
        ]
        return JsonPeer(Process(command))
