"""The extension protocol (BEP 10): who speaks what, and which desk hears it."""

from __future__ import annotations

from collections.abc import Callable

from swarm.base.endpoint import Endpoint
from swarm.engine.conduct import Conduct
from swarm.engine.download.holdings import Holdings
from swarm.engine.download.requests import Requests
from swarm.engine.finding.addresses import Addresses
from swarm.engine.metadata.uploads import MetadataUploads
from swarm.engine.peer import Peer, Send
from swarm.wire.peer.extended import (
    HANDSHAKE_ID,
    LOCAL_IDS,
    decode_dont_have,
    decode_extended_handshake,
    decode_upload_only,
)
from swarm.wire.peer.messages import Extended


class Extensions:
    """Routes extended messages by the ids that we have told our peers.

    Args:
        dial: addresses have become known; dial those that are due.
        dial_one: dial this one, whatever else is due.
    """

    __slots__ = (
        "_addresses",
        "_conduct",
        "_dial",
        "_dial_one",
        "_holdings",
        "_metadata",
        "_requests",
        "_send",
    )

    def __init__(
        self,
        addresses: Addresses,
        holdings: Holdings,
        requests: Requests,
        metadata: MetadataUploads,
        conduct: Conduct,
        send: Send,
        *,
        dial: Callable[[float], None],
        dial_one: Callable[[Endpoint], None],
    ) -> None:
        self._addresses = addresses
        self._holdings = holdings
        self._requests = requests
        self._metadata = metadata
        self._conduct = conduct
        self._send = send
        self._dial = dial
        self._dial_one = dial_one

    def received(self, peer: Peer, message: Extended, now: float) -> None:
        """Hear what `peer` says; ids that we have told nobody are passed over.

        Raises:
            PeerError: it breaks the rules of the extension, or floods us.
        """
        handler = _HANDLERS.get(message.extended_id)
        if handler is not None:
            handler(self, peer, message.payload, now)
        else:
            self._conduct.useless(peer, "messages of extensions that we do not speak", now)

    def _on_handshake(self, peer: Peer, payload: bytes, now: float) -> None:
        handshake = decode_extended_handshake(payload)
        self._conduct.introduced(peer, handshake.extensions, now)
        peer.client = handshake.client or peer.client
        if handshake.request_queue is not None:
            peer.pipeline.allow(handshake.request_queue)
        if handshake.is_upload_only is not None:
            peer.is_upload_only = handshake.is_upload_only
        self._addresses.introduced(peer, handshake, now)

    def _on_dont_have(self, peer: Peer, payload: bytes, now: float) -> None:
        """BEP 54: `peer` has lost a piece."""
        self._conduct.useless(peer, "pieces that it has lost", now)
        piece = decode_dont_have(payload)
        if piece < len(peer.have) and self._holdings.lost(peer, piece):
            self._requests.lost_by(peer, piece)

    def _on_upload_only(self, peer: Peer, payload: bytes, now: float) -> None:
        """BEP 21: `peer` wants nothing more, or something again; libtorrent has a message for that."""
        self._conduct.useless(peer, "changes of mind", now)
        peer.is_upload_only = decode_upload_only(payload)

    def _on_metadata(self, peer: Peer, payload: bytes, now: float) -> None:
        """BEP 9: `peer` has come with a magnet link."""
        answer = self._metadata.answer(peer.number, payload)
        if answer is None:
            self._conduct.useless(peer, "metadata that nobody asked for", now)
        extended_id = peer.extensions.get("ut_metadata")
        if answer is not None and extended_id:
            self._send(peer, [Extended(extended_id, answer)])

    def _on_peer_exchange(self, peer: Peer, payload: bytes, now: float) -> None:
        if self._addresses.exchange.received(peer, payload, now):
            self._dial(now)

    def _on_holepunch(self, peer: Peer, payload: bytes, now: float) -> None:
        endpoint = self._addresses.rendezvous.received(peer, payload, now)
        if endpoint is not None:
            self._dial_one(endpoint)


#: By the ids that we have told our peers; one table for all torrents.
_HANDLERS: dict[int, Callable[[Extensions, Peer, bytes, float], None]] = {
    HANDSHAKE_ID: Extensions._on_handshake,
    LOCAL_IDS["lt_donthave"]: Extensions._on_dont_have,
    LOCAL_IDS["upload_only"]: Extensions._on_upload_only,
    LOCAL_IDS["ut_metadata"]: Extensions._on_metadata,
    LOCAL_IDS["ut_pex"]: Extensions._on_peer_exchange,
    LOCAL_IDS["ut_holepunch"]: Extensions._on_holepunch,
}
