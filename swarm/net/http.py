"""HTTP requests of ours, bounded in everything: the one door to h11.

Every hop of a request is checked: only http and https, few redirects, none from https to http, and none from
the internet to loopback or a private network, where a tracker could make us talk to services that it cannot
reach itself (SSRF). A host name is checked by the addresses to which we then connect, so that it cannot
resolve to one address for the check and to another for the connection.

h11 speaks the protocol and does no I/O; the larger clients take a third of a second to import, longer than
many a download (decision 006).
"""

from __future__ import annotations

import asyncio
import base64
import errno
import ipaddress
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

import h11

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import numeric_host, unmapped
from swarm.base.errors import SwarmError
from swarm.base.version import VERSION
from swarm.net.names import look_up
from swarm.net.outlet import NO_ROUTE, Outlet

#: Redirects followed: one to https, one to a moved path, and some more.
REDIRECTS_MAX = 5
#: The longest URL that is requested.
URL_MAX_CHARS = 8192
#: Read from the socket at a time, and unpacked.
_CHUNK_BYTES = 64 * 1024
#: The status line and the headers of an answer together.
_HEAD_BYTES_MAX = 32 * 1024
#: An answer in more pieces than this (chunks, interim answers), and one for each so many bytes, is none: each
#: costs the loop a tenth of a millisecond.
_PIECES_MAX = 10_000
_PIECE_BYTES = 256
#: After so many others on the loop get their turn.
_PIECES_AT_ONCE = 50
#: After so long without a connection the next address of a name is tried.
_CONNECT_S = 3.0

_USER_AGENT = f"swarm/{VERSION}"
_REDIRECTS = (301, 302, 303, 307, 308)

#: A name -> its numeric addresses, as `net.names.look_up`.
Resolve = Callable[[str], Awaitable[list[str]]]


class HttpError(SwarmError):
    """A request got no usable answer.

    Args:
        reason: what is wrong, fit for a user.
        status: of the answer; None where there was none.
        lacks: as in `TrackerError`.
    """

    def __init__(self, reason: str, *, status: int | None = None, lacks: str = "") -> None:
        self.reason = reason
        self.status = status
        self.lacks = lacks
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer of any status; redirects have been followed.

    Args:
        body: unpacked.
        url: where it came from at last.
    """

    status: int
    body: bytes
    url: str


@dataclass(slots=True)
class _Reach:
    """Where the hops of one request may go: the first anywhere, the others into no narrower network.

    Args:
        outlet: where all hops leave.
        resolve: the addresses of a name.
        is_v6: the address family of all hops; None for any.
        may_be_loopback: may the first hop go to this machine itself?
    """

    outlet: Outlet
    resolve: Resolve = look_up
    is_v6: bool | None = None
    may_be_loopback: bool = True
    is_first: bool = True
    #: Later hops may go to private addresses only if all addresses of the first hop were private.
    may_be_local: bool = True
    refusal: str = ""

    def admits(self, host: str) -> bool:
        """May we connect to this numeric address? If not, `refusal` says why."""
        address = unmapped(ipaddress.ip_address(host.partition("%")[0]))
        if self.is_first:
            self.may_be_local = self.may_be_local and not address.is_global
            if not self.may_be_loopback and (address.is_loopback or address.is_unspecified):
                self.refusal = f"{address} is this machine, and the URL is not one of a tracker (/announce)"
                return False
        elif not address.is_global and not self.may_be_local:
            self.refusal = f"redirected to {address}, an address of a private network"
            return False
        if not self.outlet.has(is_v6=":" in host):
            self.refusal = "the bound interface has no address of that family"
            return False
        return True


async def get(
    url: str,
    *,
    max_bytes: int,
    timeout_s: float,
    may_be_loopback: bool = True,
    outlet: Outlet | None = None,
    is_v6: bool | None = None,
    resolve: Resolve | None = None,
) -> HttpAnswer:
    """GET `url`, following redirects as this module allows.

    Args:
        max_bytes: limit of the body, both as it comes and unpacked; more is an error.
        timeout_s: for all hops together.
        may_be_loopback: may `url` point to this machine itself?
        outlet: where each hop must leave; None for no restriction.
        is_v6: the address family of all hops; None for any.
        resolve: name -> its numeric addresses; None to ask the system.

    Raises:
        HttpError: no answer, or one that breaks a rule; fit for a user.
    """
    reach = _Reach(outlet or Outlet(), resolve or look_up, is_v6, may_be_loopback)
    try:
        async with asyncio.timeout(timeout_s):
            return await _follow(url, max_bytes, reach)
    except TimeoutError:
        raise HttpError(f"no answer in {timeout_s:g} s") from None


async def fetch(url: str, max_bytes: int, timeout_s: float, outlet: Outlet | None = None) -> bytes:
    """The body behind `url`, e.g. a .torrent.

    Raises:
        HttpError: as `get`, and for any status but 200.
    """
    answer = await get(url, max_bytes=max_bytes, timeout_s=timeout_s, outlet=outlet)
    if answer.status != 200:
        raise HttpError(f"the server answered HTTP {answer.status}", status=answer.status)
    return answer.body


async def _follow(url: str, max_bytes: int, reach: _Reach) -> HttpAnswer:
    parts = _checked(url)
    for _ in range(REDIRECTS_MAX + 1):
        try:
            answer, location = await _hop(url, max_bytes, reach)
        except OSError as error:
            lacks = "route" if error.errno in NO_ROUTE else ""
            raise HttpError(reach.refusal or _os_reason(error), lacks=lacks) from None
        except (ValueError, UnicodeError):
            raise HttpError("not a usable URL") from None
        if location is None:
            return answer
        url = _joined(url, location)
        was_secure = parts.scheme == "https"
        parts = _checked(url)
        if was_secure and parts.scheme != "https":
            raise HttpError("redirected from https to http")
        reach.is_first = False
    raise HttpError(f"redirected more than {REDIRECTS_MAX} times")


def _checked(url: str) -> SplitResult:
    """Split a URL that we may ask for; HttpError for any other."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise HttpError("not a usable URL") from None
    if parts.scheme not in ("http", "https"):
        raise HttpError(f"only http and https are spoken here, not {ascii(parts.scheme[:20])[1:-1]!r}")
    if not parts.hostname or len(url) > URL_MAX_CHARS or not url.isprintable() or " " in url:
        raise HttpError("not a usable URL")
    return parts


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise HttpError("redirected to what is no URL") from None


async def _hop(url: str, max_bytes: int, reach: _Reach) -> tuple[HttpAnswer, str | None]:
    """One request; returns the answer and, if it is a redirect, where to."""
    parts = urlsplit(url)
    async with _connected(parts, reach) as (reader, writer):
        # No connection is kept, and no cookie: announces come half an hour apart.
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES_MAX)
        writer.write(connection.send(_request(parts)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        exchange = _Exchange(connection, reader)
        response = await exchange.head()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        location = headers.get("location") if response.status_code in _REDIRECTS else None
        if location is not None:
            return HttpAnswer(response.status_code, b"", url), location
        encoding = headers.get("content-encoding", "identity").strip().lower()
        body = await _body(exchange, response.status_code, encoding, max_bytes)
        return HttpAnswer(response.status_code, body, url), None


@asynccontextmanager
async def _connected(
    parts: SplitResult, reach: _Reach
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the first address of the host that accepts one, among those that `reach` admits."""
    host = parts.hostname or ""
    name = host.partition("%")[0]
    # A numeric address in a spelling that `numeric_host` does not know (127.1) goes to the resolver, as a
    # name does, and what comes back is checked.
    numeric = numeric_host(host)
    found = [numeric] if numeric is not None else await _addresses(host, reach.resolve)
    admitted = [address for address in found if reach.admits(address)]
    if not admitted:
        raise HttpError(reach.refusal or "no such host")
    addresses = [address for address in admitted if reach.is_v6 in (None, ":" in address)]
    if not addresses:
        raise HttpError(f"the server has no {'IPv6' if reach.is_v6 else 'IPv4'} address", lacks="address")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    tls = _tls() if parts.scheme == "https" else None
    for number, address in enumerate(addresses, 1):
        is_last = number == len(addresses)
        try:
            async with asyncio.timeout(None if is_last else _CONNECT_S):
                reader, writer = await asyncio.open_connection(
                    sock=await reach.outlet.connect(address, port),
                    ssl=tls,
                    server_hostname=name if tls is not None else None,
                    limit=_CHUNK_BYTES,
                )
            break
        except (OSError, TimeoutError):
            if is_last:
                raise
    try:
        yield reader, writer
    finally:
        # Without waiting for what the server may still send.
        writer.transport.abort()


async def _addresses(host: str, resolve: Resolve) -> list[str]:
    try:
        return await resolve(_dns_name(host))
    except OSError:
        raise HttpError("no such host") from None


def _dns_name(host: str) -> str:
    """A name in the form of the DNS (IDNA); a numeric address needs no codec, which takes 4 ms to load."""
    return host if numeric_host(host) is not None else host.encode("idna").decode()


def _request(parts: SplitResult) -> h11.Request:
    # ASCII is left as it is, escaped by whoever made the URL; anything else is escaped as UTF-8.
    target = quote(parts.path or "/", safe=_ASCII)
    if parts.query:
        target += "?" + quote(parts.query, safe=_ASCII)
    host = _dns_name(parts.hostname or "")
    if ":" in host:
        host = f"[{host.partition('%')[0]}]"
    headers = [
        ("Host", host if parts.port is None else f"{host}:{parts.port}"),
        ("User-Agent", _USER_AGENT),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip"),
        ("Connection", "close"),
    ]
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers.append(("Authorization", "Basic " + base64.b64encode(secret).decode()))
    return h11.Request(method="GET", target=target, headers=headers)


_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class _Exchange:
    """Reads the events of h11 from a stream; what goes wrong becomes an HttpError."""

    def __init__(self, connection: h11.Connection, reader: asyncio.StreamReader) -> None:
        self._connection = connection
        self._reader = reader
        self._has_head = False
        self._heard_bytes = 0
        self._piece_count = 0

    async def head(self) -> h11.Response:
        """The status and headers of the response; interim responses (1xx) are skipped."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                self._has_head = True
                return event

    async def chunk(self) -> bytes | None:
        """The next piece of the body; None at its end."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                return None

    async def _next(self) -> Any:
        try:
            while (event := self._connection.next_event()) is h11.NEED_DATA:
                data = await self._reader.read(_CHUNK_BYTES)
                self._heard_bytes += len(data)
                if not self._heard_bytes:
                    raise HttpError("the server closed the connection without an answer")
                self._connection.receive_data(data)
        except h11.RemoteProtocolError:
            is_cut = self._has_head and self._connection.trailing_data[1]
            raise HttpError("the answer is cut off" if is_cut else "the answer is not HTTP") from None
        if isinstance(event, h11.ConnectionClosed):
            raise HttpError("the server closed the connection without an answer")
        await self._count_piece()
        return event

    async def _count_piece(self) -> None:
        self._piece_count += 1
        if self._piece_count > _PIECES_MAX + self._heard_bytes // _PIECE_BYTES:
            raise HttpError("the answer comes in too many pieces")
        if self._piece_count % _PIECES_AT_ONCE == 0:
            # To read what has come already does not wait.
            await asyncio.sleep(0)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _body(exchange: _Exchange, status: int, encoding: str, max_bytes: int) -> bytes:
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise HttpError("the answer is packed in a way that was not asked for", status=status)
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding not in ("identity", "") else None
    body = bytearray()
    read_bytes = 0
    while (chunk := await exchange.chunk()) is not None:
        read_bytes += len(chunk)
        if unpacker is None:
            body += chunk
        else:
            body += _unpacked(unpacker, chunk, max_bytes + 1 - len(body), status)
        if max(read_bytes, len(body)) > max_bytes:
            raise HttpError(f"the answer is longer than {max_bytes:,} bytes", status=status)
    if unpacker is not None and read_bytes and not unpacker.eof:
        raise HttpError("the answer is cut off", status=status)
    return bytes(body)


def _unpacked(unpacker: Any, chunk: bytes, room_bytes: int, status: int) -> bytes:
    """Unpack `chunk`, `room_bytes` at most: 64 KiB of gzip can hold 64 MiB of zeros."""
    try:
        unpacked: bytes = unpacker.decompress(chunk, room_bytes)
        return unpacked
    except zlib.error:
        raise HttpError("the answer is packed badly", status=status) from None


def _os_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "the server's certificate or TLS is not accepted"
    match error.errno:
        case errno.ECONNREFUSED:
            return "connection refused"
        case errno.ECONNRESET | errno.EPIPE:
            return "connection reset"
        case number if number in NO_ROUTE:
            return "no route to the server"
        case errno.ETIMEDOUT:
            return "the server cannot be reached"
        case errno.EMFILE | errno.ENFILE:
            return "too many open files here"
        case _:
            return "the connection failed"
