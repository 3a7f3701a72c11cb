"""How many connected peers have each piece, and the pieces in the order of their rarity."""

from __future__ import annotations

import random
import sys
from array import array
from collections.abc import Iterator, Sequence

from swarm.base.bitfield import Bitfield


class RarityOrder:
    """A set of pieces kept sorted by availability, ties in random order.

    The pieces of one availability stand side by side in `_order`; `_starts[level]` is where those of
    `level` begin. One more or one less is a swap across a border, so that a `have` costs the same in
    a swarm of any size. (The idea is as old as Mainline's.) Only a bitfield, which changes many counts at
    once, leaves them out of order, until somebody asks for it: peers come in crowds, and a seed never asks.

    Args:
        counts: availability by piece; owned by `Availability`, changed one step at a time.
    """

    __slots__ = ("_counts", "_is_stale", "_order", "_places", "_rng", "_starts", "_tied", "_ties")

    def __init__(self, counts: Sequence[int], rng: random.Random) -> None:
        self._counts = counts
        #: The pieces are in no order, and `_starts` says nothing; `_places` is right all the same.
        self._is_stale = False
        self._rng = rng
        # Four bytes each, side by side: with many pieces it is the cache that a `have` costs most.
        self._order = array("i")
        #: piece -> where it stands, -1 for nowhere.
        self._places = array("i", (-1,)) * len(counts)
        self._starts: list[int] = [0]
        #: Every piece that ever stood here, in the order in which ties come after a recount; a flag for each.
        self._ties = array("i")
        self._tied = bytearray(len(counts))

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, piece: int) -> bool:
        return self._places[piece] >= 0

    def __iter__(self) -> Iterator[int]:
        """Rarest first."""
        self._settle()
        return iter(self._order)

    def held(self) -> Iterator[int]:
        """Those that anybody but seeds has, rarest first."""
        start = self.count_of_none()
        return iter(self._order[start:] if start else self._order)

    def at(self, place: int) -> int:
        self._settle()
        return self._order[place]

    def place_of(self, piece: int) -> int:
        """Where `piece` stands; the rarest at 0."""
        self._settle()
        return self._places[piece]

    def from_place(self, place: int) -> Iterator[int]:
        """All pieces, beginning at `place` and going round; in whatever order they stand."""
        yield from self._order[place:]
        yield from self._order[:place]

    def count_of_none(self) -> int:
        """How many of the pieces nobody has, seeds aside; they stand first."""
        self._settle()
        return self._starts[1] if len(self._starts) > 1 else len(self._order)

    def rebuild(self, pieces: list[int], counts: Sequence[int]) -> None:
        """Start anew with `pieces`."""
        self._rng.shuffle(pieces)
        self._ties = array("i", pieces)
        self._tied = bytearray(len(counts))
        for piece in pieces:
            self._tied[piece] = 1
        self._sort(pieces, counts)

    def recount(self, counts: Sequence[int]) -> None:
        """Many counts have changed at once.

        Ties come as they were drawn by lot at first: another draw for each bitfield would cost more than all
        the rest, and what matters is that others have drawn otherwise.
        """
        self._counts = counts
        self._is_stale = True

    def _settle(self) -> None:
        """Somebody asks for the order: see that there is one."""
        if self._is_stale:
            places = self._places
            if len(self._order) == len(self._ties):
                self._sort(self._ties.tolist(), self._counts)
            else:
                self._sort([piece for piece in self._ties if places[piece] >= 0], self._counts)

    def _sort(self, pieces: list[int], counts: Sequence[int]) -> None:
        """Take these pieces, those of one availability in the order in which they come."""
        self._counts = counts
        self._is_stale = False
        levels: list[list[int]] = [[] for _ in range(max(counts, default=0) + 1)]
        appends = [level.append for level in levels]
        for piece in pieces:
            appends[counts[piece]](piece)
        self._order = order = array("i")
        self._starts = []
        for level in levels:
            self._starts.append(len(order))
            order.fromlist(level)
        self._places = places = array("i", (-1,)) * len(counts)
        for place, piece in enumerate(order):
            places[piece] = place

    def add(self, piece: int) -> None:
        if not self._tied[piece]:
            self._tied[piece] = 1
            self._ties.append(piece)
        if self._is_stale:
            self._places[piece] = len(self._order)
            self._order.append(piece)
            return
        level = self._counts[piece]
        starts, order, places = self._starts, self._order, self._places
        while len(starts) <= level:
            starts.append(len(order))
        # Open a gap at the end of the level: the first of each higher level moves to that level's end.
        gap = len(order)
        order.append(piece)
        for higher in range(len(starts) - 1, level, -1):
            first = starts[higher]
            starts[higher] = first + 1
            # Of an empty level nothing moves; what stands in the gap has its new place already.
            if first != gap:
                order[gap] = order[first]
                places[order[gap]] = gap
                gap = first
        order[gap] = piece
        places[piece] = gap
        self._mix(gap, level)

    def remove(self, piece: int) -> None:
        starts, order, places = self._starts, self._order, self._places
        gap = places[piece]
        places[piece] = -1
        for higher in range(len(starts) if self._is_stale else self._counts[piece] + 1, len(starts)):
            last = starts[higher] - 1
            starts[higher] = last
            if last != gap:
                order[gap] = order[last]
                places[order[gap]] = gap
                gap = last
        last = len(order) - 1
        moved = order.pop()
        if gap != last:
            order[gap] = moved
            places[moved] = gap

    def raised(self, piece: int) -> None:
        """The count of `piece` has just become one more."""
        places = self._places
        place = places[piece]
        if place < 0 or self._is_stale:
            return
        # Written out: of all that an engine is told, haves are the most.
        level = self._counts[piece]
        starts, order = self._starts, self._order
        while len(starts) <= level:
            starts.append(len(order))
        border = starts[level] - 1
        starts[level] = border
        end = starts[level + 1] if level + 1 < len(starts) else len(order)
        # The last of the old level fills the gap; then the newcomer trades with any of the new one.
        if place != border:
            last = order[border]
            order[place] = last
            places[last] = place
        target = border + int(self._rng.random() * (end - border)) if end - border > 1 else border
        if target != border:
            moved = order[target]
            order[border] = moved
            places[moved] = border
        order[target] = piece
        places[piece] = target

    def lowered(self, piece: int) -> None:
        """The count of `piece` has just become one less."""
        place = self._places[piece]
        if place < 0 or self._is_stale:
            return
        level = self._counts[piece]
        border = self._starts[level + 1]
        self._starts[level + 1] = border + 1
        self._swap(place, border)
        self._mix(border, level)

    def _mix(self, place: int, level: int) -> None:
        """Move the newcomer at `place` to a random one within its level: ties stay random."""
        start = self._starts[level]
        end = self._starts[level + 1] if level + 1 < len(self._starts) else len(self._order)
        if end - start > 1:
            self._swap(place, start + int(self._rng.random() * (end - start)))

    def _swap(self, one: int, other: int) -> None:
        if one == other:
            return
        order = self._order
        first, second = order[one], order[other]
        order[one], order[other] = second, first
        self._places[first] = other
        self._places[second] = one

    def check(self) -> None:
        """Raise AssertionError where the order is not what it says (for tests)."""
        assert all(self._places[piece] == place for place, piece in enumerate(self._order)), (
            "places are wrong"
        )
        assert sum(place >= 0 for place in self._places) == len(self._order), "a piece stands twice"
        if self._is_stale:
            return
        levels = [self._counts[piece] for piece in self._order]
        assert levels == sorted(levels), "not sorted by availability"
        for place, level in enumerate(levels):
            assert self._starts[level] <= place, "a border is wrong"
            assert level + 1 >= len(self._starts) or place < self._starts[level + 1], "a border is wrong"


class Availability:
    """Counts who has what; seeds are counted once for all pieces.

    `orders` are told of every change; the picker registers them.
    """

    __slots__ = ("counts", "orders", "seed_count")

    #: A bitfield with more pieces than this share of the torrent is counted in bulk.
    BULK_SHARE = 1 / 16

    def __init__(self, piece_count: int) -> None:
        #: Lanes of four bytes, so that a whole bitfield is added as one number (`_in_bulk`).
        self.counts = array("i", (0,)) * piece_count
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
        none comes near to 2**31. Piece by piece it would be the longest stall of a download of many pieces.
        """
        counts = self.counts
        lanes = bytearray(len(flags) * counts.itemsize)
        first = 0 if sys.byteorder == "little" else counts.itemsize - 1
        lanes[first :: counts.itemsize] = flags
        total = int.from_bytes(counts.tobytes(), sys.byteorder)
        total += sign * int.from_bytes(lanes, sys.byteorder)
        self.counts = array(counts.typecode, total.to_bytes(len(lanes), sys.byteorder))
        for order in self.orders:
            order.recount(self.counts)
