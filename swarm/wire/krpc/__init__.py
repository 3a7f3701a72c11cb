"""KRPC, the messages of the DHT, both directions (BEP 5, 32, 33, 42, 43, 44, 51).

Decoding goes through strict bencode and checks every field: ids have 20 bytes, ports exist, values are within
their limits. The few shapes that we send are written out by hand, with their keys in order, which makes an
answer cost only a microsecond or two.

Callers import from this package. Inside it, each module reads and writes one kind of message.
"""

from __future__ import annotations

from swarm.wire.krpc.contacts import (
    CONTACT_V4_BYTES,
    CONTACT_V6_BYTES,
    Contact,
    decode_contacts,
    encode_contact,
)
from swarm.wire.krpc.datagrams import Message, decode
from swarm.wire.krpc.errors import (
    CAS_MISMATCH,
    GENERIC_ERROR,
    INVALID_SIGNATURE,
    METHOD_UNKNOWN,
    PROTOCOL_ERROR,
    SALT_TOO_BIG,
    SEQ_TOO_LOW,
    SERVER_ERROR,
    VALUE_TOO_BIG,
    KrpcError,
)
from swarm.wire.krpc.fields import (
    DATAGRAM_BYTES_MAX,
    SALT_BYTES_MAX,
    SEQ_MAX,
    TRANSACTION_BYTES_MAX,
    VALUE_BYTES_MAX,
    VERSION,
)
from swarm.wire.krpc.queries import (
    WANT_V4,
    WANT_V6,
    AnnouncePeer,
    Body,
    FindNode,
    Get,
    GetPeers,
    Ping,
    Put,
    Query,
    SampleInfohashes,
    encode_query,
)
from swarm.wire.krpc.responses import (
    ANSWER_BYTES_MAX,
    FILTER_BYTES,
    SAMPLE_INTERVAL_MAX_S,
    TOKEN_BYTES_MAX,
    Failure,
    Response,
    encode_answer,
    encode_failure,
    encode_response,
    encode_values,
)

__all__ = [
    "ANSWER_BYTES_MAX", "CAS_MISMATCH", "CONTACT_V4_BYTES", "CONTACT_V6_BYTES", "DATAGRAM_BYTES_MAX",
    "FILTER_BYTES", "GENERIC_ERROR", "INVALID_SIGNATURE", "METHOD_UNKNOWN", "PROTOCOL_ERROR",
    "SALT_BYTES_MAX", "SALT_TOO_BIG", "SAMPLE_INTERVAL_MAX_S", "SEQ_MAX", "SEQ_TOO_LOW", "SERVER_ERROR",
    "TOKEN_BYTES_MAX", "TRANSACTION_BYTES_MAX", "VALUE_BYTES_MAX", "VALUE_TOO_BIG", "VERSION", "WANT_V4",
    "WANT_V6", "AnnouncePeer", "Body", "Contact", "Failure", "FindNode", "Get", "GetPeers", "KrpcError",
    "Message", "Ping", "Put", "Query", "Response", "SampleInfohashes", "decode", "decode_contacts",
    "encode_answer", "encode_contact", "encode_failure", "encode_query", "encode_response", "encode_values",
]  # fmt: skip
