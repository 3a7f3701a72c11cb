"""What peers have asked of us, and how much of it is on its way."""

from __future__ import annotations

from collections.abc import Callable, Collection

from swarm.base.bitfield import Bitfield
from swarm.base.errors import FloodError
from swarm.engine.download.availability import Availability
from swarm.engine.peer import Peer, Send
from swarm.engine.settings import EngineSettings
from swarm.engine.upload.spreading import Spreading
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.engine.upload.turns import Turns
from swarm.wire.peer.messages import Message, Reject, Request

#: peer, piece, begin, length, block_bytes
Serve = Callable[[Peer, Request], None]


class Uploads:
    """Queues requests and hands them to the host, a bounded number of bytes per peer at a time.

    What is queued here can still be cancelled, rejected or dropped by a choke; what the host has
    will be sent.
    """

    __slots__ = (
        "_have",
        "_in_host_bytes",
        "_send",
        "_serve",
        "_settings",
        "_spreading",
        "_super_seeding",
        "_turns",
    )

    def __init__(
        self,
        have: Bitfield,
        availability: Availability,
        spreading: Spreading,
        super_seeding: SuperSeeding,
        settings: EngineSettings,
        piece_length: int,
        send: Send,
        serve: Serve,
    ) -> None:
        self._have = have
        self._spreading = spreading
        self._super_seeding = super_seeding
        self._settings = settings
        self._send = send
        self._serve = serve
        #: Bytes of all peers that the host has and has not sent.
        self._in_host_bytes = 0
        self._turns = Turns(availability, settings, piece_length)

    def limit(self, rate: float | None, now: float) -> None:
        """The host sends `rate` bytes a second at the most, for all peers; None for no limit it knows of."""
        for peer in self._turns.limit(rate):
            self.serve(peer, now)

    def serves_crowd(self, is_crowd: bool) -> None:
        """So many want something, or no longer, that the order in which they get it matters most."""
        self._turns.is_crowd = is_crowd

    def tick(self, now: float) -> None:
        """Once a second: see `Turns.tick`."""
        if self._turns.tick(now):
            self._take_turns(now)

    def lost(self, peer: Peer, now: float) -> None:
        """`peer` is gone: the host will send it nothing more."""
        self._turns.leave(peer)
        self._in_host_bytes -= peer.sending_bytes
        if self._turns.rate is not None:
            self._take_turns(now)

    def requested(self, peer: Peer, request: Request, now: float) -> None:
        """Queue a run of requests, or say no.

        Raises:
            FloodError: more requests than an honest peer sends.
        """
        count = request.block_count
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
            is_late=spreading.has_met_seed and self._turns.is_late,
        ):
            self._send(peer, [_reject(request)])
            return
        peer.queue.append(request)
        peer.queued_blocks += count
        self.serve(peer, now)

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
        if self._turns.rate is not None:
            self._turns.wait(peer, now)
            self._take_turns(now)
            return
        window = self._window(peer)
        while peer.queue and peer.sending_bytes < window:
            request = peer.queue.pop(0)
            self._hand_over(peer, request, window - peer.sending_bytes, now)

    def _hand_over(self, peer: Peer, request: Request, room: int, now: float) -> None:
        """Give the host about `room` bytes of `request`, in whole blocks, and queue the rest again."""
        if request.length > room:
            blocks = max(1, room // request.block_bytes)
            head = blocks * request.block_bytes
            if head < request.length:
                peer.queue.insert(
                    0,
                    Request(request.piece, request.begin + head, request.length - head, request.block_bytes),
                )
                request = Request(request.piece, request.begin, head, request.block_bytes)
        peer.queued_blocks -= request.block_count
        if not peer.sending_bytes:
            peer.last_served_at = now
        peer.sending_bytes += request.length
        self._in_host_bytes += request.length
        self._serve(peer, request)

    def _take_turns(self, now: float) -> None:
        """Under a limit: serve one after the other, each until what it asked for of a piece is sent."""
        turns = self._turns
        low_bytes, room = turns.bounds()
        while self._in_host_bytes < low_bytes:
            peer = turns.next(now)
            if peer is None:
                return
            request = peer.queue.pop(0)
            self._hand_over(peer, request, room, now)
            turns.served(peer, request.piece, now)

    @property
    def is_dry(self) -> bool:
        """Under a limit: the host has nothing left to send, and nobody asks for more."""
        return self._turns.rate is not None and self._turns.is_empty

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
        self._turns.sent(length)
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

    def unchoked(self, peer: Peer) -> None:
        """`peer` may ask for what it likes, and begins with a clean slate."""
        peer.choked_requests = 0
        self._spreading.forget_refusals(peer)

    def withdraw(self, peer: Peer, piece: int) -> None:
        """`piece` can no longer be served: refuse what `peer` waits for of it."""
        for request in [request for request in peer.queue if request.piece == piece]:
            self.cancelled(peer, piece, request.begin, request.length)

    def unreadable(self, peer: Peer, request: Request) -> None:
        """The host had `request` already, and could not read it."""
        if peer.has_fast:
            # BEP 6: every request gets its block or a reject.
            self._send(peer, [_reject(request)])

    def check(self, peers: Collection[Peer]) -> None:
        """Raise AssertionError where the desk contradicts itself (for tests)."""
        for peer in peers:
            assert peer.sending_bytes >= 0, "more was sent than handed over"
        assert self._in_host_bytes == sum(peer.sending_bytes for peer in peers), "in_host_bytes is wrong"


def _reject(request: Request) -> Reject:
    return Reject(request.piece, request.begin, request.length, request.block_bytes)


def _requeue(peer: Peer, kept: list[Request]) -> None:
    """Let `peer` wait for `kept` and nothing else."""
    peer.queue = kept
    peer.queued_blocks = sum(request.block_count for request in kept)
