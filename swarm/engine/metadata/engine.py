"""The mind of a torrent of which only the info-hash is known: fetches the info dictionary (BEP 9).

The same door as `TorrentEngine`, which takes over its peers and its book of addresses when it is done.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias, assert_never

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.errors import FloodError, PeerError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.commands import BanHost, Dial, DropPeer, LinkCommand, NodeFound, SeekPeers, SendMessages
from swarm.engine.conduct import Offences
from swarm.engine.events import (
    CandidatesFound,
    DialFailed,
    LinkEvent,
    MessagesReceived,
    PeerConnected,
    PeerLost,
    WokenUp,
)
from swarm.engine.finding.dearth import Dearth
from swarm.engine.finding.hearsay import Hearsay
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.finding.places import Places
from swarm.engine.greeting import Greeting
from swarm.engine.metadata.drafts import Draft, Drafts
from swarm.engine.metadata.peer import MetadataPeer, UselessPeers
from swarm.engine.metadata.uploads import MetadataUploads
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import HANDSHAKE_ID, LOCAL_IDS, decode_extended_handshake
from swarm.wire.peer.messages import Extended, KeepAlive, Message, Port
from swarm.wire.peer.metadata import (
    METADATA_BYTES_MAX,
    MetadataData,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
    encode_metadata,
)


@dataclass(slots=True)
class MetadataCompleted:
    """`info` is the info dictionary: its hash is right."""

    info: bytes


MetadataEvent: TypeAlias = LinkEvent
MetadataCommand: TypeAlias = LinkCommand | MetadataCompleted


@dataclass(slots=True)
class MetadataStats:
    """How far it is; of several tries the one that is farthest.

    Args:
        total_bytes: None while no peer has named a size.
    """

    peers: int
    candidates: int
    done_bytes: int
    total_bytes: int | None


class MetadataEngine:
    """Finds out what is in the torrent `info_hash`.

    Args:
        client, listen_port, dht_port: as in `TorrentEngine`.
        now: monotonic seconds, the same clock as in every later call.

    Attributes:
        info: the info dictionary as found, once it is here; empty before.
        book: the addresses known; the torrent's engine goes on with it.
    """

    def __init__(
        self,
        info_hash: InfoHash,
        peer_id: PeerId,
        *,
        settings: EngineSettings,
        rng: random.Random,
        now: float,
        client: str = "swarm",
        listen_port: int | None = None,
        dht_port: int | None = None,
    ) -> None:
        self.info = b""
        self.book = PeerBook(peer_id, settings, rng, now)
        self._info_hash = info_hash
        self._settings = settings
        self._greeting = Greeting(
            info_hash,
            settings,
            client=client,
            listen_port=listen_port,
            dht_port=dht_port,
            is_private=False,
        )
        self._hearsay = Hearsay(self.book, settings)
        self._uploads = MetadataUploads(b"", settings)
        self._drafts = Drafts(settings)
        self._offences = Offences(settings)
        self._peers: dict[int, MetadataPeer] = {}
        self._useless = UselessPeers(self._peers, settings)
        self._places = Places(self._peers, self.book, settings, self._useless)
        self._dearth = Dearth(settings)
        #: Who was ever connected, to be named when a lie is proven later.
        self._met: dict[int, tuple[Endpoint, PeerId]] = {}
        self._commands: list[MetadataCommand] = []
        self._tick_at = now
        self._now = now
        self._extensions: dict[int, Callable[[MetadataPeer, bytes, float], None]] = {
            HANDSHAKE_ID: self._on_handshake,
            LOCAL_IDS["ut_metadata"]: self._on_metadata,
            LOCAL_IDS["ut_pex"]: self._on_peer_exchange,
        }

    # -- the door -------------------------------------------------------------------------------

    def handle(self, event: MetadataEvent, now: float) -> list[MetadataCommand]:
        """Take one event; returns what the host must do, in this order."""
        self._now = now
        match event:
            case MessagesReceived():
                self._messages_received(event, now)
            case PeerConnected():
                self._peer_connected(event, now)
            case PeerLost():
                self._peer_lost(event, now)
            case CandidatesFound():
                if self.book.found(event.endpoints, event.source, now):
                    self._dial(now)
            case DialFailed():
                self.book.dial_failed(event.endpoint, now, is_tried=event.is_tried)
                self._seek_if_short()
                if event.is_tried:
                    self._hearsay.tried(event.endpoint, is_reached=False)
            case WokenUp():
                self._woken(now)
            case _:
                assert_never(event)
        commands = self._commands
        self._commands = []
        return commands

    def next_wakeup(self, now: float) -> float | None:
        """The instant at which the host must send `WokenUp`, or None for not before another event."""
        dial_at = self._places.next_dial_at(now)
        if not self._peers:
            return dial_at
        return self._tick_at if dial_at is None else min(dial_at, self._tick_at)

    def stats(self) -> MetadataStats:
        """A snapshot for progress displays."""
        best = max(self._drafts, key=lambda draft: draft.arrived_bytes, default=None)
        done_bytes = len(self.info) if best is None else best.arrived_bytes
        total_bytes = (len(self.info) or None) if best is None else best.total_bytes
        return MetadataStats(len(self._peers), self.book.candidate_count, done_bytes, total_bytes)

    # -- emitting -------------------------------------------------------------------------------

    def _send(self, peer: MetadataPeer, messages: Sequence[Message]) -> None:
        self._commands.append(SendMessages(peer.number, messages))
        peer.said_at = self._now

    def _dial(self, now: float) -> None:
        self._commands += map(Dial, self._places.to_dial(now))

    def _drop(
        self, peer: MetadataPeer, reason: str, now: float, *, is_welcome: bool = False, is_fault: bool = True
    ) -> None:
        self._commands.append(DropPeer(peer.number, reason, is_fault and not is_welcome))
        self._forget(peer, now, is_welcome=is_welcome)

    # -- peers come and go ----------------------------------------------------------------------

    def _peer_connected(self, event: PeerConnected, now: float) -> None:
        if event.is_outgoing:
            self._hearsay.tried(event.endpoint, is_reached=True)
        for peer in self._places.crossed(event, now):
            self._drop(peer, "it is connected already", now, is_fault=False)
        refusal, parting = self._places.entry(event, now)
        if refusal is not None:
            self._commands.append(DropPeer(event.peer, refusal, is_fault=False))
            return
        if not self._peers:
            self._tick_at = now + self._settings.tick_s
        peer = self._peers[event.peer] = MetadataPeer(event, self._settings, now)
        self._met[event.peer] = (event.endpoint, event.peer_id)
        self.book.connected(event.endpoint, is_outgoing=event.is_outgoing)
        greeting = self._greeting.before_metadata(
            event.endpoint,
            has_fast=event.has_fast,
            has_extended=event.has_extended,
            has_dht=event.has_dht,
        )
        if greeting:
            self._send(peer, greeting)
        if parting is not None:
            self._drop(parting.peer, parting.reason, now, is_welcome=parting.is_welcome, is_fault=False)

    def _peer_lost(self, event: PeerLost, now: float) -> None:
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        if event.is_offence and self._offences.is_once_too_often(peer.endpoint):
            self._shut_out(peer.endpoint, peer.peer_id, event.reason)
        is_short = now - peer.connected_at < self._settings.short_link_s
        # Who accepts and closes at once is as good as not there.
        was_short = is_short and peer.helped_at == peer.connected_at
        self._forget(peer, now, is_welcome=not event.is_offence, was_short=was_short)

    def _forget(self, peer: MetadataPeer, now: float, *, is_welcome: bool, was_short: bool = False) -> None:
        self._give_up(peer)
        del self._peers[peer.number]
        self._drafts.lost(peer.number)
        if not self._drafts.has_testimony_of(peer.number):
            del self._met[peer.number]
        self._uploads.lost(peer.number)
        self._hearsay.lost(peer.number)
        self.book.lost(
            peer.endpoint,
            now,
            is_outgoing=peer.is_outgoing,
            is_seed=False,
            is_welcome=is_welcome,
            was_short=was_short,
        )
        self._fill_all(now)
        self._dial(now)
        self._seek_if_short()

    def _seek_if_short(self) -> None:
        if not self.info and self._places.is_short:
            self._commands.append(SeekPeers())

    def _seek_in_dearth(self, now: float) -> None:
        """Who has the metadata may have come since: those here may have come for it themselves."""
        # Who has let us wait and is asked again is no hope yet.
        has_hope = any(peer.asked and not peer.late for peer in self._peers.values())
        if self._dearth.is_due(now, is_dearth=bool(self._peers) and not has_hope):
            self._commands.append(SeekPeers())

    def _ban(self, number: int, reason: str, now: float) -> None:
        self._shut_out(*self._met[number], reason)
        peer = self._peers.get(number)
        if peer is not None:
            self._drop(peer, reason, now)

    def _shut_out(self, endpoint: Endpoint, peer_id: PeerId, reason: str) -> None:
        self.book.ban(endpoint, peer_id, reason)
        self._commands.append(BanHost(endpoint, reason))

    # -- messages -------------------------------------------------------------------------------

    def _messages_received(self, event: MessagesReceived, now: float) -> None:
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        peer.heard_at = now
        try:
            for message in event.messages:
                if isinstance(message, Extended):
                    handler = self._extensions.get(message.extended_id)
                    if handler is not None:
                        handler(peer, message.payload, now)
                    # Pieces that nobody asked for, requests and addresses are counted where they are read.
                    is_free = handler is not None and message.extended_id != HANDSHAKE_ID
                    if not is_free and not peer.patience.take(now):
                        raise FloodError("it floods us with messages of extensions")
                elif isinstance(message, Port) and message.port:
                    self._commands.append(NodeFound(Endpoint(peer.endpoint.host, message.port)))
                    if not peer.patience.take(now):
                        raise FloodError("it floods us with ports of its DHT node")
                elif isinstance(message, KeepAlive) and not peer.patience.take(now, message.count):
                    raise FloodError("it floods us with keep-alives")
                if event.peer not in self._peers:
                    return
        except PeerError as error:
            if isinstance(error, FloodError) or self._offences.is_once_too_often(peer.endpoint):
                self._ban(peer.number, str(error), now)
            else:
                self._drop(peer, str(error), now)
            return
        self._fill(peer, now)

    def _on_handshake(self, peer: MetadataPeer, payload: bytes, now: float) -> None:
        handshake = decode_extended_handshake(payload)
        peer.extended_id = handshake.extensions.get("ut_metadata", peer.extended_id)
        claimed = handshake.metadata_bytes
        if claimed is None or claimed > METADATA_BYTES_MAX:
            # BEP 10: what a later handshake leaves out stays as it was. A size that cannot be is no size.
            return
        if peer.total_bytes is not None and peer.total_bytes != claimed:
            raise PeerError("it changed its word on the size of the metadata")
        peer.total_bytes = claimed

    def _on_peer_exchange(self, peer: MetadataPeer, payload: bytes, now: float) -> None:
        # Whom it names may have the metadata; should the torrent turn out to be private, they are forgotten.
        if self._settings.is_exchanging:
            _, fresh_count = self._hearsay.received(peer.number, peer.endpoint, payload, now)
            if fresh_count:
                self._dial(now)

    def _on_metadata(self, peer: MetadataPeer, payload: bytes, now: float) -> None:
        message = decode_metadata(payload)
        match message:
            case MetadataData():
                self._on_data(peer, message, now)
            case MetadataReject(piece):
                self._on_reject(peer, piece, now)
            case MetadataRequest():
                answer = self._uploads.answer(peer.number, payload)
                if answer is not None and peer.extended_id:
                    self._send(peer, [Extended(peer.extended_id, answer)])

    def _on_data(self, peer: MetadataPeer, message: MetadataData, now: float) -> None:
        if message.piece not in peer.asked and message.piece not in peer.late:
            peer.unasked_count += 1
            if peer.unasked_count > self._settings.metadata_unasked_max:
                raise PeerError("it sends metadata that nobody asked for")
            return
        if message.total_bytes != peer.total_bytes:
            # The piece stays among those that it was asked for, which are taken back from it now.
            raise PeerError("it changed its word on the size of the metadata")
        peer.asked.pop(message.piece, None)
        peer.late.discard(message.piece)
        peer.helped_at = now
        peer.rests_until = now
        peer.depth = min(peer.depth + 1, self._settings.metadata_depth_max)
        draft = self._drafts.of(peer.number, message.total_bytes)
        if draft is None or not draft.arrived(message.piece, peer.number, message.data):
            return
        if draft.is_complete:
            self._judge(draft, now)

    def _on_reject(self, peer: MetadataPeer, piece: int, now: float) -> None:
        if peer.asked.pop(piece, None) is None:
            return
        peer.rests_until = now + self._settings.metadata_rest_s
        peer.depth = max(1, peer.depth // 2)
        if peer.total_bytes is not None:
            draft = self._drafts.of(peer.number, peer.total_bytes)
            if draft is not None:
                draft.took_back(piece, peer.number)
        self._fill_all(now)

    def _judge(self, draft: Draft, now: float) -> None:
        """`draft` is complete: right, or somebody lied."""
        info = draft.info()
        if hashlib.sha1(info).digest() != self._info_hash:
            liar = self._drafts.failed(draft)
            for peer in self._peers.values():
                if peer.total_bytes == draft.total_bytes:
                    self._give_up(peer)
            if liar is not None:
                self._ban(liar, "its metadata is not that of the torrent", now)
            self._fill_all(now)
            return
        self.info = info
        self._drafts.clear()
        for number in self._drafts.liars(info):
            self._ban(number, "its metadata was wrong", now)
        self._uploads = MetadataUploads(info, self._settings)
        self._commands.append(MetadataCompleted(info))

    # -- asking ---------------------------------------------------------------------------------

    def _fill_all(self, now: float) -> None:
        for peer in list(self._peers.values()):
            self._fill(peer, now)

    def _fill(self, peer: MetadataPeer, now: float) -> None:
        """Ask `peer` for as much as it may have to do."""
        if self.info or not peer.extended_id or peer.total_bytes is None or peer.rests_until > now:
            return
        if len(peer.asked) >= peer.depth:
            return
        draft = self._drafts.begin(peer.number, peer.total_bytes, self._votes(now), now)
        if draft is None:
            return
        if draft.is_complete:
            # It sent all of it to the failed one already.
            self._judge(draft, now)
            return
        requests: list[Message] = []
        while len(peer.asked) < peer.depth:
            piece = draft.next_for(peer.number, now, self._settings.metadata_hurry_s)
            if piece is None:
                break
            draft.asked(piece, peer.number, now)
            peer.asked[piece] = now
            requests.append(Extended(peer.extended_id, encode_metadata(MetadataRequest(piece))))
        if requests:
            self._send(peer, requests)

    def _votes(self, now: float) -> dict[int, int]:
        return Counter(
            peer.total_bytes
            for peer in self._peers.values()
            if peer.total_bytes is not None and peer.rests_until <= now
        )

    def _give_up(self, peer: MetadataPeer) -> None:
        """What `peer` was asked for may be asked of others; its answers are still welcome."""
        draft = None if peer.total_bytes is None else self._drafts.of(peer.number, peer.total_bytes)
        if draft is not None:
            for piece in peer.asked:
                draft.took_back(piece, peer.number)
        peer.late.update(peer.asked)
        peer.asked.clear()

    # -- time -----------------------------------------------------------------------------------

    def _woken(self, now: float) -> None:
        self._dial(now)
        if now < self._tick_at:
            return
        for peer in list(self._peers.values()):
            self._look_after(peer, now)
        if not self.info:
            self._make_room(now)
            self._fill_all(now)
            self._seek_in_dearth(now)
        is_busy = any(peer.asked for peer in self._peers.values())
        self._tick_at = now + (self._settings.tick_s if is_busy else self._settings.choke_round_s)

    def _look_after(self, peer: MetadataPeer, now: float) -> None:
        if now - peer.heard_at >= self._settings.idle_s:
            self._drop(peer, "nothing was heard from it for too long", now, is_welcome=True)
            return
        if now - peer.said_at >= self._settings.keep_alive_s:
            self._send(peer, (KeepAlive(),))
        if self.info or not peer.asked or peer.rests_until > now:
            return
        # It sends one after the other: each answer gives the next as long.
        if now - max(peer.helped_at, min(peer.asked.values())) >= self._settings.metadata_timeout_s:
            self._give_up(peer)
            peer.rests_until = now + self._settings.metadata_rest_s

    def _make_room(self, now: float) -> None:
        """Where all places are taken by peers that cannot help, some must go for others to come."""
        if not self.book.candidate_count or len(self._peers) < self._settings.connections_max:
            return
        useless = self._useless.all(now)
        for peer in useless[: max(1, len(useless) // 2)]:
            self._drop(peer, "it cannot give the metadata", now, is_welcome=True)
