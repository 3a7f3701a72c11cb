"""The desk that gives the info dictionary to peers who have come with a magnet link (BEP 9)."""

from __future__ import annotations

from swarm.base.errors import FloodError
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.metadata import (
    METADATA_PIECE_BYTES,
    MetadataData,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
    encode_metadata,
    metadata_piece_count,
)


class MetadataUploads:
    """Answers each request with its piece or a reject, and bounds how much one link may have.

    Args:
        info: the info dictionary as found; empty where it is not known (all requests are rejected).
    """

    def __init__(self, info: bytes, settings: EngineSettings) -> None:
        self._info = info
        self._settings = settings
        #: Link -> how many requests came over it.
        self._requests: dict[int, int] = {}

    @property
    def total_bytes(self) -> int | None:
        """What we announce as `metadata_size`; None where there is nothing to give."""
        return len(self._info) or None

    def answer(self, peer: int, payload: bytes) -> bytes | None:
        """The payload to send back for what link `peer` sent; None where nothing is to be said.

        Raises:
            PeerError: no message of this extension. FloodError: a flood of requests.
        """
        message = decode_metadata(payload)
        if not isinstance(message, MetadataRequest):
            # Answers to what we asked before the metadata was complete may come late.
            return None
        count = self._requests[peer] = self._requests.get(peer, 0) + 1
        piece, total_bytes = message.piece, len(self._info)
        # BEP 9: flood protection by rejects, "the number of pieces of metadata times a factor".
        fair_count = self._settings.metadata_served_factor * max(1, metadata_piece_count(total_bytes))
        if count > fair_count + self._settings.metadata_requests_spare:
            raise FloodError("it floods us with requests for the metadata")
        if count > fair_count or piece >= metadata_piece_count(total_bytes):
            return encode_metadata(MetadataReject(piece))
        begin = piece * METADATA_PIECE_BYTES
        return encode_metadata(
            MetadataData(piece, total_bytes, self._info[begin : begin + METADATA_PIECE_BYTES])
        )

    def lost(self, peer: int) -> None:
        """Link `peer` is gone."""
        self._requests.pop(peer, None)
