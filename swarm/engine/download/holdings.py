"""What the connected peers have, and what of it interests us."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from swarm.base.bitfield import Bitfield
from swarm.base.errors import PeerError
from swarm.engine.download.availability import Availability
from swarm.engine.download.picker import UNWANTED, Picker
from swarm.engine.peer import Peer, Send
from swarm.engine.upload.spreading import Spreading
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.wire.peer.messages import Interested, NotInterested


class Holdings:
    """Keeps which pieces each peer has and how many have each; says `interested` when that changes.

    `peer.interesting` counts the pieces it has that we want and miss; it is kept up to date piece by piece.
    """

    __slots__ = ("_availability", "_introduced", "_picker", "_send", "_spreading", "_super_seeding")

    def __init__(
        self,
        availability: Availability,
        picker: Picker,
        spreading: Spreading,
        super_seeding: SuperSeeding,
        send: Send,
    ) -> None:
        self._availability = availability
        self._picker = picker
        self._spreading = spreading
        self._super_seeding = super_seeding
        self._send = send
        #: Peers that have said which pieces they have (BEP 3, BEP 6).
        self._introduced: set[int] = set()

    def joined(self, peer: Peer) -> None:
        """The link to `peer` is open; it has nothing yet."""
        self._availability.add(peer.have)

    def has_introduced(self, peer: Peer) -> bool:
        """Has `peer` said which pieces it has? Until then it only seems to have none."""
        return peer.number in self._introduced

    def introduced(self, peer: Peer, have: Bitfield) -> None:
        """`peer` has said which pieces it has.

        Raises:
            PeerError: it has said so before (BEP 6: exactly one of bitfield, have all, have none). For those
                that come later all the same see `gained_many`.
        """
        if peer.number in self._introduced:
            raise PeerError("it said twice which pieces it has")
        self._introduced.add(peer.number)
        news = have
        if self._spreading.is_active and have.is_full:
            self._spreading.met_seed()
            news = Bitfield(len(have))
        self._replace(peer, have, news)

    def gained_many(self, peer: Peer, have: Bitfield) -> None:
        """`peer` has these as well, or had them: a bitfield or "have all" that comes later (from aria2)."""
        fresh = have.without(peer.have)
        if fresh.count <= len(fresh) * Availability.BULK_SHARE:
            for piece in fresh:
                self.gained(peer, piece)
            return
        self._replace(peer, peer.have.union(fresh), fresh)

    def _replace(self, peer: Peer, have: Bitfield, news: Bitfield) -> None:
        """All that `peer` has changes at once; of `news` who watches where pieces go is to hear."""
        self._availability.remove(peer.have)
        peer.have = have
        self._picker.look_anew(peer)
        self._availability.add(have)
        if self._spreading.is_active:
            self._spreading.seen_all(peer, news)
        elif self._super_seeding.is_active:
            self._super_seeding.seen(peer, news)
        peer.interesting = self._picker.count_interesting(have)
        self._show_interest(peer)

    def gained(self, peer: Peer, piece: int) -> bool:
        """`peer` has one more piece; False where it had it already."""
        have = peer.have
        # `Bitfield.add`, written out: of all that an engine is told, haves are the most.
        flags = have.flags
        if flags[piece]:
            return False
        flags[piece] = 1
        have.count += 1
        is_wanted = self._picker.gained(peer, piece)
        if have.count == len(flags):
            self._availability.became_seed()
            # One that began without a piece may never have said so (BEP 3).
            self._introduced.add(peer.number)
        if self._spreading.is_active:
            self._spreading.seen(peer, piece)
        elif self._super_seeding.is_active:
            self._super_seeding.seen(peer, (piece,))
        if is_wanted:
            peer.interesting += 1
            if not peer.am_interested:
                self._show_interest(peer)
        return True

    def lost(self, peer: Peer, piece: int) -> bool:
        """`peer` has lost a piece (BEP 54); False where it did not have it."""
        if not peer.have.flags[piece]:
            return False
        if peer.have.is_full:
            self._availability.was_seed()
        peer.have.discard(piece)
        self._picker.look_anew(peer)
        self._availability.lower_one(piece)
        if self._super_seeding.is_active:
            self._super_seeding.dropped(peer, piece)
        if self._picker.wants(piece):
            peer.interesting -= 1
            self._show_interest(peer)
        return True

    def gone(self, peer: Peer) -> None:
        """The link to `peer` is closed."""
        self._introduced.discard(peer.number)
        self._availability.remove(peer.have)

    def we_gained(self, peers: Iterable[Peer], pieces: Sequence[int]) -> None:
        """We have these pieces now, so no peer is of interest for them any more."""
        wanted = [piece for piece in pieces if self._picker.priorities[piece] != UNWANTED]
        if not wanted:
            return
        first, others = wanted[0], wanted[1:]
        for peer in peers:
            flags = peer.have.flags
            count = flags[first]
            # Mostly it is one piece, and there are many peers.
            for piece in others:
                count += flags[piece]
            if count:
                peer.interesting -= count
                self._show_interest(peer)

    def we_lost(self, peers: Iterable[Peer], piece: int) -> None:
        """We miss `piece` again."""
        if self._picker.wants(piece):
            for peer in peers:
                if peer.have.flags[piece]:
                    peer.interesting += 1
                    self._show_interest(peer)

    def _show_interest(self, peer: Peer) -> None:
        is_interested = peer.interesting > 0
        if is_interested != peer.am_interested:
            peer.am_interested = is_interested
            self._send(peer, [Interested() if is_interested else NotInterested()])

    def check(self, peers: Iterable[Peer]) -> None:
        """Raise AssertionError where the books are wrong (for tests)."""
        counts = [0] * len(self._availability.counts)
        seeds = 0
        for peer in peers:
            assert peer.interesting == self._picker.count_interesting(peer.have), "interesting is wrong"
            if peer.have.is_full:
                seeds += 1
            else:
                for piece in peer.have:
                    counts[piece] += 1
        assert counts == list(self._availability.counts), "availability is wrong"
        assert seeds == self._availability.seed_count, "seed_count is wrong"
