"""Datagrams on loopback: told apart, bounded, never an error."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator, Sequence

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.net import udp
from swarm.net.udp import UdpSocket, bind_datagrams

KRPC = ord("d")


class Inbox:
    """Collects batches of one protocol."""

    def __init__(self) -> None:
        self.batches: list[Sequence[tuple[bytes, Endpoint]]] = []
        self.came = asyncio.Event()

    def take(self, batch: Sequence[tuple[bytes, Endpoint]]) -> None:
        self.batches.append(batch)
        self.came.set()

    @property
    def datagrams(self) -> list[bytes]:
        return [datagram for batch in self.batches for datagram, _ in batch]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.datagrams) < count:
                self.came.clear()
                await self.came.wait()


class FullSocket:
    """Stands for a socket whose kernel buffer is full until it is told otherwise."""

    family = socket.AF_INET

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.is_full = True
        self.error: OSError | None = None
        self.sent: list[bytes] = []

    def fileno(self) -> int:
        return self._real.fileno()

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def setsockopt(self, *_: int) -> None:
        raise OSError("not permitted")

    def sendto(self, datagram: bytes, _: Endpoint) -> None:
        if self.error is not None:
            raise self.error
        if self.is_full:
            raise BlockingIOError
        self.sent.append(datagram)

    def close(self) -> None:
        self._real.close()


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(10)
        yield other


def opened(address: str = "127.0.0.1") -> tuple[UdpSocket, Inbox]:
    inbox = Inbox()
    (bound,) = bind_datagrams([address], 0)
    return UdpSocket(bound, {KRPC: inbox.take}), inbox


async def test_datagrams_reach_who_asked_for_their_first_byte(plain: socket.socket) -> None:
    one, inbox = opened()
    utp = Inbox()
    one.receive([0x01, 0x41], utp.take)
    for datagram in (b"", b"x", b"\x01syn", b"d1:ae", b"\x41data"):
        plain.sendto(datagram, ("127.0.0.1", one.port))
    await inbox.until(1)
    await utp.until(2)
    own = Endpoint("127.0.0.1", plain.getsockname()[1])
    assert [list(batch) for batch in inbox.batches] == [[(b"d1:ae", own)]]
    assert utp.datagrams == [b"\x01syn", b"\x41data"]
    assert (one.counts.received, one.counts.ignored) == (5, 2)
    one.close()


async def test_what_is_sent_arrives_from_our_port(plain: socket.socket) -> None:
    one, _ = opened()
    one.send(b"d2:hie", Endpoint("127.0.0.1", plain.getsockname()[1]))
    assert plain.recvfrom(100) == (b"d2:hie", ("127.0.0.1", one.port))
    one.close()


async def test_two_speak_over_ipv6() -> None:
    one, inbox = opened("::1")
    other, _ = opened("::1")
    assert one.is_v6
    other.send(b"d", Endpoint("::1", one.port))
    await inbox.until(1)
    assert inbox.batches[0][0] == (b"d", Endpoint("::1", other.port))
    one.close()
    other.close()


async def test_a_flood_is_read_in_batches_so_that_others_get_their_turn(plain: socket.socket) -> None:
    one, inbox = opened()
    for number in range(100):
        plain.sendto(b"d%d" % number, ("127.0.0.1", one.port))
    await inbox.until(100)
    assert [len(batch) for batch in inbox.batches] == [udp.BATCH_MAX, 100 - udp.BATCH_MAX]
    assert inbox.datagrams == [b"d%d" % number for number in range(100)]
    one.close()


async def test_nobody_listening_there_is_no_error(plain: socket.socket) -> None:
    gone, _ = opened()
    port = gone.port
    gone.close()
    one, inbox = opened()
    for _ in range(5):
        one.send(b"d", Endpoint("127.0.0.1", port))
    plain.sendto(b"d", ("127.0.0.1", one.port))
    await inbox.until(1)
    one.close()


async def test_a_full_kernel_buffer_delays_and_then_loses_but_keeps_the_order(plain: socket.socket) -> None:
    full = FullSocket(plain)
    one = UdpSocket(full, {})  # type: ignore[arg-type]  # all of a socket that is used
    somewhere = Endpoint("127.0.0.1", 9)
    for number in range(udp.QUEUE_MAX + 10):
        one.send(b"%d" % number, somewhere)
    assert full.sent == []
    assert one.counts.lost == 10
    full.is_full = False
    async with asyncio.timeout(10):
        while one.counts.sent < udp.QUEUE_MAX:  # noqa: ASYNC110  (the socket tells nobody when it has sent)
            await asyncio.sleep(0)
    assert full.sent == [b"%d" % number for number in range(udp.QUEUE_MAX)]
    one.send(b"next", somewhere)
    assert full.sent[-1] == b"next"
    one.close()


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EPERM, errno.ECONNREFUSED, errno.EMSGSIZE])
async def test_what_the_system_refuses_is_counted_and_forgotten(plain: socket.socket, number: int) -> None:
    full = FullSocket(plain)
    full.error = OSError(number, "refused")
    one = UdpSocket(full, {})  # type: ignore[arg-type]  # all of a socket that is used
    one.send(b"d", Endpoint("127.0.0.1", 9))
    assert one.counts.lost == 1
    one.close()


async def test_nothing_happens_after_the_end(plain: socket.socket) -> None:
    one, inbox = opened()
    port = one.port
    one.close()
    one.close()
    one.send(b"d", Endpoint("127.0.0.1", plain.getsockname()[1]))
    plain.sendto(b"d", ("127.0.0.1", port))
    plain.settimeout(0)
    with pytest.raises(BlockingIOError):
        plain.recvfrom(10)
    assert inbox.batches == []


def test_a_busy_port_gives_way_to_another_one(plain: socket.socket) -> None:
    busy = plain.getsockname()[1]
    (bound,) = bind_datagrams(["127.0.0.1"], busy)
    assert bound.getsockname()[1] not in (0, busy)
    bound.close()


def test_both_families_share_the_port_and_a_missing_one_is_left_out() -> None:
    four, six = bind_datagrams(["127.0.0.1", "::1"], 0)
    assert four.getsockname()[1] == six.getsockname()[1]
    four.close()
    six.close()
    (four,) = bind_datagrams(["127.0.0.1", "2001:db8::1"], 0)
    four.close()


async def test_of_several_addresses_of_a_family_the_first_counts() -> None:
    sockets = udp.open_sockets(["127.0.0.1", "::1", "127.0.0.2"], 0)
    assert [one.is_v6 for one in sockets] == [False, True]
    for one in sockets:
        one.close()


def test_an_address_that_is_not_ours_is_an_error_that_names_it() -> None:
    with pytest.raises(SwarmError, match=r"cannot use UDP on 192\.0\.2\.1: "):
        bind_datagrams(["192.0.2.1"], 0)
