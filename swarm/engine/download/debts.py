"""Which blocks are owed to us: an account with each peer, and one with each piece, which always agree."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.engine.download.partial_piece import PartialPiece
from swarm.engine.peer import Peer


class Debts:
    """What was asked of whom and has not come; it is written in `Peer.asked` and in `PartialPiece.asked`.

    A debt ends when the blocks come, or when it is forgiven: then it counts no longer and the blocks may be
    asked of others, but they may be on their way and are welcome if they come (`Peer.forgiven`).

    Args:
        peers: all that are connected, by number; the coordinator's own dictionary.

    Attributes:
        partials: all pieces on their way.
        open: those with blocks to ask for, oldest first.
        is_reopened: there may be blocks to ask for, or peers to ask, that were not when all were asked last.
    """

    __slots__ = ("_peers", "is_reopened", "open", "partials")

    def __init__(self, peers: Mapping[int, Peer]) -> None:
        self._peers = peers
        self.partials: dict[int, PartialPiece] = {}
        self.open: dict[int, PartialPiece] = {}
        self.is_reopened = False

    def begin(self, partial: PartialPiece) -> None:
        """From now on its blocks may be asked for."""
        self.partials[partial.piece] = partial
        self.open[partial.piece] = partial

    def end(self, piece: int) -> None:
        """No more of it will be asked for."""
        del self.partials[piece]
        self.open.pop(piece, None)

    def give_up(self, piece: int) -> None:
        """Nothing more is expected of it; blocks on their way are forgiven."""
        for number in list(self.partials[piece].asked):
            self.settle_piece(self._peers[number], piece)
        self.end(piece)

    # -- what may be asked of whom --------------------------------------------------------------

    def may_ask(self, peer: Peer, partial: PartialPiece) -> bool:
        """May `peer` be asked for blocks of that piece?"""
        piece = partial.piece
        return (
            peer.have.flags[piece] == 1
            and (not peer.peer_choking or piece in peer.allowed_fast_in)
            and piece not in peer.refused
            and (not partial.is_solo or self._may_send_alone(peer, partial))
        )

    def is_stuck(self, partial: PartialPiece) -> bool:
        """Nobody who answers owes us anything of that piece, or may be asked for it."""
        return not partial.pending and not any(
            self.may_ask(peer, partial) and not peer.is_stalled for peer in self._peers.values()
        )

    def _may_send_alone(self, peer: Peer, partial: PartialPiece) -> bool:
        """Whether the whole of a piece may hang on `peer`: not on one that never sent anything while others
        have, or a silent liar would hold up the end for as long as a request may take.
        """
        piece = partial.piece
        if partial.sole_peer is not None:
            sole = self._peers.get(partial.sole_peer)
            # It may have gone, or be out of use, without owing anything of the piece at that time.
            if sole is not None and (sole is peer or self._goes_on(sole, piece)):
                return sole is peer
        return peer.download.total_bytes > 0 or not any(
            other.download.total_bytes
            and other.have.flags[piece]
            and not (other.peer_choking or other.is_stalled or piece in other.refused)
            for other in self._peers.values()
        )

    @staticmethod
    def _goes_on(sole: Peer, piece: int) -> bool:
        """Is more of `piece` to be had of `sole`, which alone is to send it?"""
        if sole.is_stalled or not sole.have.flags[piece]:
            return False
        if piece in sole.asked:
            return True
        return piece in sole.allowed_fast_in if sole.peer_choking else piece not in sole.refused

    # -- owed -----------------------------------------------------------------------------------

    def incur(self, peer: Peer, partial: PartialPiece, mask: int) -> None:
        """`peer` owes us the blocks `mask`, none of which it owed before."""
        piece = partial.piece
        peer.asked[piece] = peer.asked.get(piece, 0) | mask
        peer.asked_blocks += mask.bit_count()
        partial.asked[peer.number] = partial.asked.get(peer.number, 0) | mask
        if not peer.is_stalled:
            partial.pending |= mask
            if partial.is_solo:
                partial.sole_peer = peer.number
        if not partial.missing:
            self.open.pop(piece, None)

    # -- owed no longer -------------------------------------------------------------------------

    def came(self, partial: PartialPiece, mask: int) -> None:
        """The blocks `mask` are here, whoever sent them; `settle` what is owed of them afterwards."""
        partial.arrived |= mask
        if not partial.missing:
            self.open.pop(partial.piece, None)

    def settle(self, peer: Peer, piece: int, mask: int) -> None:
        """`peer` no longer owes us the blocks `mask`, all of which it owed until now."""
        left = peer.asked[piece] & ~mask
        peer.asked_blocks -= mask.bit_count()
        if left:
            peer.asked[piece] = left
        else:
            del peer.asked[piece]
        partial = self.partials.get(piece)
        if partial is None:
            return
        if left:
            partial.asked[peer.number] = left
        else:
            partial.asked.pop(peer.number, None)
        self._recount(partial)

    def settle_piece(self, peer: Peer, piece: int) -> None:
        """`peer` no longer owes us anything of `piece`; blocks on their way are forgiven."""
        mask = peer.asked.get(piece, 0)
        if not mask:
            return
        self.forgive(peer, piece, mask)
        self.settle(peer, piece, mask)

    def settle_all(self, peer: Peer, *, is_forgiven: bool) -> None:
        """`peer` no longer owes us anything.

        Args:
            is_forgiven: blocks on their way may still come, and are welcome if they do.
        """
        for piece, mask in peer.asked.items():
            if is_forgiven:
                self.forgive(peer, piece, mask)
            partial = self.partials.get(piece)
            if partial is not None:
                partial.asked.pop(peer.number, None)
                self._recount(partial)
        peer.asked.clear()
        peer.asked_blocks = 0

    @staticmethod
    def forgive(peer: Peer, piece: int, mask: int) -> None:
        """The blocks `mask`, which `peer` owed, may come or not: both will be right."""
        peer.forgiven[piece] = peer.forgiven.get(piece, 0) | mask

    @staticmethod
    def redeem(peer: Peer, piece: int, mask: int) -> int:
        """Which of the blocks `mask`, that have now come or been rejected, were forgiven; once each."""
        forgiven = mask & peer.forgiven.get(piece, 0)
        if forgiven:
            peer.forgiven[piece] &= ~forgiven
        return forgiven

    def set_stalled(self, peer: Peer, is_stalled: bool) -> None:
        """Note whether `peer` has stalled: what it owes may then be asked of others as well."""
        if peer.is_stalled == is_stalled:
            return
        peer.is_stalled = is_stalled
        for piece in peer.asked:
            partial = self.partials.get(piece)
            if partial is not None:
                self._recount(partial)

    def _recount(self, partial: PartialPiece) -> None:
        """Find again what is pending, after somebody was struck off."""
        pending = 0
        for number, mask in partial.asked.items():
            if not self._peers[number].is_stalled:
                pending |= mask
        partial.pending = pending
        if partial.missing:
            if partial.piece not in self.open:
                self.open[partial.piece] = partial
                self.is_reopened = True
        else:
            # Its peer has woken up and answers for these blocks again.
            self.open.pop(partial.piece, None)

    def check(self) -> None:
        """Raise AssertionError where the accounts differ (for tests)."""
        for piece, partial in self.partials.items():
            pending = 0
            for number, mask in partial.asked.items():
                assert mask, "an empty entry"
                assert not mask & partial.arrived, "asked for what has arrived"
                assert self._peers[number].asked.get(piece) == mask, "peer and piece disagree"
                if not self._peers[number].is_stalled:
                    pending |= mask
            assert pending == partial.pending, "pending is wrong"
            assert bool(partial.missing) == (piece in self.open), "open is wrong"
        for peer in self._peers.values():
            assert peer.asked_blocks == sum(mask.bit_count() for mask in peer.asked.values()), (
                "asked_blocks is wrong"
            )
            for piece, mask in peer.asked.items():
                assert self.partials[piece].asked.get(peer.number) == mask, "peer and piece disagree"
