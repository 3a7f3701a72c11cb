"""Trackers on loopback: ours and opentracker."""

from __future__ import annotations

import importlib.util
import shutil
import time
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tools.bench.clients.client import LOOPBACK, wait_until_listening
from tools.bench.clients.process import Process, free_port
from tools.bench.clients.swarm_client import COMMAND, json_event
from tools.bench.clients.webtorrent_client import NPM, missing_package

_START_TIMEOUT_S = 20.0


class Tracker(ABC):
    """A tracker on loopback, known by its URL before it is started: torrents are made in between.

    Attributes:
        announce: the URL to put into torrents.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.port = free_port()
        self.announce = f"http://{LOOPBACK}:{self.port}/announce"
        self._process: Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @staticmethod
    @abstractmethod
    def missing() -> str | None:
        """What has to be installed first, in one line; None if it can be started."""

    @abstractmethod
    def start(self, infohashes: Iterable[bytes]) -> None:
        """Run it; it need not serve other torrents than these."""

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def scrape(self, infohash: bytes) -> tuple[int, int]:
        """(seeds, leechers) as the tracker tells everybody (BEP 48)."""
        url = self.announce.replace("/announce", "/scrape") + "?info_hash=" + urllib.parse.quote(infohash)
        with urllib.request.urlopen(url, timeout=10) as response:
            body: bytes = response.read(64 << 10)
        return _count(body, b"complete"), _count(body, b"incomplete")

    def wait_for_members(self, infohash: bytes, count: int, timeout_s: float = 20.0) -> None:
        """Wait until so many members of the swarm have announced themselves.

        Raises:
            ClientError: they have not after `timeout_s`.
        """
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while (found := sum(self.scrape(infohash))) < count:
            if time.monotonic() > deadline:
                raise self._process.failure(f"{found} members after {timeout_s:g} s, not {count}")
            time.sleep(0.02)


def _count(body: bytes, key: bytes) -> int:
    """One integer out of a bencoded scrape answer; 0 where the torrent is not known."""
    _, found, rest = body.partition(b"%d:%bi" % (len(key), key))
    return int(rest.partition(b"e")[0]) if found else 0


class SwarmTracker(Tracker):
    name = "swarm"

    @staticmethod
    def missing() -> str | None:
        if importlib.util.find_spec("swarm.cli.tracker") is None:
            return "swarm is not installed (pip install -e .)"
        return None

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    def start(self, infohashes: Iterable[bytes]) -> None:
        where = ["--http", f"{LOOPBACK}:{self.port}", "--json"]
        process = Process([*COMMAND, "tracker", *where, *self._options])
        self._process = process
        process.wait_for(
            lambda text: json_event(text).get("event") == "listening", _START_TIMEOUT_S, "listening"
        )


class NpmTracker(Tracker):
    """The server of npm's bittorrent-tracker."""

    name = "npm"

    @staticmethod
    def missing() -> str | None:
        return missing_package("bittorrent-tracker")

    def start(self, infohashes: Iterable[bytes]) -> None:
        program = NPM / "node_modules" / "bittorrent-tracker" / "bin" / "cmd.js"
        where = ["--port", str(self.port), "--http-hostname", LOOPBACK, "--udp-hostname", LOOPBACK]
        process = Process(["node", program, *where, "--http", "--udp", "--trust-proxy=false"])
        self._process = process
        wait_until_listening(process, self.port, _START_TIMEOUT_S)


class Opentracker(Tracker):
    """Debian's opentracker, which serves the info-hashes of a list only.

    Args:
        scratch: a folder for that list.
    """

    name = "opentracker"

    def __init__(self, scratch: Path) -> None:
        super().__init__()
        self._scratch = scratch

    @staticmethod
    def missing() -> str | None:
        if shutil.which("opentracker"):
            return None
        return "opentracker is not installed (apt-get install opentracker)"

    def start(self, infohashes: Iterable[bytes]) -> None:
        whitelist = self._scratch / "whitelist.txt"
        whitelist.write_text("".join(f"{infohash.hex()}\n" for infohash in infohashes))
        # As root it chroots into the folder and becomes nobody before it reads the list.
        self._scratch.chmod(0o755)
        where = ["-i", LOOPBACK, "-p", str(self.port), "-P", str(self.port)]
        process = Process(["opentracker", *where, "-d", self._scratch, "-w", whitelist.name])
        self._process = process
        wait_until_listening(process, self.port, _START_TIMEOUT_S)
