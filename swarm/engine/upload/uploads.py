"""What peers have asked of us, and how much of it is on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import BLOCK_BYTES
from swarm.base.errors import FloodError
from swarm.engine.download.availability import Availability
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings
from swarm.engine.upload.spreading import Spreading
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.wire.peer.messages import Message, Reject, Request

Send = Callable[[Peer, list[Message]], None]
#: peer, piece, begin, length, block_bytes
Serve = Callable[[Peer, Request], None]


class Uploads:
    """Queues requests and hands them to the host, a bounded number of bytes per peer at a time.

    What is queued here can still be cancelled, rejected or dropped by a choke; what the host has
    will be sent.
    """

    __slots__ = (
        "_ahead_s",
        "_alone",
        "_availability",
        "_have",
        "_in_host_bytes",
        "_rate",
        "_send",
        "_sent_bytes",
        "_serve",
        "_settings",
        "_spreading",
        "_super_seeding",
        "_takers",
        "_ticked_at",
        "_ticked_bytes",
        "_turn",
        "_turns",
    )

    def __init__(
        self,
        have: Bitfield,
        availability: Availability,
        spreading: Spreading,
        super_seeding: SuperSeeding,
        settings: EngineSettings,
        send: Send,
        serve: Serve,
    ) -> None:
        self._have = have
        self._availability = availability
        self._spreading = spreading
        self._super_seeding = super_seeding
        self._settings = settings
        self._send = send
        self._serve = serve
        #: Bytes of all peers that the host has and has not sent.
        self._in_host_bytes = 0
        self._rate: float | None = None
        self._ahead_s = settings.serve_ahead_s
        #: Under a limit: who waits to be served, and since when; who has waited for longest first.
        self._turns: dict[int, tuple[Peer, float]] = {}
        #: In the midst of a piece.
        self._turn: Peer | None = None
        #: Who was handed anything since the last tick, and who alone was before it.
        self._takers: set[int] = set()
        self._alone: int | None = None
        self._sent_bytes = 0
        self._ticked_bytes = 0
        self._ticked_at = float("-inf")

    def limit(self, rate: float | None, now: float) -> None:
        """The host sends `rate` bytes a second at the most, for all peers; None for no limit it knows of.

        A short uplink that all share block by block brings all their pieces at the same late time. Served
        one after the other, the first can pass its piece on while the next gets his: a piece reaches a
        crowd in a fraction of the time. So the host is given only what it sends in a moment.
        """
        self._rate = rate
        self._ahead_s = self._settings.serve_ahead_s
        waiting = [peer for peer, _ in self._turns.values()]
        if self._turn is not None:
            waiting.append(self._turn)
        self._turns, self._turn = {}, None
        for peer in waiting:
            self.serve(peer, now)

    def tick(self, now: float) -> None:
        """Once a second: where the host sends less than it may, those it has now are slow; give it others."""
        if self._rate is None or now - self._ticked_at < self._settings.tick_s / 2:
            return
        rate = (self._sent_bytes - self._ticked_bytes) / (now - self._ticked_at)
        self._ticked_bytes, self._ticked_at = self._sent_bytes, now
        self._alone = next(iter(self._takers)) if len(self._takers) == 1 else None
        self._takers.clear()
        if (self._turns or self._turn) and rate < self._settings.busy_share * self._rate:
            self._ahead_s = min(2 * self._ahead_s, self._settings.serve_ahead_max_s)
        else:
            self._ahead_s = max(self._ahead_s / 2, self._settings.serve_ahead_s)
        self._take_turns(now)

    def lost(self, peer: Peer, now: float) -> None:
        """The host will send it nothing more."""
        self._turns.pop(peer.number, None)
        if self._turn is peer:
            self._turn = None
        self._in_host_bytes -= peer.sending_bytes
        if self._rate is not None:
            self._take_turns(now)

    def requested(self, peer: Peer, request: Request, now: float) -> None:
        """Queue a run of requests, or say no.

        Raises:
            FloodError: more requests than an honest peer sends.
        """
        count = _block_count(request)
        if not self._have.flags[request.piece]:
            self._refuse(peer, request, count)
            return
        if peer.am_choking and request.piece not in peer.allowed_fast_out:
            self._refuse(peer, request, count)
            return
        if self._super_seeding.is_active and not self._super_seeding.accepts(peer, request.piece):
            self._refuse(peer, request, count)
            return
        if peer.queued_blocks + count > self._settings.served_queue_max:
            self._refuse(peer, request, count)
            return
        spreading = self._spreading
        if spreading.is_active and not spreading.accepts(
            # How late it is matters, and is summed up, only where there may be another seed.
            peer,
            request.piece,
            is_late=spreading.has_met_seed and self._is_late(),
        ):
            self._send(peer, [_reject(request)])
            return
        peer.queue.append(request)
        peer.queued_blocks += count
        self.serve(peer, now)

    def _is_late(self) -> bool:
        """Under a limit: do peers wait so long for us that others could send sooner?"""
        if self._rate is None:
            return False
        waiting_blocks = sum(peer.queued_blocks for peer, _ in self._turns.values())
        return waiting_blocks * BLOCK_BYTES > self._rate * self._settings.request_ahead_s

    def _refuse(self, peer: Peer, request: Request, count: int) -> None:
        peer.choked_requests += count
        if peer.choked_requests > self._settings.choked_requests_max:
            raise FloodError("it floods us with requests that we cannot answer")
        if peer.has_fast:
            self._send(peer, [_reject(request)])

    def cancelled(self, peer: Peer, piece: int, begin: int, length: int) -> bool:
        """Take the run out of the queue as far as it is still there; False where nothing of it was."""
        end = begin + length
        kept: list[Request] = []
        taken: list[Message] = []
        for request in peer.queue:
            request_end = request.begin + request.length
            if request.piece != piece or request.begin >= end or request_end <= begin:
                kept.append(request)
                continue
            # Blocks before, within and after the cancelled range stay whole: cut at their borders.
            size = request.block_bytes
            low = max(0, -(-(begin - request.begin) // size)) * size
            high = min(
                request.length, (end - request.begin) // size * size if end < request_end else request.length
            )
            if high <= low:
                kept.append(request)
                continue
            if low:
                kept.append(Request(piece, request.begin, low, size))
            taken.append(Reject(piece, request.begin + low, high - low, size))
            if high < request.length:
                kept.append(Request(piece, request.begin + high, request.length - high, size))
        if taken:
            _requeue(peer, kept)
            if peer.has_fast:
                # BEP 6: every request gets its block or a reject, a cancelled one too.
                self._send(peer, taken)
        return bool(taken)

    def serve(self, peer: Peer, now: float) -> None:
        """Hand queued runs to the host while the peer's window has room, or when its turn has come."""
        if self._rate is not None:
            if peer.queue:
                self._takers.add(peer.number)
                if peer.number != self._alone:
                    self._alone = None
            if peer.queue and peer is not self._turn:
                self._turns.setdefault(peer.number, (peer, now))
            self._take_turns(now)
            return
        window = self._window(peer)
        while peer.queue and peer.sending_bytes < window:
            request = peer.queue.popleft()
            self._hand_over(peer, request, window - peer.sending_bytes, now)

    def _hand_over(self, peer: Peer, request: Request, room: int, now: float) -> None:
        """Give the host about `room` bytes of `request`, in whole blocks, and queue the rest again."""
        if request.length > room:
            blocks = max(1, room // request.block_bytes)
            head = blocks * request.block_bytes
            if head < request.length:
                peer.queue.appendleft(
                    Request(request.piece, request.begin + head, request.length - head, request.block_bytes)
                )
                request = Request(request.piece, request.begin, head, request.block_bytes)
        peer.queued_blocks -= _block_count(request)
        if not peer.sending_bytes:
            peer.last_served_at = now
        peer.sending_bytes += request.length
        self._in_host_bytes += request.length
        self._serve(peer, request)

    def _take_turns(self, now: float) -> None:
        """Under a limit: serve one after the other, each until what it asked for of a piece is sent.

        The host gets runs, not a block for each that has left: in a crowd, where the order matters, the next
        once it has sent half of one; where one peer alone takes anything, before it has sent the last.
        """
        ahead_bytes = self._ahead_bytes()
        low_bytes = ahead_bytes / 2 if self._alone is None else ahead_bytes
        while self._in_host_bytes < low_bytes:
            peer = self._next_turn(now)
            if peer is None:
                return
            request = peer.queue.popleft()
            self._hand_over(peer, request, int(ahead_bytes), now)
            del self._turns[peer.number]
            if peer.queue and peer.queue[0].piece == request.piece:
                self._turn = peer
            else:
                self._turn = None
                if peer.queue:
                    self._turns[peer.number] = (peer, now)

    def _ahead_bytes(self) -> float:
        """How much the host gets before it has sent it."""
        assert self._rate is not None
        ahead_bytes = self._rate * self._ahead_s
        if self._alone is not None:
            settings = self._settings
            alone_bytes = min(self._rate * settings.serve_alone_s, settings.serve_alone_bytes)
            ahead_bytes = max(ahead_bytes, alone_bytes)
        return ahead_bytes

    def _next_turn(self, now: float) -> Peer | None:
        """Whose turn it is: his whose piece is not sent yet, else his who wants the rarest.

        What few have is passed on by whoever gets it; those whose last blocks still leave come later, and
        those who pass nothing on come last. Among these it makes no difference what they want, and nobody's
        wish may keep him waiting for ever: then the turn is his who has waited for longest.
        """
        if self._turn is not None:
            peer, self._turn = self._turn, None
            if peer.queue:
                self._turns[peer.number] = (peer, now)
                return peer
        best: Peer | None = None
        best_rank = (True, True, True, 0)
        overdue_at = now - self._settings.turn_patience_s
        for number, (peer, since) in list(self._turns.items()):
            if not peer.queue:
                del self._turns[number]
                continue
            is_early = since > overdue_at
            is_sending = peer.sending_bytes > 0
            rarity = 0 if peer.comes_last or not is_early else self._availability.of(peer.queue[0].piece)
            rank = (peer.comes_last, is_early, is_sending, rarity)
            if best is None or rank < best_rank:
                best, best_rank = peer, rank
        return best

    @property
    def is_dry(self) -> bool:
        """Under a limit: the host has nothing left to send, and nobody asks for more."""
        return self._rate is not None and not self._turns and self._turn is None

    def _window(self, peer: Peer) -> int:
        """About a second of what the peer takes: a choke or a cancel should not come too late."""
        rate = int(
            peer.upload.total_bytes
            if peer.upload.total_bytes < 1 << 20
            else peer.upload.average(peer.said_at)
        )
        return max(self._settings.send_window_min, min(2 * rate, self._settings.send_window_max))

    def sent(self, peer: Peer, length: int, now: float) -> None:
        """The host is done with `length` bytes."""
        peer.sending_bytes -= length
        self._in_host_bytes -= length
        self._sent_bytes += length
        peer.upload.add(length)
        peer.last_served_at = now
        self.serve(peer, now)

    def choked(self, peer: Peer) -> None:
        """We choke `peer`: its queue is void; with BEP 6 it is told so, request by request."""
        kept = [request for request in peer.queue if request.piece in peer.allowed_fast_out]
        if peer.has_fast:
            rejects: list[Message] = [
                _reject(request) for request in peer.queue if request.piece not in peer.allowed_fast_out
            ]
            if rejects:
                self._send(peer, rejects)
        _requeue(peer, kept)
        if self._spreading.is_active:
            self._spreading.take_back(peer)

    def withdraw(self, peer: Peer, piece: int) -> None:
        """`piece` can no longer be served: refuse what `peer` waits for of it."""
        for request in [request for request in peer.queue if request.piece == piece]:
            self.cancelled(peer, piece, request.begin, request.length)

    def check(self, peers: Iterable[Peer]) -> None:
        """Raise AssertionError where the desk contradicts itself (for tests)."""
        assert self._in_host_bytes == sum(peer.sending_bytes for peer in peers), "in_host_bytes is wrong"


def _block_count(request: Request) -> int:
    return -(-request.length // request.block_bytes)


def _reject(request: Request) -> Reject:
    return Reject(request.piece, request.begin, request.length, request.block_bytes)


def _requeue(peer: Peer, kept: list[Request]) -> None:
    """Let `peer` wait for `kept` and nothing else."""
    peer.queue.clear()
    peer.queue.extend(kept)
    peer.queued_blocks = sum(map(_block_count, kept))
