"""What all messages are made of: the fields of their dictionaries, within their limits."""

from __future__ import annotations

from typing import TypeAlias

from swarm.base import bencode
from swarm.wire.krpc.errors import KrpcError

#: What we read: twice what the largest item of BEP 44 makes, with nodes of both families.
DATAGRAM_BYTES_MAX = 4096
#: Values of BEP 44 may be nested; no deeper than this.
DEPTH_MAX = 32
#: A transaction id is sent back as it came; clients use 2 to 8 bytes.
TRANSACTION_BYTES_MAX = 32
#: BEP 44: "whose encoded size <= 1000", "The salt string MUST NOT be longer than 64 bytes".
VALUE_BYTES_MAX = 1000
SALT_BYTES_MAX = 64
#: What others keep in 64 bits with a sign.
SEQ_MAX = 2**63 - 1

#: "v" of our messages (BEP 5): two letters of ours and a version, as in our peer id.
VERSION = b"SW\x00\x01"

#: The arguments of a question, the contents of an answer.
Fields: TypeAlias = dict[bytes, bencode.Value]


def id_of(fields: Fields, key: bytes) -> bytes:
    """The 20 bytes of a field that there must be."""
    value = fields.get(key)
    if not isinstance(value, bytes) or len(value) != 20:
        raise KrpcError(f"{key.decode()} has not 20 bytes")
    return value


def number_within(value: object, most: int) -> int:
    """A number that may be missing; what is none, or beyond `most`, is 0."""
    return value if isinstance(value, int) and 0 <= value <= most else 0


def whole(value: object, size: int) -> bytes | None:
    """Entries of `size` bytes; what is no whole number of them is none."""
    return value if isinstance(value, bytes) and len(value) % size == 0 else None


def verbatim(datagram: bytes, outer: bytes, fields: Fields) -> bytes | None:
    """The bytes of `v` as they were written: they were hashed and signed so (BEP 44)."""
    if b"v" not in fields:
        return None
    # What follows the message is nobody's: the spans are of the message alone.
    end = bencode.decode_prefix(datagram, max_bytes=DATAGRAM_BYTES_MAX, max_depth=DEPTH_MAX)[1]
    start, stop = bencode.decode_with_spans(datagram[:end])[1][outer]
    inner = datagram[start:stop]
    start, stop = bencode.decode_with_spans(inner)[1][b"v"]
    return inner[start:stop]


def bencoded(raw: bytes) -> bytes:
    """A string, written."""
    return b"%d:%b" % (len(raw), raw)
