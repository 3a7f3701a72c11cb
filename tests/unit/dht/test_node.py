"""Whole nodes that speak with each other in memory."""

from __future__ import annotations

import random
from typing import Any

from swarm.base.endpoint import Endpoint
from swarm.base.ids import NodeId
from swarm.dht.commands import (
    Command,
    IdentityChanged,
    ImmutableItem,
    ItemFound,
    MutableItem,
    OperationEnded,
    PeersFound,
    SamplesFound,
    SendDatagram,
)
from swarm.dht.identity import fits, id_for, packed_address
from swarm.dht.node import DhtNode
from swarm.dht.settings import DhtSettings
from swarm.wire import krpc
from tests.unit.dht.network import SETTINGS, Network, network_of, peers_found, random_id

SEED = b"\x07" * 32


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


def test_item_put_by_one_is_got_by_another_and_only_the_newest() -> None:
    network, nodes = network_of(30)
    for seq in (1, 2):
        item = MutableItem.signed(SEED, b"i%de" % seq, seq, b"salt")
        network.do(nodes[3], network.nodes[nodes[3]].put(seq, item, network.now))
        assert network.ended(nodes[3], seq).outcome.announced_count == 8
    network.do(nodes[20], network.nodes[nodes[20]].get(1, item.target, network.now, salt=b"salt"))
    assert [said.item for said in network.said[nodes[20]] if isinstance(said, ItemFound)] == [item]
    stale = network.nodes[nodes[21]].put(1, MutableItem.signed(SEED, b"i0e", 0, b"salt"), network.now)
    network.do(nodes[21], stale)
    outcome = network.ended(nodes[21], 1).outcome
    # One of its nearest may be none of the other's: it does not ask itself.
    assert outcome.announced_count <= 1 and {code for code, _ in outcome.errors} == {302}


def test_immutable_item_ends_the_search_when_it_is_found() -> None:
    network, nodes = network_of(30)
    item = ImmutableItem(b"5:hello")
    network.do(nodes[3], network.nodes[nodes[3]].put(1, item, network.now))
    network.do(nodes[20], network.nodes[nodes[20]].get(1, item.target, network.now))
    assert [said.item for said in network.said[nodes[20]] if isinstance(said, ItemFound)] == [item]
    assert network.ended(nodes[20], 1).outcome.queries <= 8


def test_scrape_estimates_seeds_and_leechers_of_a_swarm() -> None:
    network, nodes = network_of(40)
    info_hash = random_id(network.rng)
    for number, endpoint in enumerate(nodes[:20]):
        announce = network.nodes[endpoint].announce(1, info_hash, 7000, network.now, is_seed=number < 5)
        network.do(endpoint, announce)
    network.do(nodes[30], network.nodes[nodes[30]].get_peers(1, info_hash, network.now, is_scrape=True))
    outcome = network.ended(nodes[30], 1).outcome
    assert (outcome.seeds, outcome.leechers) == (5, 15)


def test_samples_come_from_one_node_or_from_many() -> None:
    network, nodes = network_of(30)
    info_hash = random_id(network.rng)
    network.do(nodes[3], network.nodes[nodes[3]].announce(1, info_hash, 7000, network.now))
    network.do(nodes[5], network.nodes[nodes[5]].sample(1, info_hash, network.now))
    network.do(nodes[5], network.nodes[nodes[5]].sample(2, nodes[9], network.now))
    samples = [said for said in network.said[nodes[5]] if isinstance(said, SamplesFound)]
    assert sum(info_hash in said.info_hashes for said in samples if said.operation == 1) >= 7
    assert [said.source.endpoint for said in samples if said.operation == 2] == [nodes[9]]
    assert network.ended(nodes[5], 2).outcome.answers == 1


def test_ping_of_nobody_ends_without_answers() -> None:
    network = Network()
    one = network.add("5.1.1.1")
    network.do(one, network.nodes[one].ping(1, Endpoint("6.6.6.6", 1), network.now))
    network.pass_time(5.0)
    assert network.ended(one, 1).outcome.answers == 0


def test_lookup_with_an_empty_table_ends_at_once() -> None:
    network = Network()
    one = network.add("5.1.1.1")
    network.do(one, network.nodes[one].announce(1, random_id(network.rng), 1, network.now))
    outcome = network.ended(one, 1).outcome
    assert (outcome.queries, outcome.answers, outcome.announced_count) == (0, 0, 0)


def test_cancelled_operation_is_heard_of_no_more() -> None:
    network, nodes = network_of(20)
    node = network.nodes[nodes[3]]
    commands = node.get_peers(1, random_id(network.rng), network.now)
    node.cancel(1)
    node.cancel(99)
    network.do(nodes[3], commands)
    network.pass_time(10.0)
    assert not [s for s in network.said[nodes[3]] if isinstance(s, OperationEnded) and s.operation == 1]


def test_announce_goes_on_when_nodes_are_dead() -> None:
    network, nodes = network_of(40)
    info_hash = random_id(network.rng)
    for endpoint in nodes[10:22]:
        del network.nodes[endpoint]
    network.do(nodes[3], network.nodes[nodes[3]].announce(1, info_hash, 7000, network.now))
    network.pass_time(20.0)
    assert network.ended(nodes[3], 1).outcome.announced_count == 8
    assert network.ended(nodes[3], 1).outcome.queries > network.ended(nodes[3], 1).outcome.answers


def test_late_answer_does_not_write_twice() -> None:
    network, nodes = network_of(12)
    node = network.nodes[nodes[3]]
    commands = node.announce(1, random_id(network.rng), 7000, network.now)
    held = [command for command in commands if isinstance(command, SendDatagram)]
    # One answer is held back until the others have made the lookup end.
    late = held.pop(0)
    network.do(nodes[3], held)
    network.pass_time(1.5)
    announces = [d for d in network.datagrams if b"13:announce_peer" in d[2]]
    network.do(nodes[3], [late])
    assert [d for d in network.datagrams if b"13:announce_peer" in d[2]] == announces


def test_answers_under_another_id_from_elsewhere_or_twice_are_not_believed() -> None:
    network = Network()
    one = network.add("5.1.1.1")
    node = network.nodes[one]
    there = Endpoint("6.2.2.2", 6881)
    (ping,) = node.add_candidates([there], network.now)
    assert isinstance(ping, SendDatagram)
    query = krpc.decode(ping.payload)
    answer = krpc.encode_response(krpc.Response(query.transaction, id_for(bytes((6, 2, 2, 2)), network.rng)))
    assert node.received(answer, Endpoint("6.2.2.3", 6881), network.now) == []
    assert node.contacts() == []
    node.received(answer, there, network.now)
    assert [contact.endpoint for contact in node.contacts()] == [there]
    node.received(answer, there, network.now)
    assert node.stats().refused == {"answer from another address": 1, "answer to nothing": 1}

    (asked, *_) = node.find_node(1, bytes(20), network.now)
    assert isinstance(asked, SendDatagram)
    query = krpc.decode(asked.payload)
    node.received(krpc.encode_response(krpc.Response(query.transaction, b"x" * 20)), there, network.now)
    assert node.stats().refused["answer under another id"] == 1
    assert node.contacts() == []


def named_by_a_stranger(asker: str, stranger: str, **names: Any) -> list[Command]:
    """What comes of looking for peers where the only node that is known names these."""
    network = Network()
    one, two = network.add(asker), network.add(stranger)
    node = network.nodes[one]
    network.do(one, node.ping(1, two, network.now))
    (asked, *_) = node.get_peers(2, bytes(20), network.now)
    assert isinstance(asked, SendDatagram)
    query = krpc.decode(asked.payload)
    response = krpc.Response(query.transaction, network.nodes[two].own_id, **names)
    return node.received(krpc.encode_response(response), two, network.now)


def test_strangers_names_for_our_own_network_are_not_followed() -> None:
    local = krpc.encode_contact(krpc.Contact(b"z" * 20, Endpoint("192.168.1.1", 80)))
    (ended,) = named_by_a_stranger("5.1.1.1", "6.2.2.2", nodes=local, values=[bytes((127, 0, 0, 1, 0, 80))])
    assert isinstance(ended, OperationEnded)


def test_our_own_network_is_known_in_the_spelling_of_ipv6_too() -> None:
    values = [packed_address(f"::ffff:{host}") + b"\0\x50" for host in ("192.168.1.1", "5.1.1.1")]
    found, ended = named_by_a_stranger("2001:db8:1::1", "2001:db8:2::2", values=values)
    assert isinstance(found, PeersFound) and found.endpoints == [Endpoint("5.1.1.1", 80)]
    assert isinstance(ended, OperationEnded)


def test_node_that_asks_is_asked_before_it_is_believed() -> None:
    network = Network()
    one, two = network.add("5.1.1.1"), network.add("6.2.2.2")
    network.do(two, network.nodes[two].ping(1, one, network.now))
    assert [contact.endpoint for contact in network.nodes[one].contacts()] == [two]
    # A forged source cannot answer, and is not in the table.
    question = krpc.encode_query(krpc.Query(b"tt", b"f" * 20, krpc.Ping()))
    network.do(one, network.nodes[one].received(question, Endpoint("7.7.7.7", 1), network.now))
    assert len(network.nodes[one].contacts()) == 1


def test_forged_questions_make_us_ping_few() -> None:
    network = Network()
    one = network.add("5.1.1.1")
    sent = 0
    for number in range(1000):
        question = krpc.encode_query(krpc.Query(b"tt", random_id(network.rng), krpc.Ping()))
        source = Endpoint(f"9.{number // 250}.{number % 250}.1", 1)
        sent += len(network.nodes[one].received(question, source, network.now)) - 1
    assert sent == DhtSettings().newcomers_burst


def test_read_only_nodes_are_answered_and_not_remembered() -> None:
    network = Network()
    one, two = network.add("5.1.1.1"), network.add("6.2.2.2", is_read_only=True)
    network.do(two, network.nodes[two].bootstrap(1, [one], network.now))
    assert network.ended(two, 1).outcome.answers == 1
    assert network.nodes[one].contacts() == []


def test_read_only_node_answers_nobody() -> None:
    network = Network()
    one, two = network.add("5.1.1.1"), network.add("6.2.2.2", is_read_only=True)
    network.do(one, network.nodes[one].ping(1, two, network.now))
    network.pass_time(5.0)
    assert network.ended(one, 1).outcome.answers == 0


def test_node_learns_its_address_and_takes_an_id_that_fits() -> None:
    network, nodes = network_of(20)
    wrong = Endpoint("55.5.5.5", 6881)
    network.nodes[wrong] = DhtNode(
        NodeId(b"w" * 20), is_v6=False, settings=SETTINGS, rng=random.Random(3), now=network.now
    )
    network.said[wrong] = []
    network.do(wrong, network.nodes[wrong].bootstrap(1, nodes[:1], network.now))
    (changed,) = [said for said in network.said[wrong] if isinstance(said, IdentityChanged)]
    node = network.nodes[wrong]
    assert (changed.own_id, changed.external_host) == (node.own_id, "55.5.5.5")
    assert node.external_host == "55.5.5.5" and fits(node.own_id, bytes((55, 5, 5, 5)))
    network.pass_time(60.0)
    assert len(node.contacts()) >= 15


def test_saved_contacts_make_a_warm_start() -> None:
    network, nodes = network_of(30)
    saved = network.nodes[nodes[5]].contacts()
    later = Endpoint("56.5.5.5", 6881)
    network.nodes[later] = DhtNode(
        id_for(bytes((56, 5, 5, 5)), network.rng),
        is_v6=False,
        settings=SETTINGS,
        rng=random.Random(3),
        now=network.now,
        contacts=[*saved, krpc.Contact(b"6" * 20, Endpoint("2001:db8::1", 1))],
    )
    network.said[later] = []
    network.do(later, network.nodes[later].find_node(1, bytes(20), network.now))
    assert network.ended(later, 1).outcome.answers >= 8


def test_network_of_ipv6_works_alike() -> None:
    network = Network()
    nodes = [network.add(f"2001:db8:{number:x}::1") for number in range(1, 20)]
    for endpoint in nodes[1:]:
        network.do(endpoint, network.nodes[endpoint].bootstrap(0, nodes[:1], network.now))
    info_hash = random_id(network.rng)
    network.do(nodes[3], network.nodes[nodes[3]].announce(1, info_hash, 7000, network.now))
    network.do(nodes[9], network.nodes[nodes[9]].get_peers(1, info_hash, network.now))
    assert peers_found(network, nodes[9]) == {Endpoint(nodes[3].host, 7000)}


def test_nodes_behind_one_loopback_address_all_know_each_other() -> None:
    network = Network()
    nodes = [network.add("127.0.0.1", port) for port in range(7001, 7021)]
    for endpoint in nodes[1:]:
        network.do(endpoint, network.nodes[endpoint].bootstrap(0, nodes[:1], network.now))
    info_hash = random_id(network.rng)
    for endpoint in nodes[:6]:
        network.do(endpoint, network.nodes[endpoint].announce(1, info_hash, endpoint.port, network.now))
    network.do(nodes[9], network.nodes[nodes[9]].get_peers(1, info_hash, network.now))
    assert peers_found(network, nodes[9]) == set(nodes[:6])


def test_silent_hours_keep_the_table_good_and_cost_little() -> None:
    network, nodes = network_of(20)
    network.pass_time(1000.0)
    before = len(network.datagrams)
    network.pass_time(3600.0)
    per_node_and_minute = (len(network.datagrams) - before) / 20 / 60
    assert per_node_and_minute < 20
    stats = network.nodes[nodes[7]].stats()
    assert stats.good_nodes == 19 and stats.questionable_nodes == 0


def test_dead_nodes_leave_the_table_in_time() -> None:
    network, nodes = network_of(20)
    for endpoint in nodes[10:]:
        del network.nodes[endpoint]
    network.pass_time(3600.0)
    known = {contact.endpoint for contact in network.nodes[nodes[3]].contacts()}
    assert known == set(nodes[:10]) - {nodes[3]}


def test_same_seed_gives_the_same_datagrams() -> None:
    assert network_of(15, seed=4)[0].datagrams == network_of(15, seed=4)[0].datagrams
    assert network_of(15, seed=4)[0].datagrams != network_of(15, seed=5)[0].datagrams
