"""KRPC, the datagrams of the DHT, both directions (BEP 5, 32, 33, 42, 43, 44, 51).

Encoders write the few shapes there are by hand, keys in order: an answer costs a microsecond or two that
way. Decoding goes through strict bencode; whatever it lets pass is checked here, so that the mind sees
ids of 20 bytes, ports that exist and values within their limits.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import NamedTuple, TypeAlias

from swarm.base import bencode
from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint, encode_compact
from swarm.base.errors import BencodeError, SwarmError

#: What we read: twice what the largest item of BEP 44 makes, with nodes of both families.
DATAGRAM_BYTES_MAX = 4096
#: What we send: BEP 32 sets this limit (an item of BEP 44 alone may go beyond).
ANSWER_BYTES_MAX = 1024
#: Values of BEP 44 may be nested; no deeper than this.
_DEPTH_MAX = 32
#: A transaction id is sent back as it came; clients use 2 to 8 bytes.
TRANSACTION_BYTES_MAX = 32
#: Tokens of others that we keep and send back; clients use 4 to 20 bytes.
TOKEN_BYTES_MAX = 64
#: BEP 44: "whose encoded size <= 1000", "The salt string MUST NOT be longer than 64 bytes".
VALUE_BYTES_MAX = 1000
SALT_BYTES_MAX = 64
SEQ_MAX = 2**63 - 1
#: BEP 33: 256 bytes each.
FILTER_BYTES = 256
#: BEP 51: "interval" is at most 6 hours.
SAMPLE_INTERVAL_MAX_S = 21600
#: An error's text that we show; longer ones are cut.
_ERROR_TEXT_MAX = 100

CONTACT_V4_BYTES = 26
CONTACT_V6_BYTES = 38

#: "v" of our messages (BEP 5): two letters of ours and a version, as in our peer id.
VERSION = b"SW\x00\x01"

#: Errors of BEP 5 and BEP 44.
GENERIC_ERROR = 201
SERVER_ERROR = 202
PROTOCOL_ERROR = 203
METHOD_UNKNOWN = 204
VALUE_TOO_BIG = 205
INVALID_SIGNATURE = 206
SALT_TOO_BIG = 207
CAS_MISMATCH = 301
SEQ_TOO_LOW = 302

#: Bits of `want` (BEP 32); 0 means that the family of the datagram decides.
WANT_V4 = 1
WANT_V6 = 2


class KrpcError(SwarmError):
    """A datagram that is no message of KRPC.

    Args:
        reason: what is wrong, without a full stop.
        code: the error to answer with (BEP 5).
        transaction: of the query that it was, so that it can be answered; None means drop.
    """

    def __init__(self, reason: str, *, code: int = PROTOCOL_ERROR, transaction: bytes | None = None) -> None:
        self.reason = reason
        self.code = code
        self.transaction = transaction
        super().__init__(reason)


class Contact(NamedTuple):
    """A node as others name it: its id (20 bytes) and its address."""

    node_id: bytes
    endpoint: Endpoint


@dataclass(slots=True)
class Ping:
    """Are you there?"""


@dataclass(slots=True)
class FindNode:
    """Which nodes near `target` do you know?"""

    target: bytes
    want: int = 0


@dataclass(slots=True)
class GetPeers:
    """Who shares `info_hash`? `is_scrape` asks for filters, `is_without_seeds` for leechers (BEP 33)."""

    info_hash: bytes
    want: int = 0
    is_scrape: bool = False
    is_without_seeds: bool = False


@dataclass(slots=True)
class AnnouncePeer:
    """I share `info_hash` on `port`, or on the port that this comes from if that is implied."""

    info_hash: bytes
    port: int
    token: bytes
    is_port_implied: bool = False
    is_seed: bool = False


@dataclass(slots=True)
class Get:
    """The item under `target`, if its sequence number is above `seq` (BEP 44)."""

    target: bytes
    want: int = 0
    seq: int | None = None


@dataclass(slots=True)
class Put:
    """Keep this item (BEP 44): immutable without a `public_key`. `value` is bencode as it was written."""

    token: bytes
    value: bytes
    public_key: bytes = b""
    salt: bytes = b""
    seq: int = 0
    signature: bytes = b""
    cas: int | None = None


@dataclass(slots=True)
class SampleInfohashes:
    """Some of the info-hashes that you hold peers of (BEP 51)."""

    target: bytes
    want: int = 0


Body: TypeAlias = Ping | FindNode | GetPeers | AnnouncePeer | Get | Put | SampleInfohashes


@dataclass(slots=True)
class Query:
    """A question; `is_read_only` nodes are answered and not remembered (BEP 43)."""

    transaction: bytes
    node_id: bytes
    body: Body
    is_read_only: bool = False


@dataclass(slots=True)
class Response:
    """An answer. What it answers only its transaction says, so it has the fields of all methods.

    Args:
        address: our own, in compact form, as they see it (BEP 42 "ip"); may be empty.
        nodes, nodes6: whole compact contacts; see `decode_contacts`.
        values: compact endpoints of 6 or 18 bytes.
        value: bencode as it was written (BEP 44), None if there was none.
        samples: whole info-hashes, None where BEP 51 is not known.
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
    """They could not or would not; `text` is not escaped."""

    transaction: bytes
    code: int
    text: str


Message: TypeAlias = Query | Response | Failure


# Decoding

#: Nearly all that a node is asked: canonical, with nothing optional but a version. What does not look so, or
#: has a transaction id of an odd size, takes the long way.
_USUAL_QUERY = re.compile(
    rb"d1:ad2:id20:(.{20})(?:(e1:q4:ping)|6:target20:(.{20})e1:q9:find_node|9:info_hash20:(.{20})e1:q9:get_peers)"
    rb"1:t(?:2:(.{2})|4:(.{4})|8:(.{8}))(?:1:v4:.{4})?1:y1:qe",
    re.DOTALL,
).fullmatch


def decode(datagram: bytes) -> Message:
    """Read one datagram of a stranger.

    Bytes after the message and unsorted keys pass; so do fields nobody asked for.

    Raises:
        KrpcError: anything else; its `transaction` is set where an answer is due (BEP 5: error 203, 204).
    """
    usual = _USUAL_QUERY(datagram)
    if usual is not None:
        node_id, ping, target, info_hash, two, four, eight = usual.groups()
        transaction = two or four or eight
        if target is not None:
            return Query(transaction, node_id, FindNode(target))
        return Query(transaction, node_id, Ping() if ping else GetPeers(info_hash))
    if datagram[:1] != b"d":
        raise KrpcError("not a dictionary")
    try:
        content, _ = bencode.decode_prefix(datagram, max_bytes=DATAGRAM_BYTES_MAX, max_depth=_DEPTH_MAX)
    except BencodeError as error:
        raise KrpcError(f"not bencode: {error}") from None
    assert isinstance(content, dict)
    transaction = content.get(b"t")
    if not isinstance(transaction, bytes) or not 0 < len(transaction) <= TRANSACTION_BYTES_MAX:
        raise KrpcError("no usable transaction id")
    kind = content.get(b"y")
    if kind == b"q":
        return _decode_query(content, transaction, datagram)
    if kind == b"r":
        return _decode_response(content, transaction, datagram)
    if kind == b"e":
        return _decode_failure(content, transaction)
    raise KrpcError("neither query, response nor error")


def _decode_query(content: dict[bytes, bencode.Value], transaction: bytes, datagram: bytes) -> Query:
    method = content.get(b"q")
    arguments = content.get(b"a")
    try:
        if not isinstance(method, bytes):
            raise KrpcError("no method")
        if not isinstance(arguments, dict):
            raise KrpcError("no arguments")
        node_id = _id(arguments, b"id")
        reader = _READERS.get(method)
        body = _read_unknown(arguments) if reader is None else reader(arguments, datagram)
    except KrpcError as error:
        error.transaction = transaction
        raise
    return Query(transaction, node_id, body, content.get(b"ro") == 1)


_Arguments: TypeAlias = dict[bytes, bencode.Value]


def _read_ping(arguments: _Arguments, datagram: bytes) -> Body:
    return Ping()


def _read_find_node(arguments: _Arguments, datagram: bytes) -> Body:
    return FindNode(_id(arguments, b"target"), _want(arguments))


def _read_get_peers(arguments: _Arguments, datagram: bytes) -> Body:
    return GetPeers(
        _id(arguments, b"info_hash"),
        _want(arguments),
        arguments.get(b"scrape") == 1,
        arguments.get(b"noseed") == 1,
    )


def _read_announce_peer(arguments: _Arguments, datagram: bytes) -> Body:
    is_implied = arguments.get(b"implied_port", 0) not in (0, b"")
    port = arguments.get(b"port")
    if is_implied:
        port = 0
    elif not isinstance(port, int) or not 0 < port < 65536:
        raise KrpcError("no usable port")
    info_hash = _id(arguments, b"info_hash")
    return AnnouncePeer(info_hash, port, _token(arguments), is_implied, arguments.get(b"seed") == 1)


def _read_get(arguments: _Arguments, datagram: bytes) -> Body:
    return Get(_id(arguments, b"target"), _want(arguments), _seq(arguments, b"seq"))


def _read_put(arguments: _Arguments, datagram: bytes) -> Body:
    token = _token(arguments)
    value = _verbatim(datagram, b"a", arguments)
    if value is None:
        raise KrpcError("no value")
    if len(value) > VALUE_BYTES_MAX:
        raise KrpcError("the value is too big", code=VALUE_TOO_BIG)
    if b"k" not in arguments:
        return Put(token, value)
    salt = arguments.get(b"salt", b"")
    if not isinstance(salt, bytes):
        raise KrpcError("the salt is no string")
    if len(salt) > SALT_BYTES_MAX:
        raise KrpcError("the salt is too big", code=SALT_TOO_BIG)
    public_key, signature = arguments[b"k"], arguments.get(b"sig")
    seq = _seq(arguments, b"seq")
    if not isinstance(public_key, bytes) or len(public_key) != 32:
        raise KrpcError("a key has 32 bytes")
    if not isinstance(signature, bytes) or len(signature) != 64:
        raise KrpcError("a signature has 64 bytes", code=INVALID_SIGNATURE)
    if seq is None:
        raise KrpcError("no sequence number")
    return Put(token, value, public_key, salt, seq, signature, _seq(arguments, b"cas"))


def _read_sample_infohashes(arguments: _Arguments, datagram: bytes) -> Body:
    return SampleInfohashes(_id(arguments, b"target"), _want(arguments))


def _read_unknown(arguments: _Arguments) -> Body:
    """A method of tomorrow that has a target is answered with nodes, so that it can spread (BEP 51)."""
    for key in (b"target", b"info_hash"):
        if key in arguments:
            return FindNode(_id(arguments, key), _want(arguments))
    raise KrpcError("unknown method", code=METHOD_UNKNOWN)


_READERS: dict[bytes, Callable[[_Arguments, bytes], Body]] = {
    b"ping": _read_ping,
    b"find_node": _read_find_node,
    b"get_peers": _read_get_peers,
    b"announce_peer": _read_announce_peer,
    b"get": _read_get,
    b"put": _read_put,
    b"sample_infohashes": _read_sample_infohashes,
}


def _decode_response(content: dict[bytes, bencode.Value], transaction: bytes, datagram: bytes) -> Response:
    """Read an answer; fields of the wrong shape are as if they were not there, only an id must be."""
    fields = content.get(b"r")
    if not isinstance(fields, dict):
        raise KrpcError("a response without contents")
    response = Response(transaction, _id(fields, b"id"))
    address = content.get(b"ip")
    if isinstance(address, bytes) and len(address) in (6, 18):
        response.address = address
    response.nodes = _whole(fields.get(b"nodes"), CONTACT_V4_BYTES) or b""
    response.nodes6 = _whole(fields.get(b"nodes6"), CONTACT_V6_BYTES) or b""
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
        response.samples = _whole(fields[b"samples"], 20)
        response.interval_s = _number(fields.get(b"interval"), SAMPLE_INTERVAL_MAX_S)
        response.total = _number(fields.get(b"num"), SEQ_MAX)
    if b"BFsd" in fields and b"BFpe" in fields:
        seeds, peers = fields[b"BFsd"], fields[b"BFpe"]
        if isinstance(seeds, bytes) and isinstance(peers, bytes) and len(seeds) == len(peers) == FILTER_BYTES:
            response.seeds_filter, response.peers_filter = seeds, peers
    return response


def _read_item(response: Response, fields: _Arguments, datagram: bytes) -> None:
    value = _verbatim(datagram, b"r", fields)
    if value is not None and len(value) <= VALUE_BYTES_MAX:
        response.value = value
    seq = fields.get(b"seq")
    if isinstance(seq, int) and 0 <= seq <= SEQ_MAX:
        response.seq = seq
    public_key, signature = fields.get(b"k"), fields.get(b"sig")
    if isinstance(public_key, bytes) and len(public_key) == 32:
        response.public_key = public_key
    if isinstance(signature, bytes) and len(signature) == 64:
        response.signature = signature


def _decode_failure(content: dict[bytes, bencode.Value], transaction: bytes) -> Failure:
    error = content.get(b"e")
    if not isinstance(error, list) or len(error) < 2:
        raise KrpcError("an error without code and text")
    code, text = error[0], error[1]
    if not isinstance(code, int) or not isinstance(text, bytes):
        raise KrpcError("an error without code and text")
    return Failure(transaction, code, text[:_ERROR_TEXT_MAX].decode("utf-8", "replace"))


def _id(fields: _Arguments, key: bytes) -> bytes:
    value = fields.get(key)
    if not isinstance(value, bytes) or len(value) != 20:
        raise KrpcError(f"{key.decode()} has not 20 bytes")
    return value


def _token(arguments: _Arguments) -> bytes:
    token = arguments.get(b"token")
    if not isinstance(token, bytes):
        raise KrpcError("no token")
    return token


def _want(arguments: _Arguments) -> int:
    if b"want" not in arguments:
        return 0
    names = arguments[b"want"]
    if not isinstance(names, list):
        return 0
    return (b"n4" in names) * WANT_V4 | (b"n6" in names) * WANT_V6


def _seq(arguments: _Arguments, key: bytes) -> int | None:
    if key not in arguments:
        return None
    number = arguments[key]
    if not isinstance(number, int) or not 0 <= number <= SEQ_MAX:
        raise KrpcError(f"{key.decode()} is no sequence number")
    return number


def _number(value: object, most: int) -> int:
    return value if isinstance(value, int) and 0 <= value <= most else 0


def _whole(value: object, size: int) -> bytes | None:
    """Entries of `size` bytes; what is no whole number of them is none."""
    return value if isinstance(value, bytes) and len(value) % size == 0 else None


def _verbatim(datagram: bytes, outer: bytes, fields: _Arguments) -> bytes | None:
    """The bytes of `v` as they were written: they were hashed and signed so (BEP 44)."""
    if b"v" not in fields:
        return None
    # What follows the message is nobody's: the spans are of the message alone.
    end = bencode.decode_prefix(datagram, max_bytes=DATAGRAM_BYTES_MAX, max_depth=_DEPTH_MAX)[1]
    start, stop = bencode.decode_with_spans(datagram[:end])[1][outer]
    inner = datagram[start:stop]
    start, stop = bencode.decode_with_spans(inner)[1][b"v"]
    return inner[start:stop]


def decode_contacts(raw: bytes, *, is_v6: bool) -> list[Contact]:
    """Read whole compact contacts (`nodes`, `nodes6`); those on port 0 are left out."""
    found = []
    if is_v6:
        for at in range(0, len(raw) - CONTACT_V6_BYTES + 1, CONTACT_V6_BYTES):
            port = raw[at + 36] << 8 | raw[at + 37]
            if port:
                host = str(ipaddress.IPv6Address(raw[at + 20 : at + 36]))
                found.append(Contact(raw[at : at + 20], Endpoint(host, port)))
        return found
    for at in range(0, len(raw) - CONTACT_V4_BYTES + 1, CONTACT_V4_BYTES):
        port = raw[at + 24] << 8 | raw[at + 25]
        if port:
            host = f"{raw[at + 20]}.{raw[at + 21]}.{raw[at + 22]}.{raw[at + 23]}"
            found.append(Contact(raw[at : at + 20], Endpoint(host, port)))
    return found


def encode_contact(contact: Contact) -> bytes:
    """The 26 or 38 bytes of one entry of `nodes` or `nodes6`."""
    return contact.node_id + encode_compact(contact.endpoint)


# Encoding


def _text(raw: bytes) -> bytes:
    return b"%d:%b" % (len(raw), raw)


_WANTS = {
    0: b"",
    WANT_V4: b"4:wantl2:n4e",
    WANT_V6: b"4:wantl2:n6e",
    WANT_V4 | WANT_V6: b"4:wantl2:n42:n6e",
}


def encode_query(query: Query) -> bytes:
    """The datagram of `query`, canonical, with our version."""
    before, method, after = _arguments(query.body)
    return b"d1:ad%b2:id20:%b%be1:q%b%b1:t%b1:v4:%b1:y1:qe" % (
        before,
        query.node_id,
        after,
        method,
        b"2:roi1e" if query.is_read_only else b"",
        _text(query.transaction),
        VERSION,
    )


def _arguments(body: Body) -> tuple[bytes, bytes, bytes]:
    """What comes before the id among the arguments, the method, and what comes after it."""
    if type(body) is FindNode:
        return b"", b"9:find_node", b"6:target20:%b%b" % (body.target, _WANTS[body.want])
    if type(body) is GetPeers:
        flags = (b"6:noseedi1e" if body.is_without_seeds else b"") + (
            b"6:scrapei1e" if body.is_scrape else b""
        )
        after = b"9:info_hash20:%b%b%b" % (body.info_hash, flags, _WANTS[body.want])
        return b"", b"9:get_peers", after
    if type(body) is Ping:
        return b"", b"4:ping", b""
    if type(body) is AnnouncePeer:
        # "implied_port" sorts between "id" and "info_hash".
        after = b"%b9:info_hash20:%b4:porti%de%b5:token%b" % (
            b"12:implied_porti1e" if body.is_port_implied else b"",
            body.info_hash,
            body.port,
            b"4:seedi1e" if body.is_seed else b"",
            _text(body.token),
        )
        return b"", b"13:announce_peer", after
    if type(body) is Get:
        seq = b"" if body.seq is None else b"3:seqi%de" % body.seq
        return b"", b"3:get", b"%b6:target20:%b%b" % (seq, body.target, _WANTS[body.want])
    if type(body) is Put:
        return _put_arguments(body)
    assert type(body) is SampleInfohashes
    return b"", b"17:sample_infohashes", b"6:target20:%b%b" % (body.target, _WANTS[body.want])


def _put_arguments(body: Put) -> tuple[bytes, bytes, bytes]:
    if not body.public_key:
        return b"", b"3:put", b"5:token%b1:v%b" % (_text(body.token), body.value)
    before = b"" if body.cas is None else b"3:casi%de" % body.cas
    after = b"1:k32:%b%b3:seqi%de3:sig64:%b5:token%b1:v%b" % (
        body.public_key,
        b"4:salt" + _text(body.salt) if body.salt else b"",
        body.seq,
        body.signature,
        _text(body.token),
        body.value,
    )
    return before, b"3:put", after


def encode_answer(transaction: bytes, address: bytes, before: bytes, node_id: bytes, after: bytes) -> bytes:
    """The datagram of an answer whose fields are bencoded already.

    Args:
        address: the asker's, in compact form (BEP 42 "ip").
        before: fields that sort before "id" (the filters of BEP 33), keys and values.
        after: fields that sort after it.
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
    """The datagram of `response`, canonical, with our version; fields that are empty are left out."""
    filters = b""
    if response.seeds_filter:
        filters = b"4:BFpe256:%b4:BFsd256:%b" % (response.peers_filter, response.seeds_filter)
    return encode_answer(
        response.transaction, response.address, filters, response.node_id, _response_fields(response)
    )


def _response_fields(response: Response) -> bytes:
    """What sorts after the id, in order."""
    parts: list[bytes] = []
    if response.samples is not None:
        parts.append(b"8:intervali%de" % response.interval_s)
    if response.public_key:
        parts.append(b"1:k32:" + response.public_key)
    if response.nodes:
        parts.append(b"5:nodes" + _text(response.nodes))
    if response.nodes6:
        parts.append(b"6:nodes6" + _text(response.nodes6))
    if response.samples is not None:
        parts.append(b"3:numi%de7:samples%b" % (response.total, _text(response.samples)))
    if response.seq is not None:
        parts.append(b"3:seqi%de" % response.seq)
    if response.signature:
        parts.append(b"3:sig64:" + response.signature)
    if response.token is not None:
        parts.append(b"5:token" + _text(response.token))
    if response.value is not None:
        parts.append(b"1:v" + response.value)
    if response.values:
        parts.append(encode_values(response.values))
    return b"".join(parts)


def encode_values(values: Sequence[bytes]) -> bytes:
    """The field `values` of compact endpoints, all of one family; there is at least one."""
    head = b"%d:" % len(values[0])
    return b"6:valuesl" + head + head.join(values) + b"e"


def encode_failure(failure: Failure, address: bytes = b"") -> bytes:
    """The datagram of an error; `address` is the asker's, in compact form (BEP 42 "ip")."""
    return b"d1:eli%de%be%b1:t%b1:v4:%b1:y1:ee" % (
        failure.code,
        _text(failure.text.encode()),
        b"2:ip" + _text(address) if address else b"",
        _text(failure.transaction),
        VERSION,
    )
