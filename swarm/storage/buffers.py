"""Buffers that are used again: fresh memory costs more than the copy into it (page faults)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

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
