"""Lookups with a purpose: what is asked on the way to a target and done at its end, a class for each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint, decode_compact_v4, decode_compact_v6
from swarm.dht import scrape
from swarm.dht.commands import (
    Command,
    ItemFound,
    LookupOutcome,
    OperationEnded,
    PeersFound,
    SamplesFound,
)
from swarm.dht.identity import is_local, is_usable, packed_address
from swarm.dht.items import ImmutableItem, Item, MutableItem
from swarm.dht.lookup import Candidate, Lookup
from swarm.dht.queries import Asked, Queries
from swarm.dht.settings import DhtSettings
from swarm.dht.table import RoutingTable
from swarm.wire import krpc
from swarm.wire.krpc import Body, Contact, Failure, Response, decode_contacts

#: Errors that an outcome reports.
_ERRORS_MAX = 8


@dataclass(slots=True)
class Neighbours:
    """The desks that every search works with."""

    queries: Queries
    table: RoutingTable
    settings: DhtSettings
    rng: random.Random
    outbox: list[Command]
    is_v6: bool


class Search:
    """Looks up the nodes nearest to a target by `find_node`. Subclasses ask other questions on the way, and
    do something at its end.

    Args:
        operation: the host's number; None for our own upkeep, of which the host does not hear.
        target: 20 bytes.
    """

    def __init__(self, operation: int | None, target: bytes, neighbours: Neighbours) -> None:
        self.operation = operation
        self.target = target
        self.is_over = False
        self._has_arrived = False
        self._at = neighbours
        self._lookup = Lookup(target, neighbours.table.own_id, neighbours.settings)
        self._outcome = LookupOutcome()

    def begin(self, now: float, routers: Sequence[Endpoint] = ()) -> None:
        """Start from the nearest nodes of our table, and from `routers`."""
        self._at.table.asked_for(self.target, now)
        nodes = self._at.table.closest(self.target, 2 * self._at.settings.closest_count)
        self._lookup.offer(Contact(b"", router) for router in routers)
        self._lookup.offer(node.contact for node in nodes)
        self._go_on(now)

    def cancel(self) -> None:
        """Ask nobody any more; answers that still come serve only the table."""
        self.is_over = True

    # For subclasses to override.

    def body(self) -> Body:
        """The question that is asked on the way."""
        return krpc.FindNode(self.target)

    def heard(self, candidate: Candidate, response: Response, now: float) -> None:
        """A node has answered; the nodes that it names have been taken up already."""

    def arrived(self, now: float) -> None:
        """The lookup is over: the nearest nodes have been asked."""
        self.end()

    # Asker

    def answered(self, asked: Asked, response: Response, now: float) -> None:
        candidate = asked.tag
        if self.is_over or not isinstance(candidate, Candidate):
            return
        self._lookup.answered(candidate, response.node_id)
        candidate.token = response.token
        self._lookup.offer(self._contacts(response, candidate), candidate)
        self.heard(candidate, response, now)
        self._go_on(now)

    def slowed(self, asked: Asked, now: float) -> None:
        candidate = asked.tag
        if not self.is_over and isinstance(candidate, Candidate):
            self._lookup.slowed(candidate)
            self._go_on(now)

    def failed(self, asked: Asked, failure: Failure | None, now: float) -> None:
        candidate = asked.tag
        if not self.is_over and isinstance(candidate, Candidate):
            self.note(failure)
            self._lookup.failed(candidate)
            self._go_on(now)

    def end(self) -> None:
        """End the operation, and tell the host how it went."""
        self.is_over = True
        if self.operation is None:
            return
        closest = self._lookup.closest()
        outcome = self._outcome
        outcome.hops = closest[0].hops if closest else 0
        outcome.queries += self._lookup.query_count
        outcome.answers = self._lookup.answer_count
        outcome.closest = [candidate.contact for candidate in closest]
        self._at.outbox.append(OperationEnded(self.operation, outcome))

    def _go_on(self, now: float) -> None:
        if self.is_over or self._has_arrived:
            # A late answer: we are writing already, or done.
            return
        while (candidate := self._lookup.next()) is not None:
            self._at.queries.ask(
                candidate.endpoint, self.body(), self, now, node_id=candidate.node_id, tag=candidate
            )
        if self._lookup.is_over:
            self._has_arrived = True
            self.arrived(now)

    def note(self, failure: Failure | None) -> None:
        """Remember an error for the outcome."""
        if failure is not None and len(self._outcome.errors) < _ERRORS_MAX:
            self._outcome.errors.append((failure.code, failure.text))

    def _contacts(self, response: Response, candidate: Candidate) -> list[Contact]:
        """The nodes that an answer names, without those that the node answering cannot know of.

        At most 2 K are read: honest nodes name K.
        """
        raw = response.nodes6 if self._at.is_v6 else response.nodes
        size = krpc.CONTACT_V6_BYTES if self._at.is_v6 else krpc.CONTACT_V4_BYTES
        contacts = decode_contacts(raw[: 2 * self._at.settings.closest_count * size], is_v6=self._at.is_v6)
        return [contact for contact in contacts if _is_believable(contact.endpoint, candidate.endpoint)]


def _is_believable(endpoint: Endpoint, source: Endpoint) -> bool:
    """May `source` know of a node or peer at `endpoint`?

    Only nodes of our local network know addresses there; others could make us attack it.
    """
    packed = packed_address(endpoint.host)
    if not is_usable(packed):
        return False
    return not is_local(packed) or is_local(packed_address(source.host))


class Hurrying(Protocol):
    """What Bootstrap needs of `Upkeep`, which is built on this module."""

    def hurry(self, now: float) -> None: ...


class Bootstrap(Search):
    """Looks up our own id, which makes us and our neighbours known to each other; then upkeep goes on."""

    def __init__(self, operation: int, own_id: bytes, neighbours: Neighbours, upkeep: Hurrying) -> None:
        super().__init__(operation, own_id, neighbours)
        self._upkeep = upkeep

    def arrived(self, now: float) -> None:
        self._upkeep.hurry(now)
        super().arrived(now)


class PeerSearch(Search):
    """Finds peers (BEP 5 get_peers), and estimates their number if asked to (BEP 33)."""

    def __init__(
        self, operation: int, info_hash: bytes, neighbours: Neighbours, *, is_scrape: bool = False
    ) -> None:
        super().__init__(operation, info_hash, neighbours)
        self._is_scrape = is_scrape
        self._found: set[bytes] = set()
        self._seeds = b""
        self._leechers = b""

    def body(self) -> Body:
        return krpc.GetPeers(self.target, is_scrape=self._is_scrape)

    def heard(self, candidate: Candidate, response: Response, now: float) -> None:
        self._seeds = scrape.union(self._seeds, response.seeds_filter)
        self._leechers = scrape.union(self._leechers, response.peers_filter)
        if not response.values:
            return
        room = self._at.settings.found_peers_max - len(self._found)
        size = 18 if self._at.is_v6 else 6
        fresh = [value for value in response.values if len(value) == size and value not in self._found][
            : max(room, 0)
        ]
        self._found.update(fresh)
        decoded = (decode_compact_v6 if self._at.is_v6 else decode_compact_v4)(b"".join(fresh))
        endpoints = [peer for peer in decoded if _is_believable(peer, candidate.endpoint)]
        if endpoints and self.operation is not None:
            self._at.outbox.append(PeersFound(self.operation, list(dict.fromkeys(endpoints))))

    def end(self) -> None:
        if self._is_scrape:
            # Nodes that do not know BEP 33 name peers too; of these, all but the known seeds are leechers.
            others = (value[:-2] for value in self._found if not scrape.is_in(value[:-2], self._seeds))
            self._leechers = scrape.union(self._leechers, scrape.filter_of(others))
            self._outcome.seeds = round(scrape.estimate(self._seeds))
            self._outcome.leechers = round(scrape.estimate(self._leechers))
        super().end()


class AnnounceSearch(PeerSearch):
    """Finds peers, then announces us to the nearest nodes (BEP 5 announce_peer)."""

    def __init__(
        self,
        operation: int,
        info_hash: bytes,
        port: int,
        neighbours: Neighbours,
        *,
        is_port_implied: bool,
        is_seed: bool,
    ) -> None:
        super().__init__(operation, info_hash, neighbours)
        self._port = port
        self._is_port_implied = is_port_implied
        self._is_seed = is_seed

    def arrived(self, now: float) -> None:
        bodies: list[tuple[Candidate, Body]] = []
        for candidate in self._lookup.writable():
            assert candidate.token is not None
            announce = krpc.AnnouncePeer(
                self.target, self._port, candidate.token, self._is_port_implied, self._is_seed
            )
            bodies.append((candidate, announce))
        Writing(self, self._at, self._outcome).begin(bodies, now)


class Writing:
    """The last step of an announce or a put: write to the nearest nodes, await answers, end the search."""

    def __init__(self, search: Search, neighbours: Neighbours, outcome: LookupOutcome) -> None:
        self._search = search
        self._at = neighbours
        self._outcome = outcome
        self._waiting_count = 0

    def begin(self, bodies: Sequence[tuple[Candidate, Body]], now: float) -> None:
        for candidate, body in bodies:
            self._at.queries.ask(candidate.endpoint, body, self, now, node_id=candidate.node_id)
        self._waiting_count = len(bodies)
        self._outcome.queries += len(bodies)
        if not bodies:
            self._search.end()

    def answered(self, asked: Asked, response: Response, now: float) -> None:
        self._outcome.announced_count += 1
        self._done()

    def slowed(self, asked: Asked, now: float) -> None:
        pass

    def failed(self, asked: Asked, failure: Failure | None, now: float) -> None:
        if failure is not None:
            self._search.note(failure)
        self._done()

    def _done(self) -> None:
        self._waiting_count -= 1
        if not self._waiting_count and not self._search.is_over:
            self._search.end()


class ItemSearch(Search):
    """Finds an item (BEP 44 get).

    An immutable one is found with the first right answer. Of a mutable one the newest version is wanted, so
    all of the nearest nodes are asked.
    """

    def __init__(self, operation: int, target: bytes, neighbours: Neighbours, *, salt: bytes) -> None:
        super().__init__(operation, target, neighbours)
        self._salt = salt
        #: The newest version of a mutable item so far: only newer ones are asked for.
        self._seq: int | None = None

    def body(self) -> Body:
        return krpc.Get(self.target, seq=self._seq)

    def heard(self, candidate: Candidate, response: Response, now: float) -> None:
        candidate.seq = response.seq
        item = self._item(response)
        if item is None or self.operation is None:
            return
        if isinstance(item, MutableItem):
            self._seq = item.seq
        self._at.outbox.append(ItemFound(self.operation, item))
        if isinstance(item, ImmutableItem):
            self.end()

    def _item(self, response: Response) -> Item | None:
        """The item in an answer, if it is the one we look for, is authentic, and newer than what we have."""
        if response.value is None:
            return None
        if not response.public_key:
            immutable = ImmutableItem(response.value)
            return immutable if immutable.target == self.target else None
        if response.seq is None or (self._seq is not None and response.seq <= self._seq):
            return None
        item = MutableItem(response.public_key, response.value, response.seq, response.signature, self._salt)
        return item if item.target == self.target and item.is_authentic else None


class PutSearch(Search):
    """Finds the nearest nodes, then has them store an item (BEP 44 put)."""

    def __init__(self, operation: int, item: Item, neighbours: Neighbours, *, cas: int | None) -> None:
        super().__init__(operation, item.target, neighbours)
        self._item = item
        self._cas = cas

    def body(self) -> Body:
        # The nodes need not send us versions up to ours, only their numbers.
        return krpc.Get(self.target, seq=self._item.seq if isinstance(self._item, MutableItem) else None)

    def heard(self, candidate: Candidate, response: Response, now: float) -> None:
        candidate.seq = response.seq

    def arrived(self, now: float) -> None:
        bodies = [(candidate, self._put(candidate)) for candidate in self._lookup.writable()]
        Writing(self, self._at, self._outcome).begin(bodies, now)

    def _put(self, candidate: Candidate) -> Body:
        assert candidate.token is not None
        item = self._item
        if isinstance(item, ImmutableItem):
            return krpc.Put(candidate.token, item.value)
        # BEP 44: to a node that returned no data, cas "SHOULD NOT be included".
        cas = self._cas if candidate.seq is not None else None
        return krpc.Put(
            candidate.token, item.value, item.public_key, item.salt, item.seq, item.signature, cas
        )


class SampleSearch(Search):
    """Asks every node on the way for a sample of its info-hashes (BEP 51)."""

    def body(self) -> Body:
        return krpc.SampleInfohashes(self.target)

    def heard(self, candidate: Candidate, response: Response, now: float) -> None:
        if response.samples is not None and self.operation is not None:
            self._at.outbox.append(_samples(self.operation, candidate.contact, response, response.samples))


def _samples(operation: int, source: Contact, response: Response, samples: bytes) -> SamplesFound:
    hashes = [samples[at : at + 20] for at in range(0, len(samples), 20)]
    return SamplesFound(operation, source, hashes, response.total, response.interval_s)


class Single:
    """One query to one node, without a lookup: a ping, or the sample of one node."""

    def __init__(self, operation: int, neighbours: Neighbours) -> None:
        self.operation = operation
        self.is_over = False
        self._at = neighbours

    def begin(self, endpoint: Endpoint, body: Body, now: float) -> None:
        self._at.queries.ask(endpoint, body, self, now)

    def cancel(self) -> None:
        self.is_over = True

    def answered(self, asked: Asked, response: Response, now: float) -> None:
        if self.is_over:
            return
        self.is_over = True
        source = Contact(response.node_id, asked.endpoint)
        if response.samples is not None:
            self._at.outbox.append(_samples(self.operation, source, response, response.samples))
        outcome = LookupOutcome(hops=1, queries=1, answers=1, closest=[source])
        self._at.outbox.append(OperationEnded(self.operation, outcome))

    def slowed(self, asked: Asked, now: float) -> None:
        pass

    def failed(self, asked: Asked, failure: Failure | None, now: float) -> None:
        if self.is_over:
            return
        self.is_over = True
        errors = [] if failure is None else [(failure.code, failure.text)]
        self._at.outbox.append(OperationEnded(self.operation, LookupOutcome(queries=1, errors=errors)))
