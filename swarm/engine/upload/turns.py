"""Under an upload limit: whose request the host gets next, and how much of it."""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.download.availability import Availability
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings


class Turns:
    """Who waits to be served while the host may send only so much.

    A short uplink that all share block by block brings all their pieces at the same late time. Served
    one after the other, the first can pass its piece on while the next gets his: a piece reaches a
    crowd in a fraction of the time. So the host is given only what it sends in a moment.

    Attributes:
        is_crowd: so many want something that the order matters most.
        rate: what the host sends a second at the most, for all peers; None for no limit that it knows of.
    """

    __slots__ = (
        "_ahead_s",
        "_alone",
        "_availability",
        "_midway",
        "_piece_length",
        "_sent_bytes",
        "_settings",
        "_takers",
        "_ticked_at",
        "_ticked_bytes",
        "_turn_s",
        "_waiting",
        "is_crowd",
        "rate",
    )

    def __init__(self, availability: Availability, settings: EngineSettings, piece_length: int) -> None:
        self._availability = availability
        self._piece_length = piece_length
        #: How long the line needs for a piece.
        self._turn_s = 0.0
        self._settings = settings
        self.rate: float | None = None
        self.is_crowd = False
        self._ahead_s = settings.serve_ahead_s
        #: Who waits, and since when; who has waited for longest first.
        self._waiting: dict[int, tuple[Peer, float]] = {}
        #: Whose piece has been begun; not among those who wait.
        self._midway: Peer | None = None
        #: Who was handed anything since the last tick, and who alone was before it.
        self._takers: set[int] = set()
        self._alone: int | None = None
        self._sent_bytes = 0
        self._ticked_bytes = 0
        self._ticked_at = float("-inf")

    def limit(self, rate: float | None) -> list[Peer]:
        """The rate is another one; returns who has waited, to be served anew."""
        self.rate = rate
        self._turn_s = self._piece_length / rate if rate else 0.0
        self._ahead_s = self._settings.serve_ahead_s
        waited = [peer for peer, _ in self._waiting.values()]
        if self._midway is not None:
            waited.append(self._midway)
        self._waiting, self._midway = {}, None
        return waited

    def tick(self, now: float) -> bool:
        """Once a second: where the host sends less than it may, those it has now are slow; give it others.

        Returns:
            whether it was time.
        """
        if self.rate is None or now - self._ticked_at < self._settings.tick_s / 2:
            return False
        rate = (self._sent_bytes - self._ticked_bytes) / (now - self._ticked_at)
        self._ticked_bytes, self._ticked_at = self._sent_bytes, now
        self._alone = next(iter(self._takers)) if len(self._takers) == 1 else None
        self._takers.clear()
        if not self.is_empty and rate < self._settings.busy_share * self.rate:
            self._ahead_s = min(2 * self._ahead_s, self._settings.serve_ahead_max_s)
        else:
            self._ahead_s = max(self._ahead_s / 2, self._settings.serve_ahead_s)
        return True

    def wait(self, peer: Peer, now: float) -> None:
        """Let `peer` wait for its turn, if there is anything that it has asked for."""
        if not peer.queue:
            return
        self._takers.add(peer.number)
        if peer.number != self._alone:
            self._alone = None
        if peer is not self._midway:
            self._waiting.setdefault(peer.number, (peer, now))

    def leave(self, peer: Peer) -> None:
        """`peer` has gone."""
        self._waiting.pop(peer.number, None)
        if self._midway is peer:
            self._midway = None

    def next(self, now: float) -> Peer | None:
        """Whose turn it is: the peer whose piece is not wholly sent yet, else the one that wants the rarest.

        A rare piece is passed on by whoever gets it, and is of most use to the peer that has least else to
        pass on. Peers to which earlier blocks are still leaving come later, and those that pass nothing on
        come last; among these it makes no difference what they want. So that a common wish does not make a
        peer wait for ever, the turn goes to a peer that has waited for too long.

        The request that is to be served first becomes the head of the peer's queue (`_wish`).
        """
        if self._midway is not None:
            peer, self._midway = self._midway, None
            if peer.queue:
                return peer
        best: Peer | None = None
        best_rank = (True, True, True, 0, 0)
        best_at = 0
        overdue_at = now - self._settings.turn_patience_s
        for number, (peer, since) in list(self._waiting.items()):
            if not peer.queue:
                del self._waiting[number]
                continue
            is_early = since > overdue_at
            is_sending = peer.sending_bytes > 0
            at = wish = count = 0
            if is_early and not peer.comes_last:
                count = peer.have.count
                at, wish = self._wish(peer, count)
            rank = (peer.comes_last, is_early, is_sending, wish, count)
            if best is None or rank < best_rank:
                best, best_rank, best_at = peer, rank, at
        if best is not None:
            del self._waiting[best.number]
            _put_first(best, best_at)
        return best

    def _wish(self, peer: Peer, count: int) -> tuple[int, int]:
        """Where in its queue is what `peer` is served first; and its wish, which comes before greater ones.

        Elsewhere than in a crowd it is the first, and its rarity alone says whose turn it is. In a crowd
        what is new has far to go: of the first few the rarest is sent, and who has little gets it before who
        has much. The head waits for others only so long: common ones must come too, and where a piece takes
        long all come in their order.
        """
        of = self._availability.of
        queue = peer.queue
        at, rarity = 0, of(queue[0].piece)
        if not self.is_crowd:
            return 0, rarity
        settings = self._settings
        if len(queue) > 1 and (1 + peer.passed_over) * self._turn_s <= settings.passed_over_s:
            for place in range(1, min(len(queue), settings.queue_looked_at)):
                held_by = of(queue[place].piece)
                if held_by < rarity:
                    at, rarity = place, held_by
        # What nobody has goes first, whoever wants it.
        return at, rarity * (1 + count)

    def served(self, peer: Peer, piece: int, now: float) -> None:
        """The host got a run of `piece` for `peer`, which keeps the turn until all of that piece is sent."""
        if peer.queue and peer.queue[0].piece == piece:
            self._midway = peer
        elif peer.queue:
            self._waiting[peer.number] = (peer, now)

    def sent(self, length: int) -> None:
        """The host is done with `length` bytes, whoever they were for."""
        self._sent_bytes += length

    def bounds(self) -> tuple[float, int]:
        """With how many bytes left to send the host gets more, and up to how many it gets at a time.

        It gets runs, not a block for each that has left: in a crowd, where the order matters, the next once
        it has sent half of one; where one peer alone takes anything, before it has sent the last.
        """
        assert self.rate is not None
        ahead_bytes = self.rate * self._ahead_s
        if self._alone is None:
            return ahead_bytes / 2, int(ahead_bytes)
        settings = self._settings
        alone_bytes = min(self.rate * settings.serve_alone_s, settings.serve_alone_bytes)
        ahead_bytes = max(ahead_bytes, alone_bytes)
        return ahead_bytes, int(ahead_bytes)

    @property
    def is_empty(self) -> bool:
        """Nobody waits, and no piece is begun."""
        return not self._waiting and self._midway is None

    @property
    def is_late(self) -> bool:
        """Under a limit: do peers wait so long for us that others could send sooner?"""
        if self.rate is None:
            return False
        waiting_blocks = sum(peer.queued_blocks for peer, _ in self._waiting.values())
        return waiting_blocks * BLOCK_BYTES > self.rate * self._settings.request_ahead_s


def _put_first(peer: Peer, at: int) -> None:
    """Let what `peer` asks for at place `at` of its queue come first, with all it wants of that piece."""
    if not at:
        peer.passed_over = 0
        return
    peer.passed_over += 1
    piece = peer.queue[at].piece
    # Stable: requests of one piece keep their order, and so do the others.
    peer.queue.sort(key=lambda request: request.piece != piece)
