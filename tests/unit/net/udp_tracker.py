"""A UDP tracker on loopback whose manners are arguments."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import cast

from swarm.base.endpoint import Endpoint, encode_compact
from swarm.wire.tracker import udp
from swarm.wire.tracker.announce import ScrapeEntry

#: Gets the query and the true answer; gives what is really sent, in order.
Manners = Callable[[udp.Query, bytes], Iterable[bytes]]


def honest(_query: udp.Query, answer: bytes) -> Iterable[bytes]:
    return [answer]


def silent(_query: udp.Query, _answer: bytes) -> Iterable[bytes]:
    return []


class UdpTracker(asyncio.DatagramProtocol):
    """Answers as BEP 15 says, then as its manners have it."""

    def __init__(self, manners: Manners, peers: Iterable[Endpoint]) -> None:
        self.manners = manners
        self.addresses = b"".join(map(encode_compact, peers))
        self.queries: list[udp.Query] = []
        #: The hosts that they came from.
        self.sources: set[str] = set()
        self.connection = 77
        self.endpoint = Endpoint("", 0)
        self.transport: asyncio.DatagramTransport | None = None
        #: What answers are sent from, where it is not what was asked.
        self.other: asyncio.DatagramTransport | None = None
        self.news = asyncio.Event()

    @property
    def url(self) -> str:
        return f"udp://{self.endpoint}/announce"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What loops hand out does not always inherit from it.
        self.transport = cast(asyncio.DatagramTransport, transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self.endpoint = Endpoint(host, port)

    def datagram_received(self, raw: bytes, address: tuple[str, int]) -> None:
        query = udp.decode_query(raw)
        self.queries.append(query)
        self.sources.add(address[0])
        self.news.set()
        sender = self.other or self.transport
        assert sender is not None
        for datagram in self.manners(query, self._answer(query)):
            sender.sendto(datagram, address)

    def _answer(self, query: udp.Query) -> bytes:
        if isinstance(query, udp.ConnectQuery):
            return udp.encode_connected(query.transaction, self.connection)
        if query.connection != self.connection:
            return udp.encode_error(query.transaction, "Connection ID missmatch.")
        if isinstance(query, udp.ScrapeQuery):
            entries = (ScrapeEntry(number, 0, 0) for number in range(len(query.info_hashes)))
            return udp.encode_scraped(query.transaction, entries)
        return udp.encode_announced(
            query.transaction, interval_s=1800, seeds=1, leechers=2, addresses=self.addresses
        )

    async def until_asked(self, count: int) -> None:
        while len(self.queries) < count:
            self.news.clear()
            await self.news.wait()

    @property
    def kinds(self) -> str:
        """The queries so far: c(onnect), a(nnounce), s(crape)."""
        return "".join(type(query).__name__[0].lower() for query in self.queries)


@contextlib.asynccontextmanager
async def udp_tracker(
    manners: Manners = honest,
    *,
    peers: Iterable[Endpoint] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    is_answering_from_elsewhere: bool = False,
) -> AsyncIterator[UdpTracker]:
    loop = asyncio.get_running_loop()
    transport, tracker = await loop.create_datagram_endpoint(
        lambda: UdpTracker(manners, peers), local_addr=(host, port)
    )
    if is_answering_from_elsewhere:
        tracker.other, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(host, 0))
    try:
        yield tracker
    finally:
        transport.close()
        if tracker.other is not None:
            tracker.other.close()
