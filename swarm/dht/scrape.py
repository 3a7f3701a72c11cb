"""Bloom filters, by which nodes count the peers of a torrent without counting any twice (BEP 33)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator

from swarm.wire.krpc import FILTER_BYTES

_BITS = FILTER_BYTES * 8
#: Bits that stand for one address.
_HASHES = 2


def filter_of(addresses: Iterable[bytes]) -> bytes:
    """The filter, of `FILTER_BYTES`, that holds these packed addresses (4 or 16 bytes each)."""
    bits = bytearray(FILTER_BYTES)
    for address in addresses:
        for index in _bits_of(address):
            bits[index >> 3] |= 1 << (index & 7)
    return bytes(bits)


def _bits_of(address: bytes) -> Iterator[int]:
    """The bits that stand for a packed address in a filter."""
    digest = hashlib.sha1(address).digest()
    for at in range(0, 2 * _HASHES, 2):
        yield (digest[at] | digest[at + 1] << 8) % _BITS


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
    return all(found[index >> 3] >> (index & 7) & 1 for index in _bits_of(address))


def estimate(found: bytes) -> float:
    """About how many addresses the filter holds (BEP 33's formula); no bytes hold none."""
    if not any(found):
        return 0.0
    zeros = _BITS - int.from_bytes(found, "big").bit_count()
    # A full filter says only that there are very many.
    zeros = max(1, min(_BITS - 1, zeros))
    return math.log(zeros / _BITS) / (_HASHES * math.log(1 - 1 / _BITS))
