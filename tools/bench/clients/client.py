"""What every client can be asked to do, whatever program is behind it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tools.bench.clients.process import Process, Usage
from tools.bench.clients.torrents import Torrent

Endpoint = tuple[str, int]

LOOPBACK = "127.0.0.1"


class Peer(ABC):
    """One running client with one torrent.

    Attributes:
        port: where it takes peers' connections.
        started_at: when its process was started (time.monotonic).
    """

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self.started_at = process.started_at

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def endpoint(self) -> Endpoint:
        return (LOOPBACK, self.port)

    @abstractmethod
    def wait_ready(self, timeout_s: float) -> float:
        """When it was up (time.monotonic): a seeder has verified and takes connections; a leecher has begun.

        Raises:
            ClientError: it ended or took longer.
        """

    @abstractmethod
    def wait_complete(self, timeout_s: float) -> float:
        """When everything was there and verified (time.monotonic).

        Raises:
            ClientError: it ended or took longer.
        """

    def uploaded_bytes(self) -> int:
        """Content sent to others so far, as it says itself; up to a second old.

        Raises:
            ClientError: it has not said anything about it.
        """
        raise self.process.failure("does not say what it uploads")

    def usage(self) -> Usage:
        """CPU and peak memory so far."""
        return self.process.usage()

    def stop(self) -> None:
        """End the process; harmless when it has ended."""
        self.process.stop()


class Client(ABC):
    """One program. Peers that must be found through a tracker are found through the torrent's `announce`.

    Attributes:
        name: what tables and test ids call it.
        is_dialling: `leech` can be given peers' addresses; otherwise it only learns of them from a tracker.
        is_dialling_loopback: connects to 127.0.0.1 when a tracker names it. Transmission 3 ignores every
            address in 127.0.0.0/8 and ::1 ("martian") and waits to be dialled.
        is_tracked: asks the torrent's tracker for peers.
        is_making_empty_files: a file of no bytes is there at the end (Transmission 3 and webtorrent leave it
            out).
        is_alone_on_host: knows one peer per address, whatever the port (Transmission 3): several of one swarm
            need an address each.

    Args:
        up_bytes_per_s: the limit of what each process sends, all peers together; None for none.
        host: the address to be at, 0.0.0.0 for all, those of IPv6 too; not all clients can be told.
        dht: a node that leads into a DHT, to find peers there; None for no DHT.
    """

    name: ClassVar[str]
    is_dialling: ClassVar[bool] = True
    is_dialling_loopback: ClassVar[bool] = True
    is_tracked: ClassVar[bool] = True
    is_making_empty_files: ClassVar[bool] = True
    is_alone_on_host: ClassVar[bool] = False

    def __init__(
        self, *, up_bytes_per_s: int | None = None, host: str = LOOPBACK, dht: Endpoint | None = None
    ) -> None:
        self.up_bytes_per_s = up_bytes_per_s
        self.host = host
        self.dht = dht

    @abstractmethod
    def missing(self) -> str | None:
        """What has to be installed first, in one line; None if it can be started."""

    @abstractmethod
    def seed(self, torrent: Torrent, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        """Start offering `torrent.content`; returns at once, `wait_ready` says when it is checked.

        Args:
            scratch: an empty folder for its settings and state.
            peers: whom to dial, where `is_dialling`.
        """

    @abstractmethod
    def leech(self, torrent: Torrent, folder: Path, scratch: Path, peers: Sequence[Endpoint] = ()) -> Peer:
        """Start fetching the torrent into `folder` (which gets an entry of the torrent's name)."""


def wait_until_listening(process: Process, port: int, timeout_s: float) -> float:
    """Wait for a client that says nothing about it to accept connections on `port`.

    Raises:
        ClientError: it ended or took longer.
    """
    # Look into the kernel's table: to connect would be to knock at the client's door.
    wanted = f":{port:04X} "
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            if not Path(table).exists():
                continue
            for row in Path(table).read_text().splitlines()[1:]:
                _, local, _, state, *_ = row.split()
                if state == "0A" and f"{local} ".endswith(wanted):
                    return time.monotonic()
        if not process.is_running:
            raise process.failure("ended before it listened")
        time.sleep(0.02)
    raise process.failure(f"not listening after {timeout_s:g} s")
