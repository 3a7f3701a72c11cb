"""What an only seed gives to whom: each piece once, while there are others that nobody else has."""

from __future__ import annotations

from swarm.engine.peer import Peer


class Spreading:
    """Steers what leaves a seed whose pieces are not out yet; it needs no setting and ends by itself.

    All leechers look for the rarest piece, so several ask for the same one. A seed that answers them all
    sends it again and again, while a copy of the whole takes all the longer to get out, and that is what
    everybody waits for. So the first to ask gets the piece, and the others are told no (BEP 6, "reject"):
    they ask for another now, and get this one from the first. Whoever asks again after that is served: there
    may be a reason, and nobody is to be left without.

    A piece is *fresh* while nobody is known to have it and nobody is being given it.

    Args:
        piece_count: how many there are; all are fresh at first.
    """

    __slots__ = ("_fresh", "_fresh_count", "_given", "is_active")

    def __init__(self, piece_count: int) -> None:
        self._fresh = bytearray(b"\x01") * piece_count
        self._fresh_count = piece_count
        #: piece -> the peer that is being given it; out again as soon as anybody has it.
        self._given: dict[int, int] = {}
        #: We are a seed, as far as we know the only one, and not everything is out.
        self.is_active = False

    def begin(self, counts: list[int], seed_count: int) -> None:
        """We have everything (now): take stock. `counts`: how many leechers have each piece."""
        self._given.clear()
        self._fresh = bytearray(count == 0 for count in counts)
        self._fresh_count = self._fresh.count(1)
        self.is_active = seed_count == 0 and self._fresh_count > 0

    def accepts(self, peer: Peer, piece: int) -> bool:
        """Should this request of `peer` be answered? Only asked while active."""
        if self._fresh[piece]:
            self._fresh[piece] = 0
            self._fresh_count -= 1
            self._given[piece] = peer.number
            return True
        if not self._fresh_count or not peer.has_fast or self._given.get(piece) == peer.number:
            return True
        if piece in peer.declined:
            return True
        peer.declined.add(piece)
        return False

    def seen(self, piece: int) -> None:
        """A leecher has `piece`."""
        if self._fresh[piece]:
            self._fresh[piece] = 0
            self._fresh_count -= 1
        else:
            self._given.pop(piece, None)
        if not self._fresh_count and not self._given:
            self.is_active = False

    def met_seed(self) -> None:
        """Somebody else has everything too."""
        self.is_active = False

    def take_back(self, peer: Peer) -> None:
        """`peer` will not be sent more of what it was being given: somebody else may have it."""
        for piece in [piece for piece, number in self._given.items() if number == peer.number]:
            del self._given[piece]
            self._fresh[piece] = 1
            self._fresh_count += 1
