"""A few nodes in memory: every datagram arrives, in order, in no time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from swarm.base.endpoint import Endpoint
from swarm.base.ids import NodeId
from swarm.dht.commands import Command, OperationEnded, PeersFound, SendDatagram
from swarm.dht.identity import id_for, packed_address
from swarm.dht.node import DhtNode
from swarm.dht.settings import DhtSettings

#: Answers enough for whole networks that bootstrap in the same instant.
SETTINGS = DhtSettings(answer_bytes_per_s=None, source_queries_per_s=1e6, source_queries_burst=1_000_000)


class Network:
    """Nodes by their endpoint, and what they found."""

    def __init__(self, seed: int = 1) -> None:
        self.now = 1000.0
        self.rng = random.Random(seed)
        self.nodes: dict[Endpoint, DhtNode] = {}
        #: What each node said besides datagrams.
        self.said: dict[Endpoint, list[Command]] = {}
        self._under_way: deque[tuple[Endpoint, SendDatagram]] = deque()
        self.datagrams: list[tuple[Endpoint, Endpoint, bytes]] = []

    def add(self, host: str, port: int = 6881, **changes: Any) -> Endpoint:
        """A node at home at `host`, with an id that fits."""
        endpoint = Endpoint(host, port)
        own_id = id_for(packed_address(host), self.rng)
        self.nodes[endpoint] = DhtNode(
            own_id,
            is_v6=endpoint.is_v6,
            settings=replace(SETTINGS, **changes),
            rng=random.Random(self.rng.random()),
            now=self.now,
        )
        self.said[endpoint] = []
        return endpoint

    def do(self, endpoint: Endpoint, commands: Sequence[Command]) -> None:
        """Carry out what the node there wants done, and all that follows."""
        self._take(endpoint, commands)
        while self._under_way:
            source, command = self._under_way.popleft()
            self.datagrams.append((source, command.endpoint, command.payload))
            node = self.nodes.get(command.endpoint)
            if node is not None:
                self._take(command.endpoint, node.received(command.payload, source, self.now))

    def pass_time(self, span_s: float) -> None:
        """Let `span_s` go by, with every wake-up in it."""
        until = self.now + span_s
        while True:
            due = [(node.next_wakeup(), endpoint) for endpoint, node in self.nodes.items()]
            at, endpoint = min((at, endpoint) for at, endpoint in due if at is not None)
            if at > until:
                break
            self.now = max(self.now, at)
            self.do(endpoint, self.nodes[endpoint].woken(self.now))
        self.now = until

    def ended(self, endpoint: Endpoint, operation: int) -> OperationEnded:
        """How an operation of the node there went."""
        (found,) = [
            said
            for said in self.said[endpoint]
            if isinstance(said, OperationEnded) and said.operation == operation
        ]
        return found

    def _take(self, endpoint: Endpoint, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, SendDatagram):
                self._under_way.append((endpoint, command))
            else:
                self.said[endpoint].append(command)


def network_of(count: int, seed: int = 1, **changes: Any) -> tuple[Network, list[Endpoint]]:
    """`count` nodes that know each other by way of the first."""
    network = Network(seed)
    endpoints = [network.add(f"5.{n % 200}.{n // 200}.7", **changes) for n in range(1, count + 1)]
    for endpoint in endpoints[1:]:
        network.do(endpoint, network.nodes[endpoint].bootstrap(0, endpoints[:1], network.now))
    return network, endpoints


def random_id(rng: random.Random) -> NodeId:
    return NodeId(rng.randbytes(20))


def peers_found(network: Network, endpoint: Endpoint) -> set[Endpoint]:
    """All peers that operations of the node there have found."""
    return {
        peer for said in network.said[endpoint] if isinstance(said, PeersFound) for peer in said.endpoints
    }
