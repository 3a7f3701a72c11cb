"""The tracker protocol under any bytes and any values."""

from __future__ import annotations

import contextlib
import re
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from swarm.base import bencode
from swarm.base.endpoint import Endpoint, encode_compact
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.wire.tracker.announce import AnnounceRequest, Event, ScrapeEntry, readable
from swarm.wire.tracker.http import announce_url, decode_announce, decode_scrape
from swarm.wire.tracker.http_server import (
    encode_announce,
    encode_scrape,
    parse_announce_query,
    parse_forwarded_for,
    parse_scrape_query,
    unquoted,
)

twenty = st.binary(min_size=20, max_size=20)
counts = st.integers(0, 2**32 - 1)
ports = st.integers(1, 65535)
v4 = st.builds(Endpoint, st.ip_addresses(v=4, network="10.0.0.0/8").map(str), ports)
v6 = st.builds(Endpoint, st.ip_addresses(v=6, network="2001:db8::/32").map(str), ports)

answers = st.recursive(
    st.integers(-(10**12), 10**12) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            [b"peers", b"peers6", b"interval", b"min interval", b"files", b"failure reason", b"retry in",
             b"warning message", b"tracker id", b"external ip", b"complete", b"ip", b"port", b"x" * 20]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    twenty,
    twenty,
    ports,
    st.integers(0, 2**64 - 1),
    st.sampled_from([None, "started", "completed", "stopped"]),
    st.integers(0, 200),
)
def test_our_tracker_reads_what_our_client_writes(
    info_hash: bytes, peer_id: bytes, port: int, left_bytes: int, event: Event | None, num_want: int
) -> None:
    request = AnnounceRequest(
        InfoHash(info_hash),
        PeerId(peer_id),
        port,
        0,
        0,
        left_bytes,
        event,
        num_want,
    )
    read = parse_announce_query(announce_url("http://t/announce?k=1", request).partition("?")[2].encode())
    assert read == (info_hash, peer_id, port, left_bytes, event, num_want, True, True, b"")


@given(counts, counts, st.integers(0, 86400), st.lists(v4, max_size=20), st.lists(v6, max_size=20))
def test_our_client_reads_what_our_tracker_writes(
    seeds: int, leechers: int, interval_s: int, peers_v4: list[Endpoint], peers_v6: list[Endpoint]
) -> None:
    response = decode_announce(
        encode_announce(
            interval_s=interval_s,
            min_interval_s=60,
            seeds=seeds,
            leechers=leechers,
            compact_v4=b"".join(map(encode_compact, peers_v4)),
            compact_v6=b"".join(map(encode_compact, peers_v6)),
        )
    )
    assert list(response.peers) == peers_v4 + peers_v6
    assert (response.seeds, response.leechers, response.interval_s) == (seeds, leechers, interval_s)


@given(st.dictionaries(twenty, st.builds(ScrapeEntry, counts, counts, counts)))
def test_scrapes_survive_the_way(entries: dict[bytes, ScrapeEntry]) -> None:
    assert decode_scrape(encode_scrape(entries)) == entries


@given(st.binary(max_size=400) | answers.map(lambda value: _bencoded(value)))
def test_any_answer_decodes_or_raises_tracker_error(raw: bytes) -> None:
    with contextlib.suppress(TrackerError):
        decode_announce(raw)
    with contextlib.suppress(TrackerError):
        decode_scrape(raw)


@given(st.binary(max_size=400))
def test_any_query_parses_or_raises_tracker_error(raw: bytes) -> None:
    with contextlib.suppress(TrackerError):
        parse_announce_query(raw)
    with contextlib.suppress(TrackerError):
        parse_scrape_query(raw)
    unquoted(raw)
    assert all(len(address) in (4, 16) for address in parse_forwarded_for(raw))


@given(
    st.lists(
        st.sampled_from(
            [b"%", b"=", b"%4", b"%41", b"%fF", b"%%", b"a", b"+", b"_", b"\n", b"\r", b" ", b"\0"]
        )
        | st.binary(max_size=3),
        max_size=20,
    ).map(b"".join)
)
def test_percent_coding_is_undone_as_the_standard_library_does(raw: bytes) -> None:
    is_coded = re.fullmatch(rb"(?:[^%]|%[0-9a-fA-F]{2})*", raw, re.DOTALL) is not None
    assert unquoted(raw) == (unquote_to_bytes(raw) if is_coded else None)


@given(st.binary(max_size=2000))
def test_readable_text_is_printable(raw: bytes) -> None:
    assert readable(raw).isprintable()


def _bencoded(value: bencode.Encodable) -> bytes:

    return bencode.encode(value)
