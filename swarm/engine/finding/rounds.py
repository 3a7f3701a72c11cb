"""When to go round a source of peers that is no tracker: the DHT, the local network. Pure."""

from __future__ import annotations

import random

from swarm.engine.finding.pace import Pace, SourceState


class Rounds:
    """One torrent's rounds of one source: look for peers, say that we are there.

    At most one round is under way at a time; the host begins it when `next_at` has come, and reports
    `ended` or `failed`.

    Args:
        interval_s: between two rounds while all is well.
        now: monotonic seconds; the first round is due at once.
    """

    def __init__(self, interval_s: float, rng: random.Random, now: float, pace: Pace | None = None) -> None:
        self._interval_s = interval_s
        self._rng = rng
        self._pace = pace or Pace()
        self._failure_count = 0
        self._lonely_count = 0
        #: However great the need, not before this.
        self._not_before = now
        self._next_at = now
        self._began_at = now
        self._is_hurried = False
        self.is_under_way = False
        #: Why the last round failed; "" while it works.
        self.error = ""
        #: Peers found by the last round that ended; None before.
        self.peer_count: int | None = None

    @property
    def next_at(self) -> float | None:
        """When the next round is due; None while one is under way."""
        return None if self.is_under_way else self._next_at

    @property
    def state(self) -> SourceState:
        """How it stands, for displays."""
        if self.is_under_way:
            return SourceState.ASKING
        if self.error:
            return SourceState.FAILED
        return SourceState.WAITING if self.peer_count is None else SourceState.WORKING

    def begin(self, now: float) -> None:
        """A round begins now."""
        self.is_under_way = True
        self._began_at = now

    def ended(self, peer_count: int, *, is_complete: bool) -> None:
        """It found so many peers; who wants nothing may be alone. Waits count from its beginning."""
        self.is_under_way = False
        self.error = ""
        self.peer_count = peer_count
        self._failure_count = 0
        self._lonely_count = 0 if peer_count or is_complete else self._lonely_count + 1
        least_s = self._pace.interval_min_s
        wait_s = self._pace.after_answer_s(self._interval_s, least_s, self._lonely_count, self._rng)
        self._not_before = self._began_at + least_s
        self._next_at = self._not_before if self._is_hurried else self._began_at + wait_s
        self._is_hurried = False

    def failed(self, error: str, now: float) -> None:
        """It could not be gone round."""
        self.is_under_way = False
        self.error = error
        # One that was asked for again while it was under way has another beginning.
        self._failure_count = 1 if self._is_hurried else self._failure_count + 1
        self._is_hurried = False
        wait_s = self._pace.after_failure_s(self._failure_count, self._rng)
        # What fails is no less wanted than what works: the network may be back.
        self._next_at = now + min(wait_s, self._interval_s)
        self._not_before = self._next_at

    def hurry(self, now: float) -> None:
        """There is need of peers: as early as is polite; the round under way is an answer to that."""
        if not self.is_under_way:
            self._next_at = min(self._next_at, max(now, self._not_before))

    def network_changed(self, now: float) -> None:
        """We are at another address, or back: what failed may work; others have to learn where we are."""
        if self.error and not self.is_under_way:
            self._failure_count = 0
            self._not_before = min(
                self._not_before, self._began_at + self._pace.after_failure_s(1, self._rng)
            )
        self._is_hurried = self.is_under_way
        self.hurry(now)

    def changed(self, now: float) -> None:
        """We want nothing more, are a seed, or no longer: the round under way may not have told yet."""
        self._is_hurried = self.is_under_way
        self.hurry(now)
