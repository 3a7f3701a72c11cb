"""How often a stranger may do something: a few times at once, then once in a while."""

from __future__ import annotations

from swarm.base.errors import FloodError
from swarm.base.meter import Meter


class Allowance(Meter):
    """Grants `burst` times at once, and one more every `refill_s`."""

    __slots__ = ()

    def __init__(self, burst: int, refill_s: float) -> None:
        super().__init__(1.0 / refill_s, burst)

    def spend(self, what: str, now: float, count: int = 1) -> None:
        """Use it for something that is of no use to us.

        Raises:
            FloodError: it is more than is left.
        """
        if not self.allow(now, count):
            raise FloodError(f"it floods us with {what}")
