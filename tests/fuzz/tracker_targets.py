"""What trackers answer, and what our tracker is asked."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
from typing import cast
from urllib.parse import urlsplit

import h11

from swarm.base import bencode
from swarm.base.endpoint import Endpoint, encode_compact
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.net import http as net_http
from swarm.tracker.admission import Admission
from swarm.tracker.announce import Rules, TrackerSettings
from swarm.tracker.http_connection import HttpConnection
from swarm.tracker.http_frontend import HttpFrontend
from swarm.tracker.memory_store import MemoryStore
from swarm.wire.tracker import http, http_server, udp, udp_server
from swarm.wire.tracker.announce import PEERS_MAX, AnnounceRequest, AnnounceResponse, ScrapeEntry
from swarm.wire.tracker.preferences import decode_preferences, preferred_urls
from tests.fuzz.target import Target, parts_of
from tests.property.test_udp_tracker import NAMES, answer, frontend

_TORRENT = InfoHash(b"t" * 20)
_PEERS = [Endpoint("10.0.0.1", 6881), Endpoint("10.0.0.2", 1)]
_COMPACT = b"".join(map(encode_compact, _PEERS))
_COMPACT_V6 = encode_compact(Endpoint("2001:db8::1", 6881))
_REQUEST = AnnounceRequest(_TORRENT, PeerId(b"-SW0100-abcdefghijkl"), 6881, 1, 2, 3, "started", key=7)
_QUERY = http.announce_url("http://t/announce", _REQUEST).partition("?")[2].encode()
_ANSWER = http_server.encode_announce(
    interval_s=1800, min_interval_s=60, seeds=1, leechers=2, compact_v4=_COMPACT, compact_v6=_COMPACT_V6
)
_DICTIONARIES = http_server.encode_announce_dictionaries(
    interval_s=1800, min_interval_s=60, seeds=1, leechers=2, peers=[(_PEERS[0], b"p" * 20), (_PEERS[1], None)]
)
_FAILURE = http_server.encode_failure(TrackerError("no\x1b[2J", retry_in_s=120))
_RICH = bencode.encode(
    {
        b"external ip": b"\1\2\3\4",
        b"interval": 60,
        b"peers": [{b"ip": b"tracker.example", b"port": 80}, {b"ip": b"::ffff:1.2.3.4", b"port": 80}],
        b"tracker id": b"id",
        b"warning message": b"\xe2\x80\xae careful",
    }
)
_SCRAPE = http_server.encode_scrape({_TORRENT: ScrapeEntry(1, 2, 3)})


def _check_response(found: AnnounceResponse) -> None:
    # IPv4 and IPv6 each have that bound.
    assert len(found.peers) <= 2 * PEERS_MAX and len(found.named_peers) <= PEERS_MAX
    assert all(0 < port < 65536 for _, port in (*found.peers, *found.named_peers))
    assert 0 <= found.interval_s < 2**32
    assert found.warning is None or found.warning.isprintable()
    for peer in found.peers:
        encode_compact(peer)


def _http_answer(raw: bytes) -> None:
    try:
        _check_response(http.decode_announce(raw))
    except TrackerError as error:
        assert error.reason.isprintable()
        assert error.retry_in_s is None or error.retry_in_s >= 0
    with contextlib.suppress(TrackerError):
        found = http.decode_scrape(raw)
        written = http_server.encode_scrape({bytes(one): entry for one, entry in found.items()})
        assert http.decode_scrape(written) == found


def _udp_answer(raw: bytes) -> None:
    udp.transaction_of(raw)
    with contextlib.suppress(TrackerError):
        assert 0 <= udp.decode_connected(raw) < 2**64
    for is_v6 in (False, True):
        with contextlib.suppress(TrackerError):
            found = udp.decode_announced(raw, is_v6=is_v6)
            _check_response(found)
            # An IPv4 address among IPv6 ones ("::ffff:1.2.3.4") is taken for what it is.
            assert is_v6 or not any(peer.is_v6 for peer in found.peers)
    with contextlib.suppress(TrackerError):
        entries = udp.decode_scraped(raw, [_TORRENT])
        assert (
            udp.decode_scraped(udp_server.encode_scraped(raw[4:8], entries.values()), [_TORRENT]) == entries
        )


class _Reader:
    """A stream that has all of its parts already."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts[::-1]

    async def read(self, _count: int) -> bytes:
        return self._parts.pop() if self._parts else b""


def _http_response(raw: bytes) -> None:
    """What any server answers to our GET: a body within its bound, or the one error."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=net_http._HEAD_BYTES_MAX)
    connection.send(net_http._request(urlsplit("http://tracker.example/announce?a=b")))
    connection.send(h11.EndOfMessage())
    reader = cast(asyncio.StreamReader, _Reader(parts_of(raw)))
    exchange = net_http._Exchange(connection, reader)

    async def read() -> None:
        response = await exchange.head()
        encoding = dict(response.headers).get(b"content-encoding", b"identity").decode("latin-1")
        body = await net_http._body(exchange, response.status_code, encoding.strip().lower(), 10_000)
        assert len(body) <= 10_000

    with contextlib.suppress(net_http.HttpError, StopIteration):
        read().send(None)


def _query(raw: bytes) -> None:
    """What stands behind the question mark, and what proxies say of an address."""
    with contextlib.suppress(TrackerError):
        read = http_server.parse_announce_query(raw)
        assert len(read.info_hash) == len(read.peer_id) == 20 and 0 < read.port < 65536
        assert len(read.address) in (0, 4, 16)
        assert read == http_server.parse_any_announce_query(raw)
    with contextlib.suppress(TrackerError):
        found = http_server.parse_scrape_query(raw)
        assert 0 < len(found) <= http_server.SCRAPE_MAX and all(len(one) == 20 for one in found)
    for address in http_server.parse_forwarded_for(raw):
        assert len(address) in (4, 16)


class _Transport:
    """Keeps what is written, and how it ended."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self._is_closing = False

    def get_extra_info(self, _name: str) -> tuple[str, int]:
        return "10.0.0.9", 1000

    def write(self, raw: bytes) -> None:
        assert not self._is_closing
        self.written.append(raw)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    abort = close


def _http_request(raw: bytes) -> None:
    """A connection to our tracker on which anything comes, in any parts; what it says is HTTP."""
    settings = TrackerSettings()
    store = MemoryStore(settings.peer_life_s, random.Random(2))
    service = HttpFrontend(
        Rules(store, random.Random(1), settings, Admission(per_minute=100)), lambda: 1000.0
    )
    connection, transport = HttpConnection(service), _Transport()
    connection.connection_made(cast(asyncio.Transport, transport))
    for part in parts_of(raw):
        if not transport.is_closing():
            connection.data_received(part)
    connection.connection_lost(None)
    written = b"".join(transport.written)
    assert not written or written.startswith(b"HTTP/1.1 ")
    assert len(written) <= 1000 * (1 + written.count(b"HTTP/1.1 "))
    assert not service.connections


def _udp_request(raw: bytes) -> None:
    """Datagrams of a source that has not shown that it is there, and of one that has."""
    for name in NAMES.values():
        tracker = frontend()
        parts = parts_of(raw)
        assert sum(map(len, answer(tracker, parts, name))) <= len(raw)
        connection = answer(tracker, [udp_server.CONNECT_MAGIC + bytes(8)], name)[0][8:]
        for one in answer(tracker, [connection + raw[8:], *(connection + part for part in parts)], name):
            assert 8 <= len(one) <= 1452
    assert len(udp_server.read_url_data(raw)) <= udp_server.URL_DATA_MAX
    assert len(udp_server.read_scrape(raw)) <= udp_server.SCRAPE_MAX


def _preferences(raw: bytes) -> None:
    """TXT records of a tracker's host, one a line."""
    services = decode_preferences(raw.decode("utf-8", "replace").split("\n"))
    for url in ("http://u:p@tracker.example:8080/announce?k=1", "udp://[2001:db8::1]:80", "https://t/a"):
        for found in preferred_urls(url, services):
            parts = urlsplit(found)
            assert parts.hostname == urlsplit(url).hostname and parts.scheme in ("udp", "http", "https")
            # Nothing that was to be encrypted goes in the clear.
            assert parts.scheme != "http" or not url.startswith("https")
            assert parts.port is None or 0 < parts.port < 65536


def _get(url: bytes, headers: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: t\r\n%b\r\n" % (url, headers)


def _said(body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), headers, body)


_UDP_ANNOUNCE = udp.encode_announce(1, 2, _REQUEST, "/announce?key=1")

TRACKER_TARGETS = (
    Target("http-answer", _http_answer, (_ANSWER, _DICTIONARIES, _FAILURE, _RICH, _SCRAPE), max_bytes=1024),
    Target("udp-answer", _udp_answer, (
        udp_server.encode_connected(b"tran", b"connects"),
        udp_server.encode_announced(b"tran", 1800, 1, 1, _COMPACT),
        udp_server.encode_announced(b"tran", 1800, 1, 1, _COMPACT_V6),
        udp_server.encode_scraped(b"tran", [ScrapeEntry(1, 2, 3)]),
        udp_server.encode_error(b"tran", "no\x1b"),
    ), max_bytes=256),
    Target("http-response", _http_response, (
        _said(b"body"),
        _said(gzip.compress(b"body" * 100, mtime=0), b"Content-Encoding: gzip\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ), max_bytes=1024),
    Target("http-query", _query, (
        _QUERY + b"&ip=1.2.3.4", b"info_hash=" + b"%41" * 20 + b"&info_hash=" + b"a" * 20,
        b"1.2.3.4, [2001:db8::1]:80, for=\"5.6.7.8:1\"",
    ), max_bytes=1024),
    Target("http-request", _http_request, (
        _get(b"/announce?" + _QUERY, b"Accept-Encoding: gzip\r\n") + _get(b"/announce?compact=0&" + _QUERY),
        _get(b"/scrape?info_hash=" + b"a" * 20, b"X-Forwarded-For: 1.2.3.4\r\n") + _get(b"/"),
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ), max_bytes=1024),
    Target("udp-request", _udp_request, (
        _UDP_ANNOUNCE, udp.encode_connect(5), udp.encode_scrape(1, 2, [_TORRENT]), _UDP_ANNOUNCE[98:],
    ), max_bytes=1024),
    Target("tracker-preferences", _preferences, (
        b"BITTORRENT UDP:1337 TCP:80", b"v=spf1\nBITTORRENT DENY ALL", b"BITTORRENT TCP:443",
    ), max_bytes=256),
)  # fmt: skip
