"""How many connected peers have each piece."""

from __future__ import annotations

import sys
from array import array

from swarm.base.bitfield import Bitfield
from swarm.engine.download.count_map import BLANK, PAGE
from swarm.engine.download.rarity import RarityOrder

#: So many peers fit into counts of two bytes, and into as many pages as a byte can number.
PEERS_MAX = (PAGE << 8) - 1


class Availability:
    """Counts who has what; seeds are counted once for all pieces.

    `orders` are told of every change; the picker registers them.

    Args:
        peers_max: how many peers can be connected at a time; at most `PEERS_MAX`.
    """

    __slots__ = ("counts", "orders", "seed_count")

    #: A bitfield with more pieces than this share of the torrent is counted in bulk.
    BULK_SHARE = 1 / 16

    def __init__(self, piece_count: int, peers_max: int = PEERS_MAX) -> None:
        #: Always the same array; of narrow lanes, as a whole bitfield is added as one number (`_in_bulk`).
        self.counts = array("B" if peers_max < BLANK else "H", (0,)) * piece_count
        self.seed_count = 0
        self.orders: list[RarityOrder] = []

    def of(self, piece: int) -> int:
        """How many connected peers have `piece`."""
        return self.counts[piece] + self.seed_count

    def raise_one(self, piece: int) -> None:
        self.counts[piece] += 1
        for order in self.orders:
            order.raised(piece)

    def lower_one(self, piece: int) -> None:
        self.counts[piece] -= 1
        for order in self.orders:
            order.lowered(piece)

    def add(self, have: Bitfield) -> None:
        """A peer came with these pieces."""
        if have.is_full:
            self.seed_count += 1
        elif have.count > len(have) * self.BULK_SHARE:
            self._in_bulk(have.flags, 1)
        else:
            for piece in have:
                self.raise_one(piece)

    def remove(self, have: Bitfield) -> None:
        """A peer that had these pieces has gone."""
        if have.is_full:
            self.seed_count -= 1
        elif have.count > len(have) * self.BULK_SHARE:
            self._in_bulk(have.flags, -1)
        else:
            for piece in have:
                self.lower_one(piece)

    def became_seed(self) -> None:
        """A peer whose pieces were counted one by one now has the last: count it as a seed instead."""
        self.seed_count += 1
        self._in_bulk(b"\x01" * len(self.counts), -1)

    def was_seed(self) -> None:
        """A seed is about to lose a piece (BEP 54): count its pieces one by one from now on."""
        self.seed_count -= 1
        self._in_bulk(b"\x01" * len(self.counts), 1)

    def _in_bulk(self, flags: bytes | bytearray, sign: int) -> None:
        """Add each piece's flag to its count, or take it away.

        All at once, as two large numbers: no lane ever overflows into the next, for no count is negative, and
        none exceeds the number of peers. Piece by piece it would stall a download of many pieces.
        """
        counts = self.counts
        width = counts.itemsize
        if width == 1:
            lanes = flags
        else:
            lanes = bytearray(len(flags) * width)
            lanes[0 if sys.byteorder == "little" else width - 1 :: width] = flags
        total = int.from_bytes(counts.tobytes(), sys.byteorder)
        total += sign * int.from_bytes(lanes, sys.byteorder)
        counts[:] = array(counts.typecode, total.to_bytes(len(lanes), sys.byteorder))
        for order in self.orders:
            order.recount()
