"""The tracker's HTTP side: one small protocol object a connection, requests parsed by httptools.

It knows `/announce`, `/scrape` and `/`. Whatever a client sends, it gets an answer within the
limits below or loses its connection; what is wrong with an announce is said in the way of BEP 3,
as a `failure reason` with status 200, since clients show nothing else to their users.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httptools

from swarm.base.endpoint import decode_compact_v4, decode_compact_v6, encode_compact, normalized
from swarm.base.errors import TrackerError
from swarm.tracker.announce import Announce, Answer, Rules
from swarm.wire.tracker.http_server import (
    AnnounceQuery,
    encode_announce,
    encode_announce_dictionaries,
    encode_failure,
    encode_scrape,
    parse_announce_query,
    parse_scrape_query,
)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What a client may cost. Spans in seconds, sizes in bytes."""

    #: The longest URL: 64 info-hashes to scrape need 4.6 KiB.
    url_bytes: int = 8192
    #: A request with all its headers; real ones have 300 bytes.
    request_bytes: int = 16384
    #: From connecting, or from a request's first byte, to its last: for slow links, not for slow lorises.
    request_s: float = 10.0
    #: Between two requests of a connection.
    idle_s: float = 60.0
    #: Connections at a time.
    connections: int = 10_000


_GREETING = b"A BitTorrent tracker. Announce to /announce, scrape at /scrape.\n"


def _response(status: bytes, body: bytes, *, is_last: bool, extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: %s\r\n%s\r\n%s" % (
        status,
        len(body),
        b"close" if is_last else b"keep-alive",
        extra,
        body,
    )


class HttpFrontend:
    """What all connections share: rules, limits, and the list of connections.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, rules: Rules, clock: Callable[[], float], limits: HttpLimits | None = None) -> None:
        self.limits = limits or HttpLimits()
        self.clock = clock
        self.connections: set[HttpConnection] = set()
        self.announce_count = 0
        self._rules = rules

    def __call__(self) -> HttpConnection:
        """A protocol for a new connection (asyncio's protocol factory)."""
        return HttpConnection(self)

    def sweep(self) -> None:
        """Drop the connections whose deadline has passed; to be called every second or so."""
        now = self.clock()
        for connection in [one for one in self.connections if one.deadline_at <= now]:
            connection.abort()

    def close(self) -> None:
        """Drop all connections."""
        for connection in list(self.connections):
            connection.abort()

    def respond(self, url: bytes, address: bytes, *, is_last: bool) -> bytes:
        """The whole response to `GET url` from a client at `address` (4 or 16 bytes)."""
        path, _, query = url.partition(b"?")
        if path == b"/announce":
            body = self._announce(query, address)
        elif path == b"/scrape":
            body = self._scrape(query)
        elif path == b"/":
            body = _GREETING
        else:
            return _response(b"404 Not Found", b"Only /announce and /scrape are here.\n", is_last=is_last)
        return _response(b"200 OK", body, is_last=is_last)

    def _announce(self, query: bytes, address: bytes) -> bytes:
        self.announce_count += 1
        try:
            read = parse_announce_query(query)
            answer = self._rules.announce(
                Announce(
                    read.info_hash,
                    address + read.port.to_bytes(2, "big"),
                    read.peer_id,
                    read.left_bytes,
                    read.event,
                    read.num_want,
                ),
                self.clock(),
            )
        except TrackerError as error:
            return encode_failure(error)
        if not read.is_compact:
            return self._dictionaries(read, answer)
        return encode_announce(
            interval_s=answer.interval_s,
            min_interval_s=answer.min_interval_s,
            seeds=answer.seeds,
            leechers=answer.leechers,
            compact_v4=answer.v4,
            compact_v6=answer.v6,
            external_ip=address,
        )

    def _dictionaries(self, read: AnnounceQuery, answer: Answer) -> bytes:
        endpoints = decode_compact_v4(answer.v4) + decode_compact_v6(answer.v6)
        ids: list[bytes | None] = [None] * len(endpoints)
        if read.wants_peer_ids:
            ids = self._rules.peer_ids(read.info_hash, [encode_compact(one) for one in endpoints])
        return encode_announce_dictionaries(
            interval_s=answer.interval_s,
            min_interval_s=answer.min_interval_s,
            seeds=answer.seeds,
            leechers=answer.leechers,
            peers=list(zip(endpoints, ids, strict=True)),
        )

    def _scrape(self, query: bytes) -> bytes:
        try:
            return encode_scrape(self._rules.scrape(parse_scrape_query(query)))
        except TrackerError as error:
            return encode_failure(error)


class HttpConnection(asyncio.Protocol):
    """One client's connection: requests in, one after the other or many at once, responses out."""

    __slots__ = (
        "_address",
        "_frontend",
        "_is_between",
        "_parser",
        "_responses",
        "_transport",
        "_unanswered_bytes",
        "_url",
        "deadline_at",
    )

    def __init__(self, frontend: HttpFrontend) -> None:
        self._frontend = frontend
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._address = b""
        self._url = b""
        #: Collected while one chunk is parsed, so that pipelined requests are answered in one write.
        self._responses: list[bytes] = []
        #: No part of a request has arrived since the last one ended.
        self._is_between = False
        self._unanswered_bytes = 0
        self.deadline_at = frontend.clock() + frontend.limits.request_s

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peername = transport.get_extra_info("peername")
        if peername is None or len(self._frontend.connections) >= self._frontend.limits.connections:
            # It has gone again, or there are too many.
            self._transport.abort()
            self._transport = None
            return
        self._address = _packed(peername[0])
        self._frontend.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        # The parser holds us as we hold it: without this, each connection would wait for the collector.
        del self._parser
        self._frontend.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        limits = self._frontend.limits
        if self._is_between:
            self._is_between = False
            self.deadline_at = self._frontend.clock() + limits.request_s
        self._unanswered_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request was answered as if it had not asked; what follows is another protocol.
            self._flush()
            self._end()
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request", b"This is not HTTP as a tracker knows it.\n")
        if self._unanswered_bytes > limits.request_bytes:
            self._refuse(b"431 Request Header Fields Too Large", b"The request is too long.\n")
        self._flush()

    def pause_writing(self) -> None:
        # It asks and does not read: it shall not fill our memory with answers.
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    # httptools

    def on_url(self, url: bytes) -> None:
        # A long URL comes in several parts.
        self._url += url
        if len(self._url) > self._frontend.limits.url_bytes:
            self._refuse(b"414 URI Too Long", b"The URL is too long.\n")

    def on_message_complete(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._parser.get_method() != b"GET":
            self._refuse(b"405 Method Not Allowed", b"Only GET.\n", b"Allow: GET\r\n")
            return
        url, self._url = self._url, b""
        is_last = not self._parser.should_keep_alive()
        self._responses.append(self._frontend.respond(url, self._address, is_last=is_last))
        self._unanswered_bytes = 0
        self._is_between = True
        self.deadline_at = self._frontend.clock() + self._frontend.limits.idle_s
        if is_last:
            self._flush()
            self._end()

    # the rest

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, status: bytes, body: bytes, extra: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._responses.append(_response(status, body, is_last=True, extra=extra))
            self._flush()
            self._end()

    def _flush(self) -> None:
        if self._responses and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._responses))
        self._responses.clear()

    def _end(self) -> None:
        # Whoever does not read the rest is dropped by the sweep.
        self.deadline_at = self._frontend.clock() + self._frontend.limits.request_s
        if self._transport is not None:
            self._transport.close()


def _packed(host: str) -> bytes:
    host = normalized(host.partition("%")[0])
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
