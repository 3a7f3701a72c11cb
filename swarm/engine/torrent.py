"""The coordinator of one torrent: routes events to the desks and collects their commands.

It decides nothing itself that a desk could decide; see docs/ARCHITECTURE.md for the way of a block.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, assert_never

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.errors import PeerError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.alarms import Alarms
from swarm.engine.commands import (
    AnnounceCompleted,
    AnnounceReopened,
    Command,
    ForgetBlocks,
    SendBlocks,
    SendMessages,
)
from swarm.engine.company import Company
from swarm.engine.conduct import Conduct
from swarm.engine.conversation import Conversation
from swarm.engine.download.availability import Availability
from swarm.engine.download.collection import Collection
from swarm.engine.download.haves import Haves
from swarm.engine.download.holdings import Holdings
from swarm.engine.download.picker import Picker
from swarm.engine.download.requests import KnownBlocks, Requests
from swarm.engine.download.verifier import Verifier
from swarm.engine.events import (
    BlocksSent,
    CandidatesFound,
    DialFailed,
    DownloadHeld,
    Event,
    MessagesReceived,
    OwnAddressSeen,
    PeerConnected,
    PeerLost,
    PieceNotWritten,
    PiecesHashed,
    PieceUnreadable,
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
from swarm.engine.rates import Traffic
from swarm.engine.settings import EngineSettings
from swarm.engine.stats import EngineStats, PeerStats, peer_stats
from swarm.engine.upkeep import Upkeep
from swarm.engine.upload.slots import Slots
from swarm.engine.upload.spreading import Spreading
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.engine.upload.uploads import Uploads
from swarm.engine.upload_only import UploadOnly
from swarm.engine.worth import Worth
from swarm.wire.peer.messages import Message, Request

if TYPE_CHECKING:
    from swarm.engine.explain import Ranked


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
        known_blocks: the mask of a piece's blocks that the host knows to be zeros, but never all of a piece:
            they are not asked for, and the host hashes zeros in their place. None: it knows of none.
        info: the info dictionary as found, for peers that have only a magnet link; empty: they get none.
        book: the addresses known from fetching the metadata.
    """

    __slots__ = (
        "_addresses",
        "_alarms",
        "_availability",
        "_book",
        "_collection",
        "_commands",
        "_company",
        "_conduct",
        "_conversation",
        "_exchange",
        "_geometry",
        "_greeting",
        "_haves",
        "_holdings",
        "_metadata",
        "_now",
        "_peers",
        "_picker",
        "_requests",
        "_settings",
        "_slots",
        "_spreading",
        "_super_seeding",
        "_traffic",
        "_upkeep",
        "_upload_only",
        "_uploads",
        "_verifier",
        "_worth",
        "have",
    )

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
        known_blocks: KnownBlocks | None = None,
        info: bytes = b"",
        book: PeerBook | None = None,
    ) -> None:
        self.have = have
        self._geometry = geometry
        self._settings = settings
        self._commands: list[Command] = []
        self._alarms = Alarms()
        self._peers: dict[int, Peer] = {}
        self._availability = Availability(geometry.piece_count, settings.connections_max + 1)
        self._picker = Picker(
            have,
            priorities,
            self._availability,
            rng,
            is_sequential=is_sequential,
            random_first_pieces=settings.random_first_pieces,
        )
        self._requests = Requests(
            geometry,
            self._picker,
            self._peers,
            settings,
            self._send,
            self._forget_blocks,
            self._alarms,
            known_blocks,
        )
        self._requests.adopt(partials or {})
        self._verifier = Verifier()
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
        self._upload_only = UploadOnly(self._peers, self._picker, self._greeting, self._send)
        self._spreading = Spreading(have, settings)
        self._super_seeding = SuperSeeding(
            have,
            self._availability,
            geometry.piece_length,
            settings,
            rng,
            self._send,
            self._upload_only.tell,
        )
        self._uploads = Uploads(
            have,
            self._availability,
            self._spreading,
            self._super_seeding,
            settings,
            geometry.piece_length,
            self._send,
            self._serve,
        )
        self._holdings = Holdings(
            self._availability, self._picker, self._spreading, self._super_seeding, self._send
        )
        self._conduct = Conduct(geometry, settings)
        self._slots = Slots(
            have,
            self._peers,
            self._picker,
            self._uploads,
            self._super_seeding,
            settings,
            geometry.piece_length,
            rng,
            self._send,
            self._alarms,
        )
        self._addresses = Addresses(
            self._peers,
            book or PeerBook(peer_id, settings, rng, now),
            settings,
            self._send,
            self._alarms,
            listen_port=listen_port,
            is_private=is_private,
        )
        self._book = self._addresses.book
        self._exchange = self._addresses.exchange
        self._company = Company(
            self._peers,
            self._book,
            self._addresses.places,
            settings,
            self._emit,
            welcome=self._welcome,
            forget=self._forget,
            is_seeking=lambda: not self.is_complete,
            skips_seeds=lambda: self.is_complete,
        )
        self._worth = Worth(have, self._peers, self._picker, self._holdings, self._company.drop)
        self._traffic = Traffic(now, settings.rate_window_s)
        self._haves = Haves(self._peers, settings, self._send, self._alarms)
        self._collection = Collection(
            have,
            self._peers,
            self._picker,
            self._requests,
            self._verifier,
            self._holdings,
            self._haves,
            self._uploads,
            self._super_seeding,
            send=self._send,
            convict=self._company.convict,
            completed=self._completed,
            reopened=self._reopened,
        )
        self._conversation = Conversation(
            geometry.piece_count,
            self._picker,
            self._requests,
            self._verifier,
            self._holdings,
            self._uploads,
            self._slots,
            self._super_seeding,
            Extensions(
                self._addresses,
                self._holdings,
                self._requests,
                self._metadata,
                self._conduct,
                self._send,
                dial=self._company.dial,
                dial_one=self._company.dial_one,
            ),
            self._conduct,
            self._traffic,
            self._worth,
            is_private=is_private,
            emit=self._emit,
        )
        self._upkeep = Upkeep(
            self._peers,
            self._requests,
            self._uploads,
            self._slots,
            self._super_seeding,
            self._worth,
            self._traffic,
            settings,
            self._send,
            self._company.drop,
            self._alarms,
            now,
        )
        self._now = now

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
                self._collection.hashed(event.results, now)
            case PeerConnected():
                if event.is_outgoing:
                    self._addresses.reached(event.endpoint, now)
                self._company.connected(event, now)
            case PeerLost():
                self._company.lost(event, now)
            case CandidatesFound():
                self._company.found(event, now)
            case DialFailed():
                self._addresses.not_reached(event, now)
                self._company.seek_if_short()
            case PieceNotWritten():
                self._collection.not_written(event.piece)
            case PieceUnreadable():
                self._piece_unreadable(event)
            case OwnAddressSeen():
                self._addresses.own_address_seen(event.host, event.source)
            case DownloadHeld():
                self._requests.hold(event.is_held, now)
            case UploadLimited():
                self._slots.limit(event.bytes_per_s, now)
            case WokenUp():
                self._company.dial(now)
                self._exchange.tell(now)
                self._haves.woken(now)
                self._upkeep.woken(now)
                self._company.seek_in_dearth(now, is_dearth=self._worth.is_dearth)
            case _:
                assert_never(event)
        if self._requests.has_more_to_ask:
            self._requests.fill_all(now)
        commands = self._commands
        self._commands = []
        return commands

    def next_wakeup(self, now: float) -> float | None:
        """The instant at which the host must send `WokenUp`, or None for not before another event."""
        peers = self._peers
        dial_at = self._book.next_dial_at(len(peers), skip_seeds=not self._picker.wanted_missing, now=now)
        if not peers:
            return dial_at
        wakeup_at = self._alarms.next_at(self._uploads)
        return wakeup_at if dial_at is None or dial_at > wakeup_at else dial_at

    def check(self) -> None:
        """Raise AssertionError where the desks contradict each other; for tests and the simulator."""
        self._picker.check(self._peers.values())
        self._requests.check()
        self._holdings.check(self._peers.values())
        self._super_seeding.check()
        self._uploads.check(self._peers.values())

    def partial_blocks(self) -> dict[int, int]:
        """piece -> mask of the blocks that are stored of pieces that are not complete."""
        return self._requests.stored()

    @property
    def is_complete(self) -> bool:
        """Everything wanted is verified."""
        return self._picker.is_complete

    # -- emitting -------------------------------------------------------------------------------

    def _emit(self, command: Command) -> None:
        self._commands.append(command)

    def _send(self, peer: Peer, messages: Sequence[Message]) -> None:
        if peer.untold:
            messages = self._haves.along(peer, messages)
        self._commands.append(SendMessages(peer.number, messages))
        peer.said_at = self._now

    def _serve(self, peer: Peer, request: Request) -> None:
        self._commands.append(
            SendBlocks(peer.number, request.piece, request.begin, request.length, request.block_bytes)
        )

    def _forget_blocks(self, piece: int) -> None:
        self._commands.append(ForgetBlocks(piece))

    # -- peers come and go ----------------------------------------------------------------------

    def _welcome(self, event: PeerConnected, now: float) -> None:
        peer = Peer(event, self._geometry.piece_count, self._settings, now)
        self._upkeep.joined(now)
        self._peers[event.peer] = peer
        self._holdings.joined(peer)
        self._addresses.connected(peer, now)
        greeting = self._greeting.messages(
            peer,
            self._super_seeding.pretended,
            is_upload_only=self.is_complete and not self._super_seeding.is_active,
            # What only we have must leave us once, not once for each newcomer.
            has_gifts=not self._spreading.is_active,
            is_greeted=event.is_greeted,
        )
        if greeting:
            self._send(peer, greeting)
        self._super_seeding.met(peer)

    def _forget(self, peer: Peer, now: float, *, is_welcome: bool, is_lost: bool) -> bool:
        self._requests.lost(peer)
        self._uploads.lost(peer, now)
        del self._peers[peer.number]
        self._holdings.gone(peer)
        self._slots.lost(peer)
        self._metadata.lost(peer.number)
        self._spreading.lost(peer)
        self._super_seeding.lost(peer)
        self._addresses.lost(
            peer, now, is_welcome=is_welcome, is_lost=is_lost, is_useless=self._worth.was_useless(peer)
        )
        if not peer.am_choking:
            self._slots.freed(now)
        # Of one that never sent a block nothing can be proven.
        return peer.download.total_bytes > 0

    # -- messages -------------------------------------------------------------------------------

    def _messages_received(self, event: MessagesReceived, now: float) -> None:
        peers = self._peers
        number = event.peer
        peer = peers.get(number)
        if peer is None:
            return
        peer.heard_at = now
        heard = self._conversation.heard
        try:
            for message in event.messages:
                heard(peer, message, now)
                if number not in peers:
                    return
        except PeerError as error:
            self._company.offended(peer, error, now)
            return
        self._requests.fill(peer, now)

    # -- blocks out -----------------------------------------------------------------------------

    def _blocks_sent(self, event: BlocksSent, now: float) -> None:
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        self._traffic.upload.add(event.length)
        peer.said_at = now
        self._slots.sent(peer, event.length, now)

    def _piece_unreadable(self, event: PieceUnreadable) -> None:
        self._collection.lost(event.piece)
        peer = self._peers.get(event.peer) if event.peer is not None else None
        if peer is not None and event.length:
            lost = Request(event.piece, event.begin, event.length, event.block_bytes)
            self._uploads.unreadable(peer, lost)

    def _completed(self, now: float) -> None:
        self._commands.append(AnnounceCompleted())
        self._upload_only.tell_all()
        self._worth.part_from_useless(now)

    def _reopened(self) -> None:
        self._commands.append(AnnounceReopened())
        self._upload_only.tell_all()

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
            downloaded_bytes=self._traffic.download.total_bytes,
            uploaded_bytes=self._traffic.upload.total_bytes,
            wasted_bytes=self._requests.wasted_bytes,
            failed_pieces=self._verifier.failed_count,
            down_bytes_per_s=self._traffic.download.average(now, 3.0),
            up_bytes_per_s=self._traffic.upload.average(now, 3.0),
            peers=len(self._peers),
            seeds=self._availability.seed_count,
            candidates=self._book.candidate_count,
            in_flight_bytes=self._requests.memory.used_bytes,
            is_complete=self.is_complete,
        )

    def explain(self, now: float) -> list[Ranked]:
        """Why it does not go faster, what matters most first."""
        from swarm.engine.explain import explain

        return explain(
            self._peers.values(),
            self._picker,
            self._requests,
            self._availability,
            self._book,
            self._geometry,
            now,
        )

    def peers(self, now: float) -> list[PeerStats]:
        """One row a connected peer."""
        return [peer_stats(peer, now) for peer in self._peers.values()]

    @property
    def rendezvous_counts(self) -> RendezvousCounts:
        """What came of holepunching (BEP 55)."""
        return self._addresses.rendezvous.counts
