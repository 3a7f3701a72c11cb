"""`session.course`: states, and who waits for the next."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from swarm.base.errors import StorageError, SwarmError
from swarm.session.course import Course


async def test_completed_returns_once_everything_is_verified() -> None:
    course = Course("it")
    waiting = asyncio.ensure_future(course.completed())
    await asyncio.sleep(0)
    assert not waiting.done()
    course.complete()
    await waiting
    assert course.state == "seeding"
    assert course.seconds_to_complete is not None


async def test_completed_raises_the_first_failure() -> None:
    course = Course("it")
    first = StorageError("the disk failed")
    course.fail(first)
    course.fail(StorageError("and again"))
    course.stop()
    with pytest.raises(StorageError) as raised:
        await course.completed()
    assert raised.value is first
    assert course.state == "failed"


async def test_who_waits_for_more_hears_of_an_early_stop() -> None:
    course = Course("a dataset")
    waiting = asyncio.ensure_future(course.advanced())
    await asyncio.sleep(0)
    course.stop()
    # It is woken to look again, and told the next time.
    await waiting
    with pytest.raises(SwarmError, match="a dataset was stopped before it was complete"):
        await course.advanced()


async def test_complete_torrents_may_stop_without_complaint() -> None:
    course = Course("it")
    course.complete()
    course.stop()
    await course.completed()
    assert course.state == "stopped"


async def test_what_was_complete_and_lost_a_piece_is_waited_for_again() -> None:
    course = Course("it")
    states = [course.state]
    for change in (course.complete, course.reopen):
        change()
        states.append(course.state)
    assert states == ["checking", "seeding", "downloading"]
    waiting = asyncio.ensure_future(course.completed())
    await asyncio.sleep(0)
    assert not waiting.done()
    course.complete()
    await waiting
    course.stop()
    course.reopen()
    assert course.state == "stopped"


async def test_beats_come_at_once_when_it_completes_and_when_it_ends() -> None:
    course = Course("it")
    seen = []
    async with contextlib.aclosing(course.beats(3600.0)) as beats:
        async for _ in beats:
            seen.append(course.state)
            asyncio.get_running_loop().call_soon(course.complete if len(seen) == 1 else course.stop)
    assert seen == ["checking", "seeding", "stopped"]
