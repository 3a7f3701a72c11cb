"""Answers to the queries of other nodes, from all that we store for them.

An answer goes to the address that the query came from, which may be forged. So it is at most a small multiple
of the query, unless that address has proved that it receives what we send.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from swarm.base.meter import Meter
from swarm.dht import scrape
from swarm.dht.identity import Identity, is_local
from swarm.dht.item_store import ItemStore, PutRefused
from swarm.dht.items import ImmutableItem, Item, MutableItem
from swarm.dht.limits import RecentSources
from swarm.dht.settings import DhtSettings
from swarm.dht.store import PeerStore
from swarm.dht.table import RoutingTable
from swarm.dht.tokens import Tokens
from swarm.wire import krpc
from swarm.wire.krpc import ANSWER_BYTES_MAX, WANT_V4, WANT_V6, Failure, Query, encode_answer

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes of an answer around its fields: the dictionaries, "ip", "id", "t", "v" and "y", each at its largest.
_FRAME_BYTES = 112


class Answers:
    """Writes answers, and stores what others announce and put.

    Args:
        proven: packed addresses that receive what is sent to them; we add those that show a valid token.
        refused: reason -> count; we count what we refuse.
    """

    def __init__(
        self,
        table: RoutingTable,
        identity: Identity,
        settings: DhtSettings,
        rng: random.Random,
        now: float,
        proven: RecentSources,
        refused: Counter[str],
        *,
        is_v6: bool,
    ) -> None:
        self.other_family: RoutingTable | None = None
        self.items = ItemStore(item_s=settings.item_s, items_max=settings.items_max)
        self.tokens = Tokens(rng, settings.token_s, now)
        self.peers = PeerStore(
            18 if is_v6 else 6,
            now,
            peer_s=settings.peer_s,
            swarm_peers_max=settings.peers_per_torrent_max,
            ports_max=settings.ports_per_address_max,
            peers_max=settings.peers_max,
            torrents_max=settings.torrents_max,
        )
        self._table = table
        self._identity = identity
        self._settings = settings
        self._rng = rng
        self._proven = proven
        self._refused = refused
        self._is_v6 = is_v6
        #: A compact endpoint in the list `values`: its length, a colon, itself.
        self._value_bytes = 21 if is_v6 else 8
        self._large = Meter(settings.unproven_item_bytes_per_s, settings.unproven_item_burst_bytes)
        self._sample: list[bytes] = []
        self._sampled_at = float("-inf")
        self._writers: dict[type, Callable[[Query, bytes, bytes, int, float], bytes]] = {
            krpc.Ping: self._ping,
            krpc.FindNode: self._find_node,
            krpc.GetPeers: self._get_peers,
            krpc.AnnouncePeer: self._announce_peer,
            krpc.Get: self._get,
            krpc.Put: self._put,
            krpc.SampleInfohashes: self._sample_infohashes,
        }

    def answer(self, query: Query, packed: bytes, port: int, question_bytes: int, now: float) -> bytes:
        """The datagram that answers `query`, which came from the address `packed` and `port`.

        Args:
            question_bytes: length of the datagram that brought the query.
        """
        if packed in self._proven or is_local(packed):
            room = ANSWER_BYTES_MAX
        else:
            room = min(ANSWER_BYTES_MAX, int(question_bytes * self._settings.unproven_ratio_max))
        address = packed + port.to_bytes(2, "big")
        return self._writers[type(query.body)](query, packed, address, room, now)

    def sweep(self, now: float) -> None:
        """Drop what is too old."""
        self.peers.sweep(now)
        self.items.sweep(now)
        self.tokens.rotate(now)

    def _ping(self, query: Query, packed: bytes, address: bytes, room: int, now: float) -> bytes:
        return encode_answer(query.transaction, address, b"", self._identity.own_id, b"")

    def _find_node(self, query: Query, packed: bytes, address: bytes, room: int, now: float) -> bytes:
        body = query.body
        assert isinstance(body, krpc.FindNode)
        nodes = self._nodes(body.target, body.want, room)
        return encode_answer(query.transaction, address, b"", self._identity.own_id, nodes)

    def _get_peers(self, query: Query, packed: bytes, address: bytes, room: int, now: float) -> bytes:
        body = query.body
        assert isinstance(body, krpc.GetPeers)
        info_hash = body.info_hash
        token = self._token(packed, info_hash, now)
        if not self.peers.has(info_hash):
            fields = self._nodes(info_hash, body.want, room) + token
            return encode_answer(query.transaction, address, b"", self._identity.own_id, fields)
        filters = b""
        if body.is_scrape:
            seeds, leechers = self.peers.addresses(info_hash, now)
            filters = b"4:BFpe256:%b4:BFsd256:%b" % (
                scrape.filter_of(leechers),
                scrape.filter_of(seeds),
            )
        left = room - _FRAME_BYTES - len(token) - len(filters)
        # Whoever is told of peers hardly needs nodes any more: they are left out where both do not fit.
        nodes = self._nodes(info_hash, body.want, left + _FRAME_BYTES)
        if len(nodes) > left:
            nodes = b""
        count = (left - len(nodes) - len(b"6:valuesle")) // self._value_bytes
        values = self.peers.sample(
            info_hash, max(count, 0), now, self._rng, is_without_seeds=body.is_without_seeds
        )
        fields = nodes + token + (krpc.encode_values(values) if values else b"")
        return encode_answer(query.transaction, address, filters, self._identity.own_id, fields)

    def _announce_peer(self, query: Query, packed: bytes, address: bytes, room: int, now: float) -> bytes:
        body = query.body
        assert isinstance(body, krpc.AnnouncePeer)
        if not self.tokens.is_valid(body.token, packed, body.info_hash, now):
            return self._refuse(query, address, krpc.PROTOCOL_ERROR, "wrong token")
        self._proven.add(packed)
        peer = address if body.is_port_implied else packed + body.port.to_bytes(2, "big")
        self.peers.add(body.info_hash, peer, now, is_seed=body.is_seed)
        return encode_answer(query.transaction, address, b"", self._identity.own_id, b"")

    def _get(self, query: Query, packed: bytes, address: bytes, room: int, now: float) -> bytes:
        body = query.body
        assert isinstance(body, krpc.Get)
        token = self._token(packed, body.target, now)
        nodes = self._nodes(body.target, body.want, room)
        key, version, value = _item_fields(self.items.get(body.target, now), body.seq)
        item_bytes = len(key) + len(version) + len(value)
        if value and item_bytes + len(nodes) + len(token) + _FRAME_BYTES > room:
            # An item cannot be cut: it goes without nodes, and to unproven addresses within a rate limit.
            if room < ANSWER_BYTES_MAX and not self._large.allow(now, item_bytes):
                self._refused["item for an unproven address"] += 1
                key = version = value = b""
            else:
                nodes = b""
        fields = key + nodes + version + token + value
        return encode_answer(query.transaction, address, b"", self._identity.own_id, fields)

    def _put(self, query: Query, packed: bytes, address: bytes, room: int, now: float) -> bytes:
        body = query.body
        assert isinstance(body, krpc.Put)
        item: Item
        if body.public_key:
            item = MutableItem(body.public_key, body.value, body.seq, body.signature, body.salt)
        else:
            item = ImmutableItem(body.value)
        if not self.tokens.is_valid(body.token, packed, item.target, now):
            return self._refuse(query, address, krpc.PROTOCOL_ERROR, "wrong token")
        self._proven.add(packed)
        try:
            self.items.put(item, self._identity.own_id, now, cas=body.cas)
        except PutRefused as refused:
            return self._refuse(query, address, refused.code, refused.reason)
        return encode_answer(query.transaction, address, b"", self._identity.own_id, b"")

    def _sample_infohashes(self, query: Query, packed: bytes, address: bytes, room: int, now: float) -> bytes:
        body = query.body
        assert isinstance(body, krpc.SampleInfohashes)
        nodes = self._nodes(body.target, body.want, room)
        if now - self._sampled_at >= self._settings.sample_interval_s:
            # BEP 51: the sample stays the same for a while, so that nobody gains by asking often.
            self._sampled_at = now
            self._sample = self.peers.sample_info_hashes(ANSWER_BYTES_MAX // 20, self._rng)
        left = room - _FRAME_BYTES - len(nodes) - len(b"8:intervali21600e3:numi1000000e7:samples1000:")
        samples = b"".join(self._sample[: max(left, 0) // 20])
        fields = b"8:intervali%de%b3:numi%de7:samples%d:%b" % (
            self._settings.sample_interval_s,
            nodes,
            self.peers.torrent_count,
            len(samples),
            samples,
        )
        return encode_answer(query.transaction, address, b"", self._identity.own_id, fields)

    def _refuse(self, query: Query, address: bytes, code: int, reason: str) -> bytes:
        self._refused[reason] += 1
        return krpc.encode_failure(Failure(query.transaction, code, reason), address)

    def _token(self, packed: bytes, target: bytes, now: float) -> bytes:
        token = self.tokens.token_for(packed, target, now)
        return b"5:token%d:%b" % (len(token), token)

    def _nodes(self, target: bytes, want: int, room: int) -> bytes:
        """The fields `nodes` and `nodes6`, of the families that are wanted, if there is room (BEP 32)."""
        count = self._settings.closest_count
        if not want or want == (WANT_V6 if self._is_v6 else WANT_V4):
            compact = b"".join([node.compact for node in self._table.closest(target, count)])
            return b"%b%d:%b" % (b"6:nodes6" if self._is_v6 else b"5:nodes", len(compact), compact)
        own, other = self._table, self.other_family
        tables = (other, own) if self._is_v6 else (own, other)
        found = b""
        for bit, key, table in zip((WANT_V4, WANT_V6), (b"5:nodes", b"6:nodes6"), tables, strict=True):
            if not want & bit or table is None:
                continue
            compact = b"".join([node.compact for node in table.closest(target, count)])
            field = b"%b%d:%b" % (key, len(compact), compact)
            if len(found) + len(field) + _FRAME_BYTES <= room:
                found += field
        return found


def _item_fields(item: Item | None, seq: int | None) -> tuple[bytes, bytes, bytes]:
    """An item's key, version and value, each as a field or empty; only the version where the asker has it."""
    if item is None:
        return b"", b"", b""
    if isinstance(item, ImmutableItem):
        return b"", b"", b"1:v" + item.value
    if seq is not None and item.seq <= seq:
        return b"", b"3:seqi%de" % item.seq, b""
    version = b"3:seqi%de3:sig64:%b" % (item.seq, item.signature)
    return b"1:k32:" + item.public_key, version, b"1:v" + item.value
