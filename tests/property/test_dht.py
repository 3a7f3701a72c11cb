"""A node among strangers who send anything, and a small network in which anything happens in any order."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from swarm.base.endpoint import Endpoint
from swarm.base.ids import NodeId
from swarm.dht.commands import MutableItem, OperationEnded, SendDatagram
from swarm.dht.node import DhtNode
from swarm.dht.settings import DhtSettings
from swarm.wire import krpc
from tests.property.test_krpc import queries, responses
from tests.unit.dht.network import network_of

hosts = st.builds("{}.{}.1.1".format, st.integers(1, 223), st.integers(0, 5))
sources = st.builds(Endpoint, hosts, st.integers(1, 5))
datagrams = st.one_of(
    st.binary(max_size=200),
    queries.map(krpc.encode_query),
    responses.map(krpc.encode_response),
)
changes = st.tuples(st.integers(0, 10_000), st.binary(max_size=2), st.integers(0, 2))
SMALL = DhtSettings(
    peers_max=20, torrents_max=8, items_max=5, sources_max=10, peers_per_torrent_max=6, closest_count=3
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(datagrams, sources, st.none() | changes), max_size=40))
def test_whatever_strangers_send_is_answered_briefly_or_dropped(
    events: list[tuple[bytes, Endpoint, tuple[int, bytes, int] | None]],
) -> None:
    node = DhtNode(NodeId(bytes(20)), is_v6=False, settings=SMALL, rng=random.Random(1), now=0.0)
    for turn, (datagram, source, change) in enumerate(events):
        if change is not None:
            at, inserted, cut = change
            at %= len(datagram) + 1
            datagram = datagram[:at] + inserted + datagram[at + cut :]
        commands = node.received(datagram, source, float(turn))
        # An answer and, to a newcomer, a ping: never more, never to anybody else.
        assert len(commands) <= 2
        assert all(isinstance(c, SendDatagram) and c.endpoint == source for c in commands)
        stats = node.stats()
        assert stats.stored_peers <= 20 and stats.stored_torrents <= 8 and stats.stored_items <= 5
        assert stats.good_nodes == 0


class SmallNetwork(RuleBasedStateMachine):
    """Twelve nodes; they announce, look up, put, die, sleep, and are lied to."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.nodes = network_of(12)
        self.begun: list[tuple[Endpoint, int]] = []
        self.operation = 100

    def _alive(self, choice: int) -> Endpoint:
        alive = [endpoint for endpoint in self.nodes if endpoint in self.network.nodes]
        return alive[choice % len(alive)]

    @rule(choice=st.integers(0, 11), kind=st.integers(0, 4), place=st.integers(0, 5))
    def something_is_asked(self, choice: int, kind: int, place: int) -> None:
        endpoint, goal = self._alive(choice), bytes((place * 40,)) * 20
        node, now = self.network.nodes[endpoint], self.network.now
        self.operation += 1
        if kind == 0:
            commands = node.announce(self.operation, goal, 7000, now, is_seed=bool(place % 2))
        elif kind == 1:
            commands = node.get_peers(self.operation, goal, now, is_scrape=bool(place % 2))
        elif kind == 2:
            item = MutableItem.signed(b"s" * 32, b"i1e", place)
            commands = node.put(self.operation, item, now, cas=place if place % 2 else None)
        elif kind == 3:
            commands = node.sample(self.operation, goal, now)
        else:
            commands = node.get(self.operation, MutableItem.signed(b"s" * 32, b"i1e", 1).target, now)
        self.begun.append((endpoint, self.operation))
        self.network.do(endpoint, commands)

    @precondition(lambda self: len(self.network.nodes) > 4)
    @rule(choice=st.integers(0, 11))
    def one_dies(self, choice: int) -> None:
        del self.network.nodes[self._alive(choice)]

    @rule(span_s=st.sampled_from([0.1, 1.0, 30.0, 400.0]))
    def time_passes(self, span_s: float) -> None:
        self.network.pass_time(span_s)

    @rule(choice=st.integers(0, 11), datagram=datagrams, source=sources)
    def a_stranger_speaks(self, choice: int, datagram: bytes, source: Endpoint) -> None:
        endpoint = self._alive(choice)
        node = self.network.nodes[endpoint]
        self.network.do(endpoint, node.received(datagram, source, self.network.now))

    @invariant()
    def only_real_nodes_are_in_tables(self) -> None:
        for node in self.network.nodes.values():
            assert all(contact.endpoint in self.nodes for contact in node.contacts())

    def teardown(self) -> None:
        # Whatever happened: every operation of a node that lives ends, once.
        self.network.pass_time(120.0)
        for endpoint, operation in self.begun:
            if endpoint in self.network.nodes:
                ended = [
                    said
                    for said in self.network.said[endpoint]
                    if isinstance(said, OperationEnded) and said.operation == operation
                ]
                assert len(ended) == 1


TestSmallNetwork = SmallNetwork.TestCase
TestSmallNetwork.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
