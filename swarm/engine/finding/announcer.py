"""When to announce to which tracker, and with which event. Pure: the host asks what is due.

BEP 12: trackers come in tiers, shuffled once within each. We announce to the first that works; one
that answers moves to the front of its tier; later ones are asked only when those before it fail.

BEP 7: where peers reach us over both families of addresses, a tracker is told of us over each of them that
it has itself, with the same key and peer id. Each family has its own intervals, failures and events; a
tracker counts as failed when all of them fail.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from swarm.base.dataclass import dataclass
from swarm.base.errors import TrackerError
from swarm.engine.finding.pace import Pace, SourceState
from swarm.engine.finding.tracker_ways import Tracker, TrackerStatus, Way
from swarm.wire.tracker.announce import NUM_WANT, AnnounceResponse, Event


@dataclass(frozen=True, slots=True)
class AnnounceSettings(Pace):
    """How often trackers are asked, and for how much."""

    #: Peers asked for in an announce.
    num_want: int = NUM_WANT
    #: A tracker that lets us wait so long does not hold up the next one: UDP trackers that are gone
    #: take 45 s to fail, and magnet links list a dozen of them.
    patience_s: float = 3.0
    #: Trackers of a torrent that are asked at a time.
    asking_max: int = 4


#: Those to whom there is nothing to be said now.
_SILENT = (SourceState.OFF, SourceState.ASKING)
#: Those after whom the next tracker is not asked. BEP 12: later ones only while all before them fail.
_ENOUGH = (SourceState.WORKING, SourceState.WAITING)


@dataclass(frozen=True, slots=True)
class Due:
    """An announce to be made now; the rest of the request is the host's to fill in.

    Args:
        has_answered: the last announce to it was answered, so an answer to this one is worth a wait.
    """

    url: str
    is_v6: bool
    event: Event | None
    num_want: int
    key: int
    tracker_id: bytes | None
    has_answered: bool


class Announcer:
    """One torrent's trackers. Mostly one is asked at a time, and never twice over one family.

    Args:
        tiers: URLs of announce-list, first tier first; a URL that comes twice counts once.
        key: 32 random bits that show trackers that we are the same when our address changes.
        families: is IPv6? for each family over which peers reach us; those for which the tracker has no
            address fail, which nobody is told of while another one works.
        is_seed: complete from the start: no `completed` is ever sent, no peers are searched.
    """

    def __init__(
        self,
        tiers: Sequence[Sequence[str]],
        rng: random.Random,
        *,
        key: int,
        families: Sequence[bool] = (False,),
        is_seed: bool = False,
        settings: AnnounceSettings | None = None,
    ) -> None:
        self._settings = settings or AnnounceSettings()
        self._rng = rng
        self._key = key
        self._is_seed = self._is_complete = is_seed
        self._is_stopping = False
        self._asking: list[Way] = []
        self._tiers: list[list[Tracker]] = []
        known: set[str] = set()
        for urls in tiers:
            fresh = [url for url in dict.fromkeys(urls) if url not in known]
            rng.shuffle(fresh)
            tier = [Tracker(url, len(self._tiers), families) for url in fresh]
            known.update(fresh)
            if tier:
                self._tiers.append(tier)

    # What the host asks.

    def due(self, now: float) -> list[Due]:
        """Announces to be made now, at most one; the host reports each by `answered` or `failed`."""
        for way, event, at in self._plan():
            if at <= now:
                self._asking.append(way)
                way.state = SourceState.ASKING
                way.event_asked = event
                way.asked_at = now
                return [self._due(way, event)]
        return []

    def next_wakeup(self) -> float | None:
        """When `due` may have something; None: not before something else happens."""
        return min((at for _, _, at in self._plan()), default=None)

    def status(self) -> tuple[TrackerStatus, ...]:
        """All trackers in the order in which they are tried."""
        planned: dict[Tracker, float] = {}
        for way, _, at in self._plan():
            tracker = way.tracker
            # When a family that fails is tried again is no matter while another one works.
            if way.state is tracker.state:
                planned[tracker] = min(at, planned.get(tracker, at))
        return tuple(tracker.status(planned.get(tracker)) for tracker in self._ordered())

    # What the host tells.

    def answered(
        self,
        url: str,
        response: AnnounceResponse,
        now: float,
        *,
        is_v6: bool = False,
        own_port: int | None = None,
    ) -> None:
        """The announce that was due to `url` over that family was answered.

        Args:
            own_port: as it was announced; None where that says nothing.
        """
        way = self._returned(url, is_v6=is_v6)
        if way is None:
            return
        tracker = way.tracker
        way.answered(response)
        # An answer without a tracker id does not take back the one that we have.
        tracker.tracker_id = response.tracker_id or tracker.tracker_id
        self._plan_next(way, response, now, own_port)
        tier = self._tiers[tracker.tier]
        tier.remove(tracker)
        tier.insert(0, tracker)

    def failed(self, url: str, error: TrackerError, now: float, *, is_v6: bool = False) -> None:
        """The announce that was due to `url` over that family got no usable answer."""
        way = self._returned(url, is_v6=is_v6)
        if way is None:
            return
        way.failed(error)
        tracker = way.tracker
        if not any(other.state in (SourceState.WORKING, SourceState.ASKING) for other in tracker.ways):
            tracker.give_up_if_told()
        if error.retry_in_s is not None:
            # BEP 31. Its own word, within our bounds.
            wait_s = self._settings.bounded(error.retry_in_s)
            way.not_before = now + wait_s
        else:
            wait_s = self._settings.after_failure_s(way.failure_count, self._rng)
        way.next_at = now + wait_s

    def completed(self, now: float, *, is_partial: bool = False) -> None:
        """We have all that we want: those that list us as a leecher are told at once.

        Args:
            is_partial: it is not all there is: no download has completed for them (BEP 21).
        """
        was_complete, self._is_complete = self._is_complete, True
        if is_partial or self._is_seed:
            if not was_complete:
                self._hurry(self._ways(), now)
            return
        self._is_seed = True
        for way in self._ways():
            # One that is being asked right now hears of a leecher; it is told after its answer.
            if way.is_known or way in self._asking:
                way.owes_completed = True

    def reopened(self, now: float) -> None:
        """Something we want is missing again: trackers hear of it as early as they allow, peers are sought.

        When it is back no `completed` is said once more: no second download has completed for them.
        """
        self._is_complete = False
        self._hurry(self._ways(), now)

    def need_peers(self, now: float) -> None:
        """We have too few: the next announce comes as early as the tracker's min interval allows."""
        for tracker in self._ordered():
            if tracker.state is SourceState.WORKING:
                self._hurry(tracker.ways, now)
                return

    def network_changed(self, now: float, families: Sequence[bool]) -> None:
        """We are at another address, or back: what failed may work; who works has to learn where we are.

        Args:
            families: over which peers reach us now.
        """
        for tracker in self._ordered():
            tracker.reach_over(families)
        self._hurry(self._ways(), now)
        for way in self._ways():
            if way.state is SourceState.FAILED:
                # A network that comes and goes all the time has us ask no more often than a failure does.
                soonest_at = way.asked_at + self._settings.after_failure_s(1, self._rng)
                way.next_at = min(way.next_at, max(now, way.not_before, soonest_at))
            if way.state is not SourceState.WORKING:
                # Also of an announce on its way, which may have left by the old one.
                way.failure_count = 0

    def stopping(self) -> list[Due]:
        """We leave: the `stopped` announces for all that list us, or may; nothing is due any more."""
        self._is_stopping = True
        leaving = [way for way in self._ways() if way.is_known or way in self._asking]
        self._asking = []
        return [self._due(way, "stopped") for way in leaving]

    # The desk itself.

    @staticmethod
    def _hurry(ways: Iterable[Way], now: float) -> None:
        """Those of `ways` that work are announced to as early as the min interval allows."""
        for way in ways:
            if way.state is SourceState.WORKING:
                way.next_at = min(way.next_at, max(now, way.not_before))

    def _ordered(self) -> Iterator[Tracker]:
        for tier in self._tiers:
            yield from tier

    def _ways(self) -> Iterator[Way]:
        for tracker in self._ordered():
            yield from tracker.ways

    def _plan(self) -> Iterator[tuple[Way, Event | None, float]]:
        """Yield (way, event, when) of what comes next, the most wanted first."""
        if self._is_stopping:
            return
        asked = {way.tracker for way in self._asking}
        is_full = len(asked) >= self._settings.asking_max
        for way in self._ways():
            if is_full and way.tracker not in asked:
                continue
            is_owed = way.owes_completed and self._is_complete
            if is_owed and way.is_known and way.state not in _SILENT:
                has_failed = way.state is SourceState.FAILED
                yield way, "completed", way.next_at if has_failed else 0.0
        not_before = 0.0
        for tracker in self._ordered():
            asked_before = not_before
            for way in tracker.ways:
                if way.state is SourceState.ASKING:
                    not_before = max(not_before, way.asked_at + self._settings.patience_s)
                elif way.state is not SourceState.OFF and (tracker in asked or not is_full):
                    yield way, None if way.is_known else "started", max(way.next_at, asked_before)
            if tracker.state in _ENOUGH or any(
                # It lists us already: there is time to wait for it.
                way.is_known and way.state is SourceState.ASKING
                for way in tracker.ways
            ):
                return

    def _due(self, way: Way, event: Event | None) -> Due:
        num_want = 0 if event == "stopped" else self._settings.num_want
        tracker = way.tracker
        has_answered = way.is_known and not way.failure_count
        return Due(tracker.url, way.is_v6, event, num_want, self._key, tracker.tracker_id, has_answered)

    def _returned(self, url: str, *, is_v6: bool) -> Way | None:
        """The way whose announce is back; None for one that nobody waits for any more."""
        for way in self._asking:
            if way.tracker.url == url and way.is_v6 is is_v6:
                self._asking.remove(way)
                return way
        return None

    def _plan_next(self, way: Way, response: AnnounceResponse, now: float, own_port: int | None) -> None:
        least_s = self._settings.least_s(response.interval_s, response.min_interval_s or 0)
        is_lonely = not self._is_complete and _is_alone(response, way.tracker.known_count, own_port)
        way.lonely_count = way.lonely_count + 1 if is_lonely else 0
        way.not_before = now + least_s
        wait_s = self._settings.after_answer_s(response.interval_s, least_s, way.lonely_count, self._rng)
        way.next_at = now + wait_s
        for other in way.tracker.ways:
            # Families keep in step, so that a user sees one plan: the earlier one waits for the later.
            is_near = abs(other.next_at - way.next_at) <= wait_s * self._settings.interval_jitter
            if is_near and other.state is SourceState.WORKING:
                way.next_at = other.next_at = max(way.next_at, other.next_at)


def _is_alone(response: AnnounceResponse, own_count: int, own_port: int | None) -> bool:
    """Does the tracker know nobody but us? Many, opentracker for one, name a peer to itself.

    Args:
        own_count: under how many addresses it lists us. Some count families together, others apart: two may
            be ourselves twice, or one of us and somebody else.
    """
    ports = [port for _, port in (*response.peers, *response.named_peers)]
    named_count = len(ports)
    if not named_count:
        return True
    if own_port is not None and any(port != own_port for port in ports):
        return False
    is_counted = response.seeds is not None and response.leechers is not None
    if not is_counted or named_count > own_count:
        return False
    return (response.seeds or 0) + (response.leechers or 0) <= own_count
