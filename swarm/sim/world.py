"""The world's clock: a heap of things that will happen, and the seed that everything random comes from."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class World:
    """Virtual time. What is planned for the same instant happens in the order in which it was planned.

    Args:
        seed: two worlds with the same seed and the same inhabitants do the same.
    """

    __slots__ = ("_heap", "_is_stopped", "_planned_count", "now", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self._planned_count = 0
        self._is_stopped = False
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def rng(self, purpose: str) -> random.Random:
        """A source of randomness of its own for each purpose: one more draw here changes nothing there."""
        return random.Random(f"{self.seed}/{purpose}")

    def at(self, instant: float, action: Callable[..., None], *arguments: Any) -> None:
        """Plan `action(*arguments)`; an instant that is over means now."""
        self._planned_count += 1
        heappush(self._heap, (max(instant, self.now), self._planned_count, action, arguments))

    def after(self, span_s: float, action: Callable[..., None], *arguments: Any) -> None:
        self._planned_count += 1
        heappush(self._heap, (self.now + span_s, self._planned_count, action, arguments))

    @property
    def event_count(self) -> int:
        """How many things have happened."""
        return self._planned_count - len(self._heap)

    def stop(self) -> None:
        """Let nothing more happen in this `run`."""
        self._is_stopped = True

    def run(self, until: float, count_max: int) -> bool:
        """Let things happen up to the instant `until`, at most `count_max` of them.

        Returns:
            Whether the instant was reached (nothing is left to happen before it).
        """
        heap = self._heap
        self._is_stopped = False
        for _ in range(count_max):
            if not heap or heap[0][0] > until:
                self.now = max(self.now, until)
                return True
            self.now, _, action, arguments = heappop(heap)
            action(*arguments)
            if self._is_stopped:
                break
        return False
