"""A loop of which time passes only where a test says so, and a link that always has something to move."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class VirtualLoop:
    """As much of an event loop as a throttle uses; time passes only in `run`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = 0
        self._heap: list[tuple[float, int, Callable[..., Any], list[bool]]] = []
        self._count = 0

    def time(self) -> float:
        return self.now

    def call_later(self, delay_s: float, callback: Callable[..., Any]) -> Any:
        self._count += 1
        is_cancelled = [False]
        heapq.heappush(self._heap, (self.now + delay_s, self._count, callback, is_cancelled))

        class Handle:
            def cancel(self) -> None:
                is_cancelled[0] = True

        return Handle()

    def call_at(self, at: float, callback: Callable[..., Any]) -> Any:
        return self.call_later(at - self.now, callback)

    def call_soon(self, callback: Callable[..., Any]) -> Any:
        return self.call_later(0.0, callback)

    def run(self, until_s: float) -> None:
        while self._heap and self._heap[0][0] <= until_s:
            at, _, callback, is_cancelled = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            if not is_cancelled[0]:
                self.calls += 1
                callback()
        self.now = until_s


class Link:
    """Always has something to move, in blocks of 16 KiB."""

    def __init__(self) -> None:
        self.moved_bytes = 0

    def turn(self, size_bytes: int) -> tuple[int, bool]:
        moved = max(1, size_bytes // 16397) * 16397
        self.moved_bytes += moved
        return moved, True
