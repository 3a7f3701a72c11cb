"""By which addresses this machine leaves for the wide world at this moment; a laptop changes them."""

from __future__ import annotations

import contextlib
import errno
import socket
import time

from swarm.net.outlet import Outlet

#: Addresses of nobody (RFC 5737, RFC 3849), of IPv4 and IPv6: what leads to them leads everywhere.
_ELSEWHERE = {False: "192.0.2.1", True: "2001:db8::1"}
#: Linux: a clock that runs on while the machine sleeps, as the monotonic one does not.
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def ways_out(outlet: Outlet) -> tuple[str, ...]:
    """Our address on the way out, of each family that has one. Nothing is sent."""
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
            # Connecting a datagram socket only chooses the way.
            probe.connect((elsewhere, 9))
            found.append(str(probe.getsockname()[0]))
    return tuple(found)


def is_ours(host: str) -> bool:
    """Has this machine, still, the numeric address `host`? True where that cannot be found out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host.partition("%")[0], 0))
    except OSError as error:
        # One of a link needs the link's number as well, which the address does not have.
        return "%" in host or error.errno != errno.EADDRNOTAVAIL
    return True


def slept_s() -> float:
    """For how long this machine has slept since it was started; 0 where the system does not say."""
    if _BOOTTIME is None:
        return 0.0
    # Read first, so that what passes between the two is no negative sleep.
    awake_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.clock_gettime(_BOOTTIME) - awake_s
