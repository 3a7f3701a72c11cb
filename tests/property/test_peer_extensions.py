"""Peer exchange and holepunch: what is said comes back; any bytes are a message or a PeerError."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError
from swarm.wire.peer.holepunch import Holepunch, HolepunchKind, decode_holepunch, encode_holepunch
from swarm.wire.peer.pex import (
    CONTACTS_READ_MAX,
    Contact,
    ContactFlags,
    PeerExchange,
    decode_peer_exchange,
    encode_peer_exchange,
)

hosts = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number))),
    st.integers(0, 2**128 - 1).map(lambda number: str(ipaddress.IPv6Address(number))),
)
endpoints = st.builds(Endpoint, hosts, st.integers(1, 65535))
flags = st.integers(0, 31).map(ContactFlags)


@st.composite
def exchanges(draw: st.DrawFn) -> PeerExchange:
    names = draw(st.lists(endpoints, unique=True, max_size=60))
    cut = draw(st.integers(0, len(names)))
    # In the order in which the two families go over the wire.
    added = sorted(names[:cut], key=lambda endpoint: endpoint.is_v6)
    dropped = sorted(names[cut:], key=lambda endpoint: endpoint.is_v6)
    return PeerExchange([Contact(endpoint, draw(flags)) for endpoint in added], dropped)


punches = st.builds(
    Holepunch, st.sampled_from([HolepunchKind.RENDEZVOUS, HolepunchKind.CONNECT]), endpoints
) | st.builds(Holepunch, st.just(HolepunchKind.ERROR), endpoints, st.integers(0, 2**32 - 1))


@given(exchanges())
def test_peer_exchange_comes_back(said: PeerExchange) -> None:
    assert decode_peer_exchange(encode_peer_exchange(said)) == said


@given(punches)
def test_holepunch_comes_back(said: Holepunch) -> None:
    assert decode_holepunch(encode_holepunch(said)) == said


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A good message with some bytes changed, cut out or put in."""
    raw = bytearray(draw(exchanges().map(encode_peer_exchange) | punches.map(encode_holepunch)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


lists = st.dictionaries(
    st.sampled_from([b"added", b"added.f", b"added6", b"added6.f", b"dropped", b"dropped6"]),
    st.binary(max_size=100),
).map(
    lambda content: (
        b"d"
        + b"".join(
            b"%d:%s%d:%s" % (len(key), key, len(value), value) for key, value in sorted(content.items())
        )
        + b"e"
    )
)


@pytest.mark.parametrize("decode", [decode_peer_exchange, decode_holepunch])
@given(raw=st.binary(max_size=300) | spoilt() | lists)
def test_any_bytes_are_a_message_or_an_error(decode: Callable[[bytes], object], raw: bytes) -> None:
    with contextlib.suppress(PeerError):
        message = decode(raw)
        if isinstance(message, PeerExchange):
            assert len(message.added) <= 2 * CONTACTS_READ_MAX
            assert not {contact.endpoint for contact in message.added} & set(message.dropped)
            assert all(contact.endpoint.port for contact in message.added)
