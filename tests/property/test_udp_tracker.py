"""The UDP tracker under any bytes, and under valid messages with some bytes changed."""

from __future__ import annotations

import random
import struct

from hypothesis import given
from hypothesis import strategies as st

from swarm.tracker.announce import Rules, TrackerSettings
from swarm.tracker.connection_ids import ConnectionIds
from swarm.tracker.datagrams import Batch
from swarm.tracker.memory_store import MemoryStore
from swarm.tracker.udp_frontend import UdpFrontend
from swarm.wire.tracker.udp_server import CONNECT_MAGIC, SLOT_BYTES, URL_DATA_MAX, read_url_data

NAMES = {
    "v4": struct.pack("=H2s4s8x", 2, b"\x10\x00", bytes([10, 0, 0, 1])),
    "v6": struct.pack("=H2sI16sI", 10, b"\x10\x00", 0, bytes(15) + b"\1", 0),
}


def frontend() -> UdpFrontend:
    settings = TrackerSettings()
    rules = Rules(MemoryStore(settings.peer_life_s, random.Random(2)), random.Random(1), settings)
    return UdpFrontend(rules, lambda: 1000.0, ConnectionIds(b"s" * 32))


def answer(tracker: UdpFrontend, datagrams: list[bytes], name: bytes) -> list[bytes]:
    slots = b"".join(one[:SLOT_BYTES].ljust(SLOT_BYTES, b"\xee") for one in datagrams)
    names, answers = tracker.answer(
        Batch(memoryview(slots), list(map(len, datagrams)), [name] * len(datagrams))
    )
    assert len(names) == len(answers) <= len(datagrams)
    return answers


@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from(sorted(NAMES)))
def test_any_bytes_get_silence_or_no_more_than_they_had(datagrams: list[bytes], family: str) -> None:
    # None of these has a connection id, but by a chance of 2^-56.
    assert sum(map(len, answer(frontend(), datagrams, NAMES[family]))) <= sum(map(len, datagrams))


@given(
    st.sampled_from(sorted(NAMES)),
    st.sampled_from([1, 2]),
    st.binary(max_size=1600),
    st.lists(st.tuples(st.integers(8, 120), st.integers(0, 255)), max_size=8),
)
def test_whatever_a_proven_source_sends_gets_one_frame_at_most(
    family: str, action: int, rest: bytes, changes: list[tuple[int, int]]
) -> None:
    tracker = frontend()
    name = NAMES[family]
    connection = answer(tracker, [CONNECT_MAGIC + bytes(8)], name)[0][8:]
    raw = bytearray(connection + action.to_bytes(4, "big") + b"tran" + rest)
    for at, value in changes:
        if at < len(raw):
            raw[at] = value
    for one in answer(tracker, [bytes(raw)] * 3, name):
        assert 8 <= len(one) <= 1452 and one[4:8] == raw[12:16]


@given(st.binary(max_size=2000))
def test_any_options_are_read_or_left(raw: bytes) -> None:
    assert len(read_url_data(raw)) <= URL_DATA_MAX
