"""The port on which peers reach us."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from swarm.base.errors import SwarmError
from swarm.net.outlet import Outlet

#: Connections that wait to be accepted: a flash crowd comes within one round trip.
BACKLOG = 512


def listen(
    addresses: Sequence[str], ports: Sequence[int], outlet: Outlet | None = None
) -> tuple[list[socket.socket], int]:
    """Listen on the first of `ports` that is free on the first address; others join where they can.

    Args:
        outlet: only through its interface.

    Returns:
        The listening sockets, not blocking, and their port.

    Raises:
        SwarmError: no port was free, or the address is not ours.
    """
    problem: OSError | None = None
    for port in ports:
        try:
            first = _listen_one(addresses[0], port, outlet)
        except OSError as error:
            problem = error
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            break
        sockets = [first]
        chosen: int = first.getsockname()[1]
        for address in addresses[1:]:
            try:
                sockets.append(_listen_one(address, chosen, outlet))
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


def _listen_one(address: str, port: int, outlet: Outlet | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if outlet is not None:
            outlet.hold(listener)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
