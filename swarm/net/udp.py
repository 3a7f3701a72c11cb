"""One UDP socket for all protocols of a session that speak datagrams, told apart by their first byte."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.net.outlet import Outlet

#: Largest datagram there can be; what KRPC and uTP send fits into 1,500.
DATAGRAM_BYTES_MAX = 65_535
#: Datagrams read at a time before others on the loop get their turn.
BATCH_MAX = 64
#: Datagrams that wait while the kernel's buffer is full; more are lost, as the network would lose them.
QUEUE_MAX = 256
#: A flood of answers arrives while the loop hashes: the kernel's default of 208 KiB holds some 250 datagrams.
_RECEIVE_BUFFER_BYTES = 1 << 20

#: What came in one turn of the loop for one protocol, in order.
OnDatagrams = Callable[[Sequence[tuple[bytes, Endpoint]]], None]


@dataclass(slots=True)
class UdpCounts:
    """What a socket has done since it was opened."""

    received: int = 0
    sent: int = 0
    #: Of a protocol that nobody here speaks, or from port 0.
    ignored: int = 0
    #: Not sent: the queue was full, or the system refused (no route, a firewall).
    lost: int = 0


class UdpSocket:
    """A bound UDP socket on the running loop.

    Args:
        bound: not blocking; it is ours to close.
        receivers: first byte of a datagram -> who gets it. KRPC is `d` (BEP 5: a bencoded dictionary),
            uTP 0x01 to 0x41 (BEP 29: type in the high half, version 1 in the low one).
    """

    def __init__(self, bound: socket.socket, receivers: Mapping[int, OnDatagrams]) -> None:
        self._socket = bound
        self._receivers = dict(receivers)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[bytes, Endpoint]] = deque()
        self._is_closed = False
        #: It was to move, and could not.
        self._is_away = False
        self.is_v6 = bound.family == socket.AF_INET6
        self.port: int = bound.getsockname()[1]
        self.counts = UdpCounts()
        with contextlib.suppress(OSError):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._loop.add_reader(bound.fileno(), self._readable)

    def receive(self, first_bytes: Sequence[int], receiver: OnDatagrams) -> None:
        """From now on `receiver` gets the datagrams that begin with one of `first_bytes`."""
        self._receivers.update(dict.fromkeys(first_bytes, receiver))

    def send(self, datagram: bytes, endpoint: Endpoint) -> None:
        """Send now, or soon where the kernel is busy; what cannot be sent is lost, as datagrams are."""
        if self._is_closed:
            return
        if self._is_away:
            self.counts.lost += 1
        elif self._queue:
            self._enqueue(datagram, endpoint)
        elif not self._sent(datagram, endpoint):
            self._enqueue(datagram, endpoint)
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def move(self, host: str, outlet: Outlet) -> None:
        """Be at another address of ours from now on, with the same port.

        Raises:
            OSError: it cannot be had; nothing is received or sent until the next move.
        """
        if self._is_closed:
            return
        self._let_go()
        self._socket = _bind_one(host, self.port, outlet)
        self._is_away = False
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def _let_go(self) -> None:
        if not self._is_away:
            self._is_away = True
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._queue.clear()
            self._socket.close()

    def close(self) -> None:
        """Stop at once; nothing more is received or sent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._let_go()

    def _enqueue(self, datagram: bytes, endpoint: Endpoint) -> None:
        if len(self._queue) >= QUEUE_MAX:
            self.counts.lost += 1
        else:
            self._queue.append((datagram, endpoint))

    def _sent(self, datagram: bytes, endpoint: Endpoint) -> bool:
        """Whether it is done with, sent or refused; False where the kernel's buffer is full."""
        try:
            self._socket.sendto(datagram, endpoint)
        except BlockingIOError:
            return False
        except OSError:
            # No route, a firewall, an ICMP error of an earlier datagram: this one is lost.
            self.counts.lost += 1
        else:
            self.counts.sent += 1
        return True

    def _writable(self) -> None:
        while self._queue:
            datagram, endpoint = self._queue[0]
            if not self._sent(datagram, endpoint):
                return
            self._queue.popleft()
        self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        batches: dict[OnDatagrams, list[tuple[bytes, Endpoint]]] = {}
        for _ in range(BATCH_MAX):
            try:
                datagram, address = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of something sent earlier; the next one may be a datagram
            self.counts.received += 1
            receiver = self._receivers.get(datagram[0]) if datagram and address[1] else None
            if receiver is None:
                self.counts.ignored += 1
                continue
            batches.setdefault(receiver, []).append((datagram, Endpoint(address[0], address[1])))
        for receiver, batch in batches.items():
            if not self._is_closed:
                receiver(batch)


def open_sockets(addresses: Sequence[str], port: int, outlet: Outlet | None = None) -> list[UdpSocket]:
    """Bind as `bind_datagrams` does, for use on the running loop; whoever wants datagrams says so later.

    One socket a family: of several addresses (an interface may have many) the first counts.
    """
    first_of = {":" in address: address for address in reversed(addresses)}
    chosen = [address for address in addresses if first_of[":" in address] == address]
    return [UdpSocket(bound, {}) for bound in bind_datagrams(chosen, port, outlet)]


def open_socket(host: str, port: int, outlet: Outlet) -> UdpSocket:
    """One more socket, at an address of ours, and at this port.

    Raises:
        OSError: it cannot be had.
    """
    return UdpSocket(_bind_one(host, port, outlet), {})


def bind_datagrams(addresses: Sequence[str], port: int, outlet: Outlet | None = None) -> list[socket.socket]:
    """Bind a socket at each address, all at the same port: `port` where it is free, else any that is.

    Args:
        addresses: numeric and ours. The first must work; another that does not is left out.

    Raises:
        SwarmError: the first address cannot be bound.
    """
    try:
        try:
            first = _bind_one(addresses[0], port, outlet)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            first = _bind_one(addresses[0], 0, outlet)
    except OSError as error:
        raise SwarmError(f"cannot use UDP on {addresses[0]}: {error.strerror or error}") from None
    found = [first]
    chosen: int = first.getsockname()[1]
    for address in addresses[1:]:
        # No IPv6 here, or somebody else has the port there: one family is enough.
        with contextlib.suppress(OSError):
            found.append(_bind_one(address, chosen, outlet))
    return found


def _bind_one(address: str, port: int, outlet: Outlet | None) -> socket.socket:
    is_v6 = ":" in address
    bound = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if is_v6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        if outlet is not None:
            outlet.hold(bound)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound
