"""Fields that several messages have, read within their limits."""

from __future__ import annotations

from typing import TypeAlias

from swarm.base import bencode
from swarm.wire.krpc.errors import KrpcError

#: The longest datagram that we read: twice that of the largest item of BEP 44 with nodes of both families.
DATAGRAM_BYTES_MAX = 4096
#: The values of BEP 44 may be nested, but no deeper than this.
DEPTH_MAX = 32
#: We send a transaction id back as it came; clients use 2 to 8 bytes.
TRANSACTION_BYTES_MAX = 32
#: BEP 44: "whose encoded size <= 1000", "The salt string MUST NOT be longer than 64 bytes".
VALUE_BYTES_MAX = 1000
SALT_BYTES_MAX = 64
#: Others keep sequence numbers in signed 64 bits.
SEQ_MAX = 2**63 - 1

#: "v" of our messages (BEP 5): the two letters of our peer id and a version.
VERSION = b"SW\x00\x01"

#: A dictionary of a message: the whole of it, the arguments of a query, the contents of a response.
Fields: TypeAlias = dict[bytes, bencode.Value]


def id_of(fields: Fields, key: bytes) -> bytes:
    """The 20 bytes of a field that must be there; KrpcError if they are not."""
    value = fields.get(key)
    if not isinstance(value, bytes) or len(value) != 20:
        raise KrpcError(f"{key.decode()} has not 20 bytes")
    return value


def number_within(value: object, most: int) -> int:
    """`value`, if it is a number from 0 to `most`; 0 for anything else."""
    return value if isinstance(value, int) and 0 <= value <= most else 0


def whole(value: object, size: int) -> bytes | None:
    """`value`, if it is a byte string of whole entries of `size` bytes; None for anything else."""
    return value if isinstance(value, bytes) and len(value) % size == 0 else None


def verbatim(datagram: bytes, outer: bytes, fields: Fields) -> bytes | None:
    """The value `v` in bencode, byte for byte as in the datagram: so it was hashed and signed (BEP 44).

    Args:
        outer: the key of the dictionary in which it stands ("a" or "r").
        fields: that dictionary.
    """
    if b"v" not in fields:
        return None
    # Bytes after the message are allowed, but `decode_with_spans` takes none.
    end = bencode.decode_prefix(datagram, max_bytes=DATAGRAM_BYTES_MAX, max_depth=DEPTH_MAX)[1]
    start, stop = bencode.decode_with_spans(datagram[:end])[1][outer]
    inner = datagram[start:stop]
    start, stop = bencode.decode_with_spans(inner)[1][b"v"]
    return inner[start:stop]


def bencoded(raw: bytes) -> bytes:
    """A byte string in bencode."""
    return b"%d:%b" % (len(raw), raw)
