"""Where traffic leaves this machine: what `--bind` means for each socket of a session."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import field
from typing import NamedTuple, Self

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import numeric_host
from swarm.base.errors import SettingsError

_SIOCGIFADDR = 0x8915
#: Linux only; elsewhere sockets are bound to the interface's addresses alone.
_BINDTODEVICE: int | None = getattr(socket, "SO_BINDTODEVICE", None)
#: Linux: flags of an IPv6 address to which nothing can be bound: in its first second or two, until it is
#: known that no other machine has it (IFA_F_TENTATIVE), and for good where one has (IFA_F_DADFAILED).
_NOT_OURS_YET = 0x40 | 0x08
#: Errors of the system that say that nothing at all can be reached: no network, or none of that family.
NO_WAY = (errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
#: These, and the error that says that this one host cannot be reached.
NO_ROUTE = (*NO_WAY, errno.EHOSTUNREACH)
#: Interface numbers have up to 31 bits; none in practice has so many digits.
_ZONE_DIGITS_MAX = 9


@dataclass(frozen=True, slots=True)
class Outlet:
    """What connections and datagrams are bound to; without any restriction the system chooses.

    Args:
        addresses: is IPv6? -> the local address; a family that is not in it is not used. Empty: any address.
            Those of an interface may change (`follow`).
        interface: the only one that is used, whatever the routing table says; "" for any.
    """

    addresses: dict[bool, str] = field(default_factory=dict)
    interface: str = ""

    @classmethod
    def of(cls, bind: str | None) -> Self:
        """The outlet that `--bind` names: an address or an interface; None for no restriction.

        Raises:
            SettingsError: neither an address nor an interface of this machine.
        """
        if bind is None:
            return cls()
        addresses = bind_addresses(bind)
        is_address = addresses == [numeric_host(bind)]
        return cls(first_of_each(addresses), "" if is_address else bind)

    def follow(self) -> bool:
        """Take up the addresses that the bound interface has now; returns whether they have changed.

        While the interface has none, or does not exist (a VPN that is down), the old ones are kept, so that
        nothing can leave elsewhere.
        """
        if not self.interface:
            return False
        try:
            found = first_of_each(bind_addresses(self.interface))
        except SettingsError:
            return False
        if found == self.addresses:
            return False
        self.addresses.clear()
        self.addresses.update(found)
        return True

    @property
    def interface_number(self) -> int:
        """The system's number of the bound interface, another one after it was made anew; 0 for none."""
        with contextlib.suppress(OSError):
            return socket.if_nametoindex(self.interface) if self.interface else 0
        return 0

    def has(self, *, is_v6: bool) -> bool:
        """May this address family be used?"""
        return not self.addresses or is_v6 in self.addresses

    def address(self, *, is_v6: bool) -> str | None:
        """The local address of this family to bind to; None for any."""
        return self.addresses.get(is_v6)

    def hold(self, opened: socket.socket) -> None:
        """Restrict a socket, before it is bound, to the interface."""
        if self.interface and _BINDTODEVICE is not None:
            # Before Linux 5.7 only root may do this; then the address alone must do.
            with contextlib.suppress(PermissionError):
                opened.setsockopt(socket.SOL_SOCKET, _BINDTODEVICE, self.interface.encode())

    async def connect(self, host: str, port: int) -> socket.socket:
        """A non-blocking socket with a TCP connection to a numeric address.

        Args:
            host: with its zone (`%3`) where it is link-local.

        Raises:
            OSError: it cannot be reached.
        """
        is_v6 = ":" in host
        if not self.has(is_v6=is_v6):
            raise OSError(errno.EADDRNOTAVAIL, "the bound interface has no address of that family")
        opened = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            self.hold(opened)
            if is_v6 and not self.interface:
                _hold_to_zone(opened, host.partition("%")[2])
            local = self.address(is_v6=is_v6)
            if local is not None:
                opened.bind((local, 0))
            await asyncio.get_running_loop().sock_connect(opened, (host, port))
        except BaseException:
            opened.close()
            raise
        return opened


def _hold_to_zone(opened: socket.socket, zone: str) -> None:
    """Restrict a socket to the interface of that number: uvloop drops the zone from the address."""
    if not (zone.isascii() and zone.isdigit()) or _BINDTODEVICE is None:
        return
    # The number may come from a stranger: one that is too long for a C int is an OSError too.
    if len(zone) > _ZONE_DIGITS_MAX:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    opened.setsockopt(socket.SOL_SOCKET, _BINDTODEVICE, socket.if_indextoname(int(zone)).encode())


def first_of_each(addresses: Sequence[str]) -> dict[bool, str]:
    """Is IPv6? -> the first address of that family; the family of the very first address comes first.

    The later addresses of an interface are temporary ones or aliases.
    """
    found: dict[bool, str] = {}
    for address in addresses:
        found.setdefault(":" in address, address)
    return found


def bind_addresses(bind: str | None) -> list[str]:
    """The local addresses to listen on for `--bind`: all (None), the one given, or those of an interface.

    Raises:
        SettingsError: neither an address nor an interface of this machine.
    """
    if bind is None:
        return ["0.0.0.0", "::"]
    address = numeric_host(bind)
    if address is not None:
        return [address]
    if bind not in {name for _, name in socket.if_nameindex()}:
        raise SettingsError(f"--bind {bind}: neither an address nor a network interface of this machine")
    addresses = [*_interface_v4(bind), *_interface_v6(bind)]
    if not addresses:
        raise SettingsError(f"--bind {bind}: the interface has no address")
    return addresses


def _interface_v4(name: str) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return []
    return [socket.inet_ntoa(answer[20:24])]


def _interface_v6(name: str) -> list[str]:
    # Not link-local addresses (scope 0x20): they need a zone, which peers cannot tell each other.
    return [
        str(row.address)
        for row in ipv6_addresses()
        if row.interface == name and row.scope != 0x20 and not row.flags & _NOT_OURS_YET
    ]


class Ipv6Address(NamedTuple):
    """An IPv6 address, its scope and flags (IFA_F_...), and the number and name of its interface."""

    address: ipaddress.IPv6Address
    number: int
    scope: int
    flags: int
    interface: str


def ipv6_addresses() -> list[Ipv6Address]:
    """The IPv6 addresses of this machine, as Linux lists them; elsewhere none."""
    try:
        with open("/proc/net/if_inet6") as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    found = []
    for address, number, _prefix, scope, flags, interface in rows:
        parsed = ipaddress.IPv6Address(bytes.fromhex(address))
        found.append(Ipv6Address(parsed, int(number, 16), int(scope, 16), int(flags, 16), interface))
    return found
