"""Finds peers for one torrent: asks its trackers and the other sources, each when it is due."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import partial

from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.finding.peer_book import may_name_private_peers
from swarm.engine.finding.rounds import Rounds
from swarm.session.bugs import watch
from swarm.session.finding.sources import Membership, OnNotice, OnPeers, PeerSource, SourceStatus, Totals
from swarm.session.finding.tracker_announces import AnnounceClient, TrackerAnnounces, wait_for_news

#: Longest that leaving may take, all trackers together.
STOP_TIMEOUT_S = 2.0
#: A round of a source that takes longer hangs; a lookup in a large DHT with dead nodes takes half a minute.
ROUND_TIMEOUT_S = 180.0
#: Peers kept for `hand_over`; as many as one torrent's peer list holds.
PEERS_KEPT_MAX = 2000


class Discovery:
    """Finds peers for an info-hash from `start` to `stop`.

    It lives as long as the torrent is in the session: it may begin while a magnet's metadata is still
    being fetched, and is handed over to the torrent that comes of it (`hand_over`).

    Args:
        tiers: URLs of trackers, first tier first.
        tracker_client: None where there are no tiers.
        families: is IPv6? for each family over which peers reach us.
        port: where we listen; asked for each announce.
        on_peers: gets peers, and where they come from ("tracker HOST", "dht", "lsd").
        on_notice: gets ("info" | "warning", one line fit for a user) when a source's state changes.
        sources: those that need no tracker; not used where `is_private`.
        is_private: BEP 27; None where nobody knows yet, which is a magnet without metadata. Peers are
            kept then, so that `hand_over` can pass them on again.
        clock: monotonic seconds.
        on_own_address: gets our address as a tracker sees it (BEP 24), and which ("tracker HOST").
        on_source_notice: gets (kind of source, level, line) instead of `on_notice` where it is about one of
            `sources`: they are shared, and all torrents would say the same.
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
        tracker_client: AnnounceClient | None,
        rng: random.Random,
        families: Sequence[bool] = (False,),
        sources: Sequence[PeerSource] = (),
        is_private: bool | None = False,
        clock: Callable[[], float] = time.monotonic,
        on_own_address: Callable[[str, str], None] | None = None,
        on_source_notice: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self._totals = totals
        self._on_peers = on_peers
        self._on_notice = on_notice
        self._clock = clock
        #: Peers found before the hand-over, and who named them first; None afterwards.
        self._kept: dict[Endpoint, str] | None = {} if is_private is None else None
        self._is_started = False
        self._is_stopped = False
        self._has_left = asyncio.Event()
        self._trackers = TrackerAnnounces(
            info_hash,
            tiers,
            peer_id=peer_id,
            port=port,
            totals=lambda: self._totals(),
            on_peers=partial(self._found, is_tracker=True),
            on_notice=lambda level, text: self._on_notice(level, text),
            client=tracker_client,
            families=families,
            rng=rng,
            clock=clock,
            on_own_address=on_own_address,
        )
        membership = Membership(
            info_hash,
            port,
            is_seed=lambda: self._totals().left_bytes == 0,
            is_complete=lambda: self._totals().is_complete,
            found=partial(self._found, is_tracker=False),
        )
        self._sourced = [
            _Sourced(source, membership, rng, clock, self._notice_of(source.kind, on_source_notice))
            for source in (() if is_private else sources)
        ]

    def start(self) -> None:
        """Begin to look; from within a running loop, once, when `totals` are known."""
        if self._is_started or self._is_stopped:
            return
        self._is_started = True
        self._trackers.start()
        for sourced in self._sourced:
            sourced.start()

    async def hand_over(
        self,
        *,
        totals: Callable[[], Totals],
        on_peers: OnPeers,
        on_notice: OnNotice,
        is_private: bool,
    ) -> None:
        """The metadata is here: from now on find peers for the torrent, which gets those found so far now.

        If it is private, only its trackers are asked any more, and peers that others named are forgotten.
        """
        self._totals = totals
        self._on_peers = on_peers
        self._on_notice = on_notice
        if is_private:
            leaving, self._sourced = self._sourced, []
            await asyncio.gather(*(sourced.stop() for sourced in leaving))
        kept, self._kept = self._kept or {}, None
        by_source: dict[str, list[Endpoint]] = {}
        for endpoint, source in kept.items():
            by_source.setdefault(source, []).append(endpoint)
        for source, endpoints in by_source.items():
            if not is_private or may_name_private_peers(source):
                on_peers(endpoints, source)
        if totals().is_complete:
            self.completed()

    def completed(self) -> None:
        """Everything wanted is here: trackers hear of it, the others in their next round, which is soon."""
        self._trackers.completed()
        for sourced in self._sourced:
            sourced.changed()

    def reopened(self) -> None:
        """Something wanted is missing again: all hear as early as is polite that we are no seed any more."""
        self._trackers.reopened()
        for sourced in self._sourced:
            sourced.changed()

    def need_peers(self) -> None:
        """The torrent has too few peers: ask all sources as early as they allow."""
        self._trackers.need_peers()
        for sourced in self._sourced:
            sourced.hurry()

    def network_changed(self, families: Sequence[bool]) -> None:
        """We are at another address, or back: what failed is tried, all are told as early as is polite.

        Args:
            families: over which peers reach us now.
        """
        self._trackers.network_changed(families)
        for sourced in self._sourced:
            sourced.network_changed()

    def status(self) -> list[SourceStatus]:
        """Trackers in the order in which they are tried, then the other sources."""
        return [*self._trackers.status(), *(sourced.status() for sourced in self._sourced)]

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Leave: tell those trackers that list us, in `timeout_s` at most. Never raises.

        Whoever says so for the second time waits for the first one's end.
        """
        if self._is_stopped:
            await self._has_left.wait()
            return
        self._is_stopped = True
        try:
            leaving = (self._trackers.stop(timeout_s), *(sourced.stop() for sourced in self._sourced))
            await asyncio.gather(*leaving)
        finally:
            self._has_left.set()

    def _notice_of(self, kind: str, on_source_notice: Callable[[str, str, str], None] | None) -> OnNotice:
        if on_source_notice is not None:
            return partial(on_source_notice, kind)
        return lambda level, text: self._on_notice(level, text)

    def _found(self, peers: Sequence[Endpoint], source: str, *, is_tracker: bool) -> None:
        if self._is_stopped:
            return
        if self._kept is not None:
            for endpoint in peers:
                # What a tracker names too may be kept by a private torrent.
                if endpoint in self._kept:
                    if is_tracker:
                        self._kept[endpoint] = source
                elif len(self._kept) < PEERS_KEPT_MAX:
                    self._kept[endpoint] = source
        self._on_peers(peers, source)


class _Sourced:
    """One torrent's rounds of one source."""

    def __init__(
        self,
        source: PeerSource,
        membership: Membership,
        rng: random.Random,
        clock: Callable[[], float],
        on_notice: OnNotice,
    ) -> None:
        self._source = source
        self._membership = membership
        self._clock = clock
        self._on_notice = on_notice
        self._rounds = Rounds(source.interval_s, rng, clock())
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._source.join(self._membership)
        name = f"{self._source.kind} of {self._membership.info_hash}"
        self._task = asyncio.create_task(self._run(), name=name)
        watch(self._task, lambda error: self._on_notice("warning", f"{self._source.kind}: {error}"))

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        self._source.leave(self._membership)

    def hurry(self) -> None:
        self._rounds.hurry(self._clock())
        self._news.set()

    def network_changed(self) -> None:
        self._rounds.network_changed(self._clock())
        self._news.set()

    def changed(self) -> None:
        self._rounds.changed(self._clock())
        self._news.set()

    def status(self) -> SourceStatus:
        rounds = self._rounds
        next_at = rounds.next_at
        kind = self._source.kind
        next_s = None if next_at is None else max(0.0, next_at - self._clock())
        return SourceStatus(kind, kind, rounds.state, rounds.error, next_s, rounds.peer_count)

    async def _run(self) -> None:
        while True:
            self._news.clear()
            next_at = self._rounds.next_at
            if next_at is not None and next_at <= self._clock():
                await self._go_round()
            else:
                await wait_for_news(self._news, next_at, self._clock)

    async def _go_round(self) -> None:
        error_before = self._rounds.error
        self._rounds.begin(self._clock())
        try:
            async with asyncio.timeout(ROUND_TIMEOUT_S):
                count = await self._source.go_round(self._membership)
        except (SwarmError, TimeoutError) as error:
            reason = str(error) or "no answer"
            self._rounds.failed(reason, self._clock())
            if reason != error_before:
                self._on_notice("warning", f"{self._source.kind}: {reason}")
            return
        self._rounds.ended(count, is_complete=self._membership.is_complete())
        if error_before:
            self._on_notice("info", f"{self._source.kind}: works again")
