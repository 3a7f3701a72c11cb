"""Peer exchange, as others send it and as we do."""

from __future__ import annotations

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError
from swarm.wire.peer.pex import (
    CONTACTS_READ_MAX,
    Contact,
    ContactFlags,
    PeerExchange,
    decode_peer_exchange,
    encode_peer_exchange,
)

V4 = Endpoint("1.2.3.4", 6881)
V6 = Endpoint("2001:db8::7", 6882)


def added(raw: bytes) -> list[Endpoint]:
    return [contact.endpoint for contact in decode_peer_exchange(raw).added]


def test_captured_message_is_read() -> None:
    # Captured by rqbit; its lists of IPv6 and of the dropped are empty.
    raw = bytes.fromhex(
        "64353a616464656431323ab99f9d14b56797f969861090373a61646465642e66323a0c00363a616464656436303a"
        "383a6164646564362e66303a373a64726f70706564303a383a64726f7070656436303a65"
    )
    assert decode_peer_exchange(raw).added == [
        Contact(Endpoint("185.159.157.20", 46439), ContactFlags.UTP | ContactFlags.HOLEPUNCH),
        Contact(Endpoint("151.249.105.134", 4240)),
    ]
    assert decode_peer_exchange(raw).dropped == []


def test_both_families_come_back() -> None:
    said = PeerExchange(
        [Contact(V4, ContactFlags(0x12)), Contact(V6, ContactFlags(0x08))], [Endpoint("5.6.7.8", 9)]
    )
    assert decode_peer_exchange(encode_peer_exchange(said)) == said
    gone = PeerExchange([], [V4, V6])
    assert decode_peer_exchange(encode_peer_exchange(gone)) == gone


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"d5:added7:1234567e", [Endpoint("49.50.51.52", 0x3536)]),  # one and a byte more
        (b"d5:added6:\x01\x02\x03\x04\x00\x00e", []),  # port 0
        (b"d5:addedl6:123456ee", []),  # a list
        (b"d5:addedi7ee", []),
        (b"de", []),
        (b"d5:added12:\x01\x02\x03\x04\x1a\xe1\x01\x02\x03\x04\x1a\xe1e", [V4]),  # the same twice
        (b"d5:added6:1234567:dropped6:123456e", []),  # added and dropped
        (b"d6:added618:" + bytes(10) + b"\xff\xff\x01\x02\x03\x04\x1a\xe1e", [V4]),  # IPv4 in IPv6
    ],
)
def test_what_makes_no_sense_is_passed_over(raw: bytes, found: list[Endpoint]) -> None:
    assert added(raw) == found


def test_missing_flags_are_none_and_unknown_ones_forgotten() -> None:
    raw = b"d5:added12:\x01\x02\x03\x04\x1a\xe1\x01\x02\x03\x05\x1a\xe17:added.f1:\xffe"
    assert [contact.flags for contact in decode_peer_exchange(raw).added] == [
        ContactFlags(0x1F),
        ContactFlags(0),
    ]


def test_flags_stay_with_their_contact_when_one_before_has_port_0() -> None:
    raw = b"d5:added12:\x01\x02\x03\x04\x00\x00\x01\x02\x03\x05\x1a\xe17:added.f2:\x01\x02e"
    assert decode_peer_exchange(raw).added == [Contact(Endpoint("1.2.3.5", 6881), ContactFlags.UPLOAD_ONLY)]


def test_flood_is_read_in_part_only() -> None:
    entries = b"".join(
        number.to_bytes(4, "big") + b"\x1a\xe1" for number in range(1 << 24, (1 << 24) + 10_000)
    )
    exchange = decode_peer_exchange(b"d5:added%d:%se" % (len(entries), entries))
    assert len(exchange.added) == CONTACTS_READ_MAX and exchange.is_cut


@pytest.mark.parametrize("raw", [b"", b"le", b"i1e", b"nonsense", b"d5:added"])
def test_what_is_no_dictionary_is_an_error(raw: bytes) -> None:
    with pytest.raises(PeerError, match="peer exchange"):
        decode_peer_exchange(raw)
