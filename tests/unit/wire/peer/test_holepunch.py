"""Holepunch messages, as others send them and as we do."""

from __future__ import annotations

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError
from swarm.wire.peer.holepunch import (
    Holepunch,
    HolepunchError,
    HolepunchKind,
    decode_holepunch,
    encode_holepunch,
)

V4 = Endpoint("1.2.3.4", 42069)
V6 = Endpoint("1234::1", 42069)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("01000102 0304a455 00000000", Holepunch(HolepunchKind.CONNECT, V4)),
        ("0001 12340000000000000000000000000001 a455 00000000", Holepunch(HolepunchKind.RENDEZVOUS, V6)),
        (
            "02000102 0304a455 00000002",
            Holepunch(HolepunchKind.ERROR, V4, HolepunchError.NOT_CONNECTED),
        ),
    ],
)
def test_known_messages_are_read_and_written(raw: str, message: Holepunch) -> None:
    assert decode_holepunch(bytes.fromhex(raw)) == message
    assert encode_holepunch(message) == bytes.fromhex(raw)


def test_ipv4_in_ipv6_is_ipv4() -> None:
    raw = bytes.fromhex("0101 00000000000000000000ffff 01020304 a455")
    assert decode_holepunch(raw) == Holepunch(HolepunchKind.CONNECT, V4)


def test_error_code_may_be_missing_where_there_is_no_error() -> None:
    assert decode_holepunch(bytes.fromhex("010001020304a455")) == Holepunch(HolepunchKind.CONNECT, V4)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "00",
        "00000102",  # half an address
        "00090102030400 50",  # a family that there is not
        "03000102030400 50",  # nor such a kind
        "02000102030400 50",  # an error without its code
        "0001" + "00" * 17,
    ],
)
def test_what_is_no_message_is_an_error(raw: str) -> None:
    with pytest.raises(PeerError, match="holepunch"):
        decode_holepunch(bytes.fromhex(raw))
