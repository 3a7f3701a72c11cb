"""Batches of datagrams through real sockets on loopback; the plain way and the fast way alike."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest

from swarm.tracker.datagrams import (
    BATCH_MAX,
    Datagrams,
    MmsgDatagrams,
    PlainDatagrams,
    address_place,
    batches_of,
    bind,
)
from swarm.wire.tracker.udp_server import SLOT_BYTES

FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


@pytest.fixture(params=FAMILIES, ids=["v4", "v6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A tracker's socket and a client's that is connected to it."""
    family, host = request.param
    with bind(host, 0, family) as ours, socket.socket(family, socket.SOCK_DGRAM) as theirs:
        theirs.bind((host, 0))
        theirs.connect((host, ours.getsockname()[1]))
        theirs.settimeout(10)
        yield ours, theirs


@pytest.fixture(params=["plain", "fast"])
def datagrams(request: pytest.FixtureRequest, pair: tuple[socket.socket, socket.socket]) -> Datagrams:
    return PlainDatagrams(pair[0]) if request.param == "plain" else batches_of(pair[0])


def test_linux_has_the_fast_way(pair: tuple[socket.socket, socket.socket]) -> None:
    is_linux = sys.platform.startswith("linux") and sys.maxsize > 1 << 32
    assert isinstance(batches_of(pair[0]), MmsgDatagrams) == is_linux


def test_nothing_there_is_none(datagrams: Datagrams) -> None:
    assert datagrams.receive() is None


def test_a_batch_comes_and_goes(pair: tuple[socket.socket, socket.socket], datagrams: Datagrams) -> None:
    _, client = pair
    sent = [bytes([number]) * (number * 20 % 1500) for number in range(30)]
    for _ in range(2):
        for datagram in sent:
            client.send(datagram)
        batch = datagrams.receive()
        assert batch is not None
        assert batch.lengths == [len(datagram) for datagram in sent]
        for number, datagram in enumerate(sent):
            start = number * SLOT_BYTES
            assert batch.slots[start : start + len(datagram)] == datagram
        packed = socket.inet_pton(client.family, client.getsockname()[0])
        assert {name[address_place(name)] for name in batch.names} == {packed}
        assert datagrams.send(batch.names[1:], sent[1:]) == 29
        assert [client.recv(2048) for _ in range(29)] == sent[1:]


def test_more_than_a_batch_comes_in_several(
    pair: tuple[socket.socket, socket.socket], datagrams: Datagrams
) -> None:
    for _ in range(BATCH_MAX + 3):
        pair[1].send(b"x")
    counts = [len(batch.lengths) if (batch := datagrams.receive()) else 0 for _ in range(3)]
    assert counts == [BATCH_MAX, 3, 0]


def test_a_datagram_longer_than_its_slot_is_cut(
    pair: tuple[socket.socket, socket.socket], datagrams: Datagrams
) -> None:
    pair[1].send(b"a" * 9000)
    pair[1].send(b"b")
    batch = datagrams.receive()
    if batch is not None and len(batch.lengths) == 1:
        # The plain way tells of a cut datagram by the length that fitted.
        batch = datagrams.receive()
    assert batch is not None and batch.slots[SLOT_BYTES] == ord("b")
    assert batch.lengths[0] >= SLOT_BYTES


def test_one_that_cannot_be_sent_does_not_hold_up_the_others(
    pair: tuple[socket.socket, socket.socket], datagrams: Datagrams
) -> None:
    _, client = pair
    client.send(b"x")
    batch = datagrams.receive()
    assert batch is not None
    name = batch.names[0]
    nowhere = name[:2] + bytes(2) + name[4:]  # port 0
    assert datagrams.send([name, nowhere, name], [b"1", b"2", b"3"]) == 2
    assert [client.recv(10), client.recv(10)] == [b"1", b"3"]


def test_a_closed_client_costs_nothing(
    pair: tuple[socket.socket, socket.socket], datagrams: Datagrams
) -> None:
    ours, client = pair
    client.send(b"x")
    batch = datagrams.receive()
    assert batch is not None
    with contextlib.closing(client):
        pass
    datagrams.send(batch.names, [b"gone"])
    with socket.socket(ours.family, socket.SOCK_DGRAM) as other:
        other.sendto(b"y", ours.getsockname())
        # An ICMP error may be told first.
        batch = datagrams.receive() or datagrams.receive()
    assert batch is not None and batch.slots[0] == ord("y")


def test_several_may_share_a_port() -> None:
    with bind("127.0.0.1", 0, socket.AF_INET, is_shared=True) as first:
        port = first.getsockname()[1]
        with bind("127.0.0.1", port, socket.AF_INET, is_shared=True):
            pass
        with pytest.raises(OSError):
            bind("127.0.0.1", port, socket.AF_INET)
