"""A UDP tracker on loopback whose manners are arguments."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple, cast

from swarm.base.endpoint import Endpoint, encode_compact
from swarm.wire.tracker import udp_server
from swarm.wire.tracker.announce import Event, ScrapeEntry


class Query(NamedTuple):
    """A request, taken apart as our own tracker does it; a connect or scrape has zeros at the end."""

    connection: bytes
    action: int
    transaction: bytes
    info_hash: bytes
    peer_id: bytes
    left_bytes: int
    event: Event | None
    num_want: int
    port: int
    url_data: bytes
    scraped: tuple[bytes, ...]


def read_query(raw: bytes) -> Query:
    (fields,) = udp_server.read_slots(raw.ljust(udp_server.SLOT_BYTES, b"\0"))
    connection, action, transaction, info_hash, peer_id, left_bytes, event, num_want, port = fields
    is_announce = action == udp_server.ANNOUNCE
    return Query(
        connection,
        action,
        transaction,
        info_hash,
        peer_id,
        left_bytes,
        udp_server.EVENTS[event] if is_announce else None,
        num_want,
        int.from_bytes(port, "big"),
        udp_server.read_url_data(raw[udp_server.ANNOUNCE_BYTES :]),
        tuple(udp_server.read_scrape(raw)) if action == udp_server.SCRAPE else (),
    )


#: Gets the query and the true answer; gives what is really sent, in order.
Manners = Callable[[Query, bytes], Iterable[bytes]]


def honest(_query: Query, answer: bytes) -> Iterable[bytes]:
    return [answer]


def silent(_query: Query, _answer: bytes) -> Iterable[bytes]:
    return []


class UdpTracker(asyncio.DatagramProtocol):
    """Answers as BEP 15 says, then as its manners have it."""

    def __init__(self, manners: Manners, peers: Iterable[Endpoint]) -> None:
        self.manners = manners
        self.addresses = b"".join(map(encode_compact, peers))
        self.queries: list[Query] = []
        #: The hosts that they came from.
        self.sources: set[str] = set()
        self.connection = b"8 bytes!"
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
        query = read_query(raw)
        self.queries.append(query)
        self.sources.add(address[0])
        self.news.set()
        sender = self.other or self.transport
        assert sender is not None
        for datagram in self.manners(query, self._answer(query)):
            sender.sendto(datagram, address)

    def _answer(self, query: Query) -> bytes:
        if query.action == udp_server.CONNECT:
            return udp_server.encode_connected(query.transaction, self.connection)
        if query.connection != self.connection:
            return udp_server.encode_error(query.transaction, "Connection ID missmatch.")
        if query.action == udp_server.SCRAPE:
            entries = (ScrapeEntry(number, 0, 0) for number in range(len(query.scraped)))
            return udp_server.encode_scraped(query.transaction, entries)
        return udp_server.encode_announced(query.transaction, 1800, 2, 1, self.addresses)

    async def until_asked(self, count: int) -> None:
        while len(self.queries) < count:
            self.news.clear()
            await self.news.wait()

    @property
    def kinds(self) -> str:
        """The queries so far: c(onnect), a(nnounce), s(crape)."""
        return "".join("cas"[query.action] for query in self.queries)


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
