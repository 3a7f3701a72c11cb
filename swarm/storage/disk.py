"""Threads that do what would block the loop, and bring the results back in batches."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from swarm.base.errors import StorageError
from swarm.storage.buffers import PieceBuffers
from swarm.storage.descriptors import OpenFiles

T = TypeVar("T")

#: What a job answers with: its value, or what it raised.
Done = Callable[[Any, BaseException | None], None]
_Job = tuple[int, Callable[[], Any], Done]


class Disk:
    """Threads for hashing, reading and writing, memory for pieces, open files: all torrents share them.

    Jobs and answers are plain calls: no future and no task a job, since at full speed there are
    thousands of jobs a second. All answers that are ready reach the loop in one wake-up.

    Args:
        loop: on which answers are delivered.
        thread_count: SHA-1 and pread/pwrite release the GIL, so that threads do scale.

    Attributes:
        buffers: for pieces that are being gathered. open_files: of the content.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_count: int | None = None) -> None:
        self._loop = loop
        self.buffers = PieceBuffers()
        self.open_files = OpenFiles()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._answers: deque[tuple[int, Done, Any, BaseException | None]] = deque()
        self._is_wakeup_due = False
        #: The numbers of the jobs that have no answer yet, in order.
        self._pending: dict[int, None] = {}
        self._next_number = 0
        self._is_closed = False
        #: Set with the next answers, for those who wait for the end of jobs.
        self._answered: asyncio.Event | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"swarm-disk-{number}", daemon=True)
            for number in range(thread_count or max(2, min(8, os.cpu_count() or 2)))
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Run `job` in a thread, then call `done(value, error)` on the loop."""
        number = self._next_number
        self._next_number = number + 1
        self._pending[number] = None
        self._jobs.put((number, job, done))

    async def run(self, job: Callable[[], T]) -> T:
        """Run `job` in a thread and wait for it; for what happens seldom.

        Raises:
            StorageError: the threads have ended, and nobody would ever answer. Whatever `job` raises.
        """
        if self._is_closed:
            raise StorageError("the session is closed")
        future: asyncio.Future[T] = self._loop.create_future()

        def done(value: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)  # type: ignore[arg-type]  # None only if the job gave None

        self.submit(job, done)
        return await future

    def _work(self) -> None:
        get = self._jobs.get
        while (entry := get()) is not None:
            number, job, done = entry
            value: Any = None
            error: BaseException | None = None
            try:
                value = job()
            except BaseException as raised:
                error = raised
            self._answers.append((number, done, value, error))
            # Only the first answer of a batch wakes the loop; the flag is cleared before the batch is taken.
            if not self._is_wakeup_due:
                self._is_wakeup_due = True
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:
                    return  # the loop is closed: nobody wants the answer
            del entry, job, done, value, error

    def _deliver(self) -> None:
        self._is_wakeup_due = False
        answers = self._answers
        while answers:
            number, done, value, error = answers.popleft()
            del self._pending[number]
            try:
                done(value, error)
            except BaseException:
                # A bug in one receiver is reported by the loop; the other answers still come.
                self._loop.call_soon(self._deliver)
                raise
        if self._answered is not None:
            self._answered.set()
            self._answered = None

    async def drained(self) -> None:
        """Wait until every job that was submitted before now has been answered, whatever comes after it."""
        before = self._next_number
        while self._pending and next(iter(self._pending)) < before:
            # One event for all who wait.
            if self._answered is None:
                self._answered = asyncio.Event()
            await self._answered.wait()

    async def close(self) -> None:
        """Finish what was submitted, then end the threads."""
        while self._pending:
            await self.drained()
        self._is_closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            # They have nothing left to do: this takes microseconds.
            thread.join()
