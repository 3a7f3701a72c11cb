"""A disk without room: what waits for it is tried again, and nothing that came meanwhile is forgotten."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

from swarm.base.errors import StorageError, SwarmError
from swarm.session.keeping.hold import Hold

FULL = StorageError("the disk is full", path="/x", error_number=errno.ENOSPC)


class World:
    """A hold, and what it said."""

    def __init__(self, free_bytes: Callable[[], int | None]) -> None:
        self.reasons: list[str] = []
        self.notices: list[str] = []
        self.failures: list[SwarmError] = []
        self.hold = Hold(
            free_bytes,
            lambda: 100,
            self.reasons.append,
            lambda level, text: self.notices.append(text),
            on_failed=self.failures.append,
            probe_s=0.0,
            room_bytes=50,
        )

    async def ended(self) -> None:
        assert self.hold._task is not None
        async with asyncio.timeout(20):
            await self.hold._task


async def test_it_goes_on_when_what_was_kept_is_written_and_there_is_room() -> None:
    answers = [False, True, True]
    free = iter([0, 0, 0, 40, 60, 60])
    world = World(lambda: next(free, 60))

    async def write() -> bool:
        return answers.pop(0)

    world.hold.begin(FULL, write)
    assert world.hold.reason == "/x: the disk is full"
    await world.ended()
    assert world.reasons[-1] == "" and not world.failures and not answers
    assert world.notices[-1] == "there is room again: the download goes on"


async def test_what_finds_no_room_while_the_disk_is_looked_at_is_written_too() -> None:
    loop = asyncio.get_running_loop()
    kept = ["first"]
    is_late = False

    def look() -> int:
        nonlocal is_late
        if not kept and not is_late:
            # In this thread, as a piece comes whose write has failed a moment ago.
            is_late = True
            asyncio.run_coroutine_threadsafe(fail(), loop).result()
        return 60

    async def fail() -> None:
        kept.append("second")
        world.hold.begin(FULL, write)

    async def write() -> bool:
        kept.clear()
        return True

    world = World(look)
    world.hold.begin(FULL, write)
    await world.ended()
    assert is_late and not kept
    assert world.hold.reason == ""
