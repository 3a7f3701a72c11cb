"""What a new peer is told first: what we have, who we are, and what it may ask for at once."""

from __future__ import annotations

from swarm.base.bitfield import Bitfield
from swarm.base.endpoint import Endpoint, packed_host
from swarm.engine.peer import Peer, with_piece
from swarm.engine.settings import EngineSettings
from swarm.engine.upload.allowed_fast import allowed_fast_set
from swarm.wire.peer.extended import HANDSHAKE_ID, LOCAL_IDS, ExtendedHandshake, encode_extended_handshake
from swarm.wire.peer.messages import (
    AllowedFast,
    BitfieldMessage,
    Extended,
    Have,
    HaveAll,
    HaveNone,
    Message,
    Port,
)

#: What tells of other peers, or sends us to them: not of a private torrent (BEP 27).
_EXCHANGES = frozenset(("ut_pex", "ut_holepunch"))


class Greeting:
    """Makes the first messages of a link.

    Args:
        client: how we call ourselves.
        listen_port: where peers reach us, or None.
        dht_port: where our DHT node listens, or None for no node.
        metadata_bytes: the size of the info dictionary, where we can give it.
    """

    def __init__(
        self,
        info_hash: bytes,
        settings: EngineSettings,
        *,
        client: str,
        listen_port: int | None,
        dht_port: int | None,
        is_private: bool,
        metadata_bytes: int | None = None,
    ) -> None:
        self._info_hash = info_hash
        self._settings = settings
        self._client = client
        self._listen_port = listen_port
        self._dht_port = None if is_private else dht_port
        self._metadata_bytes = metadata_bytes
        is_exchanging = settings.is_exchanging and not is_private
        #: Ours by name and id, as far as this torrent has them.
        self.extensions = {
            name: number for name, number in LOCAL_IDS.items() if is_exchanging or name not in _EXCHANGES
        }

    def before_metadata(
        self, endpoint: Endpoint, *, has_fast: bool, has_extended: bool, has_dht: bool
    ) -> list[Message]:
        """What a peer is told while we do not know how many pieces there are."""
        messages: list[Message] = [HaveNone()] if has_fast else []
        if has_extended:
            messages.append(self._handshake(endpoint, is_upload_only=False))
        if has_dht and self._dht_port is not None:
            messages.append(Port(self._dht_port))
        return messages

    def messages(
        self, peer: Peer, have: Bitfield, *, is_upload_only: bool, has_gifts: bool, is_greeted: bool
    ) -> list[Message]:
        """The bitfield (or its short forms), the extension handshake, our DHT port, the allowed-fast set.

        Args:
            has_gifts: whether the newcomer may have some pieces although it is choked (BEP 6).
            is_greeted: it has had `before_metadata`; a bitfield may only come first (BEP 3).
        """
        messages: list[Message] = []
        if is_greeted:
            messages += map(Have, have)
        elif peer.has_fast and have.is_full:
            messages.append(HaveAll())
        elif peer.has_fast and not have.count:
            messages.append(HaveNone())
        elif have.count:
            messages.append(BitfieldMessage(have.to_bytes()))
        if peer.has_extended:
            messages.append(self._handshake(peer.endpoint, is_upload_only=is_upload_only))
        if peer.has_dht and self._dht_port is not None and not is_greeted:
            messages.append(Port(self._dht_port))
        if peer.has_fast and has_gifts and have.count:
            count = self._settings.allowed_fast_count
            for piece in allowed_fast_set(peer.endpoint.host, count, len(have), self._info_hash):
                if have.flags[piece]:
                    peer.allowed_fast_out = with_piece(peer.allowed_fast_out, piece)
                    messages.append(AllowedFast(piece))
        return messages

    def upload_only(self, *, is_upload_only: bool) -> Message:
        """BEP 21: from now on we want nothing more, or something again."""
        handshake = ExtendedHandshake(
            extensions=self.extensions, client=self._client, is_upload_only=is_upload_only
        )
        return Extended(HANDSHAKE_ID, encode_extended_handshake(handshake))

    def _handshake(self, endpoint: Endpoint, *, is_upload_only: bool) -> Message:
        handshake = ExtendedHandshake(
            extensions=self.extensions,
            listen_port=self._listen_port,
            client=self._client,
            request_queue=self._settings.served_queue_max,
            # What is not said is not so.
            is_upload_only=is_upload_only or None,
            metadata_bytes=self._metadata_bytes,
            your_ip=packed_host(endpoint.host),
        )
        return Extended(HANDSHAKE_ID, encode_extended_handshake(handshake))
