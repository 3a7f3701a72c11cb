"""When to ask for other peers because those here have nothing that we lack."""

from __future__ import annotations

from swarm.engine.settings import EngineSettings


class Dearth:
    """Says when the sources of addresses are to be asked again, at spans that double.

    Somebody may have come since who has the rest, and a tracker's interval is half an hour. But most swarms
    that lack a piece lack it for ever, and must not be a burden to trackers.
    """

    __slots__ = ("_seek_at", "_settings", "_span_s")

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._end()

    def _end(self) -> None:
        self._span_s = self._settings.dearth_s
        self._seek_at = float("inf")

    def is_due(self, now: float, *, is_dearth: bool) -> bool:
        """Is it time to ask? `is_dearth`: there are peers, and none has anything for us."""
        if not is_dearth:
            self._end()
            return False
        if self._seek_at == float("inf"):
            self._seek_at = now + self._span_s
        if now < self._seek_at:
            return False
        self._span_s *= 2
        self._seek_at = now + self._span_s
        return True
