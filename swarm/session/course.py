"""The state of a torrent, and the waiting for it to get further."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from swarm.base.errors import SwarmError
from swarm.session.progress import State


class Course:
    """The states of one torrent, from being checked to its end; on the running loop.

    Args:
        name: of the torrent, for errors.

    Attributes:
        error: why it failed, if it did.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.state: State = "checking"
        self.error: SwarmError | None = None
        self._added_at = time.monotonic()
        self._completed_at: float | None = None
        self._complete = asyncio.Event()
        self._ended = asyncio.Event()
        self._advanced = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self.state in ("stopped", "failed")

    @property
    def seconds(self) -> float:
        """Since it was added."""
        return time.monotonic() - self._added_at

    @property
    def seconds_to_complete(self) -> float | None:
        """From being added to being complete; None before."""
        return None if self._completed_at is None else self._completed_at - self._added_at

    def advance(self) -> None:
        """More of it is verified."""
        self._advanced.set()
        self._advanced = asyncio.Event()

    def complete(self) -> None:
        """Everything wanted is here; what has ended stays so."""
        if self.is_over:
            return
        self.state = "seeding"
        self._completed_at = time.monotonic()
        self._complete.set()
        self.advance()

    def reopen(self) -> None:
        """Some of it is missing again: who waits for all of it from now on waits until it is back."""
        if self.state == "seeding":
            self.state = "downloading"
            self._complete.clear()

    def fail(self, error: SwarmError) -> None:
        """It cannot go on; only the first reason counts."""
        if not self.is_over:
            self.state = "failed"
            self.error = error
            self._ended.set()
            self.advance()

    def stop(self) -> None:
        """Nothing will happen any more."""
        if self.state != "failed":
            self.state = "stopped"
        self._ended.set()
        self.advance()

    async def advanced(self) -> None:
        """Wait until more of it is verified.

        Raises:
            SwarmError: it has ended; the reason for which it failed, if it did.
        """
        if self._ended.is_set():
            raise self._early_end()
        await self._advanced.wait()

    async def completed(self) -> None:
        """Wait until it is complete.

        Raises:
            SwarmError: it ended before; the reason for which it failed, if it did.
        """
        await _first_of(self._complete, self._ended)
        if not self._complete.is_set():
            raise self._early_end()

    async def beats(self, interval_s: float) -> AsyncGenerator[None, None]:
        """Yield now, every `interval_s`, once more when it is complete, and a last time when it ends."""
        was_complete = False
        while True:
            yield
            if self.is_over:
                return
            waited_for = (self._ended,) if was_complete else (self._ended, self._complete)
            await _first_of(*waited_for, timeout_s=interval_s)
            was_complete = self._complete.is_set()

    def _early_end(self) -> SwarmError:
        return self.error or SwarmError(f"{self._name} was stopped before it was complete")


async def _first_of(*events: asyncio.Event, timeout_s: float | None = None) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
