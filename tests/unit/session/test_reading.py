"""`session.reading`: who waits for much of the content pays for each piece once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.errors import SettingsError
from swarm.session.course import Course
from swarm.session.reading import Reading
from swarm.session.selection import Selection
from swarm.storage.faults import ContentChangedError
from tests.unit.storage.layouts import layout_of

PIECE = 16384
PIECE_COUNT = 200
LAYOUT = layout_of(("first", 150 * PIECE), ("second", 50 * PIECE))


class World:
    """Content of which pieces come by and by; counts how often one is asked for."""

    def __init__(self, selection: Selection) -> None:
        self.have = Bitfield(PIECE_COUNT)
        self.asked_count = 0
        self.course = Course("it")
        metainfo = SimpleNamespace(geometry=Geometry(PIECE_COUNT * PIECE, PIECE), files=LAYOUT.files)
        self.read_count = 0
        self.is_changed = False
        self.keeping = keeping = SimpleNamespace(
            have=self.have,
            is_right=self._is_right,
            is_settled=True,
            is_seeding_only=False,
            files=SimpleNamespace(layout=LAYOUT, read=self._read),
        )
        disk = SimpleNamespace(run=self._run)
        fakes: list[Any] = [metainfo, keeping, disk, self.course, selection]
        self.reading = Reading(*fakes)

    def _is_right(self, piece: int) -> bool:
        self.asked_count += 1
        return True

    def _read(self, offset: int, views: object) -> None:
        self.read_count += 1
        if self.is_changed:
            raise ContentChangedError("it was changed by somebody else", path="it")

    async def _run(self, job: Callable[[], None]) -> None:
        await asyncio.sleep(0)
        job()

    async def comes(self, piece: int) -> None:
        self.have.add(piece)
        self.course.advance()
        # Whoever waits looks.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.mark.parametrize("order", [range(PIECE_COUNT), range(PIECE_COUNT - 1, -1, -1)])
async def test_each_piece_that_comes_is_looked_at_a_few_times(order: range) -> None:
    world = World(Selection())
    reading = asyncio.ensure_future(world.reading.read(0, PIECE_COUNT * PIECE))
    for piece in order:
        assert not reading.done()
        await world.comes(piece)
    assert len(await reading) == PIECE_COUNT * PIECE
    assert world.asked_count < 5 * PIECE_COUNT


async def test_nobody_waits_for_pieces_before_those_that_never_come() -> None:
    world = World(Selection(files=frozenset((0,))))
    with pytest.raises(SettingsError, match="second, which was not selected"):
        await world.reading.read(0, PIECE_COUNT * PIECE)


async def test_piece_that_is_lost_while_a_later_one_is_waited_for_is_waited_for_again() -> None:
    world = World(Selection())
    reading = asyncio.ensure_future(world.reading.read(0, 3 * PIECE))
    await world.comes(0)
    await world.comes(1)
    world.have.discard(0)
    await world.comes(2)
    await asyncio.sleep(0)
    assert not reading.done()
    await world.comes(0)
    assert len(await reading) == 3 * PIECE


async def test_what_is_changed_while_all_is_looked_at_is_not_read_over_and_over() -> None:
    world = World(Selection())
    world.have.add(0)
    world.is_changed, world.keeping.is_settled = True, False
    reading = asyncio.ensure_future(world.reading.read(0, 100))
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.read_count == 1
    world.is_changed, world.keeping.is_settled = False, True
    world.course.advance()
    assert await reading == bytes(100)
    assert world.read_count == 2
