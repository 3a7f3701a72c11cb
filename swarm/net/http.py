"""HTTP requests of ours, bounded in everything: the one door to aiohttp.

Every hop of a request is checked: only http and https, few redirects, none from https to http, and
none from the open network into loopback or a private network (a tracker on the internet shall not
make us talk to the machine's own services). A host name is checked by the addresses that it has
when we connect, so that a name cannot show one address first and another one later.

aiohttp is imported where it is used: a third of a second that only those pay who need it.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urljoin, urlsplit

from swarm.base.errors import SwarmError
from swarm.net.names import look_up

if TYPE_CHECKING:
    import aiohttp

#: Redirects followed: one for https, one for a moved path, and some patience.
REDIRECTS_MAX = 5
#: The longest URL that we ask for.
URL_MAX_CHARS = 8192
#: Read from the socket, and unpacked, at a time.
_CHUNK_BYTES = 64 * 1024

_REDIRECTS = (301, 302, 303, 307, 308)


class HttpError(SwarmError):
    """A request that got no usable answer; `status` is None where there was no answer at all."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        self.reason = reason
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back, unpacked: any status but a redirect."""

    status: int
    body: bytes
    url: str


@dataclass(slots=True)
class _Reach:
    """Where one request may go: its first hop anywhere, the others only where that one was.

    Args:
        may_be_loopback: may the first hop go to this machine itself?
    """

    may_be_loopback: bool = True
    is_first: bool = True
    #: Only if every address of the first hop was: one public address makes it a stranger.
    may_be_local: bool = True
    refusal: str = ""

    def admits(self, host: str) -> bool:
        """May we connect to this numeric address? If not, `refusal` says why."""
        address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        if self.is_first:
            self.may_be_local = self.may_be_local and not address.is_global
            if not self.may_be_loopback and (address.is_loopback or address.is_unspecified):
                self.refusal = f"{address} is this machine, and the URL is not one of a tracker (/announce)"
                return False
        elif not address.is_global and not self.may_be_local:
            self.refusal = f"redirected to {address}, an address of a private network"
            return False
        return True


async def get(url: str, *, max_bytes: int, timeout_s: float, may_be_loopback: bool = True) -> HttpAnswer:
    """GET `url`, following redirects within the rules above.

    Args:
        max_bytes: of the body as it comes and as it is unpacked; more is an error.
        timeout_s: for everything together.
        may_be_loopback: may `url` point to this machine itself?

    Raises:
        HttpError: no answer, or one that breaks a rule; fit for a user.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _follow(url, max_bytes, _Reach(may_be_loopback))
    except TimeoutError:
        raise HttpError(f"no answer in {timeout_s:g} s") from None


async def fetch(url: str, max_bytes: int, timeout_s: float) -> bytes:
    """The body behind `url`, e.g. a .torrent.

    Raises:
        HttpError: as `get`, and for any status but 200.
    """
    answer = await get(url, max_bytes=max_bytes, timeout_s=timeout_s)
    if answer.status != 200:
        raise HttpError(f"the server answered HTTP {answer.status}", status=answer.status)
    return answer.body


async def _follow(url: str, max_bytes: int, reach: _Reach) -> HttpAnswer:
    import aiohttp

    parts = _checked(url)
    for _ in range(REDIRECTS_MAX + 1):
        try:
            answer, location = await _hop(url, max_bytes, reach)
        except aiohttp.ClientError as error:
            raise HttpError(reach.refusal or _reason(error)) from None
        except OSError as error:
            raise HttpError(reach.refusal or _os_reason(error)) from None
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
    """One request; returns the answer, and where it points to if it is a redirect."""
    import aiohttp
    import yarl

    host = (urlsplit(url).hostname or "").partition("%")[0]
    # aiohttp asks the resolver for names only. A numeric address in a spelling that ipaddress does
    # not know (127.1) is a name to both, and the resolver sees what becomes of it.
    if _is_numeric(host) and not reach.admits(host):
        raise HttpError(reach.refusal)
    # A connector of its own: nothing pooled, no cookie, no name looked up for somebody else. An
    # announce every half hour gains nothing from kept connections.
    connector = aiohttp.TCPConnector(resolver=_resolver(reach), use_dns_cache=False, force_close=True)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": _user_agent(), "Accept": "*/*", "Accept-Encoding": "gzip"},
        ) as session,
        session.get(yarl.URL(url, encoded=True), allow_redirects=False) as response,
    ):
        location = response.headers.get("Location") if response.status in _REDIRECTS else None
        if location is not None:
            return HttpAnswer(response.status, b"", url), location
        return HttpAnswer(response.status, await _body(response, max_bytes), url), None


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise HttpError("the answer is packed in a way that was not asked for", status=response.status)
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding not in ("identity", "") else None
    body = bytearray()
    read_bytes = 0
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        read_bytes += len(chunk)
        if unpacker is None:
            body += chunk
        else:
            body += _unpacked(unpacker, chunk, max_bytes + 1 - len(body), response.status)
        if max(read_bytes, len(body)) > max_bytes:
            raise HttpError(f"the answer is longer than {max_bytes:,} bytes", status=response.status)
    if unpacker is not None and read_bytes and not unpacker.eof:
        raise HttpError("the answer is cut off", status=response.status)
    return bytes(body)


def _unpacked(unpacker: Any, chunk: bytes, room_bytes: int, status: int) -> bytes:
    """Unpack `chunk`, `room_bytes` at most: 64 KiB of gzip can hold 64 MiB of zeros."""
    try:
        unpacked: bytes = unpacker.decompress(chunk, room_bytes)
        return unpacked
    except zlib.error:
        raise HttpError("the answer is packed badly", status=status) from None


def _resolver(reach: _Reach) -> Any:
    from aiohttp.abc import AbstractResolver

    class _CheckedResolver(AbstractResolver):
        """Looks names up, and gives only the addresses that `reach` admits."""

        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
            admitted = [address for address in await look_up(host) if reach.admits(address)]
            if not admitted:
                raise OSError(errno.EACCES, "not admitted")
            return [
                {
                    "hostname": host,
                    "host": address,
                    "port": port,
                    "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
                for address in admitted
            ]

        async def close(self) -> None:
            pass

    return _CheckedResolver()


@cache
def _user_agent() -> str:
    from importlib.metadata import version

    return f"swarm/{version('swarm-bt')}"


def _reason(error: Exception) -> str:
    """One of aiohttp's errors in a user's words."""
    import aiohttp

    match error:
        case aiohttp.InvalidURL():
            return "not a usable URL"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "the server's certificate or TLS is not accepted"
        case aiohttp.ClientConnectorDNSError():
            return "no such host"
        case aiohttp.ClientOSError():
            return _os_reason(getattr(error, "os_error", error))
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "the answer is cut off"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case _:
            return "the request failed"


def _os_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "the server's certificate or TLS is not accepted"
    match error.errno:
        case errno.ECONNREFUSED:
            return "connection refused"
        case errno.ECONNRESET | errno.EPIPE:
            return "connection reset"
        case errno.EHOSTUNREACH | errno.ENETUNREACH | errno.EADDRNOTAVAIL:
            return "no route to the server"
        case errno.ETIMEDOUT:
            return "the server cannot be reached"
        case errno.EMFILE | errno.ENFILE:
            return "too many open files here"
        case _:
            return "the connection failed"
