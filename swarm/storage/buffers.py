"""Buffers that are used again: fresh memory costs more than the copy into it (page faults)."""

from __future__ import annotations


class BufferPool:
    """Lends buffers of one size and keeps those that come back, up to a bound."""

    __slots__ = ("_free", "_kept_max", "size_bytes")

    def __init__(self, size_bytes: int, kept_max_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._kept_max = max(1, kept_max_bytes // max(1, size_bytes))
        self._free: list[memoryview] = []

    def lend(self) -> memoryview:
        """A buffer with whatever was in it before."""
        return self._free.pop() if self._free else memoryview(bytearray(self.size_bytes))

    def give_back(self, buffer: memoryview) -> None:
        """The borrower is done with it and keeps no view of it."""
        if len(self._free) < self._kept_max:
            self._free.append(buffer)

    def shrink(self) -> None:
        """Let all unused buffers go."""
        self._free.clear()
