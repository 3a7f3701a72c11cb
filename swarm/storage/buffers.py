"""Buffers that are used again: fresh memory costs more than the copy into it (page faults)."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable
from typing import Generic, TypeVar

#: Mapped at a time for small buffers: wherever it begins, a page of 2 MiB is in it.
_SLAB_BYTES = 4 << 20
#: Linux; elsewhere, and where the administrator has forbidden it, pages stay small.
_LARGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)

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


class Slabs:
    """Makes buffers of `length` bytes out of memory in large pages.

    The first touch of a page is a fault: 16 MiB in pages of 4 KiB take 9 ms of the thread that receives them,
    in pages of 2 MiB 1.5. A slab is given back when none of its buffers is left.
    """

    __slots__ = ("_left", "_length")

    def __init__(self, length: int) -> None:
        self._length = length
        self._left = memoryview(b"")

    def make(self) -> memoryview:
        """A buffer of zeros."""
        if not self._left:
            count = max(1, _SLAB_BYTES // self._length)
            slab = mmap.mmap(-1, count * self._length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if _LARGE_PAGES is not None:
                with contextlib.suppress(OSError):
                    slab.madvise(_LARGE_PAGES)
            self._left = memoryview(slab)
        made, left = self._left[: self._length], self._left[self._length :]
        # An empty view would keep the whole slab.
        self._left = left if left else memoryview(b"")
        return made
