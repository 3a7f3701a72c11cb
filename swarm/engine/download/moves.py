"""Takes blocks back from the peer that owes them and asks an idle one for them, so that none comes twice."""

from __future__ import annotations

from collections.abc import Callable

from swarm.base.blocks import lowest_blocks
from swarm.engine.download.debts import Debts
from swarm.engine.download.partial_piece import Move, PartialPiece
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings

#: How often blocks of one piece may move: during the round trip of a move none of them comes.
MOVES_MAX = 3
#: Of a piece that has begun to come the later half is moved, if at least so many blocks are owed.
SHARED_BLOCKS_MIN = 4


class Moves:
    """Chooses what an idle peer should send in another's place, and knows which moves are under way.

    Where there are few pieces, all that an idle peer has may have been asked of others already, who are still
    busy with somebody else. A request can be cancelled, but only the other end knows whether the block is
    already on its way. With BEP 6 it says so: each cancelled request is answered by its block or by a reject.
    So blocks are cancelled first, and asked of the idle peer when the reject has come.

    Args:
        cancel: tell this peer not to send these blocks of that piece; it owes them until it has answered.
    """

    __slots__ = ("_cancel", "_debts", "_peers", "_settings")

    def __init__(
        self,
        debts: Debts,
        peers: dict[int, Peer],
        settings: EngineSettings,
        cancel: Callable[[Peer, int, int], None],
    ) -> None:
        self._debts = debts
        self._peers = peers
        self._settings = settings
        self._cancel = cancel

    def begin(self, idle: Peer, now: float) -> None:
        """`idle` has nothing to send us: choose blocks for it, and cancel them where they are owed."""
        partial = self._unbegun(idle, now) or self._begun(idle)
        if partial is None:
            return
        ((number, mask),) = partial.asked.items()
        if partial.arrived:
            mask &= ~lowest_blocks(mask, mask.bit_count() // 2)
        partial.moving = Move(number, idle.number, mask)
        partial.moved_count += 1
        self._cancel(self._peers[number], partial.piece, mask)

    def given_back(self, peer: Peer, partial: PartialPiece, mask: int) -> Peer | None:
        """`peer` has rejected the blocks `mask`; returns whom to ask for them now, if they were to move."""
        move = partial.moving
        if move is None or move.owing != peer.number or not mask & move.mask:
            return None
        move.mask &= partial.asked.get(peer.number, 0)
        if not move.mask:
            partial.moving = None
        return self._peers.get(move.idle)

    def _unbegun(self, idle: Peer, now: float) -> PartialPiece | None:
        """The last piece of the one that owes us most, where it has sent nothing of it."""
        best: PartialPiece | None = None
        most = 0
        for partial in self._debts.partials.values():
            if partial.arrived or not self._is_movable(idle, partial):
                continue
            owing = self._peers[next(iter(partial.asked))]
            is_waited_for = len(owing.asked) > 1 or now - owing.asked_since >= self._settings.give_up_s
            if is_waited_for and owing.asked_blocks >= most:
                best, most = partial, owing.asked_blocks
        return best

    def _begun(self, idle: Peer) -> PartialPiece | None:
        """The piece of which one peer owes us most."""
        best: PartialPiece | None = None
        most = SHARED_BLOCKS_MIN - 1
        for partial in self._debts.partials.values():
            if partial.arrived and self._is_movable(idle, partial):
                (mask,) = partial.asked.values()
                if mask.bit_count() > most:
                    best, most = partial, mask.bit_count()
        return best

    def _is_movable(self, idle: Peer, partial: PartialPiece) -> bool:
        if len(partial.asked) != 1 or partial.moved_count >= MOVES_MAX:
            return False
        number = next(iter(partial.asked))
        owing = self._peers[number]
        # BEP 6 alone says what becomes of a cancelled request. Who chokes us rejects without being told.
        return (
            owing is not idle
            and owing.has_fast
            and not owing.peer_choking
            and not partial.cancelled_at(number)
            and self._debts.may_ask(idle, partial)
        )
