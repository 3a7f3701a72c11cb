"""libtorrent (from PyPI) in a process of its own, tuned for loopback or with its defaults."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tools.bench.clients.client import Client, Endpoint, Peer
from tools.bench.clients.process import Process
from tools.bench.clients.torrents import Torrent

_SCRIPT = Path(__file__).with_name("libtorrent_peer.py")
_START_TIMEOUT_S = 20.0


class JsonPeer(Peer):
    """A peer that says `listening`, `ready` and `complete` as JSON lines with its own clock."""

    def __init__(self, process: Process) -> None:
        super().__init__(process, 0)
        self.port = int(self._event("listening", _START_TIMEOUT_S)["port"])

    def _event(self, name: str, timeout_s: float) -> dict[str, float]:
        wanted = f'{{"event": "{name}"'
        line = self.process.wait_for(lambda text: text.startswith(wanted), timeout_s, name)
        event: dict[str, float] = json.loads(line.text)
        return event

    def wait_ready(self, timeout_s: float) -> float:
        return self._event("ready", timeout_s)["at"]

    def wait_complete(self, timeout_s: float) -> float:
        return self._event("complete", timeout_s)["at"]

    def uploaded_bytes(self) -> int:
        line = self.process.last(lambda text: text.startswith('{"event": "totals"'))
        if line is None:
            raise self.process.failure("no totals yet")
        return int(json.loads(line.text)["uploaded"])


class Libtorrent(Client):
    name = "libtorrent"

    _options: ClassVar[list[str]] = []

    def missing(self) -> str | None:
        if importlib.util.find_spec("libtorrent") is None:
            return "libtorrent is not installed (pip install libtorrent)"
        return None

    def seed(self, torrent: Torrent, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return self._start("seed", torrent, torrent.content.parent, peers)

    def leech(self, torrent: Torrent, folder: Path, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return self._start("leech", torrent, folder, peers)

    def _start(self, role: str, torrent: Torrent, folder: Path, peers: Sequence[Endpoint]) -> Peer:
        limits = [] if self.up_bytes_per_s is None else ["--up", str(self.up_bytes_per_s)]
        dialled = [part for host, port in peers for part in ("--peer", f"{host}:{port}")]
        command: list[str | Path] = [
            sys.executable,
            _SCRIPT,
            role,
            torrent.source if role == "leech" else torrent.path,
            folder,
            *limits,
            *([] if self.dht is None else ["--dht", f"{self.dht[0]}:{self.dht[1]}"]),
            *dialled,
            *self._options,
        ]
        return JsonPeer(Process(command))


class LibtorrentDefaults(Libtorrent):
    """With libtorrent's own settings, not the tuned ones."""

    name = "libtorrent-defaults"
    _options: ClassVar[list[str]] = ["--defaults"]
