"""swarm itself, through its command line as a user would start it."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tools.bench.clients.client import Client, Endpoint, Peer
from tools.bench.clients.process import Line, Process
from tools.bench.clients.torrents import Torrent

_START_TIMEOUT_S = 20.0

#: Rather than the script on PATH: certain to be this Python and this checkout.
COMMAND = [sys.executable, "-c", "import sys; from swarm.cli.main import main; sys.argv[0] = 'swarm'; main()"]


def json_event(text: str) -> dict[str, Any]:
    """The JSON object of a line, empty for a line of another kind."""
    try:
        value = json.loads(text) if text.startswith("{") else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class SwarmPeer(Peer):
    def __init__(self, process: Process, *, is_seed: bool) -> None:
        super().__init__(process, 0)
        self._is_seed = is_seed
        line = self._wait(lambda event: event.get("event") == "listening", _START_TIMEOUT_S, "listening")
        self._listening_at = line.at
        self.port = int(json_event(line.text)["port"])

    def _wait(self, is_it: Callable[[dict[str, Any]], bool], timeout_s: float, what: str) -> Line:
        return self.process.wait_for(lambda text: is_it(json_event(text)), timeout_s, what)

    def wait_ready(self, timeout_s: float) -> float:
        if not self._is_seed:
            return self._listening_at
        return self._wait(
            lambda event: (
                event.get("event") == "progress" and event.get("done_bytes") == event.get("total_bytes")
            ),
            timeout_s,
            "verified",
        ).at

    def wait_complete(self, timeout_s: float) -> float:
        return self._wait(lambda event: event.get("event") == "complete", timeout_s, "complete").at

    def uploaded_bytes(self) -> int:
        line = self.process.last(lambda text: json_event(text).get("event") == "progress")
        if line is None:
            raise self.process.failure("no progress yet")
        return int(json_event(line.text)["uploaded_bytes"])


class Swarm(Client):
    name = "swarm"

    def missing(self) -> str | None:
        if importlib.util.find_spec("swarm.cli.leech") is None:
            return "swarm is not installed (pip install -e .)"
        return None

    def seed(self, torrent: Torrent, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        return self._start(["seed", torrent.path, torrent.content], scratch, peers, is_seed=True)

    def leech(self, torrent: Torrent, folder: Path, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        # It goes on seeding until stopped, as the other clients do: a swarm needs it, and its CPU
        # and memory can still be read after it has completed.
        command: list[str | Path] = ["leech", torrent.source, "--output", folder, "--seed-time", "3600"]
        return self._start(command, scratch, peers, is_seed=False)

    def _start(
        self, arguments: Sequence[str | Path], scratch: Path, peers: Sequence[Endpoint], *, is_seed: bool
    ) -> Peer:
        dialled = [part for host, port in peers for part in ("--peer", f"{host}:{port}")]
        limits = [] if self.up_bytes_per_s is None else ["--up", str(self.up_bytes_per_s)]
        dht = ["--no-dht"] if self.dht is None else ["--dht-bootstrap", f"{self.dht[0]}:{self.dht[1]}"]
        command = [*COMMAND, *arguments, "--port", "0", "--json", *limits, *dialled, *dht]
        # What another process knew of the same torrent is not for this one; nobody outside is asked.
        process = Process(
            command, env={"SWARM_STATE_DIR": str(scratch), "SWARM_DHT_BOOTSTRAP": "", "SWARM_NO_LSD": "1"}
        )
        try:
            return SwarmPeer(process, is_seed=is_seed)
        except BaseException:
            process.stop()
            raise
