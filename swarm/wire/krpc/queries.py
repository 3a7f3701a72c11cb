"""Queries, both directions: a class for each method, how it is read and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from swarm.base.dataclass import dataclass
from swarm.wire.krpc.errors import (
    INVALID_SIGNATURE,
    METHOD_UNKNOWN,
    SALT_TOO_BIG,
    VALUE_TOO_BIG,
    KrpcError,
)
from swarm.wire.krpc.fields import (
    SALT_BYTES_MAX,
    SEQ_MAX,
    VALUE_BYTES_MAX,
    VERSION,
    Fields,
    bencoded,
    id_of,
    verbatim,
)

#: Bits of `want`: the families of which nodes are wanted (BEP 32); 0: that of the datagram.
WANT_V4 = 1
WANT_V6 = 2


@dataclass(slots=True)
class Ping:
    """Are you there? (BEP 5)"""


@dataclass(slots=True)
class FindNode:
    """Which nodes near `target` (20 bytes) do you know? (BEP 5)"""

    target: bytes
    want: int = 0


@dataclass(slots=True)
class GetPeers:
    """Which peers share `info_hash` (20 bytes), or which nodes are nearer to it? (BEP 5)

    Args:
        is_scrape: send the filters of BEP 33 as well.
        is_without_seeds: name leechers only (BEP 33 `noseed`).
    """

    info_hash: bytes
    want: int = 0
    is_scrape: bool = False
    is_without_seeds: bool = False


@dataclass(slots=True)
class AnnouncePeer:
    """I share `info_hash` (20 bytes) and accept peers on `port`. (BEP 5)

    Args:
        token: from the answer to an earlier `get_peers`.
        is_port_implied: the port is the one that this datagram comes from; `port` is 0.
        is_seed: BEP 33 `seed`.
    """

    info_hash: bytes
    port: int
    token: bytes
    is_port_implied: bool = False
    is_seed: bool = False


@dataclass(slots=True)
class Get:
    """The item under `target` (20 bytes); of a mutable one only a version above `seq`. (BEP 44)"""

    target: bytes
    want: int = 0
    seq: int | None = None


@dataclass(slots=True)
class Put:
    """Store this item (BEP 44).

    Args:
        token: from the answer to an earlier `get`.
        value: bencode as it was written, at most 1000 bytes.
        public_key: 32 bytes; empty for an immutable item, which has none of the following either.
        salt: at most 64 bytes.
        signature: 64 bytes.
        cas: store it only over version `cas`; None: over any.
    """

    token: bytes
    value: bytes
    public_key: bytes = b""
    salt: bytes = b""
    seq: int = 0
    signature: bytes = b""
    cas: int | None = None


@dataclass(slots=True)
class SampleInfohashes:
    """Which info-hashes do you store peers of, and which nodes near `target` (20 bytes)? (BEP 51)"""

    target: bytes
    want: int = 0


Body: TypeAlias = Ping | FindNode | GetPeers | AnnouncePeer | Get | Put | SampleInfohashes


@dataclass(slots=True)
class Query:
    """A query.

    Args:
        transaction: comes back with the answer.
        node_id: of the node that asks, 20 bytes.
        is_read_only: that node is not to be put into a routing table (BEP 43).
    """

    transaction: bytes
    node_id: bytes
    body: Body
    is_read_only: bool = False


def decode_query(content: Fields, transaction: bytes, datagram: bytes) -> Query:
    """Read a query out of its decoded `datagram`; KrpcError, with the transaction, if it is not valid."""
    method = content.get(b"q")
    arguments = content.get(b"a")
    try:
        if not isinstance(method, bytes):
            raise KrpcError("no method")
        if not isinstance(arguments, dict):
            raise KrpcError("no arguments")
        node_id = id_of(arguments, b"id")
        reader = _READERS.get(method)
        body = _read_unknown(arguments) if reader is None else reader(arguments, datagram)
    except KrpcError as error:
        error.transaction = transaction
        raise
    return Query(transaction, node_id, body, content.get(b"ro") == 1)


def _read_ping(arguments: Fields, datagram: bytes) -> Body:
    return Ping()


def _read_find_node(arguments: Fields, datagram: bytes) -> Body:
    return FindNode(id_of(arguments, b"target"), _want(arguments))


def _read_get_peers(arguments: Fields, datagram: bytes) -> Body:
    return GetPeers(
        id_of(arguments, b"info_hash"),
        _want(arguments),
        arguments.get(b"scrape") == 1,
        arguments.get(b"noseed") == 1,
    )


def _read_announce_peer(arguments: Fields, datagram: bytes) -> Body:
    is_implied = arguments.get(b"implied_port", 0) not in (0, b"")
    port = arguments.get(b"port")
    if is_implied:
        port = 0
    elif not isinstance(port, int) or not 0 < port < 65536:
        raise KrpcError("no usable port")
    info_hash = id_of(arguments, b"info_hash")
    return AnnouncePeer(info_hash, port, _token(arguments), is_implied, arguments.get(b"seed") == 1)


def _read_get(arguments: Fields, datagram: bytes) -> Body:
    return Get(id_of(arguments, b"target"), _want(arguments), _seq(arguments, b"seq"))


def _read_put(arguments: Fields, datagram: bytes) -> Body:
    token = _token(arguments)
    value = verbatim(datagram, b"a", arguments)
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


def _read_sample_infohashes(arguments: Fields, datagram: bytes) -> Body:
    return SampleInfohashes(id_of(arguments, b"target"), _want(arguments))


def _read_unknown(arguments: Fields) -> Body:
    """Read an unknown method that has a target as `find_node`, as BEP 51 asks for future methods."""
    for key in (b"target", b"info_hash"):
        if key in arguments:
            return FindNode(id_of(arguments, key), _want(arguments))
    raise KrpcError("unknown method", code=METHOD_UNKNOWN)


_READERS: dict[bytes, Callable[[Fields, bytes], Body]] = {
    b"ping": _read_ping,
    b"find_node": _read_find_node,
    b"get_peers": _read_get_peers,
    b"announce_peer": _read_announce_peer,
    b"get": _read_get,
    b"put": _read_put,
    b"sample_infohashes": _read_sample_infohashes,
}


def _token(arguments: Fields) -> bytes:
    token = arguments.get(b"token")
    if not isinstance(token, bytes):
        raise KrpcError("no token")
    return token


def _want(arguments: Fields) -> int:
    if b"want" not in arguments:
        return 0
    names = arguments[b"want"]
    if not isinstance(names, list):
        return 0
    return (b"n4" in names) * WANT_V4 | (b"n6" in names) * WANT_V6


def _seq(arguments: Fields, key: bytes) -> int | None:
    if key not in arguments:
        return None
    number = arguments[key]
    if not isinstance(number, int) or not 0 <= number <= SEQ_MAX:
        raise KrpcError(f"{key.decode()} is no sequence number")
    return number


_WANTS = {
    0: b"",
    WANT_V4: b"4:wantl2:n4e",
    WANT_V6: b"4:wantl2:n6e",
    WANT_V4 | WANT_V6: b"4:wantl2:n42:n6e",
}


def encode_query(query: Query) -> bytes:
    """The datagram of `query`, in canonical bencode."""
    before, method, after = _arguments(query.body)
    return b"d1:ad%b2:id20:%b%be1:q%b%b1:t%b1:v4:%b1:y1:qe" % (
        before,
        query.node_id,
        after,
        method,
        b"2:roi1e" if query.is_read_only else b"",
        bencoded(query.transaction),
        VERSION,
    )


def _arguments(body: Body) -> tuple[bytes, bytes, bytes]:
    """The arguments that sort before "id", the method, and the arguments that sort after "id"."""
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
            bencoded(body.token),
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
        return b"", b"3:put", b"5:token%b1:v%b" % (bencoded(body.token), body.value)
    before = b"" if body.cas is None else b"3:casi%de" % body.cas
    after = b"1:k32:%b%b3:seqi%de3:sig64:%b5:token%b1:v%b" % (
        body.public_key,
        b"4:salt" + bencoded(body.salt) if body.salt else b"",
        body.seq,
        body.signature,
        bencoded(body.token),
        body.value,
    )
    return before, b"3:put", after
