"""One tracker of a torrent, and how it stands over each family of addresses. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import numeric_host
from swarm.base.errors import TrackerError
from swarm.engine.finding.pace import SourceState
from swarm.wire.tracker.announce import AnnounceResponse, Event

#: Of a tracker's families the first of these states is shown: one that works is enough.
_SHOWN = (
    SourceState.WORKING,
    SourceState.ASKING,
    SourceState.WAITING,
    SourceState.FAILED,
    SourceState.OFF,
)
#: Where all families fail: of these the last says most. A tracker that has no address of a family, or to
#: whose address no way leads from here, is mostly just not reached over it by anybody here.
_TELLING = ("address", "route", "")


@dataclass(frozen=True, slots=True)
class TrackerStatus:
    """A tracker as it is shown.

    Args:
        tier: from 0.
        error: why it failed last, escaped; "" while it works over one family at least.
        warning: what it had to say besides, escaped; "" for nothing.
        next_at: monotonic seconds of the next announce, None if none is planned.
        peers: how many its last answer named; None before the first.
        seeds, leechers: None where unknown.
    """

    url: str
    tier: int
    state: SourceState
    error: str
    warning: str
    next_at: float | None
    peers: int | None
    seeds: int | None
    leechers: int | None


class Way:
    """One family of addresses over which a tracker is asked: to the tracker a peer of its own (BEP 7)."""

    __slots__ = (
        "asked_at",
        "error",
        "event_asked",
        "failure_count",
        "is_known",
        "is_v6",
        "lacks",
        "last",
        "lonely_count",
        "next_at",
        "not_before",
        "owes_completed",
        "state",
        "tracker",
        "warning",
    )

    def __init__(self, tracker: Tracker, *, is_v6: bool) -> None:
        self.tracker = tracker
        self.is_v6 = is_v6
        self.state = SourceState.WAITING
        self.error = ""
        #: What was missing when it failed last, as in `TrackerError`.
        self.lacks = ""
        self.warning = ""
        #: Of the last answer: peers named, seeds, leechers.
        self.last: tuple[int, int | None, int | None] | None = None
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

    def answered(self, response: AnnounceResponse) -> None:
        """It works, and lists us."""
        self.state = SourceState.WORKING
        self.error = self.lacks = ""
        self.warning = response.warning or ""
        self.failure_count = 0
        self.is_known = True
        self.last = len(response.peers) + len(response.named_peers), response.seeds, response.leechers
        if self.event_asked == "completed":
            self.owes_completed = False

    def failed(self, error: TrackerError) -> None:
        """No usable answer came."""
        self.error, self.lacks = error.reason, error.lacks
        self.failure_count += 1
        self.state = SourceState.OFF if error.is_final else SourceState.FAILED


class Tracker:
    """What we know of one tracker.

    Args:
        families: is IPv6? for each family over which peers reach us.
    """

    __slots__ = ("tier", "tracker_id", "url", "ways")

    def __init__(self, url: str, tier: int, families: Sequence[bool]) -> None:
        self.url = url
        self.tier = tier
        #: What it gave us, over either family.
        self.tracker_id: bytes | None = None
        self.ways: list[Way] = []
        self.reach_over(families)

    def reach_over(self, families: Sequence[bool]) -> None:
        """Peers reach us over these families by now; over those that are new it is asked as well."""
        known = {way.is_v6 for way in self.ways}
        is_off = bool(self.ways) and self.state is SourceState.OFF
        for is_v6 in _families_of(self.url, families):
            if is_v6 not in known:
                way = Way(self, is_v6=is_v6)
                if is_off:
                    way.state = SourceState.OFF
                self.ways.append(way)

    @property
    def state(self) -> SourceState:
        """How it stands over the family over which it stands best."""
        states = {way.state for way in self.ways}
        return next(state for state in _SHOWN if state in states)

    @property
    def error(self) -> str:
        """Why it fails; "" while it works over any family."""
        if self.state is SourceState.WORKING:
            return ""
        return max(self.ways, key=lambda way: _TELLING.index(way.lacks) if way.error else -1).error

    @property
    def known_count(self) -> int:
        """Under how many addresses of ours it lists us."""
        return sum(way.is_known for way in self.ways)

    def give_up_if_told(self) -> None:
        """It said so over one family: it is asked again over none but those over which it has worked."""
        if any(way.state is SourceState.OFF for way in self.ways):
            for way in self.ways:
                if not way.is_known:
                    way.state = SourceState.OFF

    def status(self, next_at: float | None) -> TrackerStatus:
        """As it is shown."""
        # Families may name and count the same peers, so nothing is added up.
        answers = [way.last for way in self.ways if way.last is not None]
        return TrackerStatus(
            url=self.url,
            tier=self.tier,
            state=self.state,
            error=self.error,
            warning=next((way.warning for way in self.ways if way.warning), ""),
            next_at=next_at,
            peers=_most(answers, lambda last: last[0]),
            seeds=_most(answers, lambda last: last[1]),
            leechers=_most(answers, lambda last: last[2]),
        )


_Answer = tuple[int, int | None, int | None]


def _most(answers: Sequence[_Answer], of: Callable[[_Answer], int | None]) -> int | None:
    return max((count for last in answers if (count := of(last)) is not None), default=None)


def _families_of(url: str, families: Sequence[bool]) -> Sequence[bool]:
    """Over which families to ask: where the URL has an address rather than a name, over that one's alone."""
    try:
        host = numeric_host(urlsplit(url).hostname or "")
    except ValueError:
        host = None
    return families if host is None else (":" in host,)
