"""The first 68 bytes of a link."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.errors import PeerError
from swarm.base.ids import InfoHash, PeerId
from swarm.wire.peer.handshake import HANDSHAKE_BYTES, Handshake, decode_handshake, encode_handshake

INFO_HASH = InfoHash(bytes(range(1, 21)))
PEER_ID = PeerId(b"-LT2110-0123456789ab")
NAME = b"\x13BitTorrent protocol"


def raw(reserved: str) -> bytes:
    return NAME + bytes.fromhex(reserved) + INFO_HASH + PEER_ID


@pytest.mark.parametrize("has_fast", [True, False])
@pytest.mark.parametrize("has_extended", [True, False])
@pytest.mark.parametrize("has_dht", [True, False])
def test_handshake_comes_back_as_it_went(has_fast: bool, has_extended: bool, has_dht: bool) -> None:
    handshake = Handshake(INFO_HASH, PEER_ID, has_fast=has_fast, has_extended=has_extended, has_dht=has_dht)
    assert decode_handshake(encode_handshake(handshake)) == handshake


def test_known_bits_are_read() -> None:
    """As libtorrent sends it: extended (BEP 10), fast (BEP 6), DHT (BEP 5), v2 (BEP 52)."""
    assert decode_handshake(raw("0000000000100015")) == Handshake(INFO_HASH, PEER_ID, has_dht=True)


def test_unknown_bits_are_ignored() -> None:
    assert decode_handshake(raw("ffffffffffffffff")) == Handshake(INFO_HASH, PEER_ID, has_dht=True)
    plain = Handshake(INFO_HASH, PEER_ID, has_fast=False, has_extended=False)
    assert decode_handshake(raw("ffffffffffefff00")) == plain


def test_what_follows_is_left_alone() -> None:
    assert decode_handshake(memoryview(raw("00" * 8) + b"\0\0\0\1\2")) is not None


@pytest.mark.parametrize("size", [0, 1, 19, 20, 48, 67])
def test_its_beginning_is_waited_on(size: int) -> None:
    assert decode_handshake(raw("00" * 8)[:size]) is None


@pytest.mark.parametrize("start", [b"\x12BitTorrent", b"GET / HTTP/1.1", b"\x13BitTorrent protocoL", b"\0"])
def test_another_protocol_is_known_at_its_first_wrong_byte(start: bytes) -> None:
    with pytest.raises(PeerError, match="BitTorrent protocol"):
        decode_handshake(start)


@given(st.binary(max_size=2 * HANDSHAKE_BYTES), st.booleans())
def test_any_bytes_are_a_handshake_its_beginning_or_an_error(tail: bytes, has_name: bool) -> None:
    try:
        decode_handshake((NAME if has_name else b"") + tail)
    except PeerError:
        assert not has_name
