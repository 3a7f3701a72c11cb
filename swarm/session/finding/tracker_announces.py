"""One torrent's announces to its trackers: the host of `engine/finding/announcer`."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.base.units import format_span
from swarm.engine.finding.announcer import Announcer, Due
from swarm.engine.finding.pace import SourceState
from swarm.engine.finding.tracker_ways import TrackerStatus
from swarm.net.names import endpoints_of
from swarm.session.bugs import watch
from swarm.session.finding.sources import OnNotice, OnPeers, SourceStatus, Totals
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse, tracker_name

#: Host names of peers looked up for one answer; hardly any tracker sends names.
NAMES_MAX = 20
_NAMES_TIMEOUT_S = 10.0
#: Longest that leaving waits where no tracker has answered: whoever lists us all the same hears us in this
#: time from anywhere, and mostly nobody does.
UNHEARD_TIMEOUT_S = 0.5


class AnnounceClient(Protocol):
    """The part of `net.trackers.TrackerClient` that is used here."""

    async def announce(
        self,
        url: str,
        request: AnnounceRequest,
        timeout_s: float | None = ...,
        *,
        is_v6: bool | None = ...,
    ) -> AnnounceResponse: ...


class TrackerAnnounces:
    """Announces a torrent to its trackers from `start` to `stop`, and passes on the peers they name.

    Args:
        port: where we listen; asked for each announce.
        client: None where there are no trackers.
        families: is IPv6? for each family over which peers reach us.
        on_peers: gets the peers of an answer, and where they come from ("tracker HOST").
        on_notice: gets ("info" | "warning", one line fit for a user) when a tracker's state changes.
        clock: monotonic seconds.
        on_own_address: gets our address as a tracker sees it (BEP 24), and which ("tracker HOST").
    """

    def __init__(
        self,
        info_hash: InfoHash,
        tiers: Sequence[Sequence[str]],
        *,
        peer_id: PeerId,
        port: Callable[[], int],
        totals: Callable[[], Totals],
        on_peers: OnPeers,
        on_notice: OnNotice,
        client: AnnounceClient | None,
        families: Sequence[bool],
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
        on_own_address: Callable[[str, str], None] | None = None,
    ) -> None:
        self._on_own_address = on_own_address
        self._info_hash = info_hash
        self._peer_id = peer_id
        self._port = port
        self._totals = totals
        self._on_peers = on_peers
        self._on_notice = on_notice
        self._client = client
        self._clock = clock
        self._announcer = Announcer(tiers, rng, key=rng.getrandbits(32), families=families)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: The announces on their way.
        self._asking: set[asyncio.Task[None]] = set()
        self._is_stopped = False
        #: (url, is IPv6?) of those that failed when told of a partial seed: some take only BEP 3's events.
        self._plain: set[tuple[str, bool]] = set()
        #: url -> the last that was said of it, so that nothing is said twice.
        self._said: dict[str, str] = {}

    def start(self) -> None:
        """Begin announcing; from within a running loop, once, when `totals` are known."""
        if self._task is not None or self._is_stopped:
            return
        if self._totals().is_complete:
            # Before the first announce: we join as a seed, and nobody is told of a completed download.
            self.completed()
        self._task = asyncio.create_task(self._run(), name=f"trackers of {self._info_hash}")
        watch(self._task, lambda error: self._on_notice("warning", f"trackers: {error}"))

    def completed(self) -> None:
        """Everything wanted is here: where that is everything, trackers are told at once."""
        self._announcer.completed(self._clock(), is_partial=self._totals().is_partial_seed)
        self._news.set()

    def reopened(self) -> None:
        """Something wanted is missing again: trackers hear of it as early as they allow."""
        self._announcer.reopened(self._clock())
        self._news.set()

    def need_peers(self) -> None:
        """We have too few peers: trackers are asked as early as they allow."""
        self._announcer.need_peers(self._clock())
        self._news.set()

    def network_changed(self, families: Sequence[bool]) -> None:
        """We are at another address, or back: trackers are asked as early as they allow.

        Args:
            families: over which peers reach us now.
        """
        self._announcer.network_changed(self._clock(), families)
        self._news.set()

    def status(self) -> list[SourceStatus]:
        """All trackers in the order in which they are tried."""
        now = self._clock()
        return [_source_status(tracker, now) for tracker in self._announcer.status()]

    async def stop(self, timeout_s: float) -> None:
        """Leave: tell those trackers that list us, in `timeout_s` at most. Never raises."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if self._task is not None:
            ending = [self._task, *self._asking]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
        leaving = self._announcer.stopping()
        if leaving:
            await self._leave(leaving, timeout_s)

    async def _leave(self, leaving: Sequence[Due], timeout_s: float) -> None:
        """Say so to each; those that have not answered before have as long as the others take."""
        assert self._client is not None
        said = {
            asyncio.create_task(
                self._client.announce(due.url, self._request(due), timeout_s, is_v6=due.is_v6)
            ): due.has_answered
            for due in leaving
        }
        awaited = [task for task, has_answered in said.items() if has_answered]
        if not awaited:
            timeout_s = min(timeout_s, UNHEARD_TIMEOUT_S)
        try:
            await asyncio.wait(awaited or said, timeout=timeout_s)
        finally:
            for task in said:
                task.cancel()
            # What a tracker says to that changes nothing any more.
            await asyncio.gather(*said, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._news.clear()
            for due in self._announcer.due(self._clock()):
                task = asyncio.create_task(self._announce(due), name=f"announce to {tracker_name(due.url)}")
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
                watch(task)
            await wait_for_news(self._news, self._announcer.next_wakeup(), self._clock)

    async def _announce(self, due: Due) -> None:
        try:
            await self._ask(due)
        finally:
            self._news.set()

    async def _ask(self, due: Due) -> None:
        assert self._client is not None
        request = self._request(due)
        try:
            response = await self._client.announce(due.url, request, is_v6=due.is_v6)
        except TrackerError as error:
            if request.event == "paused":
                self._plain.add((due.url, due.is_v6))
            self._failed(due, error)
            return
        except Exception as error:
            # A bug of ours (`watch` tells of it): this tracker is not waited for, others are asked.
            self._announcer.failed(
                due.url, TrackerError(f"internal error: {error!r}"), self._clock(), is_v6=due.is_v6
            )
            raise
        self._announcer.answered(due.url, response, self._clock(), is_v6=due.is_v6, own_port=request.port)
        if response.warning:
            self._say("warning", due.url, response.warning)
        else:
            self._say("info", due.url, "working")
        source = f"tracker {tracker_name(due.url)}"
        if response.external_ip is not None and self._on_own_address is not None:
            self._on_own_address(response.external_ip, source)
        if response.peers:
            self._on_peers(response.peers, source)
        if response.named_peers:
            found = await endpoints_of(response.named_peers[:NAMES_MAX], _NAMES_TIMEOUT_S)
            if found:
                self._on_peers(found, source)

    def _failed(self, due: Due, error: TrackerError) -> None:
        self._announcer.failed(due.url, error, self._clock(), is_v6=due.is_v6)
        shown = next(one for one in self._announcer.status() if one.url == due.url)
        # One family that fails while another one works, or may yet, is nothing to tell.
        if shown.state in (SourceState.FAILED, SourceState.OFF):
            next_at = shown.next_at
            more = (
                "" if next_at is None else f"; next try in {format_span(max(0.0, next_at - self._clock()))}"
            )
            self._say("warning", due.url, shown.error, more)

    def _request(self, due: Due) -> AnnounceRequest:
        totals = self._totals()
        # BEP 21: "in every announce while it is a partial seed", the first one too; we leave like all others.
        is_told = totals.is_partial_seed and due.event in (None, "started")
        is_paused = is_told and (due.url, due.is_v6) not in self._plain
        return AnnounceRequest(
            info_hash=self._info_hash,
            peer_id=self._peer_id,
            port=self._port(),
            uploaded_bytes=totals.uploaded_bytes,
            downloaded_bytes=totals.downloaded_bytes,
            left_bytes=totals.left_bytes,
            event="paused" if is_paused else due.event,
            num_want=due.num_want,
            key=due.key,
            tracker_id=due.tracker_id,
        )

    def _say(self, level: str, url: str, text: str, more: str = "") -> None:
        """Pass on what changed; a tracker that works from the start is no news."""
        if self._said.get(url, "working") == text:
            return
        self._said[url] = text
        if level == "info":
            text = "works again"
        self._on_notice(level, f"tracker {tracker_name(url)}: {text}{more}")


def _source_status(tracker: TrackerStatus, now: float) -> SourceStatus:
    return SourceStatus(
        kind="tracker",
        name=tracker.url,
        state=tracker.state,
        error=tracker.error,
        next_s=None if tracker.next_at is None else max(0.0, tracker.next_at - now),
        peers=tracker.peers,
        seeds=tracker.seeds,
        leechers=tracker.leechers,
    )


async def wait_for_news(news: asyncio.Event, wakeup_at: float | None, clock: Callable[[], float]) -> None:
    """Until there are news, or until `wakeup_at` has come."""
    wait_s = None if wakeup_at is None else max(0.0, wakeup_at - clock())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await news.wait()
