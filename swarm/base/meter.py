"""A meter: whether something may happen again, where it may so often at once and then so often a second."""

from __future__ import annotations

#: Rounding errors of sums of instants stay below this.
ROUNDING_S = 1e-6


class Meter:
    """A token bucket kept as one number: the instant by which all that was taken is paid for.

    It says yes or no, and is never owed anything. What flows on a link may be more than there was room for:
    that is a `Bucket`.

    Args:
        rate: units a second, > 0; None for no limit.
        burst: units that may be taken at once.
    """

    __slots__ = ("_burst_s", "_paid_at", "_unit_s")

    def __init__(self, rate: float | None, burst: float) -> None:
        self._unit_s = 0.0 if rate is None else 1.0 / rate
        self._burst_s = burst * self._unit_s + ROUNDING_S
        self._paid_at = float("-inf")

    def allow(self, now: float, units: float = 1.0) -> bool:
        """Take `units` and return True, or take none and return False where there are fewer."""
        paid_at = max(self._paid_at, now) + units * self._unit_s
        if paid_at - now > self._burst_s:
            return self._unit_s == 0.0
        self._paid_at = paid_at
        return True
