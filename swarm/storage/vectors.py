"""Positional reads and writes of many buffers at once, and where a sparse file holds data."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence

#: `preadv` and `pwritev` take so many buffers at a time (Linux IOV_MAX).
_VECTORS_MAX = 1024
#: "Do not wait for data which is not immediately available" (preadv2(2)); only Linux has it.
_RWF_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)


class Cursor:
    """Hands out consecutive bytes of several views."""

    def __init__(self, views: Sequence[memoryview]) -> None:
        self._views = list(views)
        self._at = 0
        self._used = 0

    def take(self, length: int) -> list[memoryview]:
        taken = []
        while length:
            view = self._views[self._at]
            size = min(length, len(view) - self._used)
            taken.append(view[self._used : self._used + size])
            self._used += size
            length -= size
            if self._used == len(view):
                self._at += 1
                self._used = 0
        return taken


def read_all(descriptor: int, views: Sequence[memoryview], offset: int) -> None:
    """Fill `views` from byte `offset` of the file on.

    Raises:
        EOFError: the file ends before. OSError: as `os.preadv`.
    """
    for batch, length in _batches(views):
        done = 0
        while done < length:
            count = os.preadv(descriptor, _rest(batch, done), offset + done)
            if not count:
                raise EOFError(f"it is shorter than the torrent says (ends before byte {offset + length})")
            done += count
        offset += length


def read_cached(descriptor: int, views: Sequence[memoryview], offset: int) -> bool:
    """As `read_all`, without waiting for the disk; False where not all of it is in memory.

    Raises:
        OSError: as `os.preadv`; EOPNOTSUPP: this file system can only wait.
    """
    if not _RWF_NOWAIT or len(views) > _VECTORS_MAX:
        return False
    try:
        return os.preadv(descriptor, views, offset, _RWF_NOWAIT) == sum(map(len, views))
    except BlockingIOError:
        return False


def write_all(descriptor: int, views: Sequence[memoryview], offset: int) -> None:
    """Write all of `views` from byte `offset` of the file on; OSError as `os.pwritev`."""
    for batch, length in _batches(views):
        done = 0
        while done < length:
            done += os.pwritev(descriptor, _rest(batch, done), offset + done)
        offset += length


def _batches(views: Sequence[memoryview]) -> Iterator[tuple[Sequence[memoryview], int]]:
    for at in range(0, len(views), _VECTORS_MAX):
        batch = views[at : at + _VECTORS_MAX]
        yield batch, sum(map(len, batch))


def _rest(views: Sequence[memoryview], done: int) -> Sequence[memoryview]:
    """What is left of `views` after `done` bytes."""
    if not done:
        return views
    rest = []
    for view in views:
        if done >= len(view):
            done -= len(view)
            continue
        rest.append(view[done:] if done else view)
        done = 0
    return rest


def data_regions(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a sparse file between `start` and `end` that hold data."""
    size = os.fstat(descriptor).st_size
    end = min(end, size)
    while start < end:
        try:
            data = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole is left
            yield start, end  # a file system that does not tell: all of it may be data
            return
        if data >= end:
            return
        hole = min(os.lseek(descriptor, data, os.SEEK_HOLE), end)
        yield data, hole
        start = hole
