"""Buffers that are used again: fresh memory costs more than the copy into it (page faults)."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Generic, TypeVar

#: Unused piece buffers that are kept, in all.
KEPT_BYTES_MAX = 32 << 20
#: From this size on a buffer is mapped by itself.
_MAPPED_BYTES_MIN = 1 << 20

T = TypeVar("T")


class BufferPool(Generic[T]):
    """Lends buffers of one kind and keeps those that come back, up to a bound.

    Args:
        make: makes a new buffer.
        kept_max: how many unused ones are kept.
    """

    __slots__ = ("_free", "_kept_max", "_make")

    def __init__(self, make: Callable[[], T], kept_max: int) -> None:
        self._make = make
        self._kept_max = max(1, kept_max)
        self._free: list[T] = []

    def lend(self) -> T:
        """A buffer with whatever was in it before."""
        return self._free.pop() if self._free else self._make()

    def give_back(self, buffer: T) -> None:
        """The borrower is done with it and keeps no view of it."""
        if len(self._free) < self._kept_max:
            self._free.append(buffer)

    def shrink(self) -> None:
        """Let all unused buffers go."""
        self._free.clear()


class PieceBuffers:
    """Buffers for whole pieces, shared by all torrents of a session; who came back last is lent first.

    Args:
        kept_bytes_max: of unused ones, that many bytes are kept at most.
    """

    __slots__ = ("_kept", "_kept_bytes", "_kept_bytes_max")

    def __init__(self, kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
        #: By their length.
        self._kept: dict[int, list[memoryview]] = {}
        self._kept_bytes = 0
        self._kept_bytes_max = kept_bytes_max

    def lend(self, length: int) -> memoryview:
        """A buffer of `length` bytes with whatever was in it before."""
        kept = self._kept.get(length)
        if not kept:
            return _make(length)
        self._kept_bytes -= length
        return kept.pop()

    def give_back(self, buffer: memoryview) -> None:
        """The borrower is done with it and keeps no view of it."""
        length = len(buffer)
        if self._kept_bytes + length > self._kept_bytes_max and not self._kept.get(length):
            # What other torrents had is worth less than what this one uses.
            self._kept.clear()
            self._kept_bytes = 0
        if self._kept_bytes + length <= self._kept_bytes_max:
            self._kept.setdefault(length, []).append(buffer)
            self._kept_bytes += length


def _make(length: int) -> memoryview:
    if length < _MAPPED_BYTES_MIN:
        return memoryview(bytearray(length))
    # Touched page by page as it is filled: to clear all of it at once would hold up the loop.
    return memoryview(mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
