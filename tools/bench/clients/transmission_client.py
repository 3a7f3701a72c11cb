"""transmission-daemon with a throw-away configuration, driven through its RPC."""

from __future__ import annotations

import base64
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.bench.clients.client import LOOPBACK, Client, Endpoint, Peer, wait_until_listening
from tools.bench.clients.process import Process, free_port
from tools.bench.clients.torrents import Torrent

_START_TIMEOUT_S = 20.0
_POLL_S = 0.05
_STATUS_SEEDING = 6


class TransmissionPeer(Peer):
    def __init__(self, process: Process, port: int, rpc_port: int) -> None:
        super().__init__(process, port)
        self._url = f"http://{LOOPBACK}:{rpc_port}/transmission/rpc"
        self._session_id = ""
        wait_until_listening(process, rpc_port, _START_TIMEOUT_S)

    def call(self, method: str, **arguments: object) -> dict[str, Any]:
        """One RPC; the first answer of a session is 409 with the id that the next must carry."""
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            headers = {"X-Transmission-Session-Id": self._session_id}
            request = urllib.request.Request(self._url, body, headers)
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    answer = json.load(response)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 409:
                        raise
                    self._session_id = error.headers["X-Transmission-Session-Id"]
                continue
            if answer["result"] != "success":
                raise self.process.failure(f"{method}: {answer['result']}")
            result: dict[str, Any] = answer["arguments"]
            return result
        raise self.process.failure(f"{method}: no session id accepted")

    def add(self, torrent: Torrent, folder: Path) -> None:
        if torrent.link:
            what = {"filename": torrent.link}
        else:
            what = {"metainfo": base64.b64encode(torrent.path.read_bytes()).decode()}
        self.call("torrent-add", **what, **{"download-dir": str(folder)})

    def _wait(self, is_it: Callable[[dict[str, Any]], bool], timeout_s: float, what: str) -> float:
        deadline = time.monotonic() + timeout_s
        fields = ["status", "percentDone", "leftUntilDone", "error", "errorString"]
        while time.monotonic() < deadline:
            torrents = self.call("torrent-get", fields=fields)["torrents"]
            if torrents and is_it(torrents[0]):
                return time.monotonic()
            time.sleep(_POLL_S)
        raise self.process.failure(f"not {what} after {timeout_s:g} s")

    def wait_ready(self, timeout_s: float) -> float:
        return self._wait(lambda torrent: torrent["status"] != 0, timeout_s, "started")

    def wait_complete(self, timeout_s: float) -> float:
        return self._wait(
            lambda torrent: torrent["percentDone"] == 1 and torrent["status"] == _STATUS_SEEDING,
            timeout_s,
            "complete",
        )

    def uploaded_bytes(self) -> int:
        return sum(
            int(torrent["uploadedEver"])
            for torrent in self.call("torrent-get", fields=["uploadedEver"])["torrents"]
        )


class TransmissionSeed(TransmissionPeer):
    def wait_ready(self, timeout_s: float) -> float:
        return self.wait_complete(timeout_s)


class Transmission(Client):
    name = "transmission"
    is_dialling = False
    is_dialling_loopback = False
    is_making_empty_files = False
    is_alone_on_host = True

    def missing(self) -> str | None:
        if shutil.which("transmission-daemon"):
            return None
        return "transmission-daemon is not installed (apt-get install transmission-daemon)"

    def seed(self, torrent: Torrent, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return self._start(TransmissionSeed, replace(torrent, link=""), torrent.content.parent, scratch)

    def leech(self, torrent: Torrent, folder: Path, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return self._start(TransmissionPeer, torrent, folder, scratch)

    def _start(self, kind: type[TransmissionPeer], torrent: Torrent, folder: Path, scratch: Path) -> Peer:
        port, rpc_port = free_port(), free_port()
        settings = {
            "bind-address-ipv4": self.host,
            "bind-address-ipv6": "::" if self.host == "0.0.0.0" else "::1",
            "cache-size-mb": 16,
            "dht-enabled": self.dht is not None,
            "download-dir": str(folder),
            "encryption": 0,
            "lpd-enabled": False,
            "peer-port": port,
            "pex-enabled": True,
            "port-forwarding-enabled": False,
            "ratio-limit-enabled": False,
            "rename-partial-files": False,
            "rpc-authentication-required": False,
            "rpc-bind-address": LOOPBACK,
            "rpc-port": rpc_port,
            "rpc-whitelist-enabled": False,
            "rpc-host-whitelist-enabled": False,
            # In thousands of bytes a second.
            "speed-limit-up": (self.up_bytes_per_s or 0) // 1000,
            "speed-limit-up-enabled": self.up_bytes_per_s is not None,
            "start-added-torrents": True,
            "trash-original-torrent-files": False,
            "utp-enabled": False,
        }
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / "settings.json").write_text(json.dumps(settings))
        if self.dht is not None:
            (scratch / "dht.bootstrap").write_text(f"{self.dht[0]} {self.dht[1]}\n")
        process = Process(["transmission-daemon", "--foreground", "--config-dir", scratch])
        try:
            peer = kind(process, port, rpc_port)
            peer.add(torrent, folder)
        except BaseException:
            process.stop()
            raise
        return peer
