"""Looking again at what somebody else has changed: nobody who waits for it is forgotten."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Sequence
from pathlib import Path

from swarm.base.bitfield import Bitfield
from swarm.base.errors import StorageError, SwarmError
from swarm.session.keeping.doubts import Doubts
from tests.unit.storage.layouts import files_of, layout_of


class Server:
    """Which pieces are held back, and what was found out about the others."""

    def __init__(self) -> None:
        self.doubted: set[int] = set()
        self.settled: dict[int, bool] = {}

    def doubt(self, pieces: Iterable[int]) -> None:
        self.doubted |= set(pieces)

    def settle(self, piece: int, *, is_good: bool) -> None:
        self.doubted.discard(piece)
        self.settled[piece] = is_good

    def settle_rest(self) -> None:
        self.doubted.clear()


async def test_pieces_that_cannot_be_looked_at_for_want_of_descriptors_are_looked_at_later(
    tmp_path: Path,
) -> None:
    files, server, said = files_of(tmp_path, layout_of(("a", 10))), Server(), list[str]()
    failed: list[SwarmError] = []
    failures = [StorageError("too many open files", error_number=errno.EMFILE)] * 2

    async def check(pieces: Sequence[int]) -> Bitfield:
        if failures:
            raise failures.pop()
        good = Bitfield(3)
        good.add(pieces[0])
        return good

    doubts = Doubts(
        files,
        lambda: Bitfield(3, is_full=True),
        lambda index: range(2),
        lambda pieces: asyncio.ensure_future(check(pieces)),
        lambda: server,
        on_lost=lambda piece: None,
        on_done=lambda: None,
        on_notice=lambda level, text: said.append(level),
        on_failed=failed.append,
        retry_s=0.0,
    )
    doubts.suspect(0)
    assert server.doubted == {0, 1}
    await doubts.settled()
    assert server.settled == {0: True, 1: False}
    assert not server.doubted
    assert said == ["warning"]
    files.close()
