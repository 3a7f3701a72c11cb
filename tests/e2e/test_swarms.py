"""Several whole swarms beside each other: what shows only where processes wait for their turn.

The picker's first order of decision 038 stood still here in about one of three runs.
"""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

from swarm.engine.download.rarity import RarityOrder
from swarm.metainfo.builder import TorrentOptions
from swarm.storage.create import create_torrent
from tests.e2e.commands import Commands, Running

SWARMS, LEECHERS = 3, 3
PIECE_BYTES = 16 << 10
#: More than twice as many as the picker keeps in order.
PIECES = 3 * RarityOrder.AT_ONCE
OURS = ("--bind", "127.0.0.1", "--port", "0", "--no-dht")


class Swarm:
    """A seeder and leechers, which come one after the other and know all before them; the seeder is last."""

    def __init__(self, commands: Commands, number: int) -> None:
        self._commands = commands
        self._number = number
        self._content = commands.folder / f"content-{number}"
        self._content.write_bytes(random.Random(number).randbytes(PIECES * PIECE_BYTES))
        self._torrent = commands.folder / f"{number}.torrent"
        self._torrent.write_bytes(create_torrent(self._content, TorrentOptions(piece_length=PIECE_BYTES)))
        self._leechers: list[Running] = []
        self._known: list[str] = []

    def add_leecher(self) -> None:
        folder = self._commands.folder / f"{self._number}-{len(self._leechers)}"
        # They go on seeding: nobody loses a peer for which he waits.
        self._leechers.append(
            self._commands.start(
                "leech", self._torrent, "-o", folder, *OURS, *self._known, "--seed-time", "3600"
            )
        )

    def wait_for_leecher(self) -> None:
        self._known += ["--peer", f"127.0.0.1:{self._leechers[-1].wait('listening')['port']}"]

    def begin(self) -> None:
        """Nobody has had anything so far."""
        self._commands.start("seed", self._torrent, self._content, *OURS, *self._known)

    def finish(self) -> None:
        """AssertionError, or a timeout, where a leecher gets stuck."""
        content = self._content.read_bytes()
        for place, running in enumerate(self._leechers):
            running.wait("complete")
            copy = self._commands.folder / f"{self._number}-{place}" / self._content.name
            assert copy.read_bytes() == content


def test_swarms_beside_each_other_all_finish(tmp_path: Path) -> None:
    with contextlib.closing(Commands(tmp_path)) as commands:
        swarms = [Swarm(commands, number) for number in range(SWARMS)]
        for _ in range(LEECHERS):
            for swarm in swarms:
                swarm.add_leecher()
            for swarm in swarms:
                swarm.wait_for_leecher()
        for swarm in swarms:
            swarm.begin()
        for swarm in swarms:
            swarm.finish()
