"""A UDP socket that several protocols of a session share; a datagram's first byte tells them apart."""

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
from swarm.net.outlet import Outlet, first_of_each

#: The longest datagram that can be; those of KRPC and uTP fit into 1,500 bytes.
DATAGRAM_BYTES_MAX = 65_535
#: Datagrams read before the loop gets to others.
BATCH_MAX = 64
#: Datagrams that wait while the kernel's buffer is full; further ones are lost, as in the network.
QUEUE_MAX = 256
#: For floods of answers while the loop is busy: the kernel's default, 208 KiB, holds some 250 datagrams.
_RECEIVE_BUFFER_BYTES = 1 << 20

#: Gets what has come for one protocol in one turn of the loop, in order.
OnDatagrams = Callable[[Sequence[tuple[bytes, Endpoint]]], None]


@dataclass(slots=True)
class UdpCounts:
    """What a socket has done since it was opened, in datagrams."""

    received: int = 0
    sent: int = 0
    #: Of no protocol that has a receiver, or from port 0.
    ignored: int = 0
    #: Not sent: the queue was full, or the system refused (no route, a firewall).
    lost: int = 0


class UdpSocket:
    """A bound UDP socket on the running loop.

    Args:
        bound: a non-blocking socket, which this object closes.
        receivers: first byte of a datagram -> who gets it. KRPC has `d` (BEP 5: a bencoded dictionary), uTP
            0x01 to 0x41 (BEP 29: the type in the high half, version 1 in the low one).
    """

    def __init__(self, bound: socket.socket, receivers: Mapping[int, OnDatagrams]) -> None:
        self._socket = bound
        self._receivers = dict(receivers)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[bytes, Endpoint]] = deque()
        self._is_closed = False
        #: It has lost its address, and could not bind to another one.
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
        """Send now, or soon if the kernel's buffer is full; what cannot be sent is lost, and counted."""
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
        """Bind to another local address, with the same port.

        Raises:
            OSError: that failed; nothing is received or sent until the next move.
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
        """Try to send; returns False if the kernel's buffer is full, True if it is sent or lost."""
        try:
            self._socket.sendto(datagram, endpoint)
        except BlockingIOError:
            return False
        except OSError:
            # No route, a firewall, or an ICMP error of an earlier datagram: this one is lost.
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
                continue  # an ICMP error of a datagram sent earlier
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
    """Open a socket for each address family on the running loop, without receivers yet.

    Of several addresses of a family (an interface may have many) the first is used. Binds, and raises, as
    `bind_datagrams`.
    """
    chosen = list(first_of_each(addresses).values())
    return [UdpSocket(bound, {}) for bound in bind_datagrams(chosen, port, outlet)]


def open_socket(host: str, port: int, outlet: Outlet) -> UdpSocket:
    """Open one more socket, at this local address and port.

    Raises:
        OSError: that failed.
    """
    return UdpSocket(_bind_one(host, port, outlet), {})


def bind_datagrams(addresses: Sequence[str], port: int, outlet: Outlet | None = None) -> list[socket.socket]:
    """Bind a socket at each address, all at the same port: `port`, or any free one if it is taken.

    Args:
        addresses: numeric and local. Those that fail are left out, except for the first.

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
        # There is no IPv6 here, or the port is taken there: one family is enough.
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
