"""The UDP tracker protocol under any bytes and any values."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from swarm.base.endpoint import Endpoint, encode_compact
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.wire.tracker import udp, udp_server
from swarm.wire.tracker.announce import AnnounceRequest, ScrapeEntry

words = st.integers(0, 2**32 - 1)
longs = st.integers(0, 2**64 - 1)
twenty = st.binary(min_size=20, max_size=20)
ports = st.integers(1, 65535)
hosts_v4 = st.ip_addresses(v=4, network="10.0.0.0/8").map(str)
hosts_v6 = st.ip_addresses(v=6, network="2001:db8::/32").map(str)
requests = st.builds(
    AnnounceRequest,
    twenty.map(InfoHash),
    twenty.map(PeerId),
    ports,
    longs,
    longs,
    longs,
    st.sampled_from([None, "started", "completed", "stopped"]),
    st.integers(0, 2**31 - 1),
    words,
)
TORRENT = InfoHash(b"t" * 20)


@given(longs, words, requests, st.text("/?&=abcé", max_size=250))
def test_our_tracker_reads_the_announces_that_we_write(
    connection: int, transaction: int, request: AnnounceRequest, url_data: str
) -> None:
    raw = udp.encode_announce(connection, transaction, request, url_data)
    (slot,) = udp_server.read_slots(raw.ljust(udp_server.SLOT_BYTES, b"x"))
    assert slot == (
        connection.to_bytes(8, "big"),
        udp_server.ANNOUNCE,
        transaction.to_bytes(4, "big"),
        request.info_hash,
        request.peer_id,
        request.left_bytes,
        udp_server.EVENTS.index(request.event),
        request.num_want,
        request.port.to_bytes(2, "big"),
    )
    sent = b"" if url_data == "/" else url_data.encode()
    assert udp_server.read_url_data(raw[udp_server.ANNOUNCE_BYTES :]) == sent


@given(words, st.lists(twenty.map(InfoHash), min_size=1, max_size=74, unique=True), st.data())
def test_scrapes_come_back_in_order(transaction: int, asked: list[InfoHash], data: st.DataObject) -> None:
    assert udp_server.read_scrape(udp.encode_scrape(1, transaction, asked)) == asked
    entries = [data.draw(st.builds(ScrapeEntry, words, words, words)) for _ in asked]
    raw = udp_server.encode_scraped(transaction.to_bytes(4, "big"), entries)
    assert udp.transaction_of(raw) == transaction
    assert udp.decode_scraped(raw, asked) == dict(zip(asked, entries, strict=True))


@given(words, words, words, st.lists(st.tuples(hosts_v4, hosts_v6, ports), max_size=30))
def test_we_read_the_answers_that_our_tracker_writes(
    interval_s: int, seeds: int, leechers: int, peers: list[tuple[str, str, int]]
) -> None:
    for is_v6 in (False, True):
        endpoints = tuple(Endpoint(v6 if is_v6 else v4, port) for v4, v6, port in peers)
        addresses = b"".join(map(encode_compact, endpoints))
        raw = udp_server.encode_announced(b"tran", interval_s, leechers, seeds, addresses)
        found = udp.decode_announced(raw, is_v6=is_v6)
        assert (found.interval_s, found.seeds, found.leechers) == (interval_s, seeds, leechers)
        assert found.peers == endpoints


def decode_all(raw: bytes) -> None:
    """Every decoder on the same bytes: an answer, or its one error."""
    udp.transaction_of(raw)
    with contextlib.suppress(TrackerError):
        udp.decode_connected(raw)
    for is_v6 in (False, True):
        with contextlib.suppress(TrackerError):
            udp.decode_announced(raw, is_v6=is_v6)
    with contextlib.suppress(TrackerError):
        udp.decode_scraped(raw, [TORRENT])


@given(st.integers(0, 4), st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_an_error(action: int, body: bytes) -> None:
    decode_all(body)
    decode_all(action.to_bytes(4, "big") + body)


@given(st.lists(st.tuples(hosts_v4, ports), max_size=9), st.integers(0, 80), st.binary(max_size=4))
def test_a_mutated_answer_is_read_or_refused(peers: list[tuple[str, int]], at: int, change: bytes) -> None:
    addresses = b"".join(encode_compact(Endpoint(host, port)) for host, port in peers)
    raw = udp_server.encode_announced(b"tran", 1800, 1, 1, addresses)
    decode_all(raw[:at] + change + raw[at + len(change) :])
    decode_all(raw[:at])
