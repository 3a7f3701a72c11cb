"""Pauses a download for which the disk has no room, and goes on by itself when there is some."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import TypeVar

from swarm.base.errors import StorageError, SwarmError
from swarm.base.units import format_size
from swarm.session.bugs import watch
from swarm.storage.faults import is_shortage

T = TypeVar("T")

#: Of these, making room on the disk helps.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Hold:
    """What a torrent does about a full disk: nothing is lost, nothing new is fetched, what is here is seeded.

    Args:
        free_bytes: room on the disk, blocking; None where nobody knows.
        missing_bytes: what the download still needs.
        changed: called with the reason, or "" when the download goes on.
        on_notice: (level, text) for the user.
        on_failed: it cannot wait any longer.
        probe_s: between two looks at the disk.
        room_bytes: so much room, or all that is missing, before it goes on.
    """

    def __init__(
        self,
        free_bytes: Callable[[], int | None],
        missing_bytes: Callable[[], int],
        changed: Callable[[str], None],
        on_notice: Callable[[str, str], None],
        *,
        on_failed: Callable[[SwarmError], None],
        probe_s: float,
        room_bytes: int,
    ) -> None:
        self._free_bytes = free_bytes
        self._missing_bytes = missing_bytes
        self._changed = changed
        self._on_notice = on_notice
        self._on_failed = on_failed
        self._probe_s = probe_s
        self._room_bytes = room_bytes
        self._task: asyncio.Task[None] | None = None
        self._is_short_again = False
        self.reason = ""

    def begin(self, error: StorageError, try_again: Callable[[], Awaitable[bool]]) -> None:
        """Pause because of `error`, until `try_again` succeeds; where that is so already, for longer."""
        self._is_short_again = True
        if self._task is None or self._task.done():
            self.reason = str(error)
            self._changed(self.reason)
            waiting = self._wait(error, try_again)
            self._task = asyncio.get_running_loop().create_task(waiting, name="waiting for room on the disk")
            watch(self._task, self._on_failed)

    async def _wait(self, error: StorageError, try_again: Callable[[], Awaitable[bool]]) -> None:
        await self._pause(error)
        while True:
            await asyncio.sleep(self._probe_s)
            # What is written by others meanwhile takes room as well: the reason is kept true.
            self.reason = await self._reason(error)
            self._changed(self.reason)
            self._is_short_again = False
            # A write is the only proof; what the system says of its room is for what comes after it. And more
            # may have found no room while we looked.
            if await try_again() and await self._has_room(error) and not self._is_short_again:
                break
        self._go_on()

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, which is tried again until there is room for it.

        Raises:
            Whatever else `work` raises.
        """
        while True:
            try:
                result = await work()
            except StorageError as error:
                if not is_shortage(error):
                    raise
                if not self.reason:
                    await self._pause(error)
                await asyncio.sleep(self._probe_s)
                continue
            if self.reason:
                self._go_on()
            return result

    async def _pause(self, error: StorageError) -> None:
        self.reason = await self._reason(error)
        self._on_notice("warning", f"paused: {self.reason}; it goes on by itself")
        self._changed(self.reason)

    def _go_on(self) -> None:
        self.reason = ""
        self._on_notice("info", "there is room again: the download goes on")
        self._changed("")

    async def _has_room(self, error: StorageError) -> bool:
        if error.error_number not in _FULL:
            return True
        free = await asyncio.to_thread(self._free_bytes)
        return free is None or free >= min(self._missing_bytes(), self._room_bytes)

    async def _reason(self, error: StorageError) -> str:
        if error.error_number not in _FULL:
            return str(error)
        free = await asyncio.to_thread(self._free_bytes) or 0
        missing = self._missing_bytes()
        # A quota, or blocks that only root may use: there is less room than the system says.
        lacking = missing - free if missing > free else missing
        return f"{error}, {format_size(lacking)} more needed"

    async def stop(self) -> None:
        """Wait no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
