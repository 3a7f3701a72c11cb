"""The mind of a torrent of which only the info-hash is known: fetches the info dictionary (BEP 9).

The same door as `TorrentEngine`, which takes over its peers and its book of addresses when it is done. Like
that it only routes: with `Company` peers come and go, `MetadataDownloads` asks, `MetadataUploads` answers,
and `MetadataWorth` says who is of no use.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeAlias, assert_never

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.commands import LinkCommand, NodeFound, SendMessages
from swarm.engine.company import Company
from swarm.engine.events import (
    CandidatesFound,
    DialFailed,
    LinkEvent,
    MessagesReceived,
    PeerConnected,
    PeerLost,
    WokenUp,
)
from swarm.engine.finding.hearsay import Hearsay
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.finding.places import Places
from swarm.engine.greeting import Greeting
from swarm.engine.metadata.downloads import MetadataDownloads
from swarm.engine.metadata.peer import MetadataPeer
from swarm.engine.metadata.uploads import MetadataUploads
from swarm.engine.metadata.worth import MetadataWorth
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import HANDSHAKE_ID, LOCAL_IDS, decode_extended_handshake
from swarm.wire.peer.messages import Extended, KeepAlive, Message, Port
from swarm.wire.peer.metadata import MetadataData, MetadataReject, MetadataRequest, decode_metadata


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
        self.book = PeerBook(peer_id, settings, rng, now)
        self._settings = settings
        self._commands: list[MetadataCommand] = []
        self._peers: dict[int, MetadataPeer] = {}
        self._greeting = Greeting(
            info_hash,
            settings,
            client=client,
            listen_port=listen_port,
            dht_port=dht_port,
            is_private=False,
        )
        self._hearsay = Hearsay(self.book, settings)
        self._worth = MetadataWorth(self._peers, self.book, settings)
        self._company = Company(
            self._peers,
            self.book,
            Places(self._peers, self.book, settings, self._worth),
            settings,
            self._emit,
            welcome=self._welcome,
            forget=self._forget,
            is_seeking=lambda: not self.info,
            # The torrent will need them.
            skips_seeds=lambda: False,
        )
        self._uploads = MetadataUploads(b"", settings)
        self._downloads = MetadataDownloads(
            info_hash,
            self._peers,
            settings,
            self._send,
            convict=self._company.convict,
            completed=self._completed,
        )
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
                if event.is_outgoing:
                    self._hearsay.tried(event.endpoint, is_reached=True)
                self._company.connected(event, now)
            case PeerLost():
                self._company.lost(event, now)
            case CandidatesFound():
                self._company.found(event, now)
            case DialFailed():
                self.book.dial_failed(event.endpoint, now, is_tried=event.is_tried)
                if event.is_tried:
                    self._hearsay.tried(event.endpoint, is_reached=False if event.has_way else None)
                self._company.seek_if_short()
            case WokenUp():
                self._company.dial(now)
                if now >= self._tick_at:
                    self._tick(now)
            case _:
                assert_never(event)
        commands = self._commands
        self._commands = []
        return commands

    def next_wakeup(self, now: float) -> float | None:
        """The instant at which the host must send `WokenUp`, or None for not before another event."""
        dial_at = self.book.next_dial_at(len(self._peers), skip_seeds=False, now=now)
        if not self._peers:
            return dial_at
        return self._tick_at if dial_at is None else min(dial_at, self._tick_at)

    @property
    def info(self) -> bytes:
        """The info dictionary as found, once it is here; empty before."""
        return self._downloads.info

    def stats(self) -> MetadataStats:
        """A snapshot for progress displays."""
        done_bytes, total_bytes = self._downloads.progress()
        return MetadataStats(len(self._peers), self.book.candidate_count, done_bytes, total_bytes)

    # -- emitting -------------------------------------------------------------------------------

    def _emit(self, command: MetadataCommand) -> None:
        self._commands.append(command)

    def _send(self, peer: MetadataPeer, messages: Sequence[Message]) -> None:
        self._commands.append(SendMessages(peer.number, messages))
        peer.said_at = self._now

    def _completed(self, info: bytes) -> None:
        self._uploads = MetadataUploads(info, self._settings)
        self._commands.append(MetadataCompleted(info))

    # -- peers come and go ----------------------------------------------------------------------

    def _welcome(self, event: PeerConnected, now: float) -> None:
        if not self._peers:
            self._tick_at = now + self._settings.tick_s
        peer = self._peers[event.peer] = MetadataPeer(event, self._settings, now)
        self.book.connected(event.endpoint, is_outgoing=event.is_outgoing)
        greeting = self._greeting.before_metadata(
            event.endpoint,
            has_fast=event.has_fast,
            has_extended=event.has_extended,
            has_dht=event.has_dht,
        )
        if greeting:
            self._send(peer, greeting)

    def _forget(self, peer: MetadataPeer, now: float, *, is_welcome: bool, is_lost: bool) -> bool:
        del self._peers[peer.number]
        self._downloads.lost(peer)
        self._uploads.lost(peer.number)
        self._hearsay.lost(peer.number)
        is_short = now - peer.connected_at < self._settings.short_link_s
        self.book.lost(
            peer.endpoint,
            now,
            is_outgoing=peer.is_outgoing,
            is_seed=False,
            is_welcome=is_welcome,
            # Who accepts and closes at once is as good as not there.
            was_short=is_lost and is_short and peer.helped_at == peer.connected_at,
        )
        self._downloads.fill_all(now)
        return self._downloads.has_testimony_of(peer.number)

    # -- messages -------------------------------------------------------------------------------

    def _messages_received(self, event: MessagesReceived, now: float) -> None:
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        peer.heard_at = now
        try:
            for message in event.messages:
                self._heard(peer, message, now)
                if event.peer not in self._peers:
                    return
        except PeerError as error:
            self._company.offended(peer, error, now)
            return
        self._downloads.fill(peer, now)

    def _heard(self, peer: MetadataPeer, message: Message, now: float) -> None:
        match message:
            case Extended(extended_id, payload):
                handler = self._extensions.get(extended_id)
                if handler is not None:
                    handler(peer, payload, now)
                # Pieces that nobody asked for, requests and addresses are counted where they are read.
                if handler is None or extended_id == HANDSHAKE_ID:
                    peer.patience.spend("messages of extensions", now)
            case Port(port) if port:
                self._emit(NodeFound(Endpoint(peer.endpoint.host, port)))
                peer.patience.spend("ports of its DHT node", now)
            case KeepAlive(count):
                peer.patience.spend("keep-alives", now, count)

    def _on_handshake(self, peer: MetadataPeer, payload: bytes, now: float) -> None:
        handshake = decode_extended_handshake(payload)
        peer.extended_id = handshake.extensions.get("ut_metadata", peer.extended_id)
        self._downloads.claimed(peer, handshake.metadata_bytes)

    def _on_peer_exchange(self, peer: MetadataPeer, payload: bytes, now: float) -> None:
        # Whom it names may have the metadata; should the torrent turn out to be private, they are forgotten.
        if self._settings.is_exchanging:
            _, fresh_count = self._hearsay.received(peer.number, peer.endpoint, payload, now)
            if fresh_count:
                self._company.dial(now)

    def _on_metadata(self, peer: MetadataPeer, payload: bytes, now: float) -> None:
        message = decode_metadata(payload)
        match message:
            case MetadataData():
                self._downloads.arrived(peer, message, now)
            case MetadataReject(piece):
                self._downloads.rejected(peer, piece, now)
            case MetadataRequest():
                answer = self._uploads.answer(peer.number, payload)
                if answer is not None and peer.extended_id:
                    self._send(peer, [Extended(peer.extended_id, answer)])

    # -- time -----------------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        """Everybody's turn."""
        for peer in list(self._peers.values()):
            self._look_after(peer, now)
        if not self.info:
            for peer in self._worth.leaving(now):
                self._company.drop(peer, "it cannot give the metadata", now, is_welcome=True)
            self._downloads.fill_all(now)
            # Who may have the metadata may have come since: those here may have come for it themselves.
            self._company.seek_in_dearth(now, is_dearth=self._worth.is_dearth)
        is_busy = any(peer.asked for peer in self._peers.values())
        self._tick_at = now + (self._settings.tick_s if is_busy else self._settings.choke_round_s)

    def _look_after(self, peer: MetadataPeer, now: float) -> None:
        """Timeouts and keep-alives of one peer."""
        if now - peer.heard_at >= self._settings.idle_s:
            self._company.drop(peer, "nothing was heard from it for too long", now, is_welcome=True)
            return
        if now - peer.said_at >= self._settings.keep_alive_s:
            self._send(peer, (KeepAlive(),))
        self._downloads.check_timeouts(peer, now)
