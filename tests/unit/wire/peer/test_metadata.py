"""`ut_metadata`: the messages of BEP 9, and those that no honest peer sends."""

from __future__ import annotations

import pytest

from swarm.base.errors import PeerError
from swarm.wire.peer.metadata import (
    METADATA_BYTES_MAX,
    MetadataData,
    MetadataMessage,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
    encode_metadata,
    metadata_piece_bytes,
    metadata_piece_count,
)

KIB16 = 16384


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        # The examples of BEP 9 (its text prints the reject without a colon and with a wrong type).
        (MetadataRequest(0), b"d8:msg_typei0e5:piecei0ee"),
        (MetadataReject(0), b"d8:msg_typei2e5:piecei0ee"),
        (
            MetadataData(0, 3425, b"x" * 3425),
            b"d8:msg_typei1e5:piecei0e10:total_sizei3425ee" + b"x" * 3425,
        ),
        (
            MetadataData(1, KIB16 + 2, b"ee"),
            b"d8:msg_typei1e5:piecei1e10:total_sizei16386eeee",
        ),
    ],
)
def test_messages_are_those_of_the_bep(message: MetadataMessage, payload: bytes) -> None:
    assert encode_metadata(message) == payload
    assert decode_metadata(payload) == message


@pytest.mark.parametrize("payload", [b"d8:msg_typei9e5:piecei0ee", b"d8:msg_typei3e1:xi0eeyz"])
def test_unknown_types_are_passed_over(payload: bytes) -> None:
    assert decode_metadata(payload) is None


def test_further_keys_are_passed_over() -> None:
    assert decode_metadata(b"d8:msg_typei0e5:piecei7e1:zlee") == MetadataRequest(7)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"hello", b"le", b"i1e", b"de",
        b"d8:msg_typei0ee", b"d8:msg_typei0e5:piecei-1ee", b"d8:msg_typei0e5:piece1:0e",
        b"d8:msg_typei0e5:piecei2147483648ee", b"d8:msg_typei-1e5:piecei0ee", b"d5:piecei0ee",
        b"d8:msg_typei0e5:piecei42eeX", b"d8:msg_typei2e5:piecei0eeX",
        b"d8:msg_typei1e5:piecei0eexxx",
        b"d8:msg_typei1e5:piecei0e10:total_sizei0eefoo",
        b"d8:msg_typei1e5:piecei0e10:total_sizei-3eefoo",
        b"d8:msg_typei1e5:piecei1e10:total_sizei3eefoo",
        b"d8:msg_typei1e5:piecei0e10:total_sizei3eefoobar",
        b"d8:msg_typei1e5:piecei0e10:total_sizei32768ee" + b"x" * 16383,
        b"d8:msg_typei1e5:piecei0e10:total_sizei33554433ee" + b"x" * KIB16,
        b"d8:msg_typei1e5:piecei0e10:total_sizei2147483648ee" + b"x" * KIB16,
        b"d8:msg_type" + b"l" * 5 + b"e" * 5 + b"5:piecei0ee",
        b"d8:msg_typei0e5:piecei0e1:z" + b"l" + b"le" * 70 + b"e" + b"e",
    ],
)  # fmt: skip
def test_what_no_honest_peer_sends_is_an_error(payload: bytes) -> None:
    with pytest.raises(PeerError):
        decode_metadata(payload)


@pytest.mark.parametrize(
    ("total_bytes", "count", "last_bytes"),
    [
        (1, 1, 1),
        (KIB16, 1, KIB16),
        (KIB16 + 1, 2, 1),
        (METADATA_BYTES_MAX, 2048, KIB16),
    ],
)
def test_sums_on_pieces(total_bytes: int, count: int, last_bytes: int) -> None:
    assert metadata_piece_count(total_bytes) == count
    assert metadata_piece_bytes(total_bytes, count - 1) == last_bytes
