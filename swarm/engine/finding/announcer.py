"""When to announce to which tracker, and with which event. Pure: the host asks what is due.

BEP 12: trackers come in tiers, shuffled once within each. We announce to the first that works; one
that answers moves to the front of its tier; later ones are asked only when those before it fail.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum

from swarm.base.dataclass import dataclass
from swarm.base.errors import TrackerError
from swarm.engine.finding.pace import Pace
from swarm.wire.tracker.announce import NUM_WANT, AnnounceResponse, Event


@dataclass(frozen=True, slots=True)
class AnnounceSettings(Pace):
    """How often trackers are asked, and for how much."""

    #: Peers asked for in an announce.
    num_want: int = NUM_WANT
    #: A tracker that lets us wait so long does not hold up the next one: UDP trackers that are gone
    #: take 45 s to fail, and magnet links list a dozen of them.
    patience_s: float = 3.0
    #: Announces of a torrent that are on their way at a time.
    asking_max: int = 4


class TrackerState(StrEnum):
    """How it stands between us and a tracker."""

    WAITING = "not asked yet"
    ASKING = "asking"
    WORKING = "working"
    FAILED = "failed"
    #: It asked never to be tried again, or we do not speak its protocol.
    OFF = "off"


#: Those to whom there is nothing to be said now.
_SILENT = (TrackerState.OFF, TrackerState.ASKING)


@dataclass(frozen=True, slots=True)
class Due:
    """An announce to be made now; the rest of the request is the host's to fill in."""

    url: str
    event: Event | None
    num_want: int
    key: int
    tracker_id: bytes | None


@dataclass(frozen=True, slots=True)
class TrackerStatus:
    """A tracker as it is shown.

    Args:
        tier: from 0.
        error: why it failed last, escaped; "" while it works.
        warning: what it had to say besides, escaped; "" for nothing.
        next_at: monotonic seconds of the next announce, None if none is planned.
        peers: how many its last answer named; None before the first.
        seeds, leechers: None where unknown.
    """

    url: str
    tier: int
    state: TrackerState
    error: str
    warning: str
    next_at: float | None
    peers: int | None
    seeds: int | None
    leechers: int | None


class _Tracker:
    """What we know of one tracker."""

    __slots__ = (
        "asked_at",
        "error",
        "event_asked",
        "failure_count",
        "is_known",
        "leechers",
        "lonely_count",
        "next_at",
        "not_before",
        "owes_completed",
        "peers",
        "seeds",
        "state",
        "tier",
        "tracker_id",
        "url",
        "warning",
    )

    def __init__(self, url: str, tier: int) -> None:
        self.url = url
        self.tier = tier
        self.state = TrackerState.WAITING
        self.error = ""
        self.warning = ""
        self.peers: int | None = None
        self.seeds: int | None = None
        self.leechers: int | None = None
        self.tracker_id: bytes | None = None
        self.failure_count = 0
        #: Answers in a row without any peer.
        self.lonely_count = 0
        #: It has answered an announce, so it lists us, and expects `stopped`.
        self.is_known = False
        #: We completed while it listed us as a leecher; it has not answered the `completed` yet.
        self.owes_completed = False
        #: The event of the announce on its way, and since when it is.
        self.event_asked: Event | None = None
        self.asked_at = 0.0
        #: The next regular announce; the next try while it fails.
        self.next_at = 0.0
        #: However great the need, not before this (its min interval).
        self.not_before = 0.0


class Announcer:
    """One torrent's trackers. Mostly one announce is on its way at a time, and never two to a tracker.

    Args:
        tiers: URLs of announce-list, first tier first; a URL that comes twice counts once.
        key: 32 random bits that show trackers that we are the same when our address changes.
        is_seed: complete from the start: no `completed` is ever sent, no peers are searched.
    """

    def __init__(
        self,
        tiers: Sequence[Sequence[str]],
        rng: random.Random,
        *,
        key: int,
        is_seed: bool = False,
        settings: AnnounceSettings | None = None,
    ) -> None:
        self._settings = settings or AnnounceSettings()
        self._rng = rng
        self._key = key
        self._is_seed = is_seed
        self._is_stopping = False
        self._asking: list[_Tracker] = []
        self._tiers: list[list[_Tracker]] = []
        self._by_url: dict[str, _Tracker] = {}
        for urls in tiers:
            fresh = [url for url in dict.fromkeys(urls) if url not in self._by_url]
            rng.shuffle(fresh)
            tier = [_Tracker(url, len(self._tiers)) for url in fresh]
            self._by_url |= {tracker.url: tracker for tracker in tier}
            if tier:
                self._tiers.append(tier)

    # What the host asks.

    def due(self, now: float) -> list[Due]:
        """Announces to be made now, at most one; the host reports each by `answered` or `failed`."""
        for tracker, event, at in self._plan():
            if at <= now:
                self._asking.append(tracker)
                tracker.state = TrackerState.ASKING
                tracker.event_asked = event
                tracker.asked_at = now
                return [self._due(tracker, event)]
        return []

    def next_wakeup(self) -> float | None:
        """When `due` may have something; None: not before something else happens."""
        return min((at for _, _, at in self._plan()), default=None)

    def status(self) -> tuple[TrackerStatus, ...]:
        """All trackers in the order in which they are tried."""
        planned = {tracker.url: at for tracker, _, at in reversed(list(self._plan()))}
        return tuple(
            TrackerStatus(
                url=tracker.url,
                tier=tracker.tier,
                state=tracker.state,
                error=tracker.error,
                warning=tracker.warning,
                next_at=planned.get(tracker.url),
                peers=tracker.peers,
                seeds=tracker.seeds,
                leechers=tracker.leechers,
            )
            for tracker in self._ordered()
        )

    # What the host tells.

    def answered(self, url: str, response: AnnounceResponse, now: float) -> None:
        """The announce that was due to `url` was answered."""
        tracker = self._returned(url)
        if tracker is None:
            return
        tracker.state = TrackerState.WORKING
        tracker.error = ""
        tracker.warning = response.warning or ""
        tracker.failure_count = 0
        tracker.is_known = True
        tracker.peers = len(response.peers) + len(response.named_peers)
        tracker.seeds, tracker.leechers = response.seeds, response.leechers
        # An answer without a tracker id does not take back the one that we have.
        tracker.tracker_id = response.tracker_id or tracker.tracker_id
        if tracker.event_asked == "completed":
            tracker.owes_completed = False
        self._plan_next(tracker, response, now)
        tier = self._tiers[tracker.tier]
        tier.remove(tracker)
        tier.insert(0, tracker)

    def failed(self, url: str, error: TrackerError, now: float) -> None:
        """The announce that was due to `url` got no usable answer."""
        tracker = self._returned(url)
        if tracker is None:
            return
        tracker.error = error.reason
        tracker.failure_count += 1
        if error.is_final:
            tracker.state = TrackerState.OFF
            return
        tracker.state = TrackerState.FAILED
        if error.retry_in_s is not None:
            # BEP 31. Its own word, within our bounds.
            wait_s = self._settings.bounded(error.retry_in_s)
        else:
            wait_s = self._settings.after_failure_s(tracker.failure_count, self._rng)
        tracker.next_at = now + wait_s

    def completed(self, now: float) -> None:
        """The download has completed here: those that list us as a leecher are told at once."""
        if self._is_seed:
            return
        self._is_seed = True
        for tracker in self._ordered():
            # One that is being asked right now hears of a leecher; it is told after its answer.
            if tracker.is_known or tracker in self._asking:
                tracker.owes_completed = True

    def need_peers(self, now: float) -> None:
        """We have too few: the next announce comes as early as the tracker's min interval allows."""
        for tracker in self._ordered():
            if tracker.state is TrackerState.WORKING:
                tracker.next_at = min(tracker.next_at, max(now, tracker.not_before))
                return

    def stopping(self) -> list[Due]:
        """We leave: the `stopped` announces for all that list us; nothing is due any more."""
        self._is_stopping = True
        leaving = [tracker for tracker in self._ordered() if tracker.is_known or tracker in self._asking]
        self._asking = []
        return [self._due(tracker, "stopped") for tracker in leaving]

    # The desk itself.

    def _ordered(self) -> Iterator[_Tracker]:
        for tier in self._tiers:
            yield from tier

    def _plan(self) -> Iterator[tuple[_Tracker, Event | None, float]]:
        """Yield (tracker, event, when) of what comes next, the most wanted first."""
        if self._is_stopping or len(self._asking) >= self._settings.asking_max:
            return
        for tracker in self._ordered():
            if tracker.owes_completed and tracker.is_known and tracker.state not in _SILENT:
                has_failed = tracker.state is TrackerState.FAILED
                yield tracker, "completed", tracker.next_at if has_failed else 0.0
        not_before = 0.0
        for tracker in self._ordered():
            if tracker.state is TrackerState.OFF:
                continue
            if tracker.state is TrackerState.ASKING:
                if tracker.is_known:
                    # It lists us already: there is time to wait for it.
                    return
                not_before = max(not_before, tracker.asked_at + self._settings.patience_s)
                continue
            yield tracker, None if tracker.is_known else "started", max(tracker.next_at, not_before)
            if tracker.state is not TrackerState.FAILED:
                # BEP 12: later ones only while all before them fail.
                return

    def _due(self, tracker: _Tracker, event: Event | None) -> Due:
        num_want = 0 if event == "stopped" else self._settings.num_want
        return Due(tracker.url, event, num_want, self._key, tracker.tracker_id)

    def _returned(self, url: str) -> _Tracker | None:
        """The tracker whose announce is back; None for one that nobody waits for any more."""
        tracker = self._by_url.get(url)
        if tracker is None or tracker not in self._asking:
            return None
        self._asking.remove(tracker)
        return tracker

    def _plan_next(self, tracker: _Tracker, response: AnnounceResponse, now: float) -> None:
        least_s = self._settings.least_s(response.interval_s, response.min_interval_s or 0)
        is_lonely = not self._is_seed and _is_alone(response)
        tracker.lonely_count = tracker.lonely_count + 1 if is_lonely else 0
        tracker.not_before = now + least_s
        tracker.next_at = now + self._settings.after_answer_s(
            response.interval_s, least_s, tracker.lonely_count, self._rng
        )


def _is_alone(response: AnnounceResponse) -> bool:
    """Does the tracker know nobody but us? Many, opentracker for one, name a peer to itself."""
    named_count = len(response.peers) + len(response.named_peers)
    if not named_count:
        return True
    is_counted = response.seeds is not None and response.leechers is not None
    return named_count == 1 and is_counted and (response.seeds or 0) + (response.leechers or 0) == 1
