"""A piece on its way, block by block."""

from __future__ import annotations

from dataclasses import field

from swarm.base.dataclass import dataclass


@dataclass(slots=True)
class Move:
    """Blocks cancelled at one peer, which another is to send once they were rejected (see `moves`).

    Args:
        owing, idle: their numbers.
        mask: the blocks whose cancel has not been answered.
    """

    owing: int
    idle: int
    mask: int


@dataclass(slots=True)
class PartialPiece:
    """A piece on its way: each block is missing, asked of somebody, or arrived.

    Args:
        full: mask of all its blocks that are to come; those that are known beforehand are not in it.
        arrived: mask of those that are stored.
        asked: peer number -> mask of the blocks it was asked for and has not sent yet.
        senders: peer number -> mask of the blocks it sent.
        sole_peer: where set, only this peer may be asked, as long as more is to be had of it: after a bad
            piece with several senders the next try has one, so that a second failure names the liar.
    """

    piece: int
    full: int
    arrived: int = 0
    asked: dict[int, int] = field(default_factory=dict)
    senders: dict[int, int] = field(default_factory=dict)
    #: Blocks in `asked` of peers that are not stalled.
    pending: int = 0
    is_solo: bool = False
    moving: Move | None = None
    moved_count: int = 0
    sole_peer: int | None = None

    @property
    def missing(self) -> int:
        """Blocks to ask for: not here, and asked of nobody who still answers."""
        return self.full & ~(self.arrived | self.pending)

    def cancelled_at(self, number: int) -> int:
        """Blocks that this peer still owes, and has been told not to send."""
        move = self.moving
        return move.mask & self.asked.get(number, 0) if move is not None and move.owing == number else 0

    @property
    def is_complete(self) -> bool:
        return self.arrived == self.full

    def asked_by_many(self, askers_max: int) -> int:
        """The blocks that have been asked of `askers_max` peers already."""
        seen_once = 0
        many = 0
        for mask in self.asked.values():
            many |= seen_once & mask
            seen_once |= mask
        return many if askers_max == 2 else (seen_once if askers_max < 2 else 0)
