"""Responses and errors, both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from swarm.base.dataclass import dataclass
from swarm.wire.krpc.contacts import CONTACT_V4_BYTES, CONTACT_V6_BYTES
from swarm.wire.krpc.errors import KrpcError
from swarm.wire.krpc.fields import (
    SEQ_MAX,
    VALUE_BYTES_MAX,
    VERSION,
    Fields,
    bencoded,
    id_of,
    number_within,
    verbatim,
    whole,
)

#: The longest answer that we send (BEP 32); only one with an item of BEP 44 may be longer.
ANSWER_BYTES_MAX = 1024
#: The longest token of others that we keep and send back; clients use 4 to 20 bytes.
TOKEN_BYTES_MAX = 64
#: BEP 33: a filter has 256 bytes.
FILTER_BYTES = 256
#: BEP 51: "interval" is at most 6 hours.
SAMPLE_INTERVAL_MAX_S = 21600
#: Bytes of an error's text; longer ones are cut.
_ERROR_TEXT_MAX = 100


@dataclass(slots=True)
class Response:
    """A response to any method: only the transaction tells which. Fields that it does not have are empty.

    Args:
        transaction: of the query.
        node_id: of the node that answers, 20 bytes.
        address: the asker's own compact address, as that node sees it (BEP 42 "ip").
        nodes, nodes6: whole compact entries; see `decode_contacts`.
        values: peers as compact endpoints, 6 or 18 bytes each.
        token: what the asker must show to announce or put.
        value, public_key, seq, signature: of an item (BEP 44); the value is bencode as it was written.
        samples, interval_s, total: info-hashes of 20 bytes each, seconds until there are others, and how many
            there are in all; samples are None where the node does not know BEP 51.
        seeds_filter, peers_filter: 256 bytes each (BEP 33).
    """

    transaction: bytes
    node_id: bytes
    address: bytes = b""
    nodes: bytes = b""
    nodes6: bytes = b""
    values: list[bytes] = field(default_factory=list)
    token: bytes | None = None
    value: bytes | None = None
    public_key: bytes = b""
    seq: int | None = None
    signature: bytes = b""
    samples: bytes | None = None
    interval_s: int = 0
    total: int = 0
    seeds_filter: bytes = b""
    peers_filter: bytes = b""


@dataclass(slots=True)
class Failure:
    """An error in the place of a response (BEP 5); `text` is not escaped."""

    transaction: bytes
    code: int
    text: str


def decode_response(content: Fields, transaction: bytes, datagram: bytes) -> Response:
    """Read a response out of its decoded `datagram`; fields of the wrong shape count as missing.

    Raises:
        KrpcError: there is no id.
    """
    fields = content.get(b"r")
    if not isinstance(fields, dict):
        raise KrpcError("a response without contents")
    response = Response(transaction, id_of(fields, b"id"))
    address = content.get(b"ip")
    if isinstance(address, bytes) and len(address) in (6, 18):
        response.address = address
    response.nodes = whole(fields.get(b"nodes"), CONTACT_V4_BYTES) or b""
    response.nodes6 = whole(fields.get(b"nodes6"), CONTACT_V6_BYTES) or b""
    token = fields.get(b"token")
    if isinstance(token, bytes) and len(token) <= TOKEN_BYTES_MAX:
        response.token = token
    values = fields.get(b"values")
    if isinstance(values, list):
        # BEP 32: "must be able to properly parse hybrid values lists".
        response.values = [value for value in values if isinstance(value, bytes) and len(value) in (6, 18)]
    if b"v" in fields or b"seq" in fields:
        _read_item(response, fields, datagram)
    if b"samples" in fields:
        response.samples = whole(fields[b"samples"], 20)
        response.interval_s = number_within(fields.get(b"interval"), SAMPLE_INTERVAL_MAX_S)
        response.total = number_within(fields.get(b"num"), SEQ_MAX)
    if b"BFsd" in fields and b"BFpe" in fields:
        seeds, peers = fields[b"BFsd"], fields[b"BFpe"]
        if isinstance(seeds, bytes) and isinstance(peers, bytes) and len(seeds) == len(peers) == FILTER_BYTES:
            response.seeds_filter, response.peers_filter = seeds, peers
    return response


def _read_item(response: Response, fields: Fields, datagram: bytes) -> None:
    value = verbatim(datagram, b"r", fields)
    if value is not None and len(value) <= VALUE_BYTES_MAX:
        response.value = value
    seq = fields.get(b"seq")
    if isinstance(seq, int) and 0 <= seq <= SEQ_MAX:
        response.seq = seq
    if response.value is None and response.seq is None:
        # A key and a signature, but nothing that is signed.
        return
    public_key, signature = fields.get(b"k"), fields.get(b"sig")
    if isinstance(public_key, bytes) and len(public_key) == 32:
        response.public_key = public_key
    if isinstance(signature, bytes) and len(signature) == 64:
        response.signature = signature


def decode_failure(content: Fields, transaction: bytes) -> Failure:
    """Read an error; KrpcError if it is not valid."""
    error = content.get(b"e")
    if not isinstance(error, list) or len(error) < 2:
        raise KrpcError("an error without code and text")
    code, text = error[0], error[1]
    if not isinstance(code, int) or not isinstance(text, bytes):
        raise KrpcError("an error without code and text")
    return Failure(transaction, code, text[:_ERROR_TEXT_MAX].decode("utf-8", "replace"))


def encode_answer(transaction: bytes, address: bytes, before: bytes, node_id: bytes, after: bytes) -> bytes:
    """The datagram of a response whose fields, keys and values, are in bencode already.

    Args:
        address: the asker's compact address (BEP 42 "ip"); empty to leave it out.
        before: the fields that sort before "id" (the filters of BEP 33).
        after: the fields that sort after "id".
    """
    return b"d%b1:rd%b2:id20:%b%be1:t%d:%b1:v4:%b1:y1:re" % (
        b"2:ip%d:%b" % (len(address), address) if address else b"",
        before,
        node_id,
        after,
        len(transaction),
        transaction,
        VERSION,
    )


def encode_response(response: Response) -> bytes:
    """The datagram of `response`, in canonical bencode; fields that are empty are left out."""
    filters = b""
    if response.seeds_filter:
        filters = b"4:BFpe256:%b4:BFsd256:%b" % (response.peers_filter, response.seeds_filter)
    return encode_answer(
        response.transaction, response.address, filters, response.node_id, _response_fields(response)
    )


def _response_fields(response: Response) -> bytes:
    """The fields that sort after "id", in order."""
    parts: list[bytes] = []
    if response.samples is not None:
        parts.append(b"8:intervali%de" % response.interval_s)
    if response.public_key:
        parts.append(b"1:k32:" + response.public_key)
    if response.nodes:
        parts.append(b"5:nodes" + bencoded(response.nodes))
    if response.nodes6:
        parts.append(b"6:nodes6" + bencoded(response.nodes6))
    if response.samples is not None:
        parts.append(b"3:numi%de7:samples%b" % (response.total, bencoded(response.samples)))
    if response.seq is not None:
        parts.append(b"3:seqi%de" % response.seq)
    if response.signature:
        parts.append(b"3:sig64:" + response.signature)
    if response.token is not None:
        parts.append(b"5:token" + bencoded(response.token))
    if response.value is not None:
        parts.append(b"1:v" + response.value)
    if response.values:
        parts.append(encode_values(response.values))
    return b"".join(parts)


def encode_values(values: Sequence[bytes]) -> bytes:
    """The field `values`: one or more compact endpoints, all of one family."""
    head = b"%d:" % len(values[0])
    return b"6:valuesl" + head + head.join(values) + b"e"


def encode_failure(failure: Failure, address: bytes = b"") -> bytes:
    """The datagram of an error; `address` as for `encode_answer`."""
    return b"d1:eli%de%be%b1:t%b1:v4:%b1:y1:ee" % (
        failure.code,
        bencoded(failure.text.encode()),
        b"2:ip" + bencoded(address) if address else b"",
        bencoded(failure.transaction),
        VERSION,
    )
