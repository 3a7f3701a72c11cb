"""The routing table: who is let in, who is answered with, who goes, and what is refreshed."""

from __future__ import annotations

import random

from swarm.base.endpoint import Endpoint
from swarm.dht.identity import id_for, packed_address
from swarm.dht.settings import DhtSettings
from swarm.dht.table import RoutingTable
from swarm.wire.krpc import Contact

OWN = bytes(20)
#: Every bucket has K places: easier to reason about.
NARROW = DhtSettings(bucket_sizes=())


def local(number: int, first_byte: int = 0x80) -> Contact:
    """A node on a local network, where any id is fine: `first_byte` says how far it is from us."""
    host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return Contact(bytes((first_byte,)) + number.to_bytes(19, "big"), Endpoint(host, 6881))


def fill(table: RoutingTable, contacts: list[Contact], now: float = 0.0) -> None:
    for contact in contacts:
        table.answered(*contact, now)


def test_nearest_come_first_and_all_of_them() -> None:
    rng = random.Random(1)
    for settings in (NARROW, DhtSettings()):
        table = RoutingTable(rng.randbytes(20), settings)
        for number in range(2000):
            table.answered(rng.randbytes(20), local(number).endpoint, 0.0)
        for _ in range(100):
            goal = rng.randbytes(20)
            found = [node.number for node in table.closest(goal, 8)]
            distance = int.from_bytes(goal, "big").__xor__
            assert found == sorted((node.number for node in table), key=distance)[:8]


def test_only_the_bucket_of_our_own_id_is_split() -> None:
    table = RoutingTable(OWN, NARROW)
    fill(table, [local(number) for number in range(50)])
    assert len(table) == 8
    fill(table, [local(100 + number, 0x01) for number in range(50)])
    assert len(table) == 16


def test_wide_buckets_are_wide_near_the_root_only() -> None:
    table = RoutingTable(OWN, DhtSettings(bucket_sizes=(20, 10)))
    fill(table, [local(1000 * bit + n, 0x80 >> bit) for bit in range(4) for n in range(50)])
    in_range = [sum(node.node_id[0] == 0x80 >> bit for node in table) for bit in range(4)]
    assert in_range == [20, 10, 8, 8]


def test_nodes_that_fail_twice_are_replaced_by_those_that_waited() -> None:
    table = RoutingTable(OWN, NARROW)
    contacts = [local(number) for number in range(9)]
    fill(table, contacts)
    assert table.get(contacts[8].endpoint) is None
    table.failed(contacts[0].endpoint)
    assert contacts[0] not in [node.contact for node in table.closest(OWN, 20)]
    table.failed(contacts[0].endpoint)
    assert table.get(contacts[0].endpoint) is None
    assert table.get(contacts[8].endpoint) is not None


def test_failing_node_gives_way_at_once_to_one_that_answers() -> None:
    table = RoutingTable(OWN, NARROW)
    fill(table, [local(number) for number in range(8)])
    table.failed(local(3).endpoint)
    table.answered(*local(99), 1.0)
    assert table.get(local(3).endpoint) is None
    assert table.get(local(99).endpoint) is not None


def test_answer_makes_a_failing_node_good_again() -> None:
    table = RoutingTable(OWN, NARROW)
    fill(table, [local(1)])
    table.failed(local(1).endpoint)
    table.answered(*local(1), 5.0)
    assert table.counts(5.0) == (1, 0)


def test_last_nodes_are_not_given_up_easily() -> None:
    table = RoutingTable(OWN, NARROW)
    fill(table, [local(1)])
    for _ in range(3):
        table.failed(local(1).endpoint)
    assert len(table) == 1
    table.failed(local(1).endpoint)
    assert len(table) == 0


def test_nodes_that_failed_while_there_was_no_network_can_be_asked_again() -> None:
    table = RoutingTable(OWN, NARROW)
    fill(table, [local(1), local(2)])
    table.failed(local(1).endpoint)
    table.restore([local(1), local(3)], 10.0)
    assert {node.contact for node in table.closest(OWN, 8)} == {local(1), local(2), local(3)}


def test_node_is_good_for_fifteen_minutes() -> None:
    table = RoutingTable(OWN, NARROW)
    fill(table, [local(1), local(2)])
    assert not table.heard(local(1).node_id, local(1).endpoint, 800.0)
    assert table.counts(899.0) == (2, 0)
    assert table.counts(1000.0) == (1, 1)
    assert [node.contact for node in table.questionable(1000.0, 5)] == [local(2)]


def test_strangers_that_ask_are_wanted_only_where_there_is_a_place() -> None:
    table = RoutingTable(OWN, NARROW)
    fill(table, [local(1000 * bit + n, 0x80 >> bit) for bit in range(2) for n in range(20)])
    assert not table.heard(*local(500, 0x81), 0.0)
    assert table.heard(*local(500, 0x01), 0.0)
    assert not table.heard(OWN, local(500).endpoint, 0.0)


def test_one_address_has_one_node_and_one_neighbourhood_two() -> None:
    rng = random.Random(1)
    table = RoutingTable(OWN, DhtSettings())
    for port in range(1, 50):
        table.answered(rng.randbytes(20), Endpoint("5.6.7.8", port), 0.0)
    assert len(table) == 1
    for last in range(1, 50):
        table.answered(rng.randbytes(20), Endpoint(f"9.9.9.{last}", 6881), 0.0)
    assert len(table) == 3


def test_one_v6_network_has_one_node() -> None:
    rng = random.Random(1)
    table = RoutingTable(OWN, DhtSettings())
    for last in range(1, 50):
        table.answered(rng.randbytes(20), Endpoint(f"2001:db8::{last:x}", 6881), 0.0)
    assert len(table) == 1


def test_id_of_another_is_not_taken_over() -> None:
    table = RoutingTable(OWN, NARROW)
    fill(table, [local(1)])
    table.answered(local(1).node_id, local(2).endpoint, 1.0)
    assert [node.contact for node in table] == [local(1)]


def test_node_under_a_new_name_loses_the_old_one() -> None:
    table = RoutingTable(OWN, NARROW)
    fill(table, [local(1)])
    table.answered(local(2).node_id, local(1).endpoint, 1.0)
    assert [node.contact for node in table] == [Contact(local(2).node_id, local(1).endpoint)]
    table.answered(OWN, local(1).endpoint, 2.0)
    assert len(table) == 0


def test_ids_that_fit_push_out_those_that_do_not() -> None:
    rng = random.Random(1)
    table = RoutingTable(OWN, NARROW)
    hosts = [f"{n}.1.2.3" for n in range(11, 200)]
    unfit = [Contact(b"\xff" + rng.randbytes(19), Endpoint(host, 1)) for host in hosts[:8]]
    fill(table, unfit)
    fitting = []
    for host in hosts[8:]:
        node_id = id_for(packed_address(host), rng)
        if node_id[0] & 0x80:
            fitting.append(Contact(node_id, Endpoint(host, 1)))
    fill(table, fitting[:3])
    assert sum(node.is_fit for node in table) == 3 and len(table) == 8


def test_saved_nodes_are_questionable_until_they_answer() -> None:
    table = RoutingTable(OWN, NARROW)
    table.restore([local(1), local(2), Contact(OWN, local(3).endpoint)], 5000.0)
    assert table.counts(5000.0) == (0, 2)
    table.answered(*local(1), 5001.0)
    assert table.counts(5001.0) == (1, 1)


def test_new_id_of_ours_keeps_the_nodes() -> None:
    rng = random.Random(1)
    table = RoutingTable(OWN, NARROW)
    for number in range(300):
        table.answered(rng.randbytes(20), local(number).endpoint, 0.0)
    table.renamed(b"\xff" * 20)
    assert len(table) >= 16
    goal = b"\xff" * 20
    found = [node.number for node in table.closest(goal, 8)]
    assert found == sorted((node.number for node in table), key=int.from_bytes(goal, "big").__xor__)[:8]


def test_each_range_that_is_thin_is_refreshed_once_and_again_later() -> None:
    table = RoutingTable(OWN, DhtSettings())
    # Many far away, none in between, our neighbours share four bits with us.
    fill(table, [local(number) for number in range(30)] + [local(100 + n, 0x08) for n in range(8)])
    rng = random.Random(1)
    targets = []
    while (target := table.refresh_target(0.0, rng.getrandbits(160))) is not None:
        targets.append(target)
    prefixes = sorted(160 - int.from_bytes(target, "big").bit_length() for target in targets)
    assert prefixes == [1, 2, 3]
    assert table.refresh_target(800.0, rng.getrandbits(160)) is None
    assert table.refresh_target(901.0, rng.getrandbits(160)) is not None


def test_range_of_a_lookup_needs_no_refresh() -> None:
    table = RoutingTable(OWN, DhtSettings())
    fill(table, [local(1)])
    table.asked_for(b"\x80" + bytes(19), 0.0)
    assert table.refresh_target(1.0, 0) is None
