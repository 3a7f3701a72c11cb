"""How often a stranger may do something: a few times at once, then once in a while."""

from __future__ import annotations

from swarm.base.errors import FloodError


class Allowance:
    """Grants `burst` times at once, and one more every `refill_s`."""

    __slots__ = ("_at", "_burst", "_left", "_refill_s")

    def __init__(self, burst: int, refill_s: float, now: float) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._left = float(burst)
        self._at = now

    def take(self, now: float, count: int = 1) -> bool:
        """Use it `count` times; False, and nothing is used, where that is more than is left."""
        self._left = min(self._burst, self._left + (now - self._at) / self._refill_s)
        self._at = now
        if self._left < count:
            return False
        self._left -= count
        return True

    def spend(self, what: str, now: float, count: int = 1) -> None:
        """Use it for something that is of no use to us.

        Raises:
            FloodError: it is more than is left.
        """
        if not self.take(now, count):
            raise FloodError(f"it floods us with {what}")
