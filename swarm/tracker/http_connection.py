"""One small protocol object an HTTP connection, requests parsed by httptools; whoever answers is a service.

Whatever a client sends, it gets an answer within the limits below or loses its connection.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, cast

import httptools

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import normalized


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


#: Taken of a connection at a time, some ten requests: then others get their turn, and it its answers.
TURN_BYTES = 4096
#: Headers that a service may ask for, by the length of their names: the others are not even looked at.
_WANTED = {13: (b"authorization",), 15: (b"accept-encoding", b"x-forwarded-for")}


class Request(NamedTuple):
    """One whole request.

    Args:
        address: of the other end of the connection, 4 or 16 bytes.
        headers: the wanted ones by their names in lower case; those given several times joined by commas.
    """

    method: bytes
    url: bytes
    address: bytes
    headers: dict[bytes, bytes]


class HttpService(ABC):
    """What all connections of one server share: who answers, limits, and the list of connections.

    Args:
        clock: monotonic seconds.
    """

    #: What may be asked for. HEAD is answered as GET would be, without the body.
    methods: tuple[bytes, ...] = (b"GET",)

    def __init__(self, clock: Callable[[], float], limits: HttpLimits | None = None) -> None:
        self.limits = limits or HttpLimits()
        self.clock = clock
        self.connections: set[HttpConnection] = set()

    def __call__(self) -> HttpConnection:
        """A protocol for a new connection (asyncio's protocol factory)."""
        return HttpConnection(self)

    @abstractmethod
    def respond(self, request: Request, *, is_last: bool) -> bytes:
        """The whole response to a request; must not raise."""

    def sweep(self) -> None:
        """Drop the connections whose deadline has passed; to be called every second or so."""
        now = self.clock()
        for connection in [one for one in self.connections if one.deadline_at <= now]:
            connection.abort()

    def close(self) -> None:
        """Drop all connections."""
        for connection in list(self.connections):
            connection.abort()


def response(
    status: bytes, body: bytes, *, is_last: bool, extra: bytes = b"", content_type: bytes = b"text/plain"
) -> bytes:
    """A whole response; `extra` are headers, each with its line's end."""
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: %s\r\n%s\r\n%s" % (
        status,
        content_type,
        len(body),
        b"close" if is_last else b"keep-alive",
        extra,
        body,
    )


class HttpConnection(asyncio.Protocol):
    """One client's connection: requests in, one after the other or many at once, responses out.

    Args:
        address: of the other end, 4 or 16 bytes; by default the transport tells.

    Attributes:
        deadline_at: when the sweep drops it.
        is_over: it is to be closed when what `feed` has returned is sent.
        unsent: of that, what the listener could not send at once: it leaves before the next answer does.
    """

    __slots__ = (
        "_address",
        "_headers",
        "_held",
        "_is_between",
        "_is_stuck",
        "_parser",
        "_responses",
        "_service",
        "_transport",
        "_unanswered_bytes",
        "_url",
        "deadline_at",
        "is_over",
        "unsent",
    )

    def __init__(self, service: HttpService, address: bytes = b"") -> None:
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._address = address
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        #: Collected while one chunk is parsed, so that pipelined requests are answered in one write.
        self._responses: list[bytes] = []
        #: No part of a request has arrived since the last one ended.
        self._is_between = False
        self._unanswered_bytes = 0
        #: What has come and waits for its turn; meanwhile nothing more is read.
        self._held = b""
        #: It does not take its answers.
        self._is_stuck = False
        self.is_over = False
        self.unsent = b""
        self.deadline_at = service.clock() + service.limits.request_s

    def feed(self, data: bytes) -> bytes:
        """Take in what has come; what is to be sent in answer, empty while there is no whole request."""
        service = self._service
        was_between, self._is_between = self._is_between, False
        self._unanswered_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request was answered as if it had not asked; what follows is another protocol.
            self.is_over = True
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request", b"This is not HTTP as a tracker knows it.\n")
        if self._unanswered_bytes > service.limits.request_bytes:
            self._refuse(b"431 Request Header Fields Too Large", b"The request is too long.\n")
        if self._is_between and not self.is_over:
            self.deadline_at = service.clock() + service.limits.idle_s
        elif was_between or self.is_over:
            # Whoever does not read the last of it is dropped by the sweep.
            self.deadline_at = service.clock() + service.limits.request_s
        if not self._responses:
            return b""
        answer = b"".join(self._responses)
        self._responses.clear()
        return answer

    def forget(self) -> None:
        """Let go of the parser, which holds us as we hold it: it need not wait for the collector."""
        del self._parser

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peername = transport.get_extra_info("peername")
        if peername is None or len(self._service.connections) >= self._service.limits.connections:
            # It has gone again, or there are too many.
            self._transport.abort()
            self._transport = None
            return
        self._address = self._address or packed_address(peername[0])
        self._service.connections.add(self)
        if self.unsent:
            self._transport.write(self.unsent)
            self.unsent = b""
        if self.is_over:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.forget()
        self._service.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self.is_over:
            return
        if self._held:
            self._held += data
            return
        answer = self.feed(data[:TURN_BYTES])
        if answer:
            self._transport.write(answer)
        if self.is_over:
            self._transport.close()
        elif len(data) > TURN_BYTES:
            self._held = data[TURN_BYTES:]
            self._transport.pause_reading()
            if not self._is_stuck:
                asyncio.get_running_loop().call_soon(self._go_on)

    def pause_writing(self) -> None:
        # It asks and does not read: it shall not fill our memory with answers.
        self._is_stuck = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_stuck = False
        self._go_on()

    def _go_on(self) -> None:
        """Take the next turn, or read on where nothing waits for one."""
        if self._transport is None or self._transport.is_closing() or self._is_stuck:
            return
        data, self._held = self._held, b""
        if data:
            self.data_received(data)
        if not self._held and not self._is_stuck and not self.is_over:
            self._transport.resume_reading()

    # httptools

    def on_url(self, url: bytes) -> None:
        # A long URL comes in several parts.
        self._url += url
        if len(self._url) > self._service.limits.url_bytes:
            self._refuse(b"414 URI Too Long", b"The URL is too long.\n")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) in _WANTED and (key := name.lower()) in _WANTED[len(name)]:
            before = self._headers.get(key)
            self._headers[key] = value if before is None else b"%s,%s" % (before, value)

    def on_message_complete(self) -> None:
        if self.is_over:
            return
        method = self._parser.get_method()
        is_head = method == b"HEAD"
        if is_head:
            method = b"GET"
        if method not in self._service.methods:
            allowed = b", ".join(self._service.methods)
            self._refuse(b"405 Method Not Allowed", b"Only %s.\n" % allowed, b"Allow: %s\r\n" % allowed)
            return
        request = Request(method, self._url, self._address, self._headers)
        self._url = b""
        if self._headers:
            self._headers = {}
        self.is_over = not self._parser.should_keep_alive()
        answer = self._service.respond(request, is_last=self.is_over)
        if is_head:
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        self._responses.append(answer)
        self._unanswered_bytes = 0
        self._is_between = True

    # the rest

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, status: bytes, body: bytes, extra: bytes = b"") -> None:
        if not self.is_over:
            self.is_over = True
            self._responses.append(response(status, body, is_last=True, extra=extra))


def packed_address(host: str) -> bytes:
    """A socket's numeric address as 4 or 16 bytes, IPv4 for a mapped one."""
    if ":" not in host:
        return socket.inet_aton(host)
    host = normalized(host.partition("%")[0])
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
