"""The HTTP tracker under any bytes in any pieces: an answer or an end, never a crash, never a 500."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import re
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from swarm.tracker.admission import Admission
from swarm.tracker.announce import Rules, TrackerSettings
from swarm.tracker.http_frontend import HttpFrontend
from swarm.tracker.memory_store import MemoryStore

STATUSES = {b"200", b"400", b"404", b"405", b"414", b"431"}
GOOD = (
    b"GET /announce?info_hash=" + b"a" * 20 + b"&peer_id=" + b"b" * 20 + b"&port=6881&left=0 HTTP/1.1\r\n"
    b"Host: t\r\nX-Forwarded-For: 192.0.2.1\r\nAccept-Encoding: gzip\r\n\r\n"
)


class Transport:
    """What a connection needs of one; keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1234)

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close


def talk(parts: list[bytes]) -> Transport:
    settings = TrackerSettings()
    rng = random.Random(1)
    rules = Rules(MemoryStore(settings.peer_life_s, rng), rng, settings, Admission(per_minute=3))
    frontend = HttpFrontend(rules, lambda: 1000.0, proxies=[ipaddress.ip_network("127.0.0.0/8")])
    connection, transport = frontend(), Transport()
    connection.connection_made(cast(asyncio.Transport, transport))
    for part in parts:
        if transport.is_closed:
            break
        connection.data_received(part)
    connection.connection_lost(None)
    for status in re.findall(rb"HTTP/1\.1 (\d+)", transport.written):
        assert status in STATUSES
    return transport


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8))
def test_any_bytes(parts: list[bytes]) -> None:
    talk(parts)


@given(
    st.lists(
        st.sampled_from(
            [b"info_hash=" + b"a" * 20, b"info_hash=%ff" * 3, b"peer_id=" + b"b" * 20, b"port=1", b"port=0",
             b"left=0", b"left=-1", b"left=1" + b"0" * 30, b"numwant=-1", b"numwant=5", b"event=started",
             b"event=stopped", b"event=x", b"compact=0", b"compact=1", b"ip=1.2.3.4", b"ip=::1", b"ip=%zz",
             b"key=%", b"trackerid=%00", b"", b"=", b"&", b"no_peer_id=1"]
        ),
        max_size=10,
    ),
    st.sampled_from([b"/announce", b"/scrape", b"/k/announce", b"/", b"//announce", b"*"]),
    st.binary(max_size=60).filter(lambda raw: b"\r" not in raw and b"\n" not in raw),
)  # fmt: skip
def test_any_fields_and_any_header_of_a_proxy(fields: list[bytes], path: bytes, forwarded: bytes) -> None:
    query = b"&".join(fields)
    talk([b"GET %s?%s HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: %s\r\n\r\n" % (path, query, forwarded)])


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=5), st.integers(1, 90)
)
def test_a_good_request_with_some_bytes_changed_in_any_pieces(
    changes: list[tuple[int, int]], step: int
) -> None:
    raw = bytearray(GOOD)
    for at, value in changes:
        raw[at] = value
    transport = talk([bytes(raw[at : at + step]) for at in range(0, len(raw), step)])
    if not changes:
        assert transport.written.startswith(b"HTTP/1.1 200 OK")
