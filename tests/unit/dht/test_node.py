"""Whole nodes that speak with each other in memory."""

from __future__ import annotations

from swarm.base.endpoint import Endpoint
from swarm.dht.commands import PeersFound
from tests.unit.dht.network import Network, network_of, random_id


def test_two_nodes_ping_find_each_other_and_share_a_peer() -> None:
    network = Network()
    one, two = network.add("5.1.1.1"), network.add("6.2.2.2")
    network.do(one, network.nodes[one].ping(1, two, network.now))
    assert network.ended(one, 1).outcome.closest == [(network.nodes[two].own_id, two)]

    info_hash = random_id(network.rng)
    network.do(one, network.nodes[one].announce(2, info_hash, 7000, network.now))
    assert network.ended(one, 2).outcome.announced_count == 1
    network.do(two, network.nodes[two].bootstrap(1, [one], network.now))
    assert network.ended(two, 1).outcome.answers == 1

    network.do(one, network.nodes[one].get_peers(3, info_hash, network.now))
    found = [said for said in network.said[one] if isinstance(said, PeersFound)]
    assert [list(said.endpoints) for said in found] == [[Endpoint("5.1.1.1", 7000)]]


def test_network_of_fifty_finds_what_another_announced() -> None:
    network, nodes = network_of(50)
    info_hash = random_id(network.rng)
    network.do(nodes[7], network.nodes[nodes[7]].announce(1, info_hash, 7000, network.now))
    assert network.ended(nodes[7], 1).outcome.announced_count == 8
    network.do(nodes[33], network.nodes[nodes[33]].get_peers(1, info_hash, network.now))
    found = {
        peer for said in network.said[nodes[33]] if isinstance(said, PeersFound) for peer in said.endpoints
    }
    assert found == {Endpoint(nodes[7].host, 7000)}
    nearest = sorted(
        (int.from_bytes(node.own_id, "big") ^ int.from_bytes(info_hash, "big"), endpoint)
        for endpoint, node in network.nodes.items()
        if endpoint != nodes[33]
    )
    closest = network.ended(nodes[33], 1).outcome.closest
    assert [contact.endpoint for contact in closest] == [endpoint for _, endpoint in nearest[:8]]
