"""Super-seeding (BEP 16), by choice: a seed that shows its pieces one by one, each to one peer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from swarm.base.bitfield import Bitfield
from swarm.engine.download.availability import Availability
from swarm.engine.peer import Peer, Send
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Have, Message


class _Guest:
    """What one peer was shown, and what came of it.

    Attributes:
        shown: all that it may ask for.
        fetching: shown, and it has not got it yet.
        keeping: it has it, and nobody else that we know of.
        has_moved: something of this changed since the last look at the clock.
    """

    __slots__ = ("fetching", "has_moved", "keeping", "moved_at", "peer", "shown")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.shown: set[int] = set()
        self.fetching: dict[int, None] = {}
        self.keeping: dict[int, None] = {}
        self.has_moved = True
        self.moved_at = 0.0

    @property
    def debt(self) -> int:
        return len(self.fetching) + len(self.keeping)


class SuperSeeding:
    """Decides which piece is shown to whom, while not every piece is out.

    A newcomer is greeted as by a peer that has nothing, and is shown one piece that nobody has and nobody
    else was shown. It is shown the next when that one was seen at *another* peer (BEP 16). What it was not
    shown it does not get.

    Where nobody passes anything on: so that our line does not stand still, about `super_seed_ahead_bytes` are
    always shown to somebody who has not got them; whoever keeps fewest is shown more. That covers the only
    peer too, and those who cannot reach each other. And who has got all that it was shown and sees nothing
    happen for `super_seed_patience_s` is shown another piece: if each was shown to somebody, then one that
    nobody has got yet.

    It ends for good when each piece was seen at somebody, when another seed is met, or when we lose a piece;
    everybody is then told of all we have, and we seed like any other.

    Args:
        have: our own pieces; it is active if that is all and the settings choose it.
        availability: of the leechers; told of a change before this desk.
        revealed: called for each peer when it ends.
    """

    __slots__ = (
        "_ahead",
        "_availability",
        "_carriers",
        "_fetching_count",
        "_fresh",
        "_guests",
        "_have",
        "_is_out",
        "_missing_count",
        "_revealed",
        "_send",
        "_settings",
        "is_active",
    )

    def __init__(
        self,
        have: Bitfield,
        availability: Availability,
        piece_length: int,
        settings: EngineSettings,
        rng: random.Random,
        send: Send,
        revealed: Callable[[Peer], None],
    ) -> None:
        self._have = have
        self._availability = availability
        self._settings = settings
        self._send = send
        self._revealed = revealed
        self._ahead = max(2, settings.super_seed_ahead_bytes // piece_length)
        self.is_active = settings.is_super_seeding and have.is_full
        self._guests: dict[int, _Guest] = {}
        self._is_out = bytearray(len(have))
        self._missing_count = len(have)
        #: Not out and shown to nobody; those that are by now are passed over when their turn comes.
        self._fresh = list(range(len(have))) if self.is_active else []
        rng.shuffle(self._fresh)
        #: piece -> whom it was shown, as far as they have not passed it on.
        self._carriers: dict[int, list[int]] = {}
        self._fetching_count = 0

    # -- what others ask ------------------------------------------------------------------------

    @property
    def pretended(self) -> Bitfield:
        """What a newcomer is told that we have."""
        return Bitfield(len(self._have)) if self.is_active else self._have

    def accepts(self, peer: Peer, piece: int) -> bool:
        """May `peer` ask for `piece`? Only asked while active."""
        return piece in self._guests[peer.number].shown

    def reasons(self, peer: Peer) -> int:
        """A number that changes whenever `peer` has been given a reason to change its interest in us."""
        if not self.is_active:
            return self._have.count
        return len(self._guests[peer.number].shown) + peer.have.count

    # -- what happens; only called while active ---------------------------------------------------

    def met(self, peer: Peer) -> None:
        """`peer` was greeted with `pretended`."""
        if not self.is_active:
            return
        guest = self._guests[peer.number] = _Guest(peer)
        self._show_next(guest)

    def seen(self, peer: Peer, pieces: Iterable[int]) -> None:
        """`peer` has these pieces, too."""
        if peer.is_seed:
            self.end()
            return
        moved = {peer.number: self._guests[peer.number]}
        for piece in pieces:
            if not self._is_out[piece]:
                self._is_out[piece] = 1
                self._missing_count -= 1
            for number in self._carriers.get(piece, ()):
                moved[number] = self._guests[number]
            self._carried(peer.number, piece)
        if not self._missing_count:
            self.end()
            return
        for guest in moved.values():
            guest.has_moved = True
            if guest.debt < self._settings.super_seed_pieces:
                self._show_next(guest)
        self._keep_line_busy()

    def _carried(self, number: int, piece: int) -> None:
        """The peer `number` has `piece`: all others that carry it are done with it."""
        carriers = self._carriers.pop(piece, None)
        if carriers is None:
            return
        for carrier in carriers:
            guest = self._guests[carrier]
            if piece in guest.fetching:
                del guest.fetching[piece]
                self._fetching_count -= 1
            if carrier == number:
                guest.keeping[piece] = None
                self._carriers[piece] = [carrier]
            else:
                guest.keeping.pop(piece, None)

    def dropped(self, peer: Peer, piece: int) -> None:
        """`peer` has not got `piece` any more (BEP 54)."""
        guest = self._guests[peer.number]
        if piece in guest.keeping:
            del guest.keeping[piece]
            guest.fetching[piece] = None
            self._fetching_count += 1
        if not self._availability.of(piece):
            self._is_out[piece] = 0
            self._missing_count += 1
            if piece not in self._carriers:
                self._fresh.append(piece)

    def lost(self, peer: Peer) -> None:
        """`peer` is gone, and what only it had or was shown is fresh again."""
        guest = self._guests.pop(peer.number, None)
        if guest is None:
            return
        self._fetching_count -= len(guest.fetching)
        for piece in peer.have:
            if not self._availability.of(piece):
                self._is_out[piece] = 0
                self._missing_count += 1
                self._fresh.append(piece)
        for piece in [*guest.fetching, *guest.keeping]:
            carriers = self._carriers[piece]
            carriers.remove(peer.number)
            if not carriers:
                del self._carriers[piece]
                if not self._is_out[piece]:
                    self._fresh.append(piece)
        self._keep_line_busy()

    def tick(self, now: float) -> None:
        """About once a second: show more to peers that would otherwise wait for ever for others."""
        for guest in self._guests.values():
            if guest.has_moved or guest.fetching:
                guest.has_moved = False
                guest.moved_at = now
            elif now - guest.moved_at >= self._settings.super_seed_patience_s:
                guest.moved_at = now
                if not self._show_next(guest):
                    self._show_again(guest)

    def end(self) -> None:
        """Tell everybody of everything; from now on we are a seed like any other."""
        self.is_active = False
        messages = {piece: Have(piece) for piece in self._have}
        for guest in self._guests.values():
            theirs, shown = guest.peer.have.flags, guest.shown
            rest: list[Message] = [
                message for piece, message in messages.items() if not theirs[piece] and piece not in shown
            ]
            if rest:
                self._send(guest.peer, rest)
            self._revealed(guest.peer)
        self._guests.clear()
        self._carriers.clear()
        self._fresh.clear()

    # -- which piece ------------------------------------------------------------------------------

    def _show_next(self, guest: _Guest) -> bool:
        """Show `guest` a piece that nobody has and nobody was shown; False if there is none."""
        fresh = self._fresh
        for place in range(len(fresh) - 1, -1, -1):
            piece = fresh[place]
            is_stale = self._is_out[piece] or piece in self._carriers
            # One that it was shown is fresh again where somebody else had it, and went.
            if is_stale or piece not in guest.shown:
                del fresh[place]
            if not is_stale and piece not in guest.shown:
                self._show(guest, piece)
                return True
        return False

    def _show_again(self, guest: _Guest) -> None:
        """Each piece was shown to somebody, who does not come to an end with it."""
        late = [piece for piece in self._carriers if not self._is_out[piece] and piece not in guest.shown]
        if late:
            self._show(guest, min(late, key=lambda piece: len(self._carriers[piece])))

    def _show(self, guest: _Guest, piece: int) -> None:
        guest.shown.add(piece)
        guest.fetching[piece] = None
        guest.has_moved = True
        self._fetching_count += 1
        self._carriers.setdefault(piece, []).append(guest.peer.number)
        self._send(guest.peer, [Have(piece)])

    def _keep_line_busy(self) -> None:
        while self._guests and self._fetching_count < self._ahead:
            if not self._show_next(min(self._guests.values(), key=lambda guest: guest.debt)):
                return

    def check(self) -> None:
        """Raise AssertionError where the desk contradicts itself (for tests)."""
        if not self.is_active:
            return
        assert self._missing_count == self._is_out.count(0) > 0, "missing_count is wrong"
        guests = self._guests.values()
        assert self._fetching_count == sum(len(guest.fetching) for guest in guests), "fetching_count is wrong"
        fresh = {piece for piece in self._fresh if piece not in self._carriers}
        for piece, is_out in enumerate(self._is_out):
            assert is_out or piece in fresh or piece in self._carriers, "a piece is shown to nobody"
            assert bool(is_out) == bool(self._availability.of(piece)), "is_out is wrong"
        for guest in guests:
            assert guest.shown.issuperset([*guest.fetching, *guest.keeping]), "shown is wrong"
            for piece in guest.fetching:
                assert not guest.peer.have.flags[piece], "it has what it fetches"
                assert guest.peer.number in self._carriers[piece], "a carrier is forgotten"
