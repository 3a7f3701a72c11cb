"""Runs a command's coroutine until it is done or somebody presses Ctrl-C."""

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

#: From the first signal to the end at the latest: users take 3 s for "at once".
ENDING_S = 2.8
#: What comes again within this time is one wish: `timeout` and shells tell a process and its group.
ECHO_S = 0.05
#: Of it, for a reader that has not taken everything yet.
FAREWELL_S = 0.3

T = TypeVar("T")


class Interrupted(Exception):
    """SIGINT or SIGTERM came; what was under way has been cancelled."""


class Ending:
    """The wish to end: the first signal asks nicely, the second ends the process at once.

    SIGINT is Ctrl-C, SIGTERM a system that goes down, SIGHUP a terminal that was closed. Nothing is lost by
    the second, nor by a disk or a tracker for which nobody waits longer than `deadline_s`: what we save is
    replaced atomically.

    Attributes:
        asked_by: the first signal; None while nobody has asked.
    """

    def __init__(self, deadline_s: float = ENDING_S) -> None:
        self.asked_by: signal.Signals | None = None
        self._asked_at = 0.0
        self._deadline_s = deadline_s
        self._watchdog: threading.Timer | None = None
        self._came = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # `nohup` has it ignored, and means it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self.ask, number)

    def ask(self, by: signal.Signals) -> None:
        """Ask the command to end, or, for the second time, end it at once."""
        now = time.monotonic()
        if self._came.is_set():
            if by == self.asked_by and now - self._asked_at < ECHO_S:
                return
            _end_at_once()
        self.asked_by, self._asked_at = by, now
        self._came.set()
        self._watch(self._deadline_s)

    def allow(self, more_s: float, lost: str) -> None:
        """What is to be saved may take so much longer; `lost` is said where it does not do."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watch(self._deadline_s + more_s, lost)

    def _watch(self, deadline_s: float, lost: str = "") -> None:
        # A thread, since the loop itself may be what hangs.
        self._watchdog = threading.Timer(deadline_s, _end_at_once, [lost])
        self._watchdog.daemon = True
        self._watchdog.start()

    @property
    def has_come(self) -> bool:
        return self._came.is_set()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled when a signal comes first.

        Raises:
            Interrupted: a signal came. Whatever `work` raises.
        """
        return await first_of(work, self._interrupt())

    async def _interrupt(self) -> Any:
        await self.wait()
        raise Interrupted

    async def wait(self) -> None:
        """Until somebody asks."""
        await self._came.wait()


def _end_at_once(lost: str = "") -> None:
    keyboard.give_back_terminal()
    if lost:
        # Past all that may be locked or closed by now.
        with contextlib.suppress(OSError):
            os.write(2, f"warning: {lost}\n".encode())
    os._exit(EXIT_INTERRUPTED)


async def first_of(*works: Coroutine[Any, Any, T]) -> T:
    """The result of the first of `works` that ends, of several the first in order; the rest is cancelled."""
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
    """What makes the loop of a command: uvloop where it is present; None: asyncio's own."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None


def run(main: Callable[[Ending], Coroutine[Any, Any, int]]) -> int:
    """Run `main`; its result is the exit status."""
    endings: list[Ending] = []

    async def started() -> int:
        endings.append(Ending())
        return await main(endings[0])

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(started())
    finally:
        # Who was asked to end waits for no reader; who has done its work says so to a slow one too.
        is_hurried = not endings or endings[0].has_come
        outlet.drain(FAREWELL_S if is_hurried else None)
