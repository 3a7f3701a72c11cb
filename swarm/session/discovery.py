"""Finding peers for one torrent: the host of its announcer, so far over trackers alone."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.base.units import format_span
from swarm.engine.announcer import Announcer, Due, TrackerStatus
from swarm.net.names import look_up
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse, tracker_name

#: Longest that leaving may take, all trackers together (docs: defaults).
STOP_TIMEOUT_S = 2.0
#: A tracker may answer this slowly before the next one is asked.
ANNOUNCE_TIMEOUT_S = 15.0
#: Host names of peers looked up for one answer; hardly any tracker sends names.
NAMES_MAX = 20
_NAMES_TIMEOUT_S = 10.0


class Totals(NamedTuple):
    """What trackers are told of our progress, in bytes since we joined the swarm."""

    uploaded_bytes: int
    downloaded_bytes: int
    left_bytes: int


class AnnounceClient(Protocol):
    """The part of `net.trackers.TrackerClient` that is used here."""

    async def announce(
        self, url: str, request: AnnounceRequest, timeout_s: float = ...
    ) -> AnnounceResponse: ...


class Discovery:
    """Announces a torrent to its trackers from `start` to `stop`, and passes on the peers they name.

    Args:
        port: where we listen; asked for each announce.
        on_peers: gets the peers of an answer, and where they come from ("tracker HOST").
        on_notice: gets ("info" | "warning", one line fit for a user) when a tracker's state changes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        info_hash: InfoHash,
        tiers: Sequence[Sequence[str]],
        *,
        peer_id: PeerId,
        port: Callable[[], int],
        totals: Callable[[], Totals],
        on_peers: Callable[[Sequence[Endpoint], str], None],
        on_notice: Callable[[str, str], None],
        tracker_client: AnnounceClient,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._info_hash = info_hash
        self._peer_id = peer_id
        self._port = port
        self._totals = totals
        self._on_peers = on_peers
        self._on_notice = on_notice
        self._client = tracker_client
        self._clock = clock
        self._announcer = Announcer(tiers, rng, key=rng.getrandbits(32))
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        #: url -> the last that was said of it, so that nothing is said twice.
        self._said: dict[str, str] = {}

    def start(self) -> None:
        """Begin announcing; from within a running loop, once, when `totals` are known."""
        if self._task is not None or self._is_stopped:
            return
        if self._totals().left_bytes == 0:
            # Before the first announce: we join as a seed, and nobody is told of a completed download.
            self._announcer.completed(self._clock())
        self._task = asyncio.create_task(self._run(), name=f"discovery {self._info_hash}")
        self._task.add_done_callback(_report)

    def completed(self) -> None:
        """Everything is here: trackers are told so."""
        self._announcer.completed(self._clock())
        self._news.set()

    def need_peers(self) -> None:
        """We have too few peers: trackers are asked as early as they allow."""
        self._announcer.need_peers(self._clock())
        self._news.set()

    def status(self) -> tuple[TrackerStatus, ...]:
        """All trackers in the order in which they are tried."""
        return self._announcer.status()

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Leave: tell those trackers that list us, in `timeout_s` at most. Never raises."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        leaving = self._announcer.stopping()
        if leaving:
            farewells = (self._client.announce(due.url, self._request(due), timeout_s) for due in leaving)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    # What a tracker says to that changes nothing any more.
                    await asyncio.gather(*farewells, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._news.clear()
            for due in self._announcer.due(self._clock()):
                await self._announce(due)
            wakeup_at = self._announcer.next_wakeup()
            wait_s = None if wakeup_at is None else max(0.0, wakeup_at - self._clock())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._news.wait()

    async def _announce(self, due: Due) -> None:
        try:
            response = await self._client.announce(due.url, self._request(due), ANNOUNCE_TIMEOUT_S)
        except TrackerError as error:
            self._announcer.failed(due.url, error, self._clock())
            self._say("warning", due.url, error.reason, is_failure=True)
            return
        self._announcer.answered(due.url, response, self._clock())
        if response.warning:
            self._say("warning", due.url, response.warning)
        else:
            self._say("info", due.url, "working")
        source = f"tracker {tracker_name(due.url)}"
        if response.peers:
            self._on_peers(response.peers, source)
        if response.named_peers and (found := await _looked_up(response.named_peers[:NAMES_MAX])):
            self._on_peers(found, source)

    def _request(self, due: Due) -> AnnounceRequest:
        totals = self._totals()
        return AnnounceRequest(
            info_hash=self._info_hash,
            peer_id=self._peer_id,
            port=self._port(),
            uploaded_bytes=totals.uploaded_bytes,
            downloaded_bytes=totals.downloaded_bytes,
            left_bytes=totals.left_bytes,
            event=due.event,
            num_want=due.num_want,
            key=due.key,
            tracker_id=due.tracker_id,
        )

    def _say(self, level: str, url: str, text: str, *, is_failure: bool = False) -> None:
        """Pass on what changed; a tracker that works from the start is no news."""
        if self._said.get(url, "working") == text:
            return
        self._said[url] = text
        if level == "info":
            text = "works again"
        elif is_failure and (next_at := self._next_at(url)) is not None:
            text = f"{text}; next try in {format_span(max(0.0, next_at - self._clock()))}"
        self._on_notice(level, f"tracker {tracker_name(url)}: {text}")

    def _next_at(self, url: str) -> float | None:
        return next((one.next_at for one in self._announcer.status() if one.url == url), None)


def _report(task: asyncio.Task[None]) -> None:
    """A discovery that ends by itself has met a bug of ours; it must not end in silence."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": f"{task.get_name()} failed", "exception": error, "task": task}
        )


async def _looked_up(names: Sequence[tuple[str, int]]) -> list[Endpoint]:
    """The addresses of peers given by name; those that have none are left out."""
    found: list[Endpoint] = []

    async def one(name: str, port: int) -> None:
        with contextlib.suppress(OSError):
            found.extend(Endpoint(host, port) for host in await look_up(name))

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_NAMES_TIMEOUT_S):
            await asyncio.gather(*(one(name, port) for name, port in names))
    return list(dict.fromkeys(found))
