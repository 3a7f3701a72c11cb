"""The sockets of local service discovery: in the multicast groups of BEP 14, on every interface."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from swarm.base.endpoint import host_of
from swarm.net.outlet import Outlet, ipv6_addresses
from swarm.wire.lsd import DATAGRAM_MAX_BYTES, GROUP_V4, GROUP_V6

#: Interfaces on which a group is joined, for each family; machines with containers may have hundreds.
INTERFACES_MAX = 32
#: Routers that a datagram may pass: the groups of BEP 14 reach farther than one network.
HOPS_MAX = 32
_LOOPBACK = ("lo", "lo0")
#: RFC 3542; not on every system.
_PKTINFO: int | None = getattr(socket, "IPV6_PKTINFO", None)
#: Datagrams read before the loop gets to others.
_BATCH_MAX = 64


class _Interface(NamedTuple):
    """An interface, by its number; for IPv4 by the address to send from, where the number is 0."""

    number: int
    address: str = "0.0.0.0"


#: Gets a datagram and the numeric address that it came from.
OnDatagram = Callable[[bytes, str], None]


class LocalMulticast:
    """Sends to the local network and receives from it, over IPv4 and IPv6 as far as there are.

    Args:
        on_datagram: gets (datagram, numeric address of its sender).
        outlet: where everything must leave; None for all interfaces.
        port: of the groups; another one than BEP 14's for tests.

    Raises:
        OSError: there is no multicast here at all.
    """

    def __init__(
        self,
        on_datagram: OnDatagram,
        *,
        outlet: Outlet | None = None,
        port: int = GROUP_V4.port,
    ) -> None:
        self._on_datagram = on_datagram
        self._outlet = outlet or Outlet()
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[bool, socket.socket] = {}
        self._joined: dict[bool, set[_Interface]] = {False: set(), True: set()}
        failure = OSError(errno.ENODEV, "no interface takes part in multicast")
        for is_v6 in (False, True):
            if not self._outlet.has(is_v6=is_v6):
                continue
            try:
                opened = _open(self._outlet, is_v6=is_v6, port=port)
            except OSError as error:
                failure = error
                continue
            self._sockets[is_v6] = opened
            if not self._join(is_v6=is_v6):
                opened.close()
                del self._sockets[is_v6]
                continue
            self._loop.add_reader(opened, self._readable, opened)
        if not self._sockets:
            raise failure

    def send(self, of_family: Callable[[bool], bytes]) -> int:
        """Send a datagram on each interface, over each address family that the interface has.

        Args:
            of_family: is IPv6? -> the datagram.

        Returns:
            How many were sent.
        """
        count = 0
        for is_v6, opened in self._sockets.items():
            # Join again: interfaces come and go while we run.
            for interface in self._join(is_v6=is_v6):
                # One that is down must not stop us from using the others.
                with contextlib.suppress(OSError):
                    _choose_interface(opened, interface, is_v6=is_v6)
                    host = (GROUP_V6 if is_v6 else GROUP_V4).host
                    source = _source(self._outlet) if is_v6 else []
                    opened.sendmsg([of_family(is_v6)], source, 0, (host, self._port))
                    count += 1
        return count

    def close(self) -> None:
        for opened in self._sockets.values():
            self._loop.remove_reader(opened)
            opened.close()
        self._sockets.clear()

    def _join(self, *, is_v6: bool) -> list[_Interface]:
        """Join the group on interfaces where we are not in it; returns those where we are."""
        wanted = self._interfaces(is_v6=is_v6)[:INTERFACES_MAX]
        joined = self._joined[is_v6]
        joined.intersection_update(wanted)
        for interface in wanted:
            if interface not in joined and _join_group(self._sockets[is_v6], interface, is_v6=is_v6):
                joined.add(interface)
        return [interface for interface in wanted if interface in joined]

    def _interfaces(self, *, is_v6: bool) -> list[_Interface]:
        local = self._outlet.address(is_v6=is_v6)
        if local is None:
            # Without its address, the kernel would send on loopback from the address of another interface.
            return [
                _Interface(number, "127.0.0.1" if name in _LOOPBACK and not is_v6 else "0.0.0.0")
                for number, name in socket.if_nameindex()
            ]
        if not is_v6:
            return [_Interface(0, local)]
        packed = ipaddress.IPv6Address(local).packed
        return [_Interface(row.number) for row in ipv6_addresses() if row.address.packed == packed]

    def _readable(self, opened: socket.socket) -> None:
        for _ in range(_BATCH_MAX):
            try:
                # One byte more than is allowed, so that a longer datagram is refused, not read in part.
                raw, address = opened.recvfrom(DATAGRAM_MAX_BYTES + 1)
            except OSError:
                return
            self._on_datagram(raw, host_of(address))


def _open(outlet: Outlet, *, is_v6: bool, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        # All clients on this machine listen on the same port, and each gets every multicast datagram.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_v6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS_MAX)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS_MAX)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        outlet.hold(opened)
        # Bound to the group, it receives nothing else.
        opened.bind((GROUP_V6.host if is_v6 else GROUP_V4.host, port))
    except OSError:
        opened.close()
        raise
    return opened


def _membership(interface: _Interface, *, is_v6: bool) -> bytes:
    """struct ipv6_mreq, or struct ip_mreqn."""
    if is_v6:
        return struct.pack("@16sI", socket.inet_pton(socket.AF_INET6, GROUP_V6.host), interface.number)
    address = socket.inet_aton(interface.address)
    return struct.pack("@4s4si", socket.inet_aton(GROUP_V4.host), address, interface.number)


def _join_group(opened: socket.socket, interface: _Interface, *, is_v6: bool) -> bool:
    try:
        if is_v6:
            level, option = socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP
        else:
            level, option = socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP
        opened.setsockopt(level, option, _membership(interface, is_v6=is_v6))
    except OSError as error:
        # The interface went away and came back, and the kernel has kept us in the group.
        return error.errno == errno.EADDRINUSE
    return True


def _choose_interface(opened: socket.socket, interface: _Interface, *, is_v6: bool) -> None:
    if is_v6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.number)
    else:
        chosen = _membership(interface, is_v6=False)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)


def _source(outlet: Outlet) -> list[tuple[int, int, bytes]]:
    """The control message by which an IPv6 datagram leaves from the bound address (struct in6_pktinfo).

    The kernel might take another address of the interface, on which we do not listen.
    """
    local = outlet.address(is_v6=True)
    if local is None or _PKTINFO is None:
        return []
    # 0: the interface that was chosen for the socket.
    source = struct.pack("@16sI", socket.inet_pton(socket.AF_INET6, local), 0)
    return [(socket.IPPROTO_IPV6, _PKTINFO, source)]
