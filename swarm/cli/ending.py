"""Runs a command's coroutine until it is done, or a signal (Ctrl-C) ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from swarm.cli import keyboard, outlet
from swarm.cli.exits import EXIT_INTERRUPTED

#: From the first signal to the end of the process at the latest: up to 3 s feel like "at once".
ENDING_S = 2.8
#: The same signal again within this time counts once: `timeout` and shells signal a process and its group.
ECHO_S = 0.05
#: Of these, for a reader that has not read everything yet.
FAREWELL_S = 0.3

T = TypeVar("T")


class Interrupted(Exception):
    """A signal has asked the command to end; its work has been cancelled."""


class Ending:
    """Signals that ask a command to end: after the first it ends in order, after a second at once.

    SIGINT is Ctrl-C, SIGTERM comes when the system goes down, SIGHUP when the terminal is closed. If a disk
    or a tracker takes longer than `deadline_s`, the process ends without it. Nothing is lost by that, or by a
    second signal: files that we save are replaced atomically.

    Args:
        deadline_s: from the first signal to the end of the process.

    Attributes:
        asked_by: the first signal; None before one has come.
    """

    def __init__(self, deadline_s: float = ENDING_S) -> None:
        self.asked_by: signal.Signals | None = None
        self._asked_at = 0.0
        self._deadline_s = deadline_s
        self._watchdog: threading.Timer | None = None
        self._came = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A signal that is ignored stays so, as `nohup` wants it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self.ask, number)

    def ask(self, by: signal.Signals) -> None:
        """A signal has come: ask the command to end; the second time, end the process at once."""
        now = time.monotonic()
        if self._came.is_set():
            if by == self.asked_by and now - self._asked_at < ECHO_S:
                return
            _end_at_once()
        self.asked_by, self._asked_at = by, now
        self._came.set()
        self._watch(self._deadline_s)

    def allow(self, more_s: float, lost: str) -> None:
        """Extend the deadline by `more_s`, to save something; if that is not enough, `lost` is a warning."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watch(self._deadline_s + more_s, lost)

    def _watch(self, deadline_s: float, lost: str = "") -> None:
        # In a thread, as it may be the loop that hangs.
        self._watchdog = threading.Timer(deadline_s, _end_at_once, [lost])
        self._watchdog.daemon = True
        self._watchdog.start()

    @property
    def has_come(self) -> bool:
        """Has a signal come?"""
        return self._came.is_set()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled if a signal comes first.

        Raises:
            Interrupted: a signal has come. And whatever `work` raises.
        """
        return await first_of(work, self._interrupt())

    async def _interrupt(self) -> Any:
        await self.wait()
        raise Interrupted

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._came.wait()


def _end_at_once(lost: str = "") -> None:
    keyboard.give_back_terminal()
    if lost:
        # Written directly: Python's streams may be locked or closed by now.
        with contextlib.suppress(OSError):
            os.write(2, f"warning: {lost}\n".encode())
    os._exit(EXIT_INTERRUPTED)


async def first_of(*works: Coroutine[Any, Any, T]) -> T:
    """The result of the first of `works` to end, of several the first in order; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return ended[0].result()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes a command's event loop: uvloop where it is installed; None means asyncio's own."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None


def run(main: Callable[[Ending], Coroutine[Any, Any, int]]) -> int:
    """Run `main`, and print all that is still to be printed; returns its exit status."""
    endings: list[Ending] = []

    async def started() -> int:
        endings.append(Ending())
        return await main(endings[0])

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(started())
    finally:
        # A command that was asked to end does not wait for slow readers; one that is done does.
        is_hurried = not endings or endings[0].has_come
        outlet.drain(FAREWELL_S if is_hurried else None)
