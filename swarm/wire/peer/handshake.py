"""The handshake that opens a link (BEP 3), with the reserved bits of BEP 4."""

from __future__ import annotations

from swarm.base.dataclass import dataclass
from swarm.base.errors import PeerError
from swarm.base.ids import InfoHash, PeerId

PROTOCOL_NAME = b"\x13BitTorrent protocol"
HANDSHAKE_BYTES = 68

#: (byte, bit) in the eight reserved bytes.
_EXTENDED = (5, 0x10)  # BEP 10
_FAST = (7, 0x04)  # BEP 6
_DHT = (7, 0x01)  # BEP 5


@dataclass(slots=True, frozen=True)
class Handshake:
    """What a peer says of itself first; unknown reserved bits are ignored (BEP 4).

    Args:
        has_fast: it knows BEP 6. has_extended: BEP 10. has_dht: BEP 5.
    """

    info_hash: InfoHash
    peer_id: PeerId
    has_fast: bool = True
    has_extended: bool = True
    has_dht: bool = False


def encode_handshake(handshake: Handshake) -> bytes:
    """The `HANDSHAKE_BYTES` that a link begins with."""
    reserved = bytearray(8)
    for is_set, (byte, bit) in (
        (handshake.has_extended, _EXTENDED),
        (handshake.has_fast, _FAST),
        (handshake.has_dht, _DHT),
    ):
        if is_set:
            reserved[byte] |= bit
    return PROTOCOL_NAME + reserved + handshake.info_hash + handshake.peer_id


def decode_handshake(raw: bytes | memoryview) -> Handshake | None:
    """Read the first 68 bytes of a link.

    Returns:
        The handshake, or None while `raw` is still its beginning.

    Raises:
        PeerError: the bytes cannot become a handshake, however many follow.
    """
    raw = bytes(raw[:HANDSHAKE_BYTES])
    if not PROTOCOL_NAME.startswith(raw[:20]):
        raise PeerError("it does not speak the BitTorrent protocol")
    if len(raw) < HANDSHAKE_BYTES:
        return None
    reserved = raw[20:28]
    return Handshake(
        InfoHash(raw[28:48]),
        PeerId(raw[48:68]),
        has_fast=bool(reserved[_FAST[0]] & _FAST[1]),
        has_extended=bool(reserved[_EXTENDED[0]] & _EXTENDED[1]),
        has_dht=bool(reserved[_DHT[0]] & _DHT[1]),
    )
