"""Looking again at what somebody else has changed: nobody who waits for it is forgotten."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.errors import StorageError, SwarmError
from swarm.session.course import Course
from swarm.session.keeping.content import Content
from swarm.session.keeping.doubts import Doubts
from swarm.session.keeping.state import ResumeKeeper
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


class Keeper:
    """What the keeper of the resume data is told."""

    def __init__(self) -> None:
        self.lost_pieces: list[int] = []
        self.is_touched = False

    def lost(self, piece: int) -> None:
        self.lost_pieces.append(piece)

    def touch(self) -> None:
        self.is_touched = True

    @property
    def as_keeper(self) -> ResumeKeeper:
        return cast(ResumeKeeper, self)


async def test_pieces_that_cannot_be_looked_at_for_want_of_descriptors_are_looked_at_later(
    tmp_path: Path,
) -> None:
    files, server, said = files_of(tmp_path, layout_of(("a", 10))), Server(), list[str]()
    failed: list[SwarmError] = []
    failures = [StorageError("too many open files", error_number=errno.EMFILE)] * 2

    class Inspection:
        async def matching(self, pieces: Sequence[int]) -> Bitfield:
            if failures:
                raise failures.pop()
            good = Bitfield(2)
            good.add(pieces[0])
            return good

    content = Content(files, Geometry(10, 5))
    content.have = Bitfield(2, is_full=True)
    keeper = Keeper()
    doubts = Doubts(
        content,
        Inspection(),
        keeper.as_keeper,
        Course("a"),
        lambda level, text: said.append(level),
        on_failed=failed.append,
        retry_s=0.0,
    )
    assert not doubts.begin(server)
    doubts.suspect(0)
    assert server.doubted == {0, 1}
    await doubts.settled()
    assert server.settled == {0: True, 1: False}
    assert not server.doubted
    assert said == ["warning"]
    assert keeper.lost_pieces == [1] and keeper.is_touched
    files.close()


async def test_what_is_changed_before_anything_is_served_is_looked_at_then(tmp_path: Path) -> None:
    class Inspection:
        async def matching(self, pieces: Sequence[int]) -> Bitfield:
            return Bitfield(2, is_full=True)

    files, server, keeper = files_of(tmp_path, layout_of(("a", 10))), Server(), Keeper()
    content = Content(files, Geometry(10, 5))
    doubts = Doubts(
        content,
        Inspection(),
        keeper.as_keeper,
        Course("a"),
        lambda level, text: None,
        on_failed=lambda error: None,
        retry_s=0.0,
    )
    doubts.suspect(0)
    content.have = Bitfield(2, is_full=True)
    await doubts.settled()
    assert not keeper.is_touched, "it has begun too soon"
    assert doubts.begin(server)
    await doubts.settled()
    assert server.settled == {0: True, 1: True} and keeper.is_touched
    files.close()
