"""The filters by which nodes count a swarm together (BEP 33)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

from swarm.wire.krpc import FILTER_BYTES

_BITS = FILTER_BYTES * 8
#: Hashes a value.
_HASHES = 2


def filter_of(addresses: Iterable[bytes]) -> bytes:
    """The filter that holds these packed addresses."""
    bits = bytearray(FILTER_BYTES)
    for address in addresses:
        digest = hashlib.sha1(address).digest()
        for at in (0, 2):
            index = (digest[at] | digest[at + 1] << 8) % _BITS
            bits[index >> 3] |= 1 << (index & 7)
    return bytes(bits)


def union(first: bytes, second: bytes) -> bytes:
    """The filter that holds what either holds; an empty one (no bytes) holds nothing."""
    if not first or not second:
        return first or second
    joined = int.from_bytes(first, "big") | int.from_bytes(second, "big")
    return joined.to_bytes(FILTER_BYTES, "big")


def is_in(address: bytes, found: bytes) -> bool:
    """Whether the filter may hold the packed address; no bytes hold nothing."""
    if not found:
        return False
    digest = hashlib.sha1(address).digest()
    return all(
        found[index >> 3] >> (index & 7) & 1
        for index in ((digest[at] | digest[at + 1] << 8) % _BITS for at in (0, 2))
    )


def estimate(found: bytes) -> float:
    """How many addresses the filter holds, about (BEP 33's formula); no bytes hold none."""
    if not any(found):
        return 0.0
    zeros = _BITS - int.from_bytes(found, "big").bit_count()
    # A full filter says only that there are very many.
    zeros = max(1, min(_BITS - 1, zeros))
    return math.log(zeros / _BITS) / (_HASHES * math.log(1 - 1 / _BITS))
