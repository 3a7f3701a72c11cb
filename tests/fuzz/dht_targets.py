"""What a node of the DHT is sent: single datagrams, and whole nodes among strangers."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

from swarm.base.endpoint import Endpoint
from swarm.base.errors import StorageError
from swarm.base.ids import NodeId
from swarm.dht.commands import Command, OperationEnded, SendDatagram
from swarm.dht.node import DhtNode
from swarm.dht.settings import DhtSettings
from swarm.session.finding.dht_memory import CONTACTS_MAX, DhtMemory, HomeMemory
from swarm.storage import sealed
from swarm.wire import krpc
from swarm.wire.krpc import Contact, Failure, Query, Response
from tests.fuzz.target import Target, settles

_A, _B = b"a" * 20, b"b" * 20
_NODE = Contact(_A, Endpoint("5.1.1.1", 6881))
_NODE_V6 = Contact(_A, Endpoint("2001:db8::1", 6881))
#: In a datagram to a whole node: the transaction id of the node's last question, and its token. Both are
#: of the same length as what replaces them.
_TRANSACTION, _TOKEN = b"TRANSACT", b"TOKEN!!!"
#: Between datagrams; what comes first in each chooses whom it comes from.
_NEXT = b"\0\xff\0"
_SOURCES = [Endpoint(host, 6881) for host in ("5.1.1.1", "5.1.1.2", "9.8.7.6", "127.0.0.1")]
_SMALL = DhtSettings(
    peers_max=20, torrents_max=8, items_max=5, sources_max=10, peers_per_torrent_max=6, closest_count=3
)

_QUERIES = tuple(
    krpc.encode_query(Query(b"tr", _A, body))
    for body in (
        krpc.Ping(),
        krpc.FindNode(_B, 3),
        krpc.GetPeers(_B, 0, True, True),
        krpc.AnnouncePeer(_B, 7000, _TOKEN, is_seed=True),
        krpc.Get(_B, 1, 5),
        krpc.Put(_TOKEN, b"12:Hello World!"),
        krpc.Put(_TOKEN, b"li1ee", b"k" * 32, b"salt", 4, b"s" * 64, 3),
        krpc.SampleInfohashes(_B, 2),
    )
)
_RESPONSE = Response(
    _TRANSACTION,
    _A,
    address=bytes((9, 9, 9, 9, 1, 2)),
    nodes=krpc.encode_contact(_NODE),
    nodes6=krpc.encode_contact(_NODE_V6),
    values=[b"\1\2\3\4\5\6"],
    token=b"t",
)
_ITEM = Response(
    b"12", _A, value=b"d1:ai1ee", public_key=b"k" * 32, seq=1, signature=b"s" * 64, samples=_B, interval_s=9
)
_FILTERED = Response(b"12", _A, seeds_filter=b"\1" * 256, peers_filter=b"\2" * 256)
_ANSWERS = (
    krpc.encode_response(_RESPONSE),
    krpc.encode_response(_ITEM),
    krpc.encode_failure(Failure(_TRANSACTION, 201, "no")),
)


def _encode(message: krpc.Message) -> bytes:
    if isinstance(message, Query):
        return krpc.encode_query(message)
    if isinstance(message, Failure):
        return krpc.encode_failure(message)
    if len({len(value) for value in message.values}) > 1:
        # Lists of both families are read, but never written.
        message = replace(message, values=[value for value in message.values if len(value) == 6])
    return krpc.encode_response(message)


def _krpc(raw: bytes) -> None:
    try:
        message = krpc.decode(raw)
    except krpc.KrpcError as error:
        if error.transaction is not None:
            refusal = krpc.decode(krpc.encode_failure(Failure(error.transaction, error.code, error.reason)))
            assert isinstance(refusal, Failure) and refusal.transaction == error.transaction
        return
    written = _encode(message)
    again = krpc.decode(written)
    assert type(again) is type(message)
    # One round settles it: fields that nobody can use alone are not written.
    assert _encode(again) == written
    if isinstance(message, Query):
        assert again == message
    elif isinstance(message, Response):
        for is_v6, nodes in ((False, message.nodes), (True, message.nodes6)):
            for contact in krpc.decode_contacts(nodes, is_v6=is_v6):
                assert krpc.encode_contact(contact) in nodes


def _dht_node(raw: bytes) -> None:
    """A small node that looks for something, and strangers who send it anything."""
    node = DhtNode(NodeId(bytes(20)), is_v6=False, settings=_SMALL, rng=random.Random(1), now=0.0)
    asked = node.bootstrap(1, _SOURCES[:2], 0.0)
    asked += node.get_peers(2, _B, 0.0, is_scrape=True)
    asked += node.get(3, _B, 0.0)
    token = b""
    for turn, datagram in enumerate(raw.split(_NEXT)[:16]):
        source = _SOURCES[datagram[0] % len(_SOURCES)] if datagram else _SOURCES[0]
        now = turn * 0.3
        waiting = [c for c in asked if isinstance(c, SendDatagram) and c.endpoint == source]
        datagram = datagram[1:].replace(_TOKEN, token or _TOKEN)
        if waiting and _TRANSACTION in datagram:
            question = krpc.decode(waiting[-1].payload)
            datagram = datagram.replace(b"8:" + _TRANSACTION, b"%d:%b" % (
                len(question.transaction), question.transaction,
            ))  # fmt: skip
            asked.remove(waiting[-1])
        commands = node.received(datagram, source, now)
        if turn % 4 == 3:
            commands += node.woken(now)
        token = _checked(commands) or token
        asked += commands
    stats = node.stats()
    assert stats.stored_peers <= 20 and stats.stored_torrents <= 8 and stats.stored_items <= 5
    assert all(contact.endpoint.port for contact in node.contacts())
    # Nobody answers any more: everything ends by itself.
    ended = {command.operation for command in asked if isinstance(command, OperationEnded)}
    for second in range(5, 200):
        ended |= {c.operation for c in node.woken(float(second)) if isinstance(c, OperationEnded)}
    assert {2, 3} <= ended


def _checked(commands: list[Command]) -> bytes:
    """Everything that it says is readable; returns the token that it gave."""
    token = b""
    for command in commands:
        if isinstance(command, SendDatagram):
            assert len(command.payload) <= 1500 and command.endpoint.port
            said = krpc.decode(command.payload)
            if isinstance(said, Response) and said.token is not None:
                token = said.token
    return token


def _dht_memory(raw: bytes) -> None:
    """The saved routing table: as it lies on the disk, and with a checksum that fits."""
    magic = DhtMemory().encode().partition(b"\n")[0] + b"\n"
    for file in (raw, sealed.seal(magic, raw)):
        found = settles(file, DhtMemory.decode, DhtMemory.encode, StorageError)
        if found is None:
            continue
        for home, is_v6 in ((found.v4, False), (found.v6, True)):
            assert len(home.own_id) in (0, 20) and len(home.contacts) <= CONTACTS_MAX
            for contact in home.contacts:
                assert len(contact.node_id) == 20 and contact.endpoint.is_v6 == is_v6
        with contextlib.suppress(ValueError):
            node_id = NodeId(found.v4.own_id)
            DhtNode(
                node_id,
                is_v6=False,
                settings=_SMALL,
                rng=random.Random(1),
                now=0.0,
                contacts=found.v4.contacts,
            )


_MEMORY = DhtMemory(HomeMemory(_A, (_NODE,)), HomeMemory(_B, (_NODE_V6,)))
_MEMORY_BODY = _MEMORY.encode()[len(sealed.seal(b"swarm dht 1\n", b"")) :]

DHT_TARGETS = (
    Target("krpc", _krpc, (*_QUERIES, *_ANSWERS, krpc.encode_response(_FILTERED)), max_bytes=1500),
    Target(
        "dht-node",
        _dht_node,
        (
            _NEXT.join(b"\0" + one for one in _QUERIES),
            _NEXT.join(bytes((number % 4,)) + one for number, one in enumerate(_ANSWERS + _QUERIES)),
            _NEXT.join(b"\0" + _ANSWERS[0] for _ in range(3)),
        ),
        max_bytes=2048,
    ),
    Target("dht-memory", _dht_memory, (_MEMORY.encode(), _MEMORY_BODY), max_bytes=512),
)
