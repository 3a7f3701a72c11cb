"""Reads a datagram of a stranger: a query, a response or an error."""

from __future__ import annotations

import re
from typing import TypeAlias

from swarm.base import bencode
from swarm.base.errors import BencodeError
from swarm.wire.krpc.errors import KrpcError
from swarm.wire.krpc.fields import DATAGRAM_BYTES_MAX, DEPTH_MAX, TRANSACTION_BYTES_MAX
from swarm.wire.krpc.queries import FindNode, GetPeers, Ping, Query, decode_query
from swarm.wire.krpc.responses import Failure, Response, decode_failure, decode_response

Message: TypeAlias = Query | Response | Failure

#: Nearly all queries that a node gets: in canonical form, with no optional key but the version. One regular
#: expression reads them much faster than the bencode decoder, which reads all others.
_USUAL_QUERY = re.compile(
    rb"d1:ad2:id20:(.{20})(?:(e1:q4:ping)|6:target20:(.{20})e1:q9:find_node|9:info_hash20:(.{20})e1:q9:get_peers)"
    rb"1:t(?:2:(.{2})|4:(.{4})|8:(.{8}))(?:1:v4:.{4})?1:y1:qe",
    re.DOTALL,
).fullmatch


def decode(datagram: bytes) -> Message:
    """Read one datagram.

    Unsorted keys, unknown fields and bytes after the message are allowed.

    Raises:
        KrpcError: it is no valid message. Of a query, `transaction` is set: it is answered with an error (BEP
            5).
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
        content, _ = bencode.decode_prefix(datagram, max_bytes=DATAGRAM_BYTES_MAX, max_depth=DEPTH_MAX)
    except BencodeError as error:
        raise KrpcError(f"not bencode: {error}") from None
    assert isinstance(content, dict)
    transaction = content.get(b"t")
    if not isinstance(transaction, bytes) or not 0 < len(transaction) <= TRANSACTION_BYTES_MAX:
        raise KrpcError("no usable transaction id")
    kind = content.get(b"y")
    if kind == b"q":
        return decode_query(content, transaction, datagram)
    if kind == b"r":
        return decode_response(content, transaction, datagram)
    if kind == b"e":
        return decode_failure(content, transaction)
    raise KrpcError("neither query, response nor error")
