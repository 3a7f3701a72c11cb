"""Nodes that lie: each does one thing that an honest node never would."""

from __future__ import annotations

import random
from enum import Enum, auto

from swarm.dht.identity import id_for
from swarm.wire import krpc
from swarm.wire.krpc import CONTACT_V4_BYTES, KrpcError, Query, Response

#: Nodes in one lie.
_NAMED_COUNT = 8


class Hostility(Enum):
    """What a hostile node does when it is asked."""

    #: Names nodes next to the target that do not exist; their ids fit no address (BEP 42).
    NAMES_GHOSTS = auto()
    #: The same, with ids that fit their addresses, as near to the target as a search of a few allows.
    NAMES_FITTING_GHOSTS = auto()
    #: Calls itself what is nearest to the target.
    TAKES_ANOTHER_ID = auto()
    #: Hands out peers that do not exist, and neither nodes nor a token.
    INVENTS_PEERS = auto()
    #: Is there when it is pinged, and says nothing else.
    IS_SILENT = auto()


def hostile_answer(
    hostility: Hostility, payload: bytes, own_id: bytes, asker: bytes, rng: random.Random
) -> bytes | None:
    """The answer to a question; empty for none; None where it behaves like any other node.

    Args:
        asker: the packed address that asks.
    """
    try:
        query = krpc.decode(payload)
    except KrpcError:
        return None
    if not isinstance(query, Query) or isinstance(query.body, krpc.Ping):
        return None
    if hostility is Hostility.IS_SILENT:
        return b""
    target = _target_of(query)
    response = Response(query.transaction, own_id, address=asker + b"\x1a\xe1")
    if hostility is Hostility.NAMES_GHOSTS:
        response.nodes = b"".join(_ghost(target, rng) for _ in range(_NAMED_COUNT))
        response.token = b"none"
    elif hostility is Hostility.NAMES_FITTING_GHOSTS:
        response.nodes = b"".join(_fitting_ghost(target, rng) for _ in range(_NAMED_COUNT))
        response.token = b"none"
    elif hostility is Hostility.TAKES_ANOTHER_ID:
        response.node_id = target[:19] + rng.randbytes(1)
        response.token = b"none"
    else:
        response.values = [_address(rng) for _ in range(20)]
    return krpc.encode_response(response)


def _target_of(query: Query) -> bytes:
    body = query.body
    if isinstance(body, krpc.GetPeers | krpc.AnnouncePeer):
        return body.info_hash
    return body.target if isinstance(body, krpc.FindNode | krpc.Get | krpc.SampleInfohashes) else bytes(20)


def _address(rng: random.Random) -> bytes:
    return bytes((rng.randrange(11, 100), *rng.randbytes(3))) + b"\x1a\xe1"


def _ghost(target: bytes, rng: random.Random) -> bytes:
    return target[:18] + rng.randbytes(2) + _address(rng)


def _fitting_ghost(target: bytes, rng: random.Random) -> bytes:
    goal = int.from_bytes(target, "big")
    best = b"\xff" * CONTACT_V4_BYTES
    for _ in range(16):
        address = _address(rng)
        found = id_for(address[:4], rng) + address
        if int.from_bytes(found[:20], "big") ^ goal < int.from_bytes(best[:20], "big") ^ goal:
            best = found
    return best
