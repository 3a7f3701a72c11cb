"""What is known of sources of questions, of which there are as many as somebody cares to forge."""

from __future__ import annotations

from swarm.base.meter import ROUNDING_S


class SourceMeters:
    """A `Meter` for each source, in bounded memory: of each only its one number is kept.

    There are two tables. When the younger one is full it becomes the older, and the older is forgotten. A
    source that asks all the time is always in the younger one: a flood of forged sources makes us forget only
    those that are quiet anyway.
    """

    __slots__ = ("_burst_s", "_older", "_sources_max", "_unit_s", "_younger")

    def __init__(self, rate: float, burst: float, sources_max: int) -> None:
        self._unit_s = 1.0 / rate
        self._burst_s = burst * self._unit_s + ROUNDING_S
        self._sources_max = sources_max
        self._younger: dict[bytes, float] = {}
        self._older: dict[bytes, float] = {}

    def allow(self, source: bytes, now: float) -> bool:
        """Count one of `source` and return True; False where it has had too many."""
        younger = self._younger
        paid_at = younger.get(source)
        if paid_at is None:
            paid_at = self._older.get(source, now)
            if len(younger) >= self._sources_max:
                self._older = younger
                self._younger = younger = {}
        if paid_at < now:
            paid_at = now
        if paid_at - now + self._unit_s > self._burst_s:
            younger[source] = paid_at
            return False
        younger[source] = paid_at + self._unit_s
        return True

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)


class RecentSources:
    """Sources that have lately shown that they receive what we send; in two tables, as `SourceMeters`."""

    __slots__ = ("_older", "_sources_max", "_younger")

    def __init__(self, sources_max: int) -> None:
        self._sources_max = sources_max
        self._younger: dict[bytes, None] = {}
        self._older: dict[bytes, None] = {}

    def add(self, source: bytes) -> None:
        if source in self._younger:
            return
        if len(self._younger) >= self._sources_max:
            self._older = self._younger
            self._younger = {}
        self._younger[source] = None

    def __contains__(self, source: bytes) -> bool:
        return source in self._younger or source in self._older

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)
