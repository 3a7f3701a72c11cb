"""The coordinator of one torrent: routes events to the desks and collects their commands.

It decides nothing itself that a desk could decide; see docs/ARCHITECTURE.md for the way of a block.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.endpoint import Endpoint
from swarm.base.errors import FloodError, PeerError
from swarm.base.ids import InfoHash, PeerId, client_name
from swarm.engine.commands import (
    AnnounceCompleted,
    BanHost,
    Command,
    Dial,
    DropPeer,
    ForgetPiece,
    HashPiece,
    NodeFound,
    SeekPeers,
    SendBlocks,
    SendMessages,
    StoreBlocks,
)
from swarm.engine.conduct import BITFIELD_COST, CANCEL_COST, Conduct
from swarm.engine.download.availability import Availability
from swarm.engine.download.holdings import Holdings
from swarm.engine.download.picker import UNWANTED, Picker
from swarm.engine.download.requests import Requests
from swarm.engine.download.verifier import Verifier
from swarm.engine.events import (
    BlocksSent,
    CandidatesFound,
    DialFailed,
    DownloadHeld,
    Event,
    HashResult,
    MessagesReceived,
    OwnAddressSeen,
    PeerConnected,
    PeerLost,
    PieceNotWritten,
    PiecesHashed,
    PieceUnreadable,
    SelectionChanged,
    UploadLimited,
    WokenUp,
)
from swarm.engine.extensions import Extensions
from swarm.engine.finding.addresses import Addresses
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.finding.rendezvous import RendezvousCounts
from swarm.engine.greeting import Greeting
from swarm.engine.metadata.uploads import MetadataUploads
from swarm.engine.peer import Peer
from swarm.engine.rates import Rate
from swarm.engine.settings import EngineSettings
from swarm.engine.stats import EngineStats, PeerStats, peer_stats
from swarm.engine.upload.choker import Choker
from swarm.engine.upload.spreading import Spreading
from swarm.engine.upload.suggestions import Suggestions
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.engine.upload.uploads import Uploads
from swarm.wire.peer.extended import HANDSHAKE_ID, encode_dont_have
from swarm.wire.peer.messages import (
    AllowedFast,
    BitfieldMessage,
    Cancel,
    Choke,
    Extended,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    KeepAlive,
    Message,
    NotInterested,
    Piece,
    Port,
    Reject,
    Request,
    Suggest,
    Unchoke,
)


class TorrentEngine:
    """The mind of one torrent.

    Args:
        have: the verified pieces; the engine owns it from here on.
        priorities: one byte a piece, 0 for unwanted (see `picker`).
        client: how we call ourselves in the extension handshake.
        listen_port: where peers reach us, or None.
        is_private: only trackers and the user name peers, and nobody is told of any (BEP 27).
        dht_port: where our DHT node listens; peers that have one too are told.
        now: monotonic seconds, the same clock as in every later call.
        partials: piece -> mask of blocks that the host has stored already; those of no use are passed over,
            see `partial_blocks`.
        info: the info dictionary as found, for peers that have only a magnet link; empty: they get none.
        book: the addresses known from fetching the metadata.
    """

    def __init__(
        self,
        geometry: Geometry,
        info_hash: InfoHash,
        peer_id: PeerId,
        have: Bitfield,
        priorities: bytes,
        *,
        settings: EngineSettings,
        rng: random.Random,
        now: float,
        client: str = "swarm",
        listen_port: int | None = None,
        is_private: bool = False,
        dht_port: int | None = None,
        is_sequential: bool = False,
        partials: Mapping[int, int] | None = None,
        info: bytes = b"",
        book: PeerBook | None = None,
    ) -> None:
        self.have = have
        self._geometry = geometry
        self._settings = settings
        self._commands: list[Command] = []
        self._peers: dict[int, Peer] = {}
        self._availability = Availability(geometry.piece_count)
        self._picker = Picker(
            have,
            priorities,
            self._availability,
            rng,
            is_sequential=is_sequential,
            random_first_pieces=settings.random_first_pieces,
        )
        self._requests = Requests(geometry, self._picker, self._peers, settings, self._send)
        for piece, arrived in (partials or {}).items():
            if self._picker.wants(piece) and 0 < arrived < geometry.full_mask(piece):
                self._requests.adopt(piece, arrived)
        self._verifier = Verifier()
        self._spreading = Spreading(geometry.piece_count, settings)
        self._super_seeding = SuperSeeding(
            have,
            self._availability,
            geometry.piece_length,
            settings,
            rng,
            self._send,
            self._tell_upload_only,
        )
        self._uploads = Uploads(
            have,
            self._availability,
            self._spreading,
            self._super_seeding,
            settings,
            self._send,
            self._serve,
        )
        self._holdings = Holdings(
            self._availability, self._picker, self._spreading, self._super_seeding, self._send
        )
        self._is_private = is_private
        self._metadata = MetadataUploads(info, settings)
        self._greeting = Greeting(
            info_hash,
            settings,
            client=client,
            listen_port=listen_port,
            dht_port=dht_port,
            is_private=is_private,
            metadata_bytes=self._metadata.total_bytes,
        )
        self._conduct = Conduct(geometry, settings)
        self._suggestions = Suggestions(have, settings, self._send)
        self._choker = Choker(settings, geometry.piece_length, rng, self._choke, self._unchoke)
        self._addresses = Addresses(
            self._peers,
            book or PeerBook(peer_id, settings, rng, now),
            settings,
            self._send,
            listen_port=listen_port,
            is_private=is_private,
        )
        self._book = self._addresses.book
        self._exchange = self._addresses.exchange
        self._extensions = Extensions(
            self._addresses,
            self._holdings,
            self._requests,
            self._metadata,
            self._conduct,
            self._send,
            dial=self._dial,
            dial_one=self._dial_one,
        )
        self._download = Rate(now, settings.rate_window_s)
        self._upload = Rate(now, settings.rate_window_s)
        self._now = now
        self._tick_at = now
        self._was_complete = self.is_complete
        if have.is_full and not self._super_seeding.is_active:
            self._spreading.begin(self._availability.counts, 0)
        self._handlers: dict[type, Callable[[Peer, Any, float], None]] = {
            Piece: self._on_piece,
            Request: self._on_request,
            Have: self._on_have,
            Cancel: self._on_cancel,
            Reject: self._on_reject,
            Choke: self._on_choke,
            Unchoke: self._on_unchoke,
            Interested: self._on_interested,
            NotInterested: self._on_not_interested,
            BitfieldMessage: self._on_bitfield,
            HaveAll: self._on_have_all,
            HaveNone: self._on_have_none,
            AllowedFast: self._on_allowed_fast,
            Suggest: self._on_suggest,
            Port: self._on_port,
            Extended: self._on_extended,
            KeepAlive: self._on_keep_alive,
        }

    # -- the door -------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event; returns what the host must do, in this order."""
        self._now = now
        match event:
            case MessagesReceived():
                self._messages_received(event, now)
            case BlocksSent():
                self._blocks_sent(event, now)
            case PiecesHashed():
                self._pieces_hashed(event.results, now)
            case PeerConnected():
                self._peer_connected(event, now)
            case PeerLost():
                peer = self._peers.get(event.peer)
                if peer is not None:
                    self._forget(peer, now, is_lost=True)
            case CandidatesFound():
                if self._book.found(event.endpoints, event.source, now):
                    self._dial(now)
            case DialFailed():
                self._addresses.tried(event.endpoint, now, is_reached=False)
            case PieceNotWritten():
                if self._requests.hashed(event.piece) is not None:
                    self._picker.returned(event.piece)
            case PieceUnreadable():
                self._piece_lost(event.piece)
                self._blocks_lost(event)
            case OwnAddressSeen():
                self._addresses.own_address_seen(event.host, event.source)
            case SelectionChanged():
                self._select(event, now)
            case DownloadHeld():
                self._requests.is_held = event.is_held
                self._fill_all(now)
            case UploadLimited():
                self._choker.limit(event.bytes_per_s)
                self._uploads.limit(event.bytes_per_s, now)
            case WokenUp():
                self._woken(now)
            case _:
                assert_never(event)
        commands = self._commands
        self._commands = []
        return commands

    def next_wakeup(self, now: float) -> float | None:
        """The instant at which the host must send `WokenUp`, or None for not before another event."""
        dial_at = self._book.next_dial_at(len(self._peers), skip_seeds=self.is_complete, now=now)
        if not self._peers:
            return dial_at
        wakeup_at = self._tick_at
        if self._choker.refill_at < wakeup_at:
            wakeup_at = self._choker.refill_at
        exchange_at = self._exchange.next_at
        if exchange_at is not None and exchange_at < wakeup_at:
            wakeup_at = exchange_at
        return wakeup_at if dial_at is None or dial_at > wakeup_at else dial_at

    def check(self) -> None:
        """Raise AssertionError where the desks contradict each other; for tests and the simulator."""
        self._picker.check()
        self._requests.check()
        self._holdings.check(self._peers.values())
        self._super_seeding.check()
        self._uploads.check(self._peers.values())
        for peer in self._peers.values():
            assert peer.sending_bytes >= 0, "more was sent than handed over"

    def partial_blocks(self) -> dict[int, int]:
        """piece -> mask of the blocks that are stored of pieces that are not complete."""
        return {
            piece: partial.arrived for piece, partial in self._requests.partials.items() if partial.arrived
        }

    @property
    def is_complete(self) -> bool:
        """Everything wanted is verified."""
        return self._picker.wanted_missing == 0

    # -- emitting -------------------------------------------------------------------------------

    def _send(self, peer: Peer, messages: Sequence[Message]) -> None:
        self._commands.append(SendMessages(peer.number, messages))
        peer.said_at = self._now

    def _serve(self, peer: Peer, request: Request) -> None:
        self._commands.append(
            SendBlocks(peer.number, request.piece, request.begin, request.length, request.block_bytes)
        )

    def _choke(self, peer: Peer) -> None:
        peer.am_choking = True
        self._send(peer, [Choke()])
        self._uploads.choked(peer)

    def _unchoke(self, peer: Peer) -> None:
        peer.am_choking = False
        peer.choked_requests = 0
        peer.declined.clear()
        self._send(peer, [Unchoke()])

    def _dial(self, now: float) -> None:
        for endpoint in self._book.take(len(self._peers), skip_seeds=self.is_complete, now=now):
            self._commands.append(Dial(endpoint))

    def _dial_one(self, endpoint: Endpoint) -> None:
        self._commands.append(Dial(endpoint))

    def _drop(self, peer: Peer, reason: str, now: float, *, is_welcome: bool = False) -> None:
        self._commands.append(DropPeer(peer.number, reason))
        self._forget(peer, now, is_welcome=is_welcome)

    # -- peers come and go ----------------------------------------------------------------------

    def _peer_connected(self, event: PeerConnected, now: float) -> None:
        if event.is_outgoing:
            self._addresses.tried(event.endpoint, now, is_reached=True)
        for peer in self._addresses.crossed(event, now):
            self._drop(peer, "it is connected already", now)
        refusal, yielding = self._addresses.entry(event, now)
        if refusal is not None:
            self._commands.append(DropPeer(event.peer, refusal))
            return
        peer = Peer(
            event.peer,
            event.endpoint,
            event.peer_id,
            is_outgoing=event.is_outgoing,
            has_fast=event.has_fast,
            has_extended=event.has_extended,
            has_dht=event.has_dht,
            piece_count=self._geometry.piece_count,
            settings=self._settings,
            now=now,
        )
        peer.client = client_name(event.peer_id)
        if not self._peers:
            self._tick_at = now + self._settings.tick_s
        self._peers[event.peer] = peer
        self._availability.add(peer.have)
        self._addresses.connected(peer, now)
        self._verifier.met(event.peer, event.endpoint)
        greeting = self._greeting.messages(
            peer,
            self._super_seeding.pretended,
            is_upload_only=self.is_complete and not self._super_seeding.is_active,
            # What only we have must leave us once, not once for each newcomer.
            has_gifts=self.have.count > 0 and not self._spreading.is_active,
            is_greeted=event.is_greeted,
        )
        if greeting:
            self._send(peer, greeting)
        if self._super_seeding.is_active:
            self._super_seeding.met(peer)
        if yielding is not None:
            # Only now, so that nobody is dialled for the place that the newcomer has.
            self._drop(yielding, "its place is for a peer of higher priority", now, is_welcome=True)

    def _forget(self, peer: Peer, now: float, *, is_welcome: bool = True, is_lost: bool = False) -> None:
        """The link is gone (`is_lost`: not by our will): take everything back."""
        self._requests.take_back(peer, is_forgiven=False)
        self._uploads.lost(peer, now)
        del self._peers[peer.number]
        self._holdings.gone(peer)
        self._choker.lost(peer)
        self._metadata.lost(peer.number)
        if self._spreading.is_active:
            self._spreading.lost(peer)
        elif self._super_seeding.is_active:
            self._super_seeding.lost(peer)
        self._addresses.lost(peer, now, is_welcome=is_welcome, is_lost=is_lost)
        if not peer.am_choking:
            self._refill_slots(now)
        self._fill_all(now)
        self._dial(now)
        if not self.is_complete and self._book.candidate_count == 0:
            self._commands.append(SeekPeers())

    # -- messages -------------------------------------------------------------------------------

    def _messages_received(self, event: MessagesReceived, now: float) -> None:
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        peer.heard_at = now
        try:
            for message in event.messages:
                self._handlers[type(message)](peer, message, now)
                if event.peer not in self._peers:
                    return
        except PeerError as error:
            if isinstance(error, FloodError) or self._conduct.offended(peer.endpoint):
                self._ban(peer.number, str(error), now)
            else:
                self._drop(peer, str(error), now)
            return
        self._requests.fill(peer, now)

    def _on_keep_alive(self, peer: Peer, message: KeepAlive, now: float) -> None:
        self._conduct.useless(peer, "keep-alives", now, cost=message.count)

    def _on_port(self, peer: Peer, message: Port, now: float) -> None:
        # BEP 27: a private torrent's peers are nobody's business.
        if peer.has_told_node:
            self._conduct.useless(peer, "ports of its DHT node", now)
        if message.port and not peer.has_told_node and not self._is_private:
            peer.has_told_node = True
            self._commands.append(NodeFound(Endpoint(peer.endpoint.host, message.port)))

    def _on_piece(self, peer: Peer, run: Piece, now: float) -> None:
        mask, complete = self._requests.arrived(peer, run, now)
        self._download.add(run.length)
        if peer.is_taker:
            self._choker.weigh(peer)
        if mask:
            self._commands.append(StoreBlocks(run, mask))
        if complete is not None:
            self._commands.append(HashPiece(run.piece, self._verifier.is_suspected(run.piece)))

    def _on_request(self, peer: Peer, request: Request, now: float) -> None:
        self._conduct.requested(peer, request, now)
        self._uploads.requested(peer, request, now)

    def _on_cancel(self, peer: Peer, cancel: Cancel, now: float) -> None:
        if not self._uploads.cancelled(peer, cancel.piece, cancel.begin, cancel.length):
            self._conduct.useless(peer, "cancels of nothing", now, cost=CANCEL_COST)

    def _on_reject(self, peer: Peer, reject: Reject, now: float) -> None:
        self._requests.rejected(peer, reject.piece, reject.begin, reject.length)

    def _on_choke(self, peer: Peer, message: Choke, now: float) -> None:
        self._conduct.useless(peer, "chokes", now)
        if self._requests.choked(peer):
            self._fill_all(now)

    def _on_unchoke(self, peer: Peer, message: Unchoke, now: float) -> None:
        self._conduct.useless(peer, "unchokes", now)
        self._requests.unchoked(peer)

    def _on_interested(self, peer: Peer, message: Interested, now: float) -> None:
        self._conduct.flipped(peer, self._super_seeding.reasons(peer), now)
        if not peer.peer_interested:
            peer.peer_interested = True
            self._choker.interested(peer, self._peers.values(), now, is_dry=self._uploads.is_dry)

    def _on_not_interested(self, peer: Peer, message: NotInterested, now: float) -> None:
        self._conduct.flipped(peer, self._super_seeding.reasons(peer), now)
        if peer.peer_interested:
            peer.peer_interested = False
            if not peer.am_choking:
                self._choke(peer)
                self._refill_slots(now)

    def _on_have(self, peer: Peer, message: Have, now: float) -> None:
        if not self._holdings.gained(peer, message.piece):
            self._conduct.useless(peer, "pieces that it has told us of", now)
        elif self.have.count and self.is_complete:
            self._drop_if_useless(peer, now)

    def _on_bitfield(self, peer: Peer, message: BitfieldMessage, now: float) -> None:
        try:
            have = Bitfield.from_bytes(message.raw, self._geometry.piece_count)
        except ValueError as error:
            raise PeerError(f"its bitfield is wrong: {error}") from None
        if not self._holdings.has_introduced(peer):
            self._learn(peer, have, now)
            return
        self._conduct.useless(peer, "bitfields", now, cost=BITFIELD_COST)
        # BEP 3 allows one, at first, but aria2 sends another where it is shorter than many `have`s.
        for piece in have:
            self._holdings.gained(peer, piece)
        self._drop_if_useless(peer, now)

    def _on_have_all(self, peer: Peer, message: HaveAll, now: float) -> None:
        self._learn(peer, Bitfield(self._geometry.piece_count, is_full=True), now)

    def _on_have_none(self, peer: Peer, message: HaveNone, now: float) -> None:
        self._learn(peer, Bitfield(self._geometry.piece_count), now)

    def _learn(self, peer: Peer, have: Bitfield, now: float) -> None:
        self._holdings.introduced(peer, have)
        self._drop_if_useless(peer, now)

    def _on_allowed_fast(self, peer: Peer, message: AllowedFast, now: float) -> None:
        if not self._requests.allowed(peer, message.piece):
            self._conduct.useless(peer, "pieces that we may ask for", now)

    def _on_suggest(self, peer: Peer, message: Suggest, now: float) -> None:
        self._conduct.useless(peer, "suggestions", now)
        self._requests.offered(peer, now)

    def _on_extended(self, peer: Peer, message: Extended, now: float) -> None:
        self._extensions.received(peer, message, now)
        if message.extended_id == HANDSHAKE_ID:
            self._drop_if_useless(peer, now)

    def _drop_if_useless(self, peer: Peer, now: float) -> None:
        """Two that want nothing of each other free their places for others."""
        if self.is_complete and (peer.is_seed or peer.is_upload_only) and self._holdings.has_introduced(peer):
            self._drop(peer, "both of us have everything", now, is_welcome=True)

    # -- blocks out -----------------------------------------------------------------------------

    def _blocks_sent(self, event: BlocksSent, now: float) -> None:
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        self._upload.add(event.length)
        peer.said_at = now
        if not self.is_complete:
            self._choker.weigh(peer)
        if peer.comes_last and not peer.am_choking:
            self._choker.reconsider(now)
        self._uploads.sent(peer, event.length, now)
        if self._uploads.is_dry:
            self._choker.ran_dry(now)

    def _blocks_lost(self, event: PieceUnreadable) -> None:
        """BEP 6: every request gets its block or a reject, those that the host had already too."""
        peer = self._peers.get(event.peer) if event.peer is not None else None
        if peer is not None and peer.has_fast and event.length:
            self._send(peer, [Reject(event.piece, event.begin, event.length, event.block_bytes)])

    def _piece_lost(self, piece: int) -> None:
        """The disk no longer gives us `piece`: take the offer back, and fetch it again if wanted."""
        if not self.have.discard(piece):
            return
        if self._super_seeding.is_active:
            self._super_seeding.end()
        self._picker.lost(piece)
        self._was_complete = self.is_complete
        for peer in list(self._peers.values()):
            self._uploads.withdraw(peer, piece)
            dont_have = peer.extensions.get("lt_donthave")
            if dont_have:
                self._send(peer, [Extended(dont_have, encode_dont_have(piece))])
        self._holdings.we_lost(self._peers.values(), piece)

    # -- pieces ---------------------------------------------------------------------------------

    def _pieces_hashed(self, results: Sequence[HashResult], now: float) -> None:
        done: list[int] = []
        for result in results:
            partial = self._requests.hashed(result.piece)
            if partial is None:
                continue
            verdict = self._verifier.judge(
                result.piece, partial.senders, is_good=result.is_good, block_digests=result.block_digests
            )
            if result.is_good:
                self.have.add(result.piece)
                self._picker.verified(result.piece)
                done.append(result.piece)
            else:
                self._picker.returned(result.piece)
                if verdict.is_retry_solo and self._picker.wants(result.piece):
                    self._requests.restart_solo(result.piece)
            for number in verdict.liars:
                self._ban(number, f"piece {result.piece} had wrong data from it", now)
        if done:
            self._tell_have(done)
        if self.is_complete and not self._was_complete:
            self._became_complete(now)
        # A good piece opens nothing to ask for, unless it was in the way of others.
        if len(done) < len(results) or self._requests.is_short_of_memory:
            self._requests.is_short_of_memory = False
            self._fill_all(now)

    def _tell_have(self, pieces: Sequence[int]) -> None:
        messages = [Have(piece) for piece in pieces]
        for peer in self._peers.values():
            self._send(peer, messages)
        self._holdings.we_gained(self._peers.values(), pieces)

    def _became_complete(self, now: float) -> None:
        self._was_complete = True
        self._commands.append(AnnounceCompleted())
        for peer in list(self._peers.values()):
            self._tell_upload_only(peer)
            self._drop_if_useless(peer, now)

    def _tell_upload_only(self, peer: Peer) -> None:
        if peer.has_extended and peer.extensions:
            self._send(peer, [self._greeting.upload_only()])

    def _ban(self, number: int, reason: str, now: float) -> None:
        endpoint = self._verifier.origin(number)
        peer = self._peers.get(number)
        if endpoint is None:
            return
        self._book.ban(endpoint, peer.peer_id if peer is not None else None, reason)
        self._commands.append(BanHost(endpoint, reason))
        if peer is not None:
            self._drop(peer, reason, now, is_welcome=False)

    def _select(self, event: SelectionChanged, now: float) -> None:
        unwanted = [piece for piece in self._requests.partials if event.priorities[piece] == UNWANTED]
        for piece in self._requests.abandon(unwanted):
            self._commands.append(ForgetPiece(piece))
        busy = [*self._requests.partials, *self._requests.hashing]
        self._picker.select(event.priorities, is_sequential=event.is_sequential, started=busy)
        self._holdings.reselected(self._peers.values())
        if self.is_complete and not self._was_complete:
            self._became_complete(now)
        self._was_complete = self.is_complete
        self._fill_all(now)
        self._dial(now)

    # -- time -----------------------------------------------------------------------------------

    def _fill_all(self, now: float) -> None:
        for peer in self._peers.values():
            self._requests.fill(peer, now)

    def _choke_round(self, now: float) -> None:
        self._choker.round(list(self._peers.values()), is_seeding=self.is_complete, now=now)

    def _refill_slots(self, now: float) -> None:
        self._choker.refill(
            self._peers.values(), is_seeding=self.is_complete, is_dry=self._uploads.is_dry, now=now
        )
        if self._uploads.is_dry and not self._super_seeding.is_active:
            self._suggestions.offer(self._peers.values(), now)

    def _woken(self, now: float) -> None:
        self._dial(now)
        self._exchange.tell(now)
        if now >= self._choker.refill_at:
            self._refill_slots(now)
        if now < self._tick_at:
            return
        self._download.sample(now)
        self._upload.sample(now)
        is_busy = self._super_seeding.is_active
        for peer in list(self._peers.values()):
            peer.download.sample(now)
            peer.upload.sample(now)
            is_busy = is_busy or bool(peer.asked_blocks or peer.sending_bytes or peer.refused)
            is_busy = is_busy or not peer.download.is_idle
            if not peer.asked_blocks:
                # It has nothing else for us: what it refused it may give by now.
                peer.refused.clear()
            self._look_after(peer, now)
        self._uploads.tick(now)
        if self._super_seeding.is_active:
            self._super_seeding.tick(now)
        if now >= self._choker.next_round_at:
            self._choke_round(now)
            for peer in self._peers.values():
                # A full queue refuses too (transmission's does): by now it may have room.
                peer.refused.clear()
        self._fill_all(now)
        # Without traffic a look every choke round is enough.
        self._tick_at = now + (self._settings.tick_s if is_busy else self._settings.choke_round_s)

    def _look_after(self, peer: Peer, now: float) -> None:
        """Timeouts and keep-alives of one peer."""
        if now - peer.heard_at >= self._settings.idle_s:
            self._drop(peer, "nothing was heard from it for too long", now, is_welcome=True)
            return
        if peer.sending_bytes and now - peer.last_served_at >= self._settings.send_stall_s:
            self._drop(peer, "it does not read what it asked for", now)
            return
        is_fake = peer.is_stalled and not peer.download.total_bytes
        if is_fake and now - peer.connected_at >= self._settings.fake_seed_s:
            self._drop(peer, "it answers none of our requests", now)
            return
        if now - peer.said_at >= self._settings.keep_alive_s and not peer.sending_bytes:
            peer.said_at = now
            self._commands.append(SendMessages(peer.number, (KeepAlive(),)))
        if peer.asked_blocks:
            self._requests.check_timeouts(peer, now)

    @property
    def rendezvous_counts(self) -> RendezvousCounts:
        """What came of holepunching (BEP 55)."""
        return self._addresses.rendezvous.counts

    # -- seen from outside ----------------------------------------------------------------------

    def stats(self, now: float) -> EngineStats:
        """A snapshot for progress displays."""
        geometry = self._geometry
        return EngineStats(
            pieces_done=self.have.count,
            pieces_total=geometry.piece_count,
            done_bytes=geometry.pieces_bytes(self.have),
            missing_bytes=self._picker.missing_bytes(geometry),
            total_bytes=geometry.total_bytes,
            downloaded_bytes=self._download.total_bytes,
            uploaded_bytes=self._upload.total_bytes,
            wasted_bytes=self._requests.wasted_bytes,
            failed_pieces=self._verifier.failed_count,
            down_bytes_per_s=self._download.average(now, 3.0),
            up_bytes_per_s=self._upload.average(now, 3.0),
            peers=len(self._peers),
            seeds=self._availability.seed_count,
            candidates=self._book.candidate_count,
            in_flight_bytes=self._requests.in_flight_bytes,
            is_complete=self.is_complete,
        )

    def peers(self, now: float) -> list[PeerStats]:
        """One row a connected peer."""
        return [peer_stats(peer, now) for peer in self._peers.values()]
