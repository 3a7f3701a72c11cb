"""One node of the DHT, in one address family: datagrams in, commands out (BEP 5).

The node itself only routes. Queries of others go to `answers`; answers to our own queries go to whoever asked
(`searches`, `upkeep`); and what both tell about other nodes and about our address goes to `table` and
`identity`. A host with several addresses runs one node for each (BEP 32, 45).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from swarm.base.endpoint import Endpoint
from swarm.base.ids import NodeId
from swarm.base.meter import Meter
from swarm.dht.answers import Answers
from swarm.dht.commands import Command, DhtStats, IdentityChanged, SendDatagram
from swarm.dht.identity import Identity, owner_of, packed_address
from swarm.dht.items import Item
from swarm.dht.limits import RecentSources, SourceMeters
from swarm.dht.queries import Queries
from swarm.dht.searches import (
    AnnounceSearch,
    Bootstrap,
    ItemSearch,
    Neighbours,
    PeerSearch,
    PutSearch,
    SampleSearch,
    Search,
    Single,
)
from swarm.dht.settings import DhtSettings
from swarm.dht.table import RoutingTable
from swarm.dht.upkeep import Upkeep
from swarm.wire import krpc
from swarm.wire.krpc import Contact, Failure, KrpcError, Query, Response, encode_failure

#: How a canonical query ends: by this a flood is turned away before it is decoded.
_QUERY_ENDS = b"1:y1:qe"


class DhtNode:
    """A node. Calls return commands for the host, and the same calls always return the same.

    Args:
        own_id: from the last run, or random; it is replaced if it does not fit our address (BEP 42).
        is_v6: the address family of the node's one socket.
        rng: tokens and transaction ids come from it, so real hosts pass `random.SystemRandom()`.
        now: monotonic seconds, as in every call.
        contacts: nodes saved in the last run.
    """

    def __init__(
        self,
        own_id: NodeId,
        *,
        is_v6: bool,
        settings: DhtSettings,
        rng: random.Random,
        now: float,
        contacts: Sequence[Contact] = (),
    ) -> None:
        self._is_v6 = is_v6
        self._settings = settings
        self._outbox: list[Command] = []
        self._refused: Counter[str] = Counter()
        self._identity = Identity(
            own_id, rng, votes_max=settings.votes_max, votes_needed=settings.votes_needed
        )
        self._table = RoutingTable(own_id, settings)
        self._queries = Queries(self._identity, settings, rng, self._outbox, self._refused)
        self._proven = RecentSources(settings.sources_max)
        self._answers = Answers(
            self._table, self._identity, settings, rng, now, self._proven, self._refused, is_v6=is_v6
        )
        self._neighbours = Neighbours(self._queries, self._table, settings, rng, self._outbox, is_v6)
        self._upkeep = Upkeep(self._neighbours, now, self._answers.sweep)
        self._operations: dict[int, Search | Single] = {}
        self._sources = SourceMeters(
            settings.source_queries_per_s, settings.source_queries_burst, settings.sources_max
        )
        self._all_answers = Meter(settings.answer_bytes_per_s, settings.answer_burst_bytes)
        self._now = now
        self._query_count = 0
        self._answer_count = 0
        self._answers_in_count = 0
        self.restore(contacts, now)

    @property
    def own_id(self) -> NodeId:
        return self._identity.own_id

    @property
    def external_host(self) -> str | None:
        """Our numeric address as others see it; None until enough of them agree."""
        return self._identity.external_host

    def know_other_family(self, other: DhtNode) -> None:
        """From now on queries that want nodes of the other family get some of `other`'s table (BEP 32)."""
        self._answers.other_family = other._table

    def restore(self, contacts: Sequence[Contact], now: float) -> None:
        """Take up saved nodes of our family; they are not asked until they are needed."""
        self._table.restore([contact for contact in contacts if contact.endpoint.is_v6 == self._is_v6], now)

    # Events

    def received(self, datagram: bytes | memoryview, source: Endpoint, now: float) -> list[Command]:
        """A datagram (any bytes) has come in from `source`."""
        self._now = now
        try:
            packed = packed_address(source.host)
        except ValueError:
            return self._drop("source is no address")
        if not source.port or (len(packed) == 16) != self._is_v6:
            return self._drop("source of the wrong family")
        raw = bytes(datagram)
        owner = owner_of(packed, source.port)
        is_counted = raw.endswith(_QUERY_ENDS)
        if is_counted and not self._sources.allow(owner, now):
            return self._drop("too many from one source")
        try:
            message = krpc.decode(raw)
        except KrpcError as error:
            if error.transaction is None or not (is_counted or self._sources.allow(owner, now)):
                return self._drop("malformed")
            self._refused["malformed"] += 1
            failure = Failure(error.transaction, error.code, error.reason)
            return self._reply(encode_failure(failure, _compact(packed, source)), source, now)
        if type(message) is Query:
            if self._settings.is_read_only:
                # BEP 43: a read-only node must not be in others' tables, and whoever answers gets there.
                return self._drop("asked while read-only")
            if not is_counted and not self._sources.allow(owner, now):
                return self._drop("too many from one source")
            return self._asked(message, packed, source, len(raw), now)
        if type(message) is Response:
            self._answered(message, packed, source, now)
        elif type(message) is Failure:
            self._failed(message, packed, source, now)
        return self._commands()

    def woken(self, now: float) -> list[Command]:
        """The instant of `next_wakeup` has come; to call it early or late does no harm."""
        self._now = now
        for asked, is_given_up in self._queries.expire(now):
            if is_given_up:
                self._table.failed(asked.endpoint)
                asked.asker.failed(asked, None, now)
            else:
                asked.asker.slowed(asked, now)
        self._upkeep.tick(now)
        return self._commands()

    def next_wakeup(self) -> float | None:
        """When `woken` is to be called; None for never."""
        deadline = self._queries.next_deadline()
        return self._upkeep.next_at if deadline is None else min(deadline, self._upkeep.next_at)

    # Operations. The host chooses their numbers; each ends with `OperationEnded`, unless it is cancelled.

    def bootstrap(self, operation: int, routers: Sequence[Endpoint], now: float) -> list[Command]:
        """Find our neighbours: look up our own id, starting from the table and from `routers`."""
        search = Bootstrap(operation, self._identity.own_id, self._neighbours, self._upkeep)
        alike = [router for router in routers if router.is_v6 == self._is_v6]
        return self._begin(search, now, alike)

    def add_candidates(self, endpoints: Sequence[Endpoint], now: float) -> list[Command]:
        """Ping nodes that somebody has named, such as a peer's; those that answer may join the table."""
        self._upkeep.named(endpoints, now)
        return self._commands()

    def ping(self, operation: int, endpoint: Endpoint, now: float) -> list[Command]:
        """Ping a node; `LookupOutcome.closest` has its id, if it answers."""
        return self._ask_one(operation, endpoint, krpc.Ping(), now)

    def find_node(self, operation: int, target: bytes, now: float) -> list[Command]:
        """Find the nodes nearest to `target` (20 bytes)."""
        return self._begin(Search(operation, target, self._neighbours), now)

    def get_peers(
        self, operation: int, info_hash: bytes, now: float, *, is_scrape: bool = False
    ) -> list[Command]:
        """Find peers that share `info_hash` (`PeersFound`), and estimate how many if `is_scrape` (BEP 33)."""
        search = PeerSearch(operation, info_hash, self._neighbours, is_scrape=is_scrape)
        return self._begin(search, now)

    def announce(
        self,
        operation: int,
        info_hash: bytes,
        port: int,
        now: float,
        *,
        is_port_implied: bool = False,
        is_seed: bool = False,
    ) -> list[Command]:
        """Find peers, then tell the nearest nodes that we share `info_hash` on `port`.

        Args:
            port: where we accept peers, 1-65535.
            is_port_implied: nodes are to take the port that our datagrams come from instead (BEP 5).
        """
        search = AnnounceSearch(
            operation,
            info_hash,
            port,
            self._neighbours,
            is_port_implied=is_port_implied,
            is_seed=is_seed,
        )
        return self._begin(search, now)

    def get(self, operation: int, target: bytes, now: float, *, salt: bytes = b"") -> list[Command]:
        """Find an item (BEP 44), which comes as `ItemFound`.

        Args:
            target: 20 bytes (`ImmutableItem.target`, `mutable_target`).
            salt: of a mutable item, at most 64 bytes; its target depends on it.
        """
        return self._begin(ItemSearch(operation, target, self._neighbours, salt=salt), now)

    def put(self, operation: int, item: Item, now: float, *, cas: int | None = None) -> list[Command]:
        """Have the nearest nodes store `item` (BEP 44), where they have none or version `cas` (None: any)."""
        return self._begin(PutSearch(operation, item, self._neighbours, cas=cas), now)

    def sample(self, operation: int, endpoint_or_target: Endpoint | bytes, now: float) -> list[Command]:
        """Ask one node, or all on the way to a target, for samples of their info-hashes (BEP 51)."""
        if isinstance(endpoint_or_target, Endpoint):
            body = krpc.SampleInfohashes(self._neighbours.rng.randbytes(20))
            return self._ask_one(operation, endpoint_or_target, body, now)
        return self._begin(SampleSearch(operation, endpoint_or_target, self._neighbours), now)

    def cancel(self, operation: int) -> list[Command]:
        """Stop this operation, of which nothing more is heard; nothing happens if there is none."""
        search = self._operations.pop(operation, None)
        if search is not None:
            search.cancel()
        return self._commands()

    # State

    def contacts(self) -> list[Contact]:
        """The nodes worth saving: those that have answered, and not failed to since."""
        return [node.contact for node in self._table if not node.failure_count]

    def stats(self) -> DhtStats:
        """The node's state as of the last call that had a `now`."""
        good, questionable = self._table.counts(self._now)
        return DhtStats(
            good_nodes=good,
            questionable_nodes=questionable,
            stored_peers=self._answers.peers.peer_count,
            stored_torrents=self._answers.peers.torrent_count,
            stored_items=len(self._answers.items),
            queries_out=self._queries.sent_count,
            queries_in=self._query_count,
            answers_in=self._answers_in_count,
            answers_out=self._answer_count,
            refused=dict(self._refused),
        )

    # Inside

    def _begin(self, search: Search, now: float, routers: Sequence[Endpoint] = ()) -> list[Command]:
        assert search.operation is not None and search.operation not in self._operations
        self._operations[search.operation] = search
        search.begin(now, routers)
        return self._commands()

    def _ask_one(self, operation: int, endpoint: Endpoint, body: krpc.Body, now: float) -> list[Command]:
        single = Single(operation, self._neighbours)
        self._operations[operation] = single
        single.begin(endpoint, body, now)
        return self._commands()

    def _commands(self) -> list[Command]:
        """All commands of the desks since the last call; operations that have ended are forgotten."""
        commands = self._outbox[:]
        self._outbox.clear()
        for over in [number for number, search in self._operations.items() if search.is_over]:
            del self._operations[over]
        return commands

    def _drop(self, reason: str) -> list[Command]:
        self._refused[reason] += 1
        return []

    def _reply(self, payload: bytes, source: Endpoint, now: float) -> list[Command]:
        if not self._all_answers.allow(now, len(payload)):
            return self._drop("too many in all")
        self._answer_count += 1
        return [SendDatagram(source, payload)]

    def _asked(self, query: Query, packed: bytes, source: Endpoint, size: int, now: float) -> list[Command]:
        self._query_count += 1
        commands = self._reply(self._answers.answer(query, packed, source.port, size, now), source, now)
        # BEP 43: read-only nodes do not belong in a table.
        if not query.is_read_only:
            self._upkeep.came(query.node_id, source, now)
            if self._outbox:
                commands += self._commands()
        return commands

    def _answered(self, response: Response, packed: bytes, source: Endpoint, now: float) -> None:
        asked = self._queries.take(response.transaction, source, now)
        if asked is None:
            return
        self._answers_in_count += 1
        self._proven.add(packed)
        if asked.node_id and asked.node_id != response.node_id:
            # It is not the node that we were told of: whoever is wrong, it cannot be relied on.
            self._refused["answer under another id"] += 1
            self._table.failed(source)
            asked.asker.failed(asked, None, now)
            return
        self._table.answered(response.node_id, source, now)
        if response.address:
            self._vote(packed, source, response.address, now)
        asked.asker.answered(asked, response, now)

    def _failed(self, failure: Failure, packed: bytes, source: Endpoint, now: float) -> None:
        asked = self._queries.take(failure.transaction, source, now)
        if asked is not None:
            self._proven.add(packed)
            asked.asker.failed(asked, failure, now)

    def _vote(self, packed: bytes, source: Endpoint, address: bytes, now: float) -> None:
        voter = owner_of(packed, source.port)
        own_id = self._identity.own_id
        if (len(address) == 18) == self._is_v6 and self._identity.vote(voter, address[:-2]):
            if own_id != self._identity.own_id:
                self._table.renamed(self._identity.own_id)
                self._upkeep.hurry(now)
            assert self._identity.external_host is not None
            self._outbox.append(IdentityChanged(self._identity.own_id, self._identity.external_host))


def _compact(packed: bytes, endpoint: Endpoint) -> bytes:
    return packed + endpoint.port.to_bytes(2, "big")
