"""Who we are: ids that fit an address, and our own address as others see it (BEP 42)."""

from __future__ import annotations

import ipaddress
import random
from functools import lru_cache

from swarm.base.ids import NodeId

#: CRC32C (Castagnoli), reflected.
_POLYNOMIAL = 0x82F63B78
#: BEP 42: the bits of an address that decide, so that whoever has many addresses still gets few ids.
_V4_MASK = bytes.fromhex("030f3fff")
_V6_MASK = bytes.fromhex("0103070f1f3f7fff")
#: BEP 42: the first 21 bits of an id are checked.
_CHECKED_BITS = 0xFFFFF800


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _crc_table()


def crc32c(raw: bytes) -> int:
    """CRC-32C of `raw`: Castagnoli's polynomial, as in RFC 3720."""
    crc = 0xFFFFFFFF
    for byte in raw:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@lru_cache(maxsize=8192)
def packed_address(host: str) -> bytes:
    """The 4 or 16 bytes of a numeric address; ValueError for anything else."""
    return ipaddress.ip_address(host.partition("%")[0]).packed


@lru_cache(maxsize=8192)
def is_local(packed: bytes) -> bool:
    """Is the packed address loopback, private or link-local?

    Such nodes may have any id (BEP 42 names the networks), and nobody outside can know of them.
    """
    if len(packed) == 4:
        first, second = packed[0], packed[1]
        return (
            first in (10, 127)
            or (first == 172 and 16 <= second < 32)
            or (first == 192 and second == 168)
            or (first == 169 and second == 254)
        )
    is_link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
    return is_link_local or packed[0] & 0xFE == 0xFC or packed == b"\0" * 15 + b"\x01"


def is_usable(packed: bytes) -> bool:
    """Can a node have this packed address? It is neither unspecified nor multicast nor broadcast."""
    if len(packed) == 4:
        return 0 < packed[0] < 224
    return packed[0] != 0xFF and packed != bytes(16)


def owner_of(packed: bytes, port: int) -> bytes:
    """Whose a packed address is, as far as an address tells: of IPv6 its /64 counts, which one home has.

    On a local network it is the port that tells nodes apart.
    """
    return packed + port.to_bytes(2, "big") if is_local(packed) else packed[:8]


def _prefix(packed: bytes, salt: int) -> int:
    mask = _V4_MASK if len(packed) == 4 else _V6_MASK
    masked = bytearray(octet & kept for octet, kept in zip(packed, mask, strict=False))
    masked[0] |= (salt & 7) << 5
    return crc32c(bytes(masked)) & _CHECKED_BITS


def fits(node_id: bytes, packed: bytes) -> bool:
    """May a node at this packed address have the id `node_id` (BEP 42)? A local one may have any."""
    if is_local(packed):
        return True
    return int.from_bytes(node_id[:4], "big") & _CHECKED_BITS == _prefix(packed, node_id[19])


def id_for(packed: bytes, rng: random.Random) -> NodeId:
    """A random id that fits the packed address (BEP 42)."""
    salt = rng.getrandbits(8)
    raw = bytearray(rng.randbytes(20))
    prefix = _prefix(packed, salt) | int.from_bytes(raw[:4], "big") & ~_CHECKED_BITS
    raw[:4] = prefix.to_bytes(4, "big")
    raw[19] = salt
    return NodeId(bytes(raw))


class Identity:
    """Our id and our address, as far as others agree on it.

    Args:
        own_id: kept for as long as it fits our address.
        votes_max: voters remembered; the oldest are forgotten first.
        votes_needed: how many voters must agree; they must also be more than half of those remembered.
    """

    __slots__ = ("_rng", "_votes", "_votes_max", "_votes_needed", "external_host", "own_id")

    def __init__(self, own_id: NodeId, rng: random.Random, *, votes_max: int, votes_needed: int) -> None:
        self.own_id = own_id
        self.external_host: str | None = None
        self._rng = rng
        self._votes: dict[bytes, bytes] = {}
        self._votes_max = votes_max
        self._votes_needed = votes_needed

    def vote(self, voter: bytes, address: bytes) -> bool:
        """Count that `voter` sees us at `address`; returns whether our address, as agreed on, has changed.

        Each voter has one vote, and only nodes that we have asked something get one: nobody can bring many.

        Args:
            voter: `owner_of` the node.
            address: packed.
        """
        if not is_usable(address):
            return False
        votes = self._votes
        votes.pop(voter, None)
        votes[voter] = address
        if len(votes) > self._votes_max:
            del votes[next(iter(votes))]
        host = str(ipaddress.ip_address(address))
        if host == self.external_host:
            return False
        count = sum(1 for voted in votes.values() if voted == address)
        if count < self._votes_needed or 2 * count <= len(votes):
            return False
        self.external_host = host
        if not fits(self.own_id, address):
            self.own_id = id_for(address, self._rng)
        return True
