"""Frames that come while nobody knows how many pieces there are."""

from __future__ import annotations

import struct

import pytest

from swarm.base.blocks import Geometry
from swarm.base.errors import PeerError
from swarm.wire.peer.messages import (
    AllowedFast,
    BitfieldMessage,
    Extended,
    Have,
    Interested,
    KeepAlive,
    Message,
    Port,
    Suggest,
    Unchoke,
)
from swarm.wire.peer.protocol import (
    EXTENDED_BYTES_MAX,
    KEPT_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Decoder,
    EarlyDecoder,
    encode,
)

DONT_HAVE = 1


def early(*, has_fast: bool = True) -> EarlyDecoder:
    return EarlyDecoder(has_fast=has_fast, later=frozenset((DONT_HAVE,)))


def read(decoder: EarlyDecoder, raw: bytes) -> list[Message]:
    messages, used = decoder.decode(memoryview(raw), len(raw))
    assert used == len(raw)
    return messages


def test_what_needs_the_geometry_is_kept_for_its_decoder() -> None:
    decoder = early()
    said: list[Message] = [
        Extended(0, b"handshake"),
        BitfieldMessage(b"\xc0"),
        KeepAlive(),
        Unchoke(),
        Have(2),
        Suggest(1),
        AllowedFast(0),
        Interested(),
        Extended(DONT_HAVE, struct.pack(">I", 1)),
        Extended(3, b"metadata"),
        Port(6881),
    ]
    assert read(decoder, encode(said)) == [
        Extended(0, b"handshake"),
        Extended(DONT_HAVE, struct.pack(">I", 1)),
        Extended(3, b"metadata"),
        Port(6881),
        KeepAlive(),
    ]
    messages, _ = Decoder(Geometry(3 * 16384, 16384), has_fast=True).decode(
        memoryview(decoder.kept), len(decoder.kept)
    )
    assert messages == [one for one in said if not isinstance(one, KeepAlive) and one != said[9]]


def test_kept_frames_are_checked_when_the_geometry_is_known() -> None:
    decoder = early()
    read(decoder, encode([Have(10)]))
    with pytest.raises(PeerError, match="it has piece 10 of 3"):
        Decoder(Geometry(3, 1), has_fast=True).decode(memoryview(decoder.kept), len(decoder.kept))


def test_half_a_frame_waits_for_its_rest() -> None:
    raw = encode([Extended(3, b"abc"), Have(1)])
    for cut in range(len(raw)):
        decoder = early()
        first, used = decoder.decode(memoryview(raw), cut)
        rest = raw[used:]
        second, _ = decoder.decode(memoryview(rest), len(rest))
        assert first + second == [Extended(3, b"abc")]
        assert decoder.kept == encode([Have(1)])


@pytest.mark.parametrize(
    ("raw", "has_fast"),
    [
        (struct.pack(">I", MESSAGE_BYTES_MAX + 1), True),
        (struct.pack(">IB", MESSAGE_BYTES_MAX + 1, 5), True),
        (struct.pack(">IB", EXTENDED_BYTES_MAX + 1, 20), True),
        (struct.pack(">IB", EXTENDED_BYTES_MAX + 1, 99), True),
        (struct.pack(">IB", 4, 4), True),
        (struct.pack(">IB", 1, 0x0E), False),
        (struct.pack(">IBII", 9 + 16384, 7, 0, 0) + bytes(16384), True),
    ],
)
def test_what_no_honest_peer_sends_is_an_error(raw: bytes, has_fast: bool) -> None:
    with pytest.raises(PeerError):
        early(has_fast=has_fast).decode(memoryview(raw), len(raw))


def test_no_more_is_kept_than_a_bitfield_and_its_haves() -> None:
    decoder = early()
    raw = encode([Have(1)]) * (KEPT_BYTES_MAX // 9)
    read(decoder, raw)
    with pytest.raises(PeerError, match="too much"):
        read(decoder, encode([Have(1)]))
    assert len(decoder.kept) <= KEPT_BYTES_MAX
