"""Canonical peer priority (BEP 40): a number both ends of a link agree on, and our own address for it."""

from __future__ import annotations

from collections import Counter

from swarm.base.endpoint import Endpoint, packed_host

#: CRC-32C (Castagnoli), reflected.
_POLYNOMIAL = 0x82F63B78
#: Voters remembered, the oldest give way; and how many must agree before their word is taken.
VOTERS_MAX = 64
VOTES_MIN = 2
#: What begins the names of voters that are believed alone.
_BELIEVED = ("tracker ", "dht ")
#: (is it of IPv6?, is it of a local network?)
_View = tuple[bool, bool]


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def crc32c(raw: bytes) -> int:
    """CRC-32C of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in raw:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def peer_priority(one: Endpoint, other: Endpoint) -> int:
    """The priority of a link between two endpoints of one family; the greater is to be preferred.

    Either order gives the same. Where the BEP's text and libtorrent differ (IPv6 addresses that share 40
    bits or more) this is libtorrent's number: the sum is of use only where both ends have the same, and
    most of the field's ends are libtorrent.

    Raises:
        ValueError: not of one family, or not numeric.
    """
    ours, theirs = sorted((packed_host(one.host), packed_host(other.host)))
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"no priority between {one} and {other}")
    if ours == theirs:
        return crc32c(b"".join(sorted(port.to_bytes(2, "big") for port in (one.port, other.port))))
    shared = next(at for at, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    # BEP 40: FF.FF.55.55 at first, one byte more for each that they share beyond; ffff:ffff:ffff:5555...
    exact = max(2, shared + 1) if len(ours) == 4 else max(6, shared + 2)
    mask = (b"\xff" * exact).ljust(len(ours), b"\x55")
    masked = [bytes(byte & bits for byte, bits in zip(host, mask, strict=False)) for host in (ours, theirs)]
    # Sorted again: an order of the whole addresses may not be that of what the mask leaves.
    return crc32c(b"".join(sorted(masked)))


class OwnAddress:
    """Where the world sees us, by the votes of those who say so (BEP 10 `yourip`, BEP 24).

    No single peer is believed (BEP 40: "should not blindly trust it"): an address counts once two
    of different hosts have named it. A tracker, whom we chose, is believed alone, and so is the DHT, which
    has counted the votes of its nodes (BEP 42). A local network sees us elsewhere than the world does, so
    each has an address of its own here.
    """

    def __init__(self, listen_port: int | None) -> None:
        self._port = listen_port or 0
        #: voter, view -> (the address it names, its votes). A tracker sees us over either family.
        self._votes: dict[tuple[str, _View], tuple[Endpoint, int]] = {}
        #: view -> our endpoint there.
        self._chosen: dict[_View, Endpoint] = {}

    def seen(self, host: str, voter: str) -> bool:
        """Count a vote; returns whether one of our addresses is another now."""
        named = Endpoint(host, self._port or 1)
        if not named.is_dialable:
            return False
        view = named.is_v6, named.is_local
        self._votes.pop((voter, view), None)
        self._votes[voter, view] = (named, VOTES_MIN if voter.startswith(_BELIEVED) else 1)
        if len(self._votes) > VOTERS_MAX:
            del self._votes[next(iter(self._votes))]
        counts: Counter[str] = Counter()
        for (_, seen_in), (other, votes) in self._votes.items():
            if seen_in == view:
                counts[other.host] += votes
        best, votes = counts.most_common(1)[0]
        before = self._chosen.get(view)
        if votes >= VOTES_MIN:
            self._chosen[view] = Endpoint(best, self._port)
        return self._chosen.get(view) != before

    def seen_from(self, other: Endpoint) -> Endpoint | None:
        """Our endpoint as `other` sees it; None while unknown."""
        return self._chosen.get((other.is_v6, other.is_local))

    def priority(self, other: Endpoint) -> int | None:
        """Ours with `other`; None while our address is unknown."""
        own = self.seen_from(other) if self._chosen else None
        try:
            return None if own is None else peer_priority(own, other)
        except ValueError:
            return None
