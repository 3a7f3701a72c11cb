"""The desk that fetches the info dictionary: what is asked of whom, and who lied (BEP 9)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping

from swarm.base.errors import PeerError
from swarm.base.ids import InfoHash
from swarm.engine.metadata.drafts import Draft, Drafts
from swarm.engine.metadata.peer import MetadataPeer
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Extended, Message
from swarm.wire.peer.metadata import (
    METADATA_BYTES_MAX,
    MetadataData,
    MetadataRequest,
    encode_metadata,
)

#: How a host is told; the coordinator passes its own.
Send = Callable[[MetadataPeer, list[Message]], None]


class MetadataDownloads:
    """Asks peers for the pieces of the info dictionary until one is right.

    Args:
        peers: those that are connected, by number; the coordinator's own dictionary.
        convict: peer number, reason, now: it sent what is wrong. It may have left.
        completed: the info dictionary is here.

    Attributes:
        info: the info dictionary as found; empty before.
    """

    def __init__(
        self,
        info_hash: InfoHash,
        peers: Mapping[int, MetadataPeer],
        settings: EngineSettings,
        send: Send,
        *,
        convict: Callable[[int, str, float], None],
        completed: Callable[[bytes], None],
    ) -> None:
        self.info = b""
        self._info_hash = info_hash
        self._peers = peers
        self._settings = settings
        self._send = send
        self._convict = convict
        self._completed = completed
        self._drafts = Drafts(settings)

    def progress(self) -> tuple[int, int | None]:
        """Bytes that are here, and of how many (None while no peer has named a size).

        Of several tries it is the one that is farthest.
        """
        best = max(self._drafts, key=lambda draft: draft.arrived_bytes, default=None)
        if best is None:
            return len(self.info), len(self.info) or None
        return best.arrived_bytes, best.total_bytes

    # -- answers --------------------------------------------------------------------------------

    def claimed(self, peer: MetadataPeer, total_bytes: int | None) -> None:
        """`peer` says how large the metadata is.

        Raises:
            PeerError: it has said otherwise before.
        """
        if total_bytes is None or total_bytes > METADATA_BYTES_MAX:
            # BEP 10: what a later handshake leaves out stays as it was. A size that cannot be is no size.
            return
        if peer.total_bytes is not None and peer.total_bytes != total_bytes:
            raise PeerError("it changed its word on the size of the metadata")
        peer.total_bytes = total_bytes

    def arrived(self, peer: MetadataPeer, message: MetadataData, now: float) -> None:
        """A piece has come.

        Raises:
            PeerError: it changed its word, or keeps sending what nobody asked for.
        """
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

    def rejected(self, peer: MetadataPeer, piece: int, now: float) -> None:
        """It will not give `piece`, not now."""
        if peer.asked.pop(piece, None) is None:
            return
        peer.rests_until = now + self._settings.metadata_rest_s
        peer.depth = max(1, peer.depth // 2)
        if peer.total_bytes is not None:
            draft = self._drafts.of(peer.number, peer.total_bytes)
            if draft is not None:
                draft.took_back(piece, peer.number)
        self.fill_all(now)

    def _judge(self, draft: Draft, now: float) -> None:
        """`draft` is complete: right, or somebody lied."""
        info = draft.info()
        if hashlib.sha1(info).digest() != self._info_hash:
            liar = self._drafts.failed(draft)
            for peer in self._peers.values():
                if peer.total_bytes == draft.total_bytes:
                    self._give_up(peer)
            if liar is not None:
                self._convict(liar, "its metadata is not that of the torrent", now)
            self.fill_all(now)
            return
        self.info = info
        self._drafts.clear()
        for number in self._drafts.liars(info):
            self._convict(number, "its metadata was wrong", now)
        self._completed(info)

    # -- asking ---------------------------------------------------------------------------------

    def fill_all(self, now: float) -> None:
        """Something has changed for everybody: `fill` each."""
        for peer in list(self._peers.values()):
            self.fill(peer, now)

    def fill(self, peer: MetadataPeer, now: float) -> None:
        """Ask `peer` for as much as it may have to do."""
        if self.info or not peer.extended_id or peer.total_bytes is None or peer.rests_until > now:
            return
        if len(peer.asked) >= peer.depth:
            return
        draft = self._drafts.begin(peer.number, peer.total_bytes, self._votes(now), now)
        if draft is None:
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

    # -- giving up ------------------------------------------------------------------------------

    def _give_up(self, peer: MetadataPeer) -> None:
        """What `peer` was asked for may be asked of others; its answers are still welcome."""
        draft = None if peer.total_bytes is None else self._drafts.of(peer.number, peer.total_bytes)
        if draft is not None:
            for piece in peer.asked:
                draft.took_back(piece, peer.number)
        peer.late.update(peer.asked)
        peer.asked.clear()

    def check_timeouts(self, peer: MetadataPeer, now: float) -> None:
        """Who is silent for too long is asked no more for a while."""
        if self.info or not peer.asked or peer.rests_until > now:
            return
        # It sends one after the other: each answer gives the next as long.
        if now - max(peer.helped_at, min(peer.asked.values())) >= self._settings.metadata_timeout_s:
            self._give_up(peer)
            peer.rests_until = now + self._settings.metadata_rest_s

    def lost(self, peer: MetadataPeer) -> None:
        """`peer` is gone."""
        self._give_up(peer)
        self._drafts.lost(peer.number)

    def has_testimony_of(self, number: int) -> bool:
        """Did that peer send to a draft that failed, or may yet fail?"""
        return self._drafts.has_testimony_of(number)
