"""aria2c (Debian package aria2): one process a torrent; it finds peers through the torrent's tracker only."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tools.bench.clients.client import LOOPBACK, Client, Endpoint, Peer, wait_until_listening
from tools.bench.clients.process import Process, free_port
from tools.bench.clients.torrents import Torrent

#: What the hook prints: gid, number of files, path of the first.
_HOOK_LINE = re.compile(r"[0-9a-f]{16} \d+ /")


class Aria2Peer(Peer):
    def __init__(self, process: Process, port: int, rpc_port: int, *, is_seed: bool) -> None:
        super().__init__(process, port)
        self._rpc_port = rpc_port
        self._is_seed = is_seed

    def wait_ready(self, timeout_s: float) -> float:
        if self._is_seed:
            self.process.wait_for(
                lambda text: "Verification finished successfully" in text, timeout_s, "verified"
            )
        return wait_until_listening(self.process, self.port, timeout_s)

    def wait_complete(self, timeout_s: float) -> float:
        # The hook runs when the last piece has been hashed and written.
        line = self.process.wait_for(lambda text: _HOOK_LINE.match(text) is not None, timeout_s, "complete")
        return line.at

    def uploaded_bytes(self) -> int:
        body = json.dumps({"jsonrpc": "2.0", "id": "1", "method": "aria2.tellActive"}).encode()
        url = f"http://{LOOPBACK}:{self._rpc_port}/jsonrpc"
        with urllib.request.urlopen(url, body, timeout=10) as answer:
            return sum(int(one["uploadLength"]) for one in json.load(answer)["result"])


class Aria2(Client):
    name = "aria2"
    is_dialling = False

    def missing(self) -> str | None:
        return None if shutil.which("aria2c") else "aria2c is not installed (apt-get install aria2)"

    def seed(self, torrent: Torrent, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return self._start(torrent, torrent.content.parent, scratch, is_seed=True)

    def leech(self, torrent: Torrent, folder: Path, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return self._start(torrent, folder, scratch, is_seed=False)

    def _start(self, torrent: Torrent, folder: Path, scratch: Path, *, is_seed: bool) -> Peer:
        port, rpc_port = free_port(), free_port()
        command: list[str | Path] = [
            "aria2c",
            "--no-conf=true",
            f"--dir={folder}",
            f"--listen-port={port}",
            "--enable-rpc=true",
            f"--rpc-listen-port={rpc_port}",
            # 0: no limit.
            f"--max-overall-upload-limit={self.up_bytes_per_s or 0}",
            f"--check-integrity={'true' if is_seed else 'false'}",
            # 0: seed until told to stop.
            "--seed-ratio=0.0",
            "--file-allocation=none",
            *self._dht_options(scratch),
            "--enable-dht6=false",
            "--bt-enable-lpd=false",
            "--follow-torrent=mem",
            "--console-log-level=notice",
            "--enable-color=false",
            "--show-console-readout=false",
            "--summary-interval=0",
            # Its arguments on our pipe: nothing else says that the download is complete.
            "--on-bt-download-complete=/bin/echo",
            f"--stop-with-process={os.getpid()}",
            torrent.path if is_seed else torrent.source,
        ]
        return Aria2Peer(Process(command), port, rpc_port, is_seed=is_seed)

    def _dht_options(self, scratch: Path) -> list[str]:
        if self.dht is None:
            return ["--enable-dht=false"]
        return [
            "--enable-dht=true",
            f"--dht-listen-port={free_port()}",
            f"--dht-entry-point={self.dht[0]}:{self.dht[1]}",
            f"--dht-file-path={scratch / 'dht.dat'}",
        ]
