"""The threads behind the loop: jobs in, answers out, errors too, nothing left at the end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from swarm.base.errors import StorageError
from swarm.storage.disk import Disk


async def test_thousands_of_jobs_are_all_answered_on_the_loop(disk: Disk) -> None:
    answers: list[int] = []
    threads: set[threading.Thread] = set()

    def done(value: int | None, error: BaseException | None) -> None:
        assert error is None and value is not None
        answers.append(value)
        threads.add(threading.current_thread())

    for number in range(5000):
        disk.submit(lambda number=number: number, done)  # type: ignore[misc]  # bound now, not later
    await disk.drained()
    assert sorted(answers) == list(range(5000))
    assert threads == {threading.current_thread()}


async def test_error_of_a_job_comes_back_to_whoever_asked(disk: Disk) -> None:
    def fail() -> None:
        raise StorageError("no", path="x")

    with pytest.raises(StorageError, match="x: no"):
        await disk.run(fail)
    assert await disk.run(lambda: 7) == 7


async def test_answers_behind_one_whose_receiver_fails_are_delivered_all_the_same(disk: Disk) -> None:
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    is_blocked = threading.Event()

    def fail(value: object, error: BaseException | None) -> None:
        raise RuntimeError("a bug")

    answers: list[object] = []
    for _ in range(2):
        disk.submit(is_blocked.wait, lambda value, error: None)
    for _ in range(3):
        disk.submit(lambda: None, fail)
        disk.submit(lambda: 1, lambda value, error: answers.append(value))
    is_blocked.set()
    await disk.drained()
    assert answers == [1, 1, 1]
    assert [str(error) for error in reported] == ["a bug"] * 3


async def test_everyone_who_waits_for_the_end_of_all_jobs_is_woken(disk: Disk) -> None:
    may_end = threading.Event()
    disk.submit(may_end.wait, lambda value, error: None)
    waiting = [asyncio.ensure_future(disk.drained()) for _ in range(3)]
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(*waiting)


async def test_what_comes_later_is_not_waited_for(disk: Disk) -> None:
    answers: list[int] = []
    is_over = False

    def again(value: object, error: BaseException | None) -> None:
        answers.append(1)
        if not is_over:
            disk.submit(lambda: None, again)

    again(None, None)
    may_end = threading.Event()
    disk.submit(may_end.wait, lambda value, error: answers.append(-1))
    async with asyncio.timeout(20):
        waiting = asyncio.ensure_future(disk.drained())
        await asyncio.sleep(0.05)
        # It was there before, however much has come and gone since.
        assert not waiting.done() and len(answers) > 2
        may_end.set()
        await waiting
    assert -1 in answers
    is_over = True


async def test_waiter_that_gave_up_is_not_missed(disk: Disk) -> None:
    may_end = threading.Event()
    answers: list[object] = []
    disk.submit(may_end.wait, lambda value, error: answers.append(value))
    task = asyncio.ensure_future(disk.run(lambda: 1))
    await asyncio.sleep(0)
    task.cancel()
    may_end.set()
    await disk.drained()
    assert answers == [True]
    assert task.cancelled()


async def test_close_finishes_what_was_submitted_and_ends_the_threads() -> None:
    before = threading.active_count()
    disk = Disk(asyncio.get_running_loop(), thread_count=3)
    assert threading.active_count() == before + 3
    answers: list[object] = []
    for number in range(100):
        disk.submit(lambda number=number: number, lambda value, error: answers.append(value))  # type: ignore[misc]
    await disk.close()
    assert len(answers) == 100
    assert threading.active_count() == before
