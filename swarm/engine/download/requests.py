"""Which blocks are asked of whom: pipelines, shared pieces, timeouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from swarm.base.blocks import BLOCK_BYTES, Geometry, lowest_blocks, mask_runs, run_mask
from swarm.base.errors import PeerError
from swarm.engine.alarms import Alarms
from swarm.engine.download.debts import Debts
from swarm.engine.download.end_game import EndGame
from swarm.engine.download.memory import Memory
from swarm.engine.download.moves import Moves
from swarm.engine.download.partial_piece import PartialPiece
from swarm.engine.download.picker import Picker
from swarm.engine.peer import NO_PIECES, Peer, Send, with_piece
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Cancel, Message, Piece, Request

#: In place of a peer's number: blocks stored by an earlier run of the program; no peer answers for them.
EARLIER_RUN = -1
#: The mask of those blocks of a piece that the host knows to be zeros, which nobody sends; never all of them.
KnownBlocks = Callable[[int], int]
#: What was stored of a piece is void.
Forget = Callable[[int], None]


class Requests:
    """Keeps every unchoked peer's pipeline full with the right blocks.

    A fast peer gets pieces of its own, so that neighbouring blocks travel and arrive together;
    slower ones share. A block is asked of a second peer only in the end game.
    """

    __slots__ = (
        "_debts",
        "_end_game",
        "_filled_epoch",
        "_forget",
        "_geometry",
        "_is_held",
        "_known",
        "_moves",
        "_peers",
        "_picker",
        "_send",
        "_settings",
        "hashing",
        "memory",
        "partials",
        "wasted_bytes",
    )

    def __init__(
        self,
        geometry: Geometry,
        picker: Picker,
        peers: dict[int, Peer],
        settings: EngineSettings,
        send: Send,
        forget: Forget,
        alarms: Alarms,
        known: KnownBlocks | None = None,
    ) -> None:
        self._geometry = geometry
        self._known = known
        self._picker = picker
        self._peers = peers
        self._settings = settings
        self._send = send
        self._forget = forget
        self.memory = Memory(geometry, settings)
        self._debts = Debts(peers)
        self.partials = self._debts.partials
        #: Complete, being hashed; still in memory.
        self.hashing: dict[int, PartialPiece] = {}
        self._moves = Moves(self._debts, peers, settings, self._send_cancel)
        self._end_game = EndGame(self._debts, peers, settings, alarms)
        self._is_held = False
        #: What was on offer (`Picker.epoch`) when all were filled last.
        self._filled_epoch = picker.epoch
        #: Bytes that came although nobody needed them any more.
        self.wasted_bytes = 0

    # -- asking ---------------------------------------------------------------------------------

    def hold(self, is_held: bool, now: float) -> None:
        """The disk takes no more: ask for nothing new. Or it takes again."""
        self._is_held = is_held
        self.fill_all(now)

    @property
    def has_more_to_ask(self) -> bool:
        """May others than the peer of this event be asked for something that was not to be asked for before?

        One event may take back many blocks, one by one: who is idle is asked for them once, after it.
        """
        return self._debts.is_reopened or self._picker.epoch != self._filled_epoch

    def fill_all(self, now: float) -> None:
        """Something has changed for everybody: `fill` each."""
        self._debts.is_reopened = False
        self._filled_epoch = self._picker.epoch
        for peer in self._peers.values():
            self.fill(peer, now)

    def fill(self, peer: Peer, now: float) -> None:
        """Ask `peer` for as much as its pipeline has room for."""
        if not peer.interesting or self._is_held:
            return
        if peer.peer_choking and not peer.allowed_fast_in:
            return
        pipeline = peer.pipeline
        depth = pipeline.depth if pipeline.depth < pipeline.depth_max else pipeline.depth_max
        room = depth - peer.asked_blocks
        if peer.asked_blocks and room < depth * self._settings.refill_share:
            return
        if peer.is_stalled:
            # One block to see whether it has woken up; the rest is better asked elsewhere.
            room = min(room, 1 - peer.asked_blocks)
        if room <= 0:
            return
        messages: list[Message] = []
        while room > 0:
            partial = self._choose(peer, now)
            if partial is None:
                break
            mask = lowest_blocks(partial.missing, self._rounded(peer, partial, room, now))
            room -= self._ask(peer, partial, mask, messages, now)
        is_idle = room > 0 and not (peer.asked_blocks or peer.is_stalled or peer.peer_choking)
        if is_idle and self._is_end:
            for partial, mask in self._end_game.owed_by_slower(peer, room, now):
                self._ask(peer, partial, mask, messages, now)
            if not messages:
                self._moves.begin(peer, now)
        if messages:
            self._send(peer, messages)

    @property
    def _is_end(self) -> bool:
        """Nothing new can be begun: all has been, or memory is full and waits for peers, not for hashing."""
        return (self.memory.is_short and not self.hashing) or not self._picker.has_startable

    def _rounded(self, peer: Peer, partial: PartialPiece, room: int, now: float) -> int:
        """How many blocks to ask for where there is room for `room`: rather all that a piece still needs.

        A peer that serves one after the other sends in its turn what it was asked for; a rest would have to
        wait for the next turn, and half a piece is of no use to anybody.
        """
        missing = partial.missing.bit_count()
        if missing <= room or peer.is_stalled:
            return room
        rate = peer.download.average(now, 5.0)
        if rate * self._settings.whole_rest_s < missing * BLOCK_BYTES:
            return room
        return max(room, min(missing, peer.pipeline.depth_max - peer.asked_blocks))

    def _ask(self, peer: Peer, partial: PartialPiece, mask: int, messages: list[Message], now: float) -> int:
        piece = partial.piece
        is_first = not peer.asked_blocks
        if is_first:
            peer.asked_since = now
        self._debts.incur(peer, partial, mask)
        pipeline = peer.pipeline
        if not pipeline.probe_mask or not peer.asked.get(pipeline.probe_piece, 0) & pipeline.probe_mask:
            pipeline.time_one(piece, mask, peer.asked_blocks, now, is_first=is_first)
        messages += [
            Request(piece, first * BLOCK_BYTES, self._geometry.run_bytes(piece, first, run))
            for first, run in mask_runs(mask)
        ]
        return mask.bit_count()

    def _choose(self, peer: Peer, now: float) -> PartialPiece | None:
        """The piece whose blocks `peer` should be asked for next."""
        shareable: PartialPiece | None = None
        may_ask = self._debts.may_ask
        for partial in self._debts.open.values():
            if not may_ask(peer, partial):
                continue
            if peer.number in partial.asked or peer.number in partial.senders or not partial.pending:
                return partial
            if shareable is None or partial.arrived.bit_count() > shareable.arrived.bit_count():
                shareable = partial
        if shareable is not None and self._is_slow(peer, now):
            return shareable
        return self._start(peer) or shareable

    def _is_slow(self, peer: Peer, now: float) -> bool:
        rate = peer.download.average(now, 5.0)
        known = peer.download.total_bytes > 4 * BLOCK_BYTES
        return known and rate * self._settings.whole_piece_s < self._geometry.piece_length

    def _start(self, peer: Peer) -> PartialPiece | None:
        if self.memory.is_short:
            return None
        piece = self._picker.pick_allowed_fast(peer) if peer.peer_choking else self._picker.pick(peer)
        if piece is None:
            return None
        if not self.memory.has_room_for(piece):
            self.memory.is_short = True
            return None
        return self._begin(PartialPiece(piece, self._to_come(piece)))

    def _to_come(self, piece: int) -> int:
        """The mask of the blocks of `piece` that somebody must send."""
        full = self._geometry.full_mask(piece)
        return full if self._known is None else full & ~self._known(piece)

    def _begin(self, partial: PartialPiece) -> PartialPiece:
        """Take up a piece: it is not on offer any more, and counts as in flight."""
        piece = partial.piece
        self._picker.started(piece)
        self.memory.take(piece)
        self._debts.begin(partial)
        return partial

    def offered(self, peer: Peer, now: float) -> None:
        """`peer` says that it has nothing to send (BEP 6 "suggest piece"): let it send what others owe us."""
        if peer.peer_choking or self._is_held or peer.is_stalled:
            return
        self.excuse(peer)
        self.fill(peer, now)
        if not peer.asked_blocks and peer.interesting:
            self._moves.begin(peer, now)

    # -- arriving -------------------------------------------------------------------------------

    def arrived(self, peer: Peer, run: Piece, now: float) -> tuple[int, PartialPiece | None]:
        """Take note of a run of blocks from `peer`.

        Returns:
            The mask of the blocks to store, counted from the run's first; and the piece if it is
            complete with them.

        Raises:
            PeerError: it keeps sending what nobody asked for.
        """
        first, odd = divmod(run.begin, BLOCK_BYTES)
        count = -(-run.length // BLOCK_BYTES)
        piece = run.piece
        mask = run_mask(first, count)
        if odd or run.length != self._geometry.run_bytes(piece, first, count):
            self._unasked(peer, count)
            return 0, None
        asked = mask & peer.asked.get(piece, 0)
        if asked != mask:
            mask &= ~self._strangers(peer, piece, mask & ~asked)
            if not mask:
                return 0, None
        partial = self.partials.get(piece)
        useful = mask & ~partial.arrived if partial is not None else 0
        if partial is not None:
            # Before the peer is struck off below: what is here is not missing again.
            self._debts.came(partial, useful)
        if asked:
            self._debts.settle(peer, piece, asked)
        self._keep_pace(peer, piece, asked, now)
        peer.download.add(run.length)
        if useful != mask:
            self.wasted_bytes += self._geometry.mask_bytes(piece, mask & ~useful)
        if partial is None or not useful:
            return 0, None
        partial.senders[peer.number] = partial.senders.get(peer.number, 0) | useful
        if len(partial.asked) > (peer.number in partial.asked):
            self._cancel_elsewhere(partial, useful)
        if not partial.is_complete:
            return useful >> first, None
        self._debts.end(piece)
        self.hashing[piece] = partial
        return useful >> first, partial

    def _strangers(self, peer: Peer, piece: int, mask: int) -> int:
        """Which of the blocks `peer` does not owe were never asked of it: they are not taken."""
        strangers = mask & ~self._debts.redeem(peer, piece, mask)
        if strangers:
            self._unasked(peer, strangers.bit_count())
        return strangers

    def _unasked(self, peer: Peer, count: int) -> None:
        peer.unasked_blocks += count
        self.wasted_bytes += count * BLOCK_BYTES
        if peer.unasked_blocks > self._settings.unasked_blocks_max:
            raise PeerError(f"it sent {peer.unasked_blocks} blocks that nobody asked for")

    def _cancel_elsewhere(self, partial: PartialPiece, mask: int) -> None:
        """The blocks are here: take them back from others that were asked as well."""
        for number, asked in list(partial.asked.items()):
            both = asked & mask
            if not both:
                continue
            other = self._peers[number]
            # Those that were to move to another peer it knows of already.
            untold = both & ~partial.cancelled_at(number)
            self._debts.forgive(other, partial.piece, both)
            self._debts.settle(other, partial.piece, both)
            # It has room again.
            self._debts.is_reopened = True
            if untold:
                self._send_cancel(other, partial.piece, untold)

    def _send_cancel(self, peer: Peer, piece: int, mask: int) -> None:
        cancels: list[Message] = [
            Cancel(piece, first * BLOCK_BYTES, self._geometry.run_bytes(piece, first, run))
            for first, run in mask_runs(mask)
        ]
        self._send(peer, cancels)

    def _keep_pace(self, peer: Peer, piece: int, mask: int, now: float) -> None:
        """`peer` has sent something."""
        peer.last_block_at = now
        peer.asked_since = now
        if peer.is_stalled or peer.is_snubbed:
            peer.is_snubbed = False
            self._debts.set_stalled(peer, False)
        if mask & peer.pipeline.probe_mask and piece == peer.pipeline.probe_piece:
            peer.pipeline.answered(now, is_alone=peer.is_only)

    # -- giving up ------------------------------------------------------------------------------

    def lost(self, peer: Peer) -> None:
        """`peer` is gone; others may take over what it owed, or was alone to send."""
        # Not where it neither gave nor owes us anything; they go in crowds.
        if peer.asked_blocks or peer.download.total_bytes:
            self._debts.is_reopened = True
        self._debts.settle_all(peer, is_forgiven=False)

    def choked(self, peer: Peer) -> None:
        """`peer` chokes us."""
        peer.peer_choking = True
        # BEP 6: each request gets its block or a reject. What is not rejected is under way: on a slow line
        # that may be a second's worth, which must not be asked of others as well.
        if not peer.has_fast:
            # Without it silence follows; blocks under way are welcome.
            self._debts.settle_all(peer, is_forgiven=True)
        # It may have been the one who alone was to send a piece.
        self._debts.is_reopened = True

    def unchoked(self, peer: Peer) -> None:
        """`peer` serves us again, also with what it refused."""
        peer.peer_choking = False
        self.excuse(peer)

    def excuse(self, peer: Peer) -> None:
        """`peer` may give by now what it refused when it was busy."""
        peer.refused = NO_PIECES

    def allowed(self, peer: Peer, piece: int) -> bool:
        """`peer` gives us `piece` although it chokes us (BEP 6); False where it has named too many."""
        # It may name pieces that it does not have; more names than a set has are ignored.
        if len(peer.allowed_fast_in) >= 4 * self._settings.allowed_fast_count:
            return False
        peer.allowed_fast_in = with_piece(peer.allowed_fast_in, piece)
        return True

    def lost_by(self, peer: Peer, piece: int) -> None:
        """`peer` no longer has `piece`: what it was asked for of that may be asked of others."""
        if not peer.has_fast:
            # No reject will come.
            self._debts.settle_piece(peer, piece)
        # It may have been the one who alone was to send it.
        self._debts.is_reopened = True

    def rejected(self, peer: Peer, piece: int, begin: int, length: int, now: float) -> None:
        """BEP 6: `peer` will not answer these requests.

        Raises:
            PeerError: they were never sent ("SHOULD close the connection").
        """
        first = begin // BLOCK_BYTES
        mask = run_mask(first, -(-length // BLOCK_BYTES))
        asked = mask & peer.asked.get(piece, 0)
        if self._debts.redeem(peer, piece, mask & ~asked) | asked != mask:
            raise PeerError("it rejected requests that were never sent")
        if asked:
            self._debts.settle(peer, piece, asked)
            partial = self.partials.get(piece)
            idle = self._moves.given_back(peer, partial, asked) if partial is not None else None
            if idle is not None:
                self.fill(idle, now)
                return
            if peer.peer_choking:
                # It is not allowed after all; asking again would only be rejected again.
                peer.allowed_fast_in -= {piece}
            else:
                peer.refused = with_piece(peer.refused, piece)

    def look_after(self, peer: Peer, now: float) -> None:
        """About once a second: let others be asked for the blocks of a silent peer, and then it again."""
        if not peer.asked_blocks:
            # It has nothing else for us.
            self.excuse(peer)
            return
        silent_s = now - max(peer.asked_since, peer.last_block_at)
        if silent_s >= self._settings.snub_s:
            peer.is_snubbed = True
        if silent_s < self._settings.request_timeout_s:
            return
        if not peer.is_stalled:
            self._debts.set_stalled(peer, True)
            peer.pipeline.stalled()
        elif silent_s >= self._settings.snub_s:
            self._ask_anew(peer)

    def _ask_anew(self, peer: Peer) -> None:
        """`peer` owes us blocks and has been silent for so long that it may know nothing of them any more.

        Whoever lost a request (a full queue without BEP 6, a disk that failed it) waits for the next one, as
        we wait for the blocks; there may be nobody else to ask.
        """
        for piece, mask in list(peer.asked.items()):
            partial = self.partials.get(piece)
            untold = mask & ~partial.cancelled_at(peer.number) if partial is not None else mask
            if untold:
                self._send_cancel(peer, piece, untold)
        self._debts.settle_all(peer, is_forgiven=True)

    def hashed(self, piece: int) -> PartialPiece | None:
        """The piece has left memory, good or bad."""
        partial = self.hashing.pop(piece, None)
        if partial is not None:
            self.memory.give_back(piece)
        return partial

    def look_for_room(self) -> None:
        """Pieces have left memory: end the shortage, should there be one, as soon as there is room for many.

        Some pieces may wait for slow peers for long: what is hashed is all that can be waited for.
        """
        if self.memory.is_short and (not self.hashing or self.memory.is_little_used):
            self.memory.is_short = False
            self._debts.is_reopened = True

    def make_room(self) -> None:
        """At each look at the clock: give pieces up that are stuck, where they leave no room for any other.

        Who has them has gone, or chokes us. What others have waits for memory, and nothing is being hashed:
        without this it would wait until those come back. Of which least has come goes first.
        """
        memory = self.memory
        if not memory.is_short or self.hashing or self._is_held or not self._has_idle():
            return
        stuck = [partial for partial in self.partials.values() if self._debts.is_stuck(partial)]
        stuck.sort(key=lambda partial: partial.arrived.bit_count())
        for partial in stuck:
            if memory.is_little_used and memory.has_room_for(partial.piece):
                break
            self._give_up(partial)
        memory.is_short = not stuck

    def _has_idle(self) -> bool:
        """Does anybody who owes us nothing have a piece to start with?"""
        return any(
            peer.interesting
            and not (peer.peer_choking or peer.is_stalled or peer.asked_blocks)
            and self._picker.pick(peer) is not None
            for peer in self._peers.values()
        )

    def _give_up(self, partial: PartialPiece) -> None:
        piece = partial.piece
        self._debts.give_up(piece)
        self.memory.give_back(piece)
        if partial.arrived:
            self.wasted_bytes += self._geometry.mask_bytes(piece, partial.arrived)
            self._forget(piece)
        self._picker.returned(piece)

    def restart_solo(self, piece: int) -> None:
        """Ask for `piece` again at once, of one peer alone (see PartialPiece)."""
        self._begin(PartialPiece(piece, self._to_come(piece), is_solo=True))

    def adopt(self, stored: Mapping[int, int]) -> None:
        """Go on with pieces of which an earlier run has stored blocks (as `stored` gives them)."""
        for piece, mask in stored.items():
            full = self._to_come(piece)
            arrived = mask & full
            if self._picker.wants(piece) and 0 < arrived < full:
                self._begin(PartialPiece(piece, full, arrived=arrived, senders={EARLIER_RUN: arrived}))

    def stored(self) -> dict[int, int]:
        """piece -> mask of the blocks that are here, of pieces that are not complete."""
        return {piece: partial.arrived for piece, partial in self.partials.items() if partial.arrived}

    def check(self) -> None:
        """Raise AssertionError where the desk contradicts itself (for tests)."""
        self._debts.check()
        for partial in self.partials.values():
            assert not partial.is_complete, "a complete piece was not handed on"
            assert partial.full == self._to_come(partial.piece), "it waits for other blocks than are to come"
            assert not partial.arrived & ~partial.full, "a block has come that was not to come"
            sent = 0
            for mask in partial.senders.values():
                assert not sent & mask, "a block has two senders"
                sent |= mask
            assert sent == partial.arrived, "senders and arrived differ"
        held = sum(self._geometry.piece_bytes(piece) for piece in (*self.partials, *self.hashing))
        assert held == self.memory.used_bytes, "memory is counted wrong"
        if not self._is_held:
            for peer in self._peers.values():
                self._check_busy(peer)

    def _check_busy(self, peer: Peer) -> None:
        """The promise that keeps downloads going: who could be asked for more has nothing more to give.

        Not of one that has stalled, nor for pieces that it refused, which it is asked for after a while; no
        piece is started that memory has no room for; and a solo piece may wait for another peer.
        """
        pipeline = peer.pipeline
        depth = min(pipeline.depth, pipeline.depth_max)
        room = depth - peer.asked_blocks
        is_full = room < depth * self._settings.refill_share if peer.asked_blocks else room <= 0
        if is_full or peer.is_stalled or not peer.interesting:
            return
        for partial in self._debts.open.values():
            assert not self._debts.may_ask(peer, partial), "blocks are asked of nobody, and a peer is idle"
        if not self.memory.is_short:
            startable = set(self._picker.startable_of(peer))
            if peer.peer_choking:
                startable &= peer.allowed_fast_in
            assert not startable, "a piece is not begun, and a peer that has it is idle"
