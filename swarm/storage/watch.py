"""Notices files that somebody else changes, replaces, cuts short or deletes while we use them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from swarm.base.dataclass import dataclass


@dataclass(slots=True)
class _Known:
    """What is known of one file.

    Args:
        identity: device and inode that we have written to; None before.
        reach: so long it must be: the end of what was written.
        stamp: how it looked when its content was last known to be right; None while we write.
        generation: counts beginnings and ends of our writes: a look that overlapped with one is not believed.
    """

    identity: tuple[int, int] | None = None
    reach: int = 0
    stamp: tuple[int, int, int, int] | None = None
    generation: int = 0
    writer_count: int = 0


class Watch:
    """Compares what `fstat` says with what we know; costs a system call a piece.

    What is overwritten in place while we write to the same file is not told from our own writing.

    Args:
        on_changed: called, in any thread, with the index of a file that is not as we left it.
    """

    def __init__(self, on_changed: Callable[[int], None] | None) -> None:
        self._on_changed = on_changed
        self._files: dict[int, _Known] = {}
        self._lock = threading.Lock()

    def settle(self, index: int, status: os.stat_result | None) -> None:
        """Take the file as it is: its content is about to be verified, or was (None: it is not there)."""
        with self._lock:
            known = self._files.setdefault(index, _Known())
            if status is None:
                self._files[index] = _Known(generation=known.generation, writer_count=known.writer_count)
                return
            known.identity = (status.st_dev, status.st_ino)
            known.reach = 0
            known.stamp = None if known.writer_count else _stamp(status)

    def writing(self, index: int, status: os.stat_result, generation: int) -> bool:
        """We are about to write; False where the file was deleted: what we write would vanish with it."""
        with self._lock:
            known = self._files.setdefault(index, _Known())
            is_changed = known.generation == generation and (
                status.st_size < known.reach or known.stamp not in (None, _stamp(status))
            )
            is_there = status.st_nlink > 0
            if is_changed or not is_there:
                known.reach = 0
            known.stamp = None
            known.generation += 1
            if is_there:
                known.writer_count += 1
        if is_changed or not is_there:
            self._tell(index)
        return is_there

    def written(self, index: int, status: os.stat_result, end: int) -> None:
        """The write that `writing` announced has ended; byte `end` is its last plus one (0: it failed)."""
        with self._lock:
            known = self._files[index]
            known.identity = (status.st_dev, status.st_ino)
            known.reach = max(known.reach, end)
            known.writer_count -= 1
            known.generation += 1

    def generation(self, index: int) -> int:
        """A number to be read before `fstat`; given with its result, it shows whether we wrote in between."""
        with self._lock:
            known = self._files.get(index)
            return 0 if known is None else known.generation

    def was_read(self, index: int, status: os.stat_result, generation: int) -> bool:
        """We have read from the file; False where it is not what was verified."""
        with self._lock:
            known = self._files.setdefault(index, _Known())
            if known.writer_count or known.generation != generation:
                return True
            stamp = _stamp(status)
            if known.stamp is None:
                known.stamp = stamp
            is_same = known.stamp == stamp and status.st_size >= known.reach
        if not is_same:
            self._tell(index)
        return is_same

    def is_as_left(self, index: int, status: os.stat_result, generation: int) -> bool:
        """Is what is there now still what was verified, or written by us since, as far as we know?"""
        with self._lock:
            known = self._files.get(index)
            if known is None or known.writer_count or known.generation != generation:
                return True
            is_ours = known.identity in (None, (status.st_dev, status.st_ino))
            return is_ours and known.stamp in (None, _stamp(status)) and status.st_size >= known.reach

    def is_there(self, index: int, status: os.stat_result | None) -> bool:
        """Does the file's path (None: nothing is there) still lead to what we have written?"""
        with self._lock:
            known = self._files.get(index)
        if known is None or known.identity is None:
            return True
        return (
            status is not None
            and known.identity == (status.st_dev, status.st_ino)
            and status.st_size >= known.reach
        )

    def _tell(self, index: int) -> None:
        if self._on_changed is not None:
            self._on_changed(index)


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
