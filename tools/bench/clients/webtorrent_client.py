"""webtorrent (from npm) in a process of its own, over TCP."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tools.bench.clients.client import Client, Endpoint, Peer
from tools.bench.clients.libtorrent_client import JsonPeer
from tools.bench.clients.process import Process
from tools.bench.clients.torrents import Torrent

#: The packages from npm that we are tested against; `npm ci --ignore-scripts` there installs them.
NPM = Path(__file__).with_name("npm")
NO_NODE = "node is not installed"


def missing_package(name: str) -> str | None:
    """What keeps us from running a package from npm; None where nothing does."""
    if shutil.which("node") is None:
        return NO_NODE
    if not (NPM / "node_modules" / name).is_dir():
        return f"{name} is not installed (npm ci --ignore-scripts, in {NPM})"
    return None


class Webtorrent(Client):
    name = "webtorrent"
    is_making_empty_files = False

    def missing(self) -> str | None:
        return missing_package("webtorrent")

    def seed(self, torrent: Torrent, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return self._start("seed", torrent, torrent.content.parent, peers)

    def leech(self, torrent: Torrent, folder: Path, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return self._start("leech", torrent, folder, peers)

    def _start(self, role: str, torrent: Torrent, folder: Path, peers: Sequence[Endpoint]) -> Peer:
        dialled = [part for host, port in peers for part in ("--peer", f"{host}:{port}")]
        command: list[str | Path] = [
            "node",
            NPM / "webtorrent_peer.mjs",
            role,
            torrent.source if role == "leech" else torrent.path,
            folder,
            *dialled,
            *([] if self.dht is None else ["--dht", f"{self.dht[0]}:{self.dht[1]}"]),
        ]
        return WebtorrentPeer(Process(command))


class WebtorrentPeer(JsonPeer):
    """Its lines carry no clock of their own: they are timed when we read them."""

    def _event(self, name: str, timeout_s: float) -> dict[str, float]:
        wanted = f'{{"event":"{name}"'
        line = self.process.wait_for(lambda text: text.startswith(wanted), timeout_s, name)
        return {"port": _port(line.text), "at": line.at}


def _port(text: str) -> int:
    _, found, port = text.partition('"port":')
    return int(port.rstrip("}")) if found else 0
