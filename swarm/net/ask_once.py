"""Questions to the DNS that many have at once: each is asked once, and its answer is used for a while."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class AskOnce(Generic[_Answer]):
    """Asks about a name when the first wants to know; whoever wants to know meanwhile gets the same answer.

    So a thousand torrents of one tracker cost one question.

    Args:
        ask: a name -> the answer, and for how many seconds it is used. What it raises goes to all who wait,
            and is not remembered.
        what: is asked, for the names of tasks.
        answers_max: answers that are remembered; the oldest are dropped.
    """

    def __init__(
        self, ask: Callable[[str], Awaitable[tuple[_Answer, float]]], what: str, answers_max: int
    ) -> None:
        self._ask = ask
        self._what = what
        self._answers_max = answers_max
        #: name -> (its answer, the loop's time until which that is used); the oldest first.
        self._known: dict[str, tuple[_Answer, float]] = {}
        self._asking: dict[str, asyncio.Task[_Answer]] = {}

    async def about(self, name: str) -> _Answer:
        """The answer.

        Raises:
            OSError: `close` was called meanwhile; and what `ask` raises.
        """
        known = self._known.get(name)
        if known is not None and known[1] > asyncio.get_running_loop().time():
            return known[0]
        task = self._asking.get(name)
        if task is None:
            task = asyncio.create_task(self._fetch(name), name=f"{self._what} {name[:40]}")
            self._asking[name] = task
            task.add_done_callback(lambda task: self._done(name, task))
        # `wait` does not cancel the task: others may be waiting for the same answer.
        await asyncio.wait([task])
        if task.cancelled():
            raise OSError(errno.ECANCELED, "closed")
        return task.result()

    def forget(self) -> None:
        """Forget all answers."""
        self._known.clear()

    async def close(self) -> None:
        """Ask nothing any more; whoever waits for an answer gets an OSError."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, name: str, task: asyncio.Task[_Answer]) -> None:
        del self._asking[name]
        if not task.cancelled():
            # Looked at, or asyncio complains of a failure for which nobody waits any more.
            task.exception()

    async def _fetch(self, name: str) -> _Answer:
        answer, life_s = await self._ask(name)
        self._known.pop(name, None)
        while len(self._known) >= self._answers_max:
            del self._known[next(iter(self._known))]
        self._known[name] = answer, asyncio.get_running_loop().time() + life_s
        return answer
