"""The most inflating things that may arrive: what they become is bounded by what they are."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable

import pytest

from swarm.base import bencode
from swarm.base.errors import SwarmError
from swarm.metainfo.magnet import MAX_LINK_CHARS
from swarm.metainfo.magnet import parse as parse_magnet
from swarm.metainfo.torrent import Metainfo
from swarm.wire import krpc
from swarm.wire.peer.extended import decode_extended_handshake
from swarm.wire.peer.metadata import decode_metadata
from swarm.wire.peer.pex import decode_peer_exchange
from swarm.wire.tracker import http
from swarm.wire.tracker.http_server import parse_announce_query

#: Two bytes, `le`, become a list of 56 and a place of 8 in the list around it; a key and its value some 200.
INFLATION_MAX = 60
#: What goes beyond its bound with the size shows long before the largest size.
LARGE_BYTES = 1 << 16

DECODERS: dict[str, tuple[Callable[[bytes], object], int]] = {
    "bencode": (bencode.decode, LARGE_BYTES),
    "metainfo": (Metainfo.parse, LARGE_BYTES),
    "extended-handshake": (decode_extended_handshake, LARGE_BYTES),
    "peer-exchange": (decode_peer_exchange, LARGE_BYTES),
    "metadata": (decode_metadata, LARGE_BYTES),
    "krpc": (krpc.decode, krpc.DATAGRAM_BYTES_MAX),
    "http-answer": (http.decode_announce, LARGE_BYTES),
    "http-query": (parse_announce_query, 8192),
    "magnet": (lambda raw: parse_magnet(raw.decode()), MAX_LINK_CHARS),
}


def _keys(count: int) -> bytes:
    return b"".join(b"8:%08di0e" % number for number in range(count))


BOMBS: dict[str, Callable[[int], bytes]] = {
    "nested lists": lambda size: b"l" * size,
    "nested dictionaries": lambda size: b"d1:a" * (size // 4),
    "empty lists": lambda size: b"d1:al" + b"le" * (size // 2 - 4) + b"ee",
    "empty dictionaries": lambda size: b"d5:peersl" + b"de" * (size // 2 - 8) + b"ee",
    "many keys": lambda size: b"d" + _keys(size // 13 - 1) + b"e",
    "many extensions": lambda size: b"d1:md" + _keys(size // 13 - 2) + b"ee",
    "many web seeds": lambda size: b"d4:info0:8:url-listl" + b"1:a" * (size // 3 - 8) + b"ee",
    "a string that is promised": lambda size: b"d1:a999999999:" + b"x" * (size - 20),
    "an integer without an end": lambda size: b"i" + b"9" * (size - 1),
    "a length without an end": lambda size: b"9" * size,
    "many fields": lambda size: b"&".join(b"%x=" % number for number in range(size // 7)),
    "all files, again and again": lambda size: (
        b"magnet:?xt=urn:btih:" + b"ab" * 20 + b"&so=" + b"0-4999," * (size // 7 - 12)
    ),
    "many trackers": lambda size: b"magnet:?xt=urn:btih:" + b"ab" * 20 + b"&tr=udp://a" * (size // 11 - 8),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_no_bomb_takes_more_than_so_many_times_its_size(decoder: str, bomb: str) -> None:
    decode, size = DECODERS[decoder]
    raw = BOMBS[bomb](size)
    assert len(raw) <= size
    tracemalloc.start()
    try:
        with contextlib.suppress(SwarmError):
            decode(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < INFLATION_MAX * size + 100_000
