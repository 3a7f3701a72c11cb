"""Which piece to start next."""

from __future__ import annotations

import random
from collections.abc import Iterable

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.engine.download.availability import Availability
from swarm.engine.download.rarity import RarityOrder
from swarm.engine.peer import Peer

#: Piece priorities; the host maps files to them.
UNWANTED, NORMAL, HIGH = 0, 1, 2

_IS_WANTED = bytes([UNWANTED]) + b"\x01" * 255


class Picker:
    """Chooses among the pieces that are wanted, missing and not started.

    Rarest first with random ties; random for the first pieces; ascending where the user wants to
    read while it comes. Higher priorities come first in every mode.

    Args:
        have: our own pieces; `priorities`: one byte a piece.
    """

    __slots__ = (
        "_availability",
        "_have",
        "_is_sequential",
        "_orders",
        "_random_first",
        "_rng",
        "_startable",
        "epoch",
        "priorities",
        "wanted_missing",
    )

    def __init__(
        self,
        have: Bitfield,
        priorities: bytes,
        availability: Availability,
        rng: random.Random,
        *,
        is_sequential: bool = False,
        random_first_pieces: int = 4,
    ) -> None:
        if len(priorities) != len(have):
            raise ValueError(f"{len(priorities)} priorities for {len(have)} pieces")
        self._have = have
        self._availability = availability
        self._rng = rng
        self._random_first = random_first_pieces
        self._is_sequential = is_sequential
        self._orders: dict[int, RarityOrder] = {}
        #: Another number whenever there is more on offer than before.
        self.epoch = 0
        wanted = int.from_bytes(priorities.translate(_IS_WANTED), "little")
        #: One flag a piece: wanted, missing, not started.
        self._startable = bytearray((wanted & ~have.number).to_bytes(len(have), "little"))
        self.priorities = priorities
        #: How many pieces are wanted and not verified yet.
        self.wanted_missing = self._startable.count(1)
        self._set_orders()

    def _set_orders(self) -> None:
        """Make the orders anew, of all that is on offer."""
        self.epoch += 1
        startable = int.from_bytes(self._startable, "little")
        # Highest first; dicts keep that order.
        self._orders = {}
        for priority in range(255, UNWANTED, -1):
            if priority in self.priorities:
                of_this = bytes(priority) + b"\x01" + bytes(255 - priority)
                offered = startable & int.from_bytes(self.priorities.translate(of_this), "little")
                if offered:
                    self._orders[priority] = RarityOrder(
                        self._availability.counts, offered.to_bytes(len(self._startable), "little"), self._rng
                    )
        self._availability.orders = list(self._orders.values())

    def wants(self, piece: int) -> bool:
        """Is `piece` wanted and not verified yet?"""
        return self.priorities[piece] != UNWANTED and not self._have.flags[piece]

    def count_interesting(self, have: Bitfield) -> int:
        """How many of somebody's pieces we want and miss."""
        if have.is_full:
            return self.wanted_missing
        # As large numbers, a byte each: a piece at a time would be felt with 100,000 of them.
        wanted = int.from_bytes(self.priorities.translate(_IS_WANTED), "little")
        return (have.number & wanted & ~self._have.number).bit_count()

    def pick(self, peer: Peer) -> int | None:
        """The next piece to start with `peer`, or None where it has none that is startable.

        The piece stays on offer until `started` is called.
        """
        # To find nothing costs a look at every piece, and is found again and again of most peers. What it
        # gains is looked at as it comes (`gained`).
        nothing = peer.found_nothing
        # The very set: it may have grown since, but one that was forgotten is another one.
        if nothing is not None and nothing[0] == self.epoch and nothing[1] is peer.refused:
            if not peer.fresh:
                return None
            if self._have.count >= self._random_first and not self._is_sequential:
                return self._search_fresh(peer)
        piece = self._search(peer)
        peer.fresh.clear()
        peer.found_nothing = (self.epoch, peer.refused) if piece is None else None
        return piece

    def gained(self, peer: Peer, piece: int) -> bool:
        """`peer` has one more piece; whether it is one that we want and miss."""
        self._availability.counts[piece] += 1
        if not self._startable[piece]:
            return self.wants(piece)
        have = peer.have
        # Whatever is not startable stands in no order; who has become a seed is counted apart.
        if have.count < len(have.flags):
            self._orders[self.priorities[piece]].raised(piece)
        if peer.found_nothing is not None:
            peer.fresh.append(piece)
        return True

    def look_anew(self, peer: Peer) -> None:
        """What `peer` has is otherwise than before, and not just one piece more."""
        peer.found_nothing = None

    def _search_fresh(self, peer: Peer) -> int | None:
        """As `_search`, where nothing but what it has gained since then may be found."""
        startable, refused = self._startable, peer.refused
        peer.fresh = fresh = [piece for piece in peer.fresh if startable[piece] and piece not in refused]
        if not fresh:
            return None
        highest = max(self.priorities[piece] for piece in fresh)
        counts, random = self._availability.counts, self._rng.random
        return min(
            (piece for piece in fresh if self.priorities[piece] == highest),
            key=lambda piece: (counts[piece], random()),
        )

    def _search(self, peer: Peer) -> int | None:
        have = peer.have
        flags = have.flags
        for order in self._orders.values():
            if self._is_sequential:
                piece = self._lowest(peer, order) if order else None
            elif self._have.count < self._random_first:
                piece = order.any_of(flags)
            elif have.count == len(flags):
                piece = order.first()
            else:
                piece = order.first_of(flags)
            if piece is not None and piece in peer.refused:
                allowed = bytearray(flags)
                for refused in peer.refused:
                    allowed[refused] = 0
                piece = order.search(allowed)
            if piece is not None:
                return piece
        return None

    def _lowest(self, peer: Peer, order: RarityOrder) -> int | None:
        at = self._startable.find(1)
        while at >= 0:
            if peer.have.flags[at] and at in order:
                return at
            at = self._startable.find(1, at + 1)
        return None

    def pick_allowed_fast(self, peer: Peer) -> int | None:
        """A startable piece among those that `peer` serves although it chokes us (BEP 6)."""
        for piece in sorted(peer.allowed_fast_in):
            if self._startable[piece] and peer.have.flags[piece] and piece not in peer.refused:
                return piece
        return None

    def started(self, piece: int) -> None:
        """Blocks of `piece` are being asked for: it is not on offer any more."""
        self._startable[piece] = 0
        self._orders[self.priorities[piece]].remove(piece)

    def returned(self, piece: int) -> None:
        """`piece` was given up (bad, or nobody to ask): it is on offer again if still wanted."""
        if self.wants(piece) and not self._startable[piece]:
            self.epoch += 1
            self._startable[piece] = 1
            priority = self.priorities[piece]
            if priority in self._orders:
                self._orders[priority].add(piece)
            else:
                self._set_orders()

    def verified(self, piece: int) -> None:
        """`piece` is ours now (its bit in `have` is set already)."""
        if self.priorities[piece] != UNWANTED:
            self.wanted_missing -= 1

    def lost(self, piece: int) -> None:
        """`piece` is no longer ours (its bit is cleared already)."""
        if self.priorities[piece] != UNWANTED:
            self.wanted_missing += 1
            self.returned(piece)

    def missing_bytes(self, geometry: Geometry) -> int:
        """How many bytes are wanted and not verified."""
        total = self.wanted_missing * geometry.piece_length
        last = geometry.piece_count - 1
        if last >= 0 and self.wants(last):
            total -= geometry.piece_length - geometry.piece_bytes(last)
        return total

    def unavailable(self) -> tuple[int, list[int]]:
        """How many pieces are on offer that nobody connected has, and one of each priority as an example.

        Not for a torrent of which a seed is connected: it has them all.
        """
        counts = {order: order.count_of_none() for order in self._orders.values()}
        return sum(counts.values()), [
            piece for order, count in counts.items() if count and (piece := order.first()) is not None
        ]

    def startable_of(self, peer: Peer) -> list[int]:
        """All that could be started with `peer`; a look at every piece, for tests."""
        startable, refused = self._startable, peer.refused
        return [piece for piece in peer.have if startable[piece] and piece not in refused]

    @property
    def has_startable(self) -> bool:
        return any(self._orders.values())

    @property
    def is_complete(self) -> bool:
        """Everything wanted is verified."""
        return self.wanted_missing == 0

    def check(self, peers: Iterable[Peer] = ()) -> None:
        """Raise AssertionError where the desk contradicts itself (for tests)."""
        on_offer = set()
        for priority, order in self._orders.items():
            order.check()
            for piece in order:
                assert self.priorities[piece] == priority, "a piece stands in the wrong order"
                on_offer.add(piece)
        assert on_offer == {piece for piece, flag in enumerate(self._startable) if flag}, "offers differ"
        assert all(self.wants(piece) for piece in on_offer), "an unwanted piece is on offer"
        assert self.wanted_missing == sum(map(self.wants, range(len(self._have)))), "wanted_missing is wrong"
        for peer in peers:
            if peer.found_nothing == (self.epoch, peer.refused):
                passed_over = on_offer.intersection(peer.have).difference(peer.fresh, peer.refused)
                assert not passed_over, "a peer has something to start with and was found to have nothing"
