"""A client of UDP trackers (BEP 15): one socket for each address family, and connection ids that are kept."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash
from swarm.net.host_turns import HostTurns
from swarm.net.names import NameCache
from swarm.net.outlet import Outlet
from swarm.net.udp_questions import QuestionSocket
from swarm.wire.tracker import udp
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse, ScrapeEntry

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class UdpTrackerSettings:
    """How UDP trackers are asked. Spans in seconds."""

    #: BEP 15: without an answer a request is sent again after 15 * 2 ** n seconds, n from 0 ...
    first_wait_s: float = 15.0
    #: ... to 8. Mostly the caller's timeout ends it before.
    doublings_max: int = 8
    #: A connect request ends after so long, whoever waits for it.
    connect_s: float = 60.0
    #: BEP 15: a connection id can be used "until one minute after it has received it".
    connection_life_s: float = 60.0
    #: Trackers whose connection ids are kept; the oldest are dropped.
    connections_max: int = 1000
    #: Addresses of one family that are tried for a name, each so many seconds after the one before.
    addresses_max: int = 4
    address_stagger_s: float = 3.0
    #: After the first family of a name has answered, the second is waited for so long.
    second_family_s: float = 1.0

    def waits_s(self) -> Iterator[float]:
        """Seconds to wait for an answer, for each time that a request is sent."""
        for doubling in range(self.doublings_max + 1):
            yield self.first_wait_s * 2.0**doubling


class UdpTrackerClient:
    """Announces to and scrapes UDP trackers.

    Args:
        outlet: where everything must leave; None for no restriction.
        names: shared with the client of HTTP trackers; None for one's own.
    """

    def __init__(
        self,
        *,
        outlet: Outlet | None = None,
        settings: UdpTrackerSettings | None = None,
        names: NameCache | None = None,
    ) -> None:
        self._outlet = outlet or Outlet()
        self._settings = settings or UdpTrackerSettings()
        self._names = names or NameCache()
        self._host_turns = HostTurns()
        # Whoever could guess a transaction id could answer in the tracker's place.
        self._rng = random.SystemRandom()
        self._sockets: dict[bool, QuestionSocket] = {}
        #: tracker -> (connection id, the loop's time until which it can be used); the oldest first.
        self._connections: dict[Endpoint, tuple[int, float]] = {}
        #: tracker -> the connect request under way, shared by all who need it.
        self._connecting: dict[Endpoint, asyncio.Task[int]] = {}
        self._is_closed = False

    async def announce(
        self, url: str, request: AnnounceRequest, timeout_s: float, is_v6: bool | None = None
    ) -> AnnounceResponse:
        """Tell the tracker about us; it answers with peers.

        Args:
            is_v6: the address family to ask over; None for each that its name has, and the first answer.

        Raises:
            TrackerError: no answer, no usable one, or a refusal; fit for a user.
        """
        parts = urlsplit(url)
        url_data = f"{parts.path}?{parts.query}" if parts.query else parts.path

        async def ask(trackers: list[Endpoint]) -> AnnounceResponse:
            return await self._ask(
                trackers,
                lambda connection, number: udp.encode_announce(connection, number, request, url_data),
                lambda raw: udp.decode_announced(raw, is_v6=trackers[0].is_v6),
            )

        return (await self._each_family(url, timeout_s, ask, is_v6))[0]

    async def scrape(
        self, url: str, info_hashes: Sequence[InfoHash], timeout_s: float
    ) -> dict[InfoHash, ScrapeEntry]:
        """Ask for the numbers of 1 to 74 swarms (BEP 15); a swarm that the tracker does not know has zeros.

        Raises:
            TrackerError: as `announce`.
        """

        async def ask(trackers: list[Endpoint]) -> dict[InfoHash, ScrapeEntry]:
            return await self._ask(
                trackers,
                lambda connection, number: udp.encode_scrape(connection, number, info_hashes),
                lambda raw: udp.decode_scraped(raw, info_hashes),
            )

        answers = await self._each_family(url, timeout_s, ask)
        # Some trackers count both families together: to add the answers up might count peers twice.
        return {
            info_hash: max((answer[info_hash] for answer in answers), key=_size) for info_hash in info_hashes
        }

    def network_changed(self) -> None:
        """Our address has changed: drop connection ids, which trackers accept from the old address only.

        Sockets bound to it are closed; whoever waits for an answer there gets a TrackerError.
        """
        self._connections.clear()
        if self._outlet.interface:
            sockets, self._sockets = self._sockets, {}
            for opened in sockets.values():
                opened.close()

    async def close(self) -> None:
        """Ask nothing any more; requests under way get a TrackerError."""
        self._is_closed = True
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()
        await asyncio.gather(*self._connecting.values(), return_exceptions=True)
        await self._names.close()

    # The steps of a request: URL -> addresses -> each family -> connection id -> answer.

    async def _each_family(
        self,
        url: str,
        timeout_s: float,
        ask: Callable[[list[Endpoint]], Awaitable[_Answer]],
        is_v6: bool | None = None,
    ) -> list[_Answer]:
        """The answers over each address family, one at least; with `is_v6`, over that family only."""
        try:
            async with asyncio.timeout(timeout_s):
                families = await self._addresses(url, is_v6)
                if len(families) == 1:
                    return [await ask(families[0])]
                return await self._race([asyncio.ensure_future(ask(trackers)) for trackers in families])
        except TimeoutError:
            raise TrackerError("no answer") from None

    async def _race(self, asking: list[asyncio.Future[_Answer]]) -> list[_Answer]:
        """The first answer, and those that come within `second_family_s` after it."""
        waiting = set(asking)
        try:
            while waiting and not any(map(_has_answered, asking)):
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if waiting:
                await asyncio.wait(waiting, timeout=self._settings.second_family_s)
        finally:
            for future in asking:
                future.cancel()
            results = await asyncio.gather(*asking, return_exceptions=True)
        answers = [future.result() for future in asking if _has_answered(future)]
        if not answers:
            raise next(result for result in results if isinstance(result, BaseException))
        return answers

    async def _addresses(self, url: str, is_v6: bool | None) -> list[list[Endpoint]]:
        """The tracker's addresses of each family; the family that the system prefers comes first."""
        host, port = _host_port(url)
        try:
            hosts = await self._names.addresses(host)
        except OSError as error:
            raise TrackerError((error.strerror or str(error)).lower()) from None
        usable = [endpoint for host in hosts if (endpoint := Endpoint(host, port)).is_dialable]
        if not usable:
            raise TrackerError("not an address that could be asked", is_final=True)
        usable = [endpoint for endpoint in usable if self._outlet.has(is_v6=endpoint.is_v6)]
        if not usable:
            raise TrackerError("the bound interface has no address of that family")
        usable = [endpoint for endpoint in usable if is_v6 in (None, endpoint.is_v6)]
        if not usable:
            raise TrackerError(f"the tracker has no {'IPv6' if is_v6 else 'IPv4'} address", lacks="address")
        families: dict[bool, list[Endpoint]] = {}
        for endpoint in usable:
            families.setdefault(endpoint.is_v6, []).append(endpoint)
        return [family[: self._settings.addresses_max] for family in families.values()]

    async def _ask(
        self,
        trackers: list[Endpoint],
        encode: Callable[[int, int], bytes],
        decode: Callable[[bytes], _Answer],
    ) -> _Answer:
        """Ask a tracker, at the first of its addresses `trackers` that gives a connection id.

        Args:
            encode: (connection id, transaction id) -> datagram.
        """
        tracker, connection, is_new = await self._connected(trackers)
        while True:
            raw = await self._exchange(tracker, connection, encode)
            try:
                return decode(raw)
            except TrackerError:
                # A tracker that was started anew does not know our connection id: get one, and ask once more.
                self._connections.pop(tracker, None)
                if is_new:
                    raise
            _, connection, is_new = await self._connected([tracker])

    async def _exchange(
        self, tracker: Endpoint, connection: int, encode: Callable[[int, int], bytes]
    ) -> bytes:
        async with self._host_turns.turn(tracker.host):
            with self._socket(tracker).question(tracker) as question:
                for wait_s in self._settings.waits_s():
                    try:
                        return await question.send(encode(connection, question.number), wait_s)
                    except TimeoutError:
                        # By now the connection id may be too old.
                        _, connection, _ = await self._connected([tracker])
        raise TrackerError("no answer")

    async def _connected(self, trackers: list[Endpoint]) -> tuple[Endpoint, int, bool]:
        """The first of `trackers` that gives or has given a connection id; the id; and whether it is new."""
        now = asyncio.get_running_loop().time()
        for tracker in trackers:
            known = self._connections.get(tracker)
            if known is not None and known[1] > now:
                return tracker, known[0], False
        left = list(trackers)
        waiting: dict[asyncio.Task[int], Endpoint] = {}
        error: BaseException = TrackerError("no answer")
        while left or waiting:
            if left:
                waiting[self._connect(left[0])] = left[0]
                del left[0]
            stagger_s = self._settings.address_stagger_s if left else None
            done, _ = await asyncio.wait(waiting, timeout=stagger_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                tracker = waiting.pop(task)
                if (failure := task.exception()) is None:
                    return tracker, task.result(), True
                error = failure
        raise error

    def _connect(self, tracker: Endpoint) -> asyncio.Task[int]:
        """The connect request to `tracker`, which goes on even if whoever wanted it has given up."""
        task = self._connecting.get(tracker)
        if task is None:
            task = asyncio.create_task(self._fetch_connection(tracker), name=f"connect to {tracker}")
            self._connecting[tracker] = task
            task.add_done_callback(lambda task: self._connect_ended(tracker, task))
        return task

    def _connect_ended(self, tracker: Endpoint, task: asyncio.Task[int]) -> None:
        del self._connecting[tracker]
        # Marks an error as seen: perhaps nobody waits any more.
        if not task.cancelled():
            task.exception()

    async def _fetch_connection(self, tracker: Endpoint) -> int:
        settings = self._settings
        raw = None
        with self._socket(tracker).question(tracker) as question, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.connect_s):
                request = udp.encode_connect(question.number)
                for wait_s in settings.waits_s():
                    with contextlib.suppress(TimeoutError):
                        raw = await question.send(request, wait_s)
                        break
        if raw is None:
            raise TrackerError("no answer")
        connection = udp.decode_connected(raw)
        self._connections.pop(tracker, None)
        while len(self._connections) >= settings.connections_max:
            del self._connections[next(iter(self._connections))]
        until = asyncio.get_running_loop().time() + settings.connection_life_s
        self._connections[tracker] = connection, until
        return connection

    def _socket(self, tracker: Endpoint) -> QuestionSocket:
        if self._is_closed:
            raise TrackerError("closed")
        opened = self._sockets.get(tracker.is_v6)
        if opened is None:
            opened = QuestionSocket(is_v6=tracker.is_v6, outlet=self._outlet, rng=self._rng)
            self._sockets[tracker.is_v6] = opened
        return opened


def _host_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise TrackerError("not a usable URL", is_final=True) from None
    if not host or not port:
        raise TrackerError("the URL names no host and port", is_final=True)
    return host, port


def _has_answered(future: asyncio.Future[_Answer]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _size(entry: ScrapeEntry) -> int:
    return entry.seeds + entry.leechers
