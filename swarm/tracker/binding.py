"""Sockets on the addresses that a host's name stands for."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

#: Of addresses that this machine does not have, or of whose family it has none.
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


async def bind_all(
    bind: Callable[[str, int, socket.AddressFamily], socket.socket],
    host: str,
    port: int,
    kind: socket.SocketKind = socket.SOCK_STREAM,
) -> list[socket.socket]:
    """One socket on each address of `host`; with port 0 on any free port, the same for all of them.

    An address that this machine does not have is passed over where it has another one: to most resolvers
    `localhost` is ::1 as well, also where there is no IPv6, as in many containers.

    Args:
        bind: makes one, of numeric address, port and family.

    Raises:
        OSError: one of them cannot be bound, all are absent, or there is no such host.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    absence = OSError(errno.EADDRNOTAVAIL, "no address")
    try:
        for family, address in dict.fromkeys((family, str(name[0])) for family, _, _, _, name in found):
            chosen = bound[0].getsockname()[1] if bound else port
            try:
                bound.append(bind(address, chosen, family))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absence = error
    except OSError:
        for one in bound:
            one.close()
        raise
    if not bound:
        raise absence
    return bound
