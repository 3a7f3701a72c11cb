"""KRPC, the datagrams of the DHT, both directions (BEP 5, 32, 33, 42, 43, 44, 51).

Encoders write the few shapes there are by hand, keys in order: an answer costs a microsecond or two that
way. Decoding goes through strict bencode; whatever it lets pass is checked here, so that the mind sees
ids of 20 bytes, ports that exist and values within their limits. Callers import from here; what belongs to
one kind of message, read and written, is in one module.
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
