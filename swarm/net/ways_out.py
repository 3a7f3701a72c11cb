"""Which local addresses lead to the internet at this moment, and how long the machine has slept."""

from __future__ import annotations

import contextlib
import errno
import socket
import time

from swarm.net.outlet import Outlet

#: Is IPv6? -> an address that nobody has (RFC 5737, RFC 3849): the route to it is the default route.
_ELSEWHERE = {False: "192.0.2.1", True: "2001:db8::1"}
#: Linux: a clock that runs on while the machine sleeps; the monotonic one stops.
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def ways_out(outlet: Outlet) -> tuple[str, ...]:
    """Our numeric address on the default route, for each address family that has one. Nothing is sent."""
    found = []
    for is_v6, elsewhere in _ELSEWHERE.items():
        if not outlet.has(is_v6=is_v6):
            continue
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            outlet.hold(probe)
            local = outlet.address(is_v6=is_v6)
            if local is not None:
                probe.bind((local, 0))
            # To connect a datagram socket sends nothing: the kernel only chooses the route.
            probe.connect((elsewhere, 9))
            found.append(str(probe.getsockname()[0]))
    return tuple(found)


def is_ours(host: str) -> bool:
    """Does this machine still have the numeric address `host`? True where that cannot be found out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host.partition("%")[0], 0))
    except OSError as error:
        # A link-local address cannot be bound without its zone.
        return "%" in host or error.errno != errno.EADDRNOTAVAIL
    return True


def slept_s() -> float:
    """Seconds that this machine has slept since it was started; 0 where the system does not tell."""
    if _BOOTTIME is None:
        return 0.0
    # Read first, so that the time between the two calls does not make the difference negative.
    awake_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.clock_gettime(_BOOTTIME) - awake_s
