"""`ut_metadata`: the info dictionary (the metadata), piece by piece, from peer to peer (BEP 9)."""

from __future__ import annotations

from typing import TypeAlias

from swarm.base import bencode
from swarm.base.dataclass import dataclass
from swarm.base.errors import BencodeError, PeerError

#: BEP 9: "The metadata is handled in blocks of 16KiB".
METADATA_PIECE_BYTES = 16384
#: The largest info dictionary that is fetched; 200,000 pieces make 4 MB.
METADATA_BYTES_MAX = 32 << 20

_REQUEST, _DATA, _REJECT = range(3)
#: A request for a piece that does not exist is answered by a reject; a number beyond 31 bits is an error.
_PIECE_MAX = 2**31 - 1
#: The dictionary is flat and has three keys; later extensions may add some.
_DEPTH_MAX = 4
_VALUES_MAX = 64


@dataclass(slots=True, frozen=True)
class MetadataRequest:
    """Send me this piece."""

    piece: int


@dataclass(slots=True, frozen=True)
class MetadataData:
    """One piece; a received one has the length that it must have in metadata of `total_bytes`."""

    piece: int
    total_bytes: int
    data: bytes


@dataclass(slots=True, frozen=True)
class MetadataReject:
    """The piece will not be sent."""

    piece: int


MetadataMessage: TypeAlias = MetadataRequest | MetadataData | MetadataReject


def metadata_piece_count(total_bytes: int) -> int:
    """How many pieces metadata of `total_bytes` has."""
    return -(-total_bytes // METADATA_PIECE_BYTES)


def metadata_piece_bytes(total_bytes: int, piece: int) -> int:
    """The length of `piece`: the last one may be short."""
    return min(METADATA_PIECE_BYTES, total_bytes - piece * METADATA_PIECE_BYTES)


def encode_metadata(message: MetadataMessage) -> bytes:
    """The payload after the extended id."""
    match message:
        case MetadataRequest(piece):
            return bencode.encode({b"msg_type": _REQUEST, b"piece": piece})
        case MetadataData(piece, total_bytes, data):
            head = bencode.encode({b"msg_type": _DATA, b"piece": piece, b"total_size": total_bytes})
            return head + data
        case MetadataReject(piece):
            return bencode.encode({b"msg_type": _REJECT, b"piece": piece})


def decode_metadata(payload: bytes) -> MetadataMessage | None:
    """Read the payload after the extended id; None for an unknown type (BEP 9: it "MUST be ignored").

    Raises:
        PeerError: it is not valid, a size or number is out of range, or data has a wrong length.
    """
    try:
        content, end = bencode.decode_prefix(payload, max_depth=_DEPTH_MAX, max_values=_VALUES_MAX)
    except BencodeError as error:
        raise PeerError(f"its metadata message is not bencode: {error}") from None
    if not isinstance(content, dict):
        raise PeerError("its metadata message is no dictionary")
    kind = _number(content, b"msg_type", _PIECE_MAX)
    if kind > _REJECT:
        return None
    piece = _number(content, b"piece", _PIECE_MAX)
    if kind == _DATA:
        return _data(piece, _number(content, b"total_size", METADATA_BYTES_MAX), payload[end:])
    if end != len(payload):
        raise PeerError("its metadata message has bytes after its end")
    return MetadataRequest(piece) if kind == _REQUEST else MetadataReject(piece)


def _data(piece: int, total_bytes: int, data: bytes) -> MetadataData:
    if piece >= metadata_piece_count(total_bytes):
        raise PeerError(f"it sent metadata piece {piece} of {total_bytes} bytes")
    if len(data) != metadata_piece_bytes(total_bytes, piece):
        raise PeerError(f"its metadata piece {piece} of {total_bytes} bytes has {len(data)}")
    return MetadataData(piece, total_bytes, data)


def _number(content: dict[bytes, bencode.Value], key: bytes, most: int) -> int:
    value = content.get(key)
    if not isinstance(value, int) or not 0 <= value <= most:
        raise PeerError(f"its metadata message has no valid {key.decode()}")
    return value
