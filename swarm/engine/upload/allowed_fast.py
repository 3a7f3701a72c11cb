"""The pieces a newcomer may have although it is choked (BEP 6)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from hashlib import sha1

#: Addresses of one /24 get the same set, so that one network cannot collect them all (BEP 6).
_NETWORK_MASK = 0xFFFFFF00
#: Sets that are kept: a peer that comes back gets the same.
_KEPT_MAX = 2048


@lru_cache(_KEPT_MAX)
def allowed_fast_set(host: str, count: int, piece_count: int, info_hash: bytes) -> tuple[int, ...]:
    """The canonical set for the peer at `host`, in order; empty for IPv6, which BEP 6 does not define.

    Args:
        count: how many pieces, at the most all of them.
    """
    address = ipaddress.ip_address(host)
    if address.version != 4 or not piece_count:
        return ()
    count = min(count, piece_count)
    seed = (int(address) & _NETWORK_MASK).to_bytes(4, "big") + info_hash
    chosen: list[int] = []
    while len(chosen) < count:
        seed = sha1(seed).digest()
        for at in range(0, 20, 4):
            piece = int.from_bytes(seed[at : at + 4], "big") % piece_count
            if piece not in chosen and len(chosen) < count:
                chosen.append(piece)
    return tuple(chosen)
