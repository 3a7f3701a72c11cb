"""Passes each message of a peer to the desk that it concerns (BEP 3, 6, 10), and has useless ones counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swarm.base.bitfield import Bitfield
from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError
from swarm.engine.commands import Command, HashPiece, NodeFound, StoreBlocks
from swarm.engine.conduct import BITFIELD_COST, CANCEL_COST, Conduct
from swarm.engine.download.holdings import Holdings
from swarm.engine.download.picker import Picker
from swarm.engine.download.requests import Requests
from swarm.engine.download.verifier import Verifier
from swarm.engine.extensions import Extensions
from swarm.engine.peer import Peer
from swarm.engine.rates import Traffic
from swarm.engine.upload.slots import Slots
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.engine.upload.uploads import Uploads
from swarm.engine.worth import Worth
from swarm.wire.peer.extended import HANDSHAKE_ID, LOCAL_IDS
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


class Conversation:
    """Routes the messages of all peers, each by its type.

    Args:
        piece_count: of the torrent.
        is_private: nobody's DHT node is of interest (BEP 27).
        emit: an order to the host.
    """

    __slots__ = (
        "_conduct",
        "_emit",
        "_extensions",
        "_holdings",
        "_is_private",
        "_picker",
        "_piece_count",
        "_requests",
        "_slots",
        "_super_seeding",
        "_traffic",
        "_uploads",
        "_verifier",
        "_worth",
    )

    def __init__(
        self,
        piece_count: int,
        picker: Picker,
        requests: Requests,
        verifier: Verifier,
        holdings: Holdings,
        uploads: Uploads,
        slots: Slots,
        super_seeding: SuperSeeding,
        extensions: Extensions,
        conduct: Conduct,
        traffic: Traffic,
        worth: Worth,
        *,
        is_private: bool,
        emit: Callable[[Command], None],
    ) -> None:
        self._piece_count = piece_count
        self._picker = picker
        self._requests = requests
        self._verifier = verifier
        self._holdings = holdings
        self._uploads = uploads
        self._slots = slots
        self._super_seeding = super_seeding
        self._extensions = extensions
        self._conduct = conduct
        self._traffic = traffic
        self._worth = worth
        self._is_private = is_private
        self._emit = emit

    def heard(self, peer: Peer, message: Message, now: float) -> None:
        """Take one message of `peer`, which may be gone afterwards.

        Raises:
            PeerError: it breaks the protocol.
            FloodError: it has said too much of what changes nothing.
        """
        _HANDLERS[type(message)](self, peer, message, now)

    # -- blocks in ------------------------------------------------------------------------------

    def _on_piece(self, peer: Peer, run: Piece, now: float) -> None:
        mask, complete = self._requests.arrived(peer, run, now)
        self._traffic.download.add(run.length)
        self._slots.received(peer)
        if mask:
            self._emit(StoreBlocks(run, mask))
        if complete is not None:
            self._emit(HashPiece(run.piece, self._verifier.is_suspected(run.piece)))

    def _on_reject(self, peer: Peer, reject: Reject, now: float) -> None:
        self._requests.rejected(peer, reject.piece, reject.begin, reject.length, now)

    def _on_choke(self, peer: Peer, message: Choke, now: float) -> None:
        self._conduct.useless(peer, "chokes", now)
        self._requests.choked(peer)

    def _on_unchoke(self, peer: Peer, message: Unchoke, now: float) -> None:
        self._conduct.useless(peer, "unchokes", now)
        self._requests.unchoked(peer)

    def _on_allowed_fast(self, peer: Peer, message: AllowedFast, now: float) -> None:
        if not self._requests.allowed(peer, message.piece):
            self._conduct.useless(peer, "pieces that we may ask for", now)

    def _on_suggest(self, peer: Peer, message: Suggest, now: float) -> None:
        self._conduct.useless(peer, "suggestions", now)
        self._requests.offered(peer, now)

    # -- blocks out -----------------------------------------------------------------------------

    def _on_request(self, peer: Peer, request: Request, now: float) -> None:
        self._conduct.requested(peer, request, now)
        self._uploads.requested(peer, request, now)

    def _on_cancel(self, peer: Peer, cancel: Cancel, now: float) -> None:
        if not self._uploads.cancelled(peer, cancel.piece, cancel.begin, cancel.length):
            self._conduct.useless(peer, "cancels of nothing", now, cost=CANCEL_COST)

    def _on_interested(self, peer: Peer, message: Interested, now: float) -> None:
        self._conduct.flipped(peer, self._super_seeding.reasons(peer), now)
        if not peer.peer_interested:
            self._slots.interested(peer, now)

    def _on_not_interested(self, peer: Peer, message: NotInterested, now: float) -> None:
        self._conduct.flipped(peer, self._super_seeding.reasons(peer), now)
        if peer.peer_interested:
            self._slots.not_interested(peer, now)

    # -- what they have -------------------------------------------------------------------------

    def _on_have(self, peer: Peer, message: Have, now: float) -> None:
        if not self._holdings.gained(peer, message.piece):
            self._conduct.useless(peer, "pieces that it has told us of", now)
        elif self._picker.is_complete:
            self._slots.judged(peer, now)
            self._worth.part_if_useless(peer, now)

    def _on_bitfield(self, peer: Peer, message: BitfieldMessage, now: float) -> None:
        try:
            have = Bitfield.from_bytes(message.raw, self._piece_count)
        except ValueError as error:
            raise PeerError(f"its bitfield is wrong: {error}") from None
        self._has(peer, have, now)

    def _on_have_all(self, peer: Peer, message: HaveAll, now: float) -> None:
        self._has(peer, Bitfield(self._piece_count, is_full=True), now)

    def _has(self, peer: Peer, have: Bitfield, now: float) -> None:
        if not self._holdings.has_introduced(peer):
            self._introduced(peer, have, now)
            return
        self._conduct.useless(peer, "bitfields", now, cost=BITFIELD_COST)
        # BEP 3 and 6 allow one, at first, but aria2 sends another where it is shorter than many `have`s; when
        # it has everything, a "have all".
        self._holdings.gained_many(peer, have)
        self._worth.part_if_useless(peer, now)

    def _on_have_none(self, peer: Peer, message: HaveNone, now: float) -> None:
        self._introduced(peer, Bitfield(self._piece_count), now)

    def _introduced(self, peer: Peer, have: Bitfield, now: float) -> None:
        self._holdings.introduced(peer, have)
        self._worth.part_if_useless(peer, now)

    # -- the rest -------------------------------------------------------------------------------

    def _on_extended(self, peer: Peer, message: Extended, now: float) -> None:
        self._extensions.received(peer, message, now)
        if message.extended_id in _SPEAKING_OF_WANTS:
            self._worth.part_if_useless(peer, now)

    def _on_port(self, peer: Peer, message: Port, now: float) -> None:
        if peer.has_told_node:
            self._conduct.useless(peer, "ports of its DHT node", now)
        # BEP 27: a private torrent's peers are nobody's business.
        if message.port and not peer.has_told_node and not self._is_private:
            peer.has_told_node = True
            self._emit(NodeFound(Endpoint(peer.endpoint.host, message.port)))

    def _on_keep_alive(self, peer: Peer, message: KeepAlive, now: float) -> None:
        self._conduct.useless(peer, "keep-alives", now, cost=message.count)


#: What a peer wants may be otherwise after these.
_SPEAKING_OF_WANTS = (HANDSHAKE_ID, LOCAL_IDS["upload_only"])
#: One table for all torrents: a thousand of them in one process would have it a thousand times in the cache.
_HANDLERS: dict[type, Callable[[Conversation, Peer, Any, float], None]] = {
    Piece: Conversation._on_piece,
    Request: Conversation._on_request,
    Have: Conversation._on_have,
    Cancel: Conversation._on_cancel,
    Reject: Conversation._on_reject,
    Choke: Conversation._on_choke,
    Unchoke: Conversation._on_unchoke,
    Interested: Conversation._on_interested,
    NotInterested: Conversation._on_not_interested,
    BitfieldMessage: Conversation._on_bitfield,
    HaveAll: Conversation._on_have_all,
    HaveNone: Conversation._on_have_none,
    AllowedFast: Conversation._on_allowed_fast,
    Suggest: Conversation._on_suggest,
    Port: Conversation._on_port,
    Extended: Conversation._on_extended,
    KeepAlive: Conversation._on_keep_alive,
}
