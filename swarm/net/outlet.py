"""Where traffic leaves this machine: what `--bind` means to each socket of a session."""

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
from swarm.base.errors import SettingsError

_SIOCGIFADDR = 0x8915
#: Linux; elsewhere an interface is held to by its addresses alone.
_BINDTODEVICE: int | None = getattr(socket, "SO_BINDTODEVICE", None)
#: Linux: the first second or two of an IPv6 address, until nobody else has claimed it, and for good where
#: somebody has (IFA_F_TENTATIVE, IFA_F_DADFAILED). Nothing can be bound to it.
_NOT_OURS_YET = 0x40 | 0x08
#: What the system says where no way leads from here, whoever is there: no network, or none of that family.
NO_WAY = (errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
#: The same, and what it says where a router knows no way to this one host.
NO_ROUTE = (*NO_WAY, errno.EHOSTUNREACH)
#: The kernel counts interfaces up to 31 bits; none has ever come so far.
_ZONE_DIGITS_MAX = 9


@dataclass(frozen=True, slots=True)
class Outlet:
    """The only way out for connections and datagrams; without a restriction the system chooses.

    Args:
        addresses: is IPv6? -> the local address; a family that is not in it is not used. Empty: any. An
            interface's are others by and by (`follow`).
        interface: nothing goes through another one, wherever the routing table would send it.
    """

    addresses: dict[bool, str] = field(default_factory=dict)
    interface: str = ""

    @classmethod
    def of(cls, bind: str | None) -> Self:
        """What `--bind` names: an address, an interface, or None for anything.

        Raises:
            SettingsError: neither an address nor an interface of this machine.
        """
        if bind is None:
            return cls()
        addresses = bind_addresses(bind)
        is_address = addresses == [_numeric(bind)]
        return cls(_first_of_each(addresses), "" if is_address else bind)

    def follow(self) -> bool:
        """Take up the addresses that the bound interface has by now; whether they are others.

        While it has none, or is not there (a VPN that is down), those that it had are kept: nothing leaves.
        """
        if not self.interface:
            return False
        try:
            found = _first_of_each(bind_addresses(self.interface))
        except SettingsError:
            return False
        if found == self.addresses:
            return False
        self.addresses.clear()
        self.addresses.update(found)
        return True

    @property
    def interface_number(self) -> int:
        """By which the system knows the bound interface; another one when it was made anew, 0 for none."""
        with contextlib.suppress(OSError):
            return socket.if_nametoindex(self.interface) if self.interface else 0
        return 0

    def has(self, *, is_v6: bool) -> bool:
        """Can anything of this family leave?"""
        return not self.addresses or is_v6 in self.addresses

    def address(self, *, is_v6: bool) -> str | None:
        """The local address of a family; None for any."""
        return self.addresses.get(is_v6)

    def hold(self, opened: socket.socket) -> None:
        """Keep a socket that is not bound yet to the interface."""
        if self.interface and _BINDTODEVICE is not None:
            # Before Linux 5.7 only root may; the address must do then.
            with contextlib.suppress(PermissionError):
                opened.setsockopt(socket.SOL_SOCKET, _BINDTODEVICE, self.interface.encode())

    async def connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection from here to a numeric address, with its zone (`%3`) where it is link-local.

        Raises:
            OSError: there is none to be had.
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
    """Keep a socket to the interface of that number: uvloop loses it from the address on the way."""
    if not (zone.isascii() and zone.isdigit()) or _BINDTODEVICE is None:
        return
    # Whoever wrote the address chose the number: one of any length is no reason for another error.
    if len(zone) > _ZONE_DIGITS_MAX:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    opened.setsockopt(socket.SOL_SOCKET, _BINDTODEVICE, socket.if_indextoname(int(zone)).encode())


def _first_of_each(addresses: Sequence[str]) -> dict[bool, str]:
    # An interface's later ones are temporary or aliases.
    return {":" in address: address for address in reversed(addresses)}


def bind_addresses(bind: str | None) -> list[str]:
    """The local addresses for `--bind`: all, the one given, or those of an interface.

    Raises:
        SettingsError: neither an address nor an interface of this machine.
    """
    if bind is None:
        return ["0.0.0.0", "::"]
    address = _numeric(bind)
    if address is not None:
        return [address]
    if bind not in {name for _, name in socket.if_nameindex()}:
        raise SettingsError(f"--bind {bind}: neither an address nor a network interface of this machine")
    addresses = [*_interface_v4(bind), *_interface_v6(bind)]
    if not addresses:
        raise SettingsError(f"--bind {bind}: the interface has no address")
    return addresses


def _numeric(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _interface_v4(name: str) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return []
    return [socket.inet_ntoa(answer[20:24])]


def _interface_v6(name: str) -> list[str]:
    # Link-local addresses (scope 0x20) need an interface number to be of use; peers do not carry one.
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
