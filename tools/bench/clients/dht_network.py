"""A DHT on this machine to find peers in: libtorrent nodes in a process of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.bench.clients.client import Endpoint
from tools.bench.clients.process import Process

_SCRIPT = Path(__file__).with_name("dht_nodes.py")
_START_TIMEOUT_S = 60.0


class DhtNetwork:
    """A context manager.

    Args:
        prefix: the nodes are at `prefix` + 2 and so on; each needs its own address to be believed.

    Attributes:
        entry: the node to begin with.

    Raises:
        ClientError: it did not come up.
    """

    def __init__(self, node_count: int = 20, *, prefix: str = "127.0.0.") -> None:
        self._process = Process([sys.executable, _SCRIPT, "--nodes", str(node_count), "--prefix", prefix])
        try:
            said = json.loads(self._wait("listening", "", _START_TIMEOUT_S))
        except BaseException:
            self._process.stop()
            raise
        self.entry: Endpoint = (said["host"], int(said["port"]))

    def _wait(self, event: str, also: str, timeout_s: float) -> str:
        wanted = f'{{"event": "{event}"'
        return self._process.wait_for(
            lambda text: text.startswith(wanted) and also in text, timeout_s, event
        ).text

    def wait_announced(self, infohash: bytes, timeout_s: float) -> None:
        """Until a lookup by another node finds somebody with this torrent.

        Raises:
            ClientError: it takes longer.
        """
        self._process.send_line(infohash.hex())
        self._wait("found", infohash.hex(), timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
