"""The tracker over HTTP: `/announce`, `/scrape` and `/`, answered by the rules.

What is wrong with an announce is said in the way of BEP 3, as a `failure reason` with status 200, since
clients show nothing else to their users.
"""

from __future__ import annotations

import gzip
import ipaddress
import socket
from collections.abc import Callable, Sequence

from swarm.base.endpoint import COMPACT_V4_BYTES, COMPACT_V6_BYTES, Endpoint
from swarm.base.errors import TrackerError
from swarm.tracker.announce import Rules
from swarm.tracker.http_connection import HttpLimits, HttpService, Request, response
from swarm.wire.tracker.http_server import (
    AnnounceQuery,
    encode_announce,
    encode_announce_dictionaries,
    encode_failure,
    encode_scrape,
    parse_announce_query,
    parse_forwarded_for,
    parse_scrape_query,
)

_GREETING = b"A BitTorrent tracker. Announce to /announce, scrape at /scrape.\n"
#: Shorter answers get no smaller: compact peers are noise, and a frame is sent either way.
_GZIP_ABOVE_BYTES = 1024

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class HttpFrontend(HttpService):
    """Answers requests by the rules.

    Args:
        clock: monotonic seconds.
        proxies: networks whose word on the client's address is believed (X-Forwarded-For, `ip`).
    """

    def __init__(
        self,
        rules: Rules,
        clock: Callable[[], float],
        limits: HttpLimits | None = None,
        proxies: Sequence[Network] = (),
    ) -> None:
        super().__init__(clock, limits)
        self.announce_count = 0
        self.scrape_count = 0
        self.failure_count = 0
        self._rules = rules
        self._proxies = tuple(proxies)

    def respond(self, request: Request, *, is_last: bool) -> bytes:
        path, _, query = request.url.partition(b"?")
        passkey, _, last = path[1:].rpartition(b"/")
        if last == b"announce" and path[:1] == b"/":
            body = self._announce(query, request, passkey)
        elif last == b"scrape" and path[:1] == b"/":
            body = self._scrape(query, passkey)
        elif path == b"/":
            body = _GREETING
        else:
            return response(b"404 Not Found", b"Only /announce and /scrape are here.\n", is_last=is_last)
        if len(body) > _GZIP_ABOVE_BYTES and b"gzip" in request.headers.get(b"accept-encoding", b""):
            packed = gzip.compress(body, 1, mtime=0)
            if len(packed) < len(body):
                return response(b"200 OK", packed, is_last=is_last, extra=b"Content-Encoding: gzip\r\n")
        return response(b"200 OK", body, is_last=is_last)

    def _announce(self, query: bytes, request: Request, passkey: bytes) -> bytes:
        self.announce_count += 1
        try:
            read = parse_announce_query(query)
            address = request.address
            if self._proxies and self._is_proxy(address):
                address = self._behind_proxy(read, request)
            now = self.clock()
            if self._rules.admission.is_strict:
                self._rules.admit(passkey, address, now)
            interval_s, seeds, leechers, near, far = self._rules.visit(
                read.info_hash,
                address + read.port.to_bytes(2, "big"),
                read.peer_id,
                read.left_bytes,
                read.event,
                read.num_want,
                int(now),
            )
        except TrackerError as error:
            self.failure_count += 1
            return encode_failure(error)
        v4, v6 = (near, far) if len(address) == 4 else (far, near)
        if not read.is_compact:
            return self._dictionaries(read, address, interval_s, seeds, leechers, v4, v6)
        return encode_announce(
            interval_s=interval_s,
            min_interval_s=min(self._rules.min_interval_s, interval_s),
            seeds=seeds,
            leechers=leechers,
            compact_v4=v4,
            compact_v6=v6,
            external_ip=address,
            warning=self._rules.warning,
        )

    def _is_proxy(self, address: bytes) -> bool:
        found = ipaddress.ip_address(address)
        return any(found in network for network in self._proxies)

    def _behind_proxy(self, read: AnnounceQuery, request: Request) -> bytes:
        """The client's address as our proxies tell it: the last one that is no proxy of ours."""
        for address in reversed(parse_forwarded_for(request.headers.get(b"x-forwarded-for", b""))):
            if not self._is_proxy(address):
                return address
        return read.address or request.address

    def _dictionaries(
        self,
        read: AnnounceQuery,
        address: bytes,
        interval_s: int,
        seeds: int,
        leechers: int,
        v4: bytes,
        v6: bytes,
    ) -> bytes:
        peers = [v4[at : at + COMPACT_V4_BYTES] for at in range(0, len(v4), COMPACT_V4_BYTES)]
        # The system's own functions write addresses ten times as fast as `ipaddress`.
        hosts = [socket.inet_ntoa(peer[:-2]) for peer in peers]
        more = [v6[at : at + COMPACT_V6_BYTES] for at in range(0, len(v6), COMPACT_V6_BYTES)]
        hosts += [socket.inet_ntop(socket.AF_INET6, peer[:-2]) for peer in more]
        peers += more
        endpoints = [
            Endpoint(host, int.from_bytes(peer[-2:], "big")) for host, peer in zip(hosts, peers, strict=True)
        ]
        ids: list[bytes | None] = [None] * len(peers)
        if read.wants_peer_ids:
            ids = self._rules.peer_ids(read.info_hash, peers)
        return encode_announce_dictionaries(
            interval_s=interval_s,
            min_interval_s=min(self._rules.min_interval_s, interval_s),
            seeds=seeds,
            leechers=leechers,
            peers=zip(endpoints, ids, strict=True),
            external_ip=address,
            warning=self._rules.warning,
        )

    def _scrape(self, query: bytes, passkey: bytes) -> bytes:
        self.scrape_count += 1
        try:
            self._rules.check_passkey(passkey)
            return encode_scrape(self._rules.scrape(parse_scrape_query(query)))
        except TrackerError as error:
            self.failure_count += 1
            return encode_failure(error)
