"""The ports on which peers reach us, and the addresses from which we reach them."""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Sequence

from swarm.base.errors import SettingsError, SwarmError

#: Connections that wait to be accepted: a flash crowd comes within one round trip.
_BACKLOG = 512
_SIOCGIFADDR = 0x8915


def bind_addresses(bind: str | None) -> list[str]:
    """The local addresses for `--bind`: all, the one given, or those of an interface.

    Raises:
        SettingsError: neither an address nor an interface of this machine.
    """
    if bind is None:
        return ["0.0.0.0", "::"]
    try:
        return [str(ipaddress.ip_address(bind))]
    except ValueError:
        pass
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
    try:
        with open("/proc/net/if_inet6") as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    # Link-local addresses (scope 0x20) need an interface number to be of use; peers do not carry one.
    return [
        str(ipaddress.IPv6Address(bytes.fromhex(row[0]))) for row in rows if row[5] == name and row[3] != "20"
    ]


def listen(addresses: Sequence[str], ports: Sequence[int]) -> tuple[list[socket.socket], int]:
    """Listen on the first of `ports` that is free on the first address; others join where they can.

    Returns:
        The listening sockets, not blocking, and their port.

    Raises:
        SwarmError: no port was free, or the address is not ours.
    """
    problem: OSError | None = None
    for port in ports:
        try:
            first = _listen_one(addresses[0], port)
        except OSError as error:
            problem = error
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            break
        sockets = [first]
        chosen: int = first.getsockname()[1]
        for address in addresses[1:]:
            try:
                sockets.append(_listen_one(address, chosen))
            except OSError:
                continue  # no IPv6 here, or somebody else has the port there: one family is enough
        return sockets, chosen
    assert problem is not None
    tried = f"port {ports[0]}" if len(ports) == 1 else f"any of the ports {ports[0]}-{ports[-1]}"
    reason = (
        "it is in use; choose another with --port, or 0 for any"
        if problem.errno == errno.EADDRINUSE
        else problem.strerror
    )
    raise SwarmError(f"cannot listen on {tried} of {addresses[0]}: {reason}")


def _listen_one(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
