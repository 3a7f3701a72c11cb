"""What an only seed gives to whom: each piece once, while there are others that nobody else has."""

from __future__ import annotations

from swarm.base.bitfield import Bitfield
from swarm.engine.peer import NO_PIECES, Peer, with_piece
from swarm.engine.settings import EngineSettings


class Spreading:
    """Steers what leaves a seed whose pieces are not out yet; it needs no setting and ends by itself.

    All leechers look for the rarest piece, so several ask for the same one. A seed that answers them all
    sends it again and again, while a copy of the whole takes all the longer to get out, and that is what
    everybody waits for. So the first to ask gets the piece, and the others are told no (BEP 6, "reject"):
    they ask for another now, and get this one from the first. Whoever asks again after that is served: there
    may be a reason, and nobody is to be left without.

    A piece that goes to somebody who passes nothing on is lost for the others. Such a *miser* is known by
    what he was given: nobody else has any of it. He gets what is out already.

    A piece is *fresh* while nobody is known to have it and nobody is being given it.

    Args:
        have: our own pieces; it is active if that is all, and the user has not chosen `superseeding`.
    """

    __slots__ = (
        "_fresh",
        "_fresh_count",
        "_given",
        "_held",
        "_kept",
        "_misers",
        "_passed_on",
        "_settings",
        "has_met_seed",
        "is_active",
    )

    def __init__(self, have: Bitfield, settings: EngineSettings) -> None:
        self._settings = settings
        #: One flag a piece; all are fresh at first.
        self._fresh = bytearray(b"\x01") * len(have)
        self._fresh_count = len(have)
        #: piece -> the peer that is being given it; out again as soon as anybody has it.
        self._given: dict[int, int] = {}
        #: piece -> the only peer that has it, by our gift.
        self._held: dict[int, int] = {}
        #: peer -> how many of our gifts only it has; and of how many others have got one by now.
        self._kept: dict[int, int] = {}
        self._passed_on: dict[int, int] = {}
        self._misers: dict[int, Peer] = {}
        #: We are a seed, as far as we know the only one, and not everything is out.
        self.is_active = have.is_full and have.count > 0 and not settings.is_super_seeding
        #: Somebody has said, truly or not, that he has everything.
        self.has_met_seed = False

    def accepts(self, peer: Peer, piece: int, *, is_late: bool = True) -> bool:
        """Should this request of `peer` be answered? Only asked while active.

        Args:
            is_late: others wait so long for us that, if there is another seed, it may be sooner.
        """
        may_decline = is_late or not self.has_met_seed
        if self._fresh[piece]:
            if may_decline and peer.is_miser and peer.has_fast and not self._has_only_misers():
                return False
            self._fresh[piece] = 0
            self._fresh_count -= 1
            self._given[piece] = peer.number
            return True
        if not self._fresh_count or self._given.get(piece) == peer.number:
            return True
        # From a miser nobody will have it.
        holder = self._held.get(piece, -1)
        if may_decline and holder not in self._misers and self._may_decline(peer, piece):
            return False
        if holder >= 0:
            # Who has it next has it from us: that is to nobody's credit, and nobody's fault.
            del self._held[piece]
            self._kept[holder] -= 1
        return True

    def _may_decline(self, peer: Peer, piece: int) -> bool:
        if not peer.has_fast or piece in peer.declined:
            return False
        peer.declined = with_piece(peer.declined, piece)
        return True

    def forget_refusals(self, peer: Peer) -> None:
        """What `peer` was told no to, it may be told no to again."""
        peer.declined = NO_PIECES

    def _has_only_misers(self) -> bool:
        return all(number in self._misers for number in self._kept)

    def seen(self, peer: Peer, piece: int) -> None:
        """The leecher `peer` has `piece`."""
        self._note(peer, piece)
        self._end_if_all_is_out()

    def seen_all(self, peer: Peer, have: Bitfield) -> None:
        """The leecher `peer` has all of these."""
        # Most are fresh or out already; as large numbers, for there may be 200,000.
        fresh = int.from_bytes(self._fresh, "little") & ~have.number
        self._fresh[:] = fresh.to_bytes(len(self._fresh), "little")
        self._fresh_count = fresh.bit_count()
        for piece in sorted({*self._given, *self._held}):
            if have.flags[piece]:
                self._note(peer, piece)
        self._end_if_all_is_out()

    def _note(self, peer: Peer, piece: int) -> None:
        number = peer.number
        if self._fresh[piece]:
            self._fresh[piece] = 0
            self._fresh_count -= 1
        elif (given := self._given.pop(piece, None)) is not None:
            if given == number:
                self._held[piece] = number
                kept = self._kept[number] = self._kept.get(number, 0) + 1
                if kept >= self._settings.miser_pieces and kept > 8 * self._passed_on.get(number, 0):
                    self._misers[number] = peer
                    peer.is_miser = True
        elif (holder := self._held.get(piece, number)) != number:
            del self._held[piece]
            self._kept[holder] -= 1
            self._passed_on[holder] = self._passed_on.get(holder, 0) + 1
            if holder in self._misers:
                self._misers.pop(holder).is_miser = False

    def _end_if_all_is_out(self) -> None:
        if self._fresh_count or self._given:
            return
        self.is_active = False
        for peer in self._misers.values():
            peer.is_miser = False
        self._misers.clear()

    def met_seed(self) -> None:
        """Another peer says that it has everything; it may lie, and may leave."""
        self.has_met_seed = True

    def take_back(self, peer: Peer) -> None:
        """`peer` will not be sent more of what it was being given: somebody else may have it."""
        self._renew(self._given, peer.number)

    def lost(self, peer: Peer) -> None:
        """`peer` is gone, and what only it had is fresh again."""
        if not self.is_active:
            return
        self._renew(self._given, peer.number)
        self._renew(self._held, peer.number)
        self._kept.pop(peer.number, None)
        self._passed_on.pop(peer.number, None)
        self._misers.pop(peer.number, None)

    def _renew(self, owners: dict[int, int], number: int) -> None:
        """The pieces of that peer in `owners` are fresh again."""
        for piece in [piece for piece, owner in owners.items() if owner == number]:
            del owners[piece]
            self._fresh[piece] = 1
            self._fresh_count += 1
