"""How a source of peers stands, and how often it is asked: trackers, the DHT, the local network. Pure."""

from __future__ import annotations

import random
from enum import StrEnum

from swarm.base.dataclass import dataclass


class SourceState(StrEnum):
    """How it stands between us and a source of peers."""

    WAITING = "not asked yet"
    ASKING = "asking"
    WORKING = "working"
    FAILED = "failed"
    #: A tracker: it asked never to be tried again, or we do not speak its protocol.
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Pace:
    """When the next question is due, after an answer and after a failure. Spans in seconds."""

    #: Never more often, whatever anybody says: below a minute announces are an attack.
    interval_min_s: float = 60.0
    #: Unless a source names a shorter interval itself, down to this: a tracker does, while a swarm is young.
    interval_asked_min_s: float = 5.0
    #: Never less often: with an interval of years we would miss that the swarm has moved on.
    interval_max_s: float = 86_400.0
    #: Announces come up to this part later, so that a thousand torrents do not come at once.
    interval_jitter: float = 0.05
    #: After a failure; soon, since a tracker often does not know a torrent made a moment ago.
    retry_s: float = 10.0
    #: Each further failure waits so many times longer (libtorrent's tracker_backoff) ...
    retry_growth: float = 2.5
    #: ... up to an hour.
    retry_max_s: float = 3600.0
    #: Retries are spread by this part both ways.
    retry_jitter: float = 0.2

    def after_answer_s(
        self, interval_s: float, least_s: float, lonely_count: int, rng: random.Random
    ) -> float:
        """The wait for the next announce.

        Args:
            interval_s: the source's own wish; least_s: it must not be asked sooner.
            lonely_count: answers in a row without any peer, while we want some.
        """
        least_s = self.least_s(interval_s, least_s)
        interval_s = min(max(interval_s, least_s), self.interval_max_s)
        if lonely_count:
            # Alone in the swarm: whoever comes next should not have to wait half an hour for us,
            # but a dead torrent must not be asked for every minute either.
            interval_s = min(least_s * self._growth(lonely_count), interval_s)
        return interval_s * (1 + self.interval_jitter * rng.random())

    def after_failure_s(self, failure_count: int, rng: random.Random) -> float:
        """The wait for the next try, after so many failures in a row (1 or more)."""
        wait_s = min(self.retry_s * self._growth(failure_count), self.retry_max_s)
        return wait_s * (1 + self.retry_jitter * (2 * rng.random() - 1))

    def least_s(self, interval_s: float, least_s: float) -> float:
        """Before that the source is not asked again: what it said, within our bounds."""
        if self.interval_asked_min_s <= interval_s < self.interval_min_s:
            return max(interval_s, min(least_s, self.interval_max_s))
        return self.bounded(least_s)

    def bounded(self, wait_s: float) -> float:
        """A span that somebody else has named, within our bounds."""
        return min(max(wait_s, self.interval_min_s), self.interval_max_s)

    def _growth(self, count: int) -> float:
        # The exponent is bounded so that years of failures do not overflow.
        return self.retry_growth ** min(count - 1, 20)
