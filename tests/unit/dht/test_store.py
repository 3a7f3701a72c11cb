"""Stored peers: found at random, forgotten in time, bounded in every direction."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from swarm.dht.store import PeerStore

HASH = b"h" * 20


def store(**changes: int) -> PeerStore:
    limits = {"swarm_peers_max": 100, "ports_max": 3, "peers_max": 1000, "torrents_max": 100, **changes}
    return PeerStore(6, 1000.0, peer_s=1800.0, **limits)


def peer(number: int, port: int = 6881) -> bytes:
    return number.to_bytes(4, "big") + port.to_bytes(2, "big")


def all_of(peers: PeerStore, now: float, info_hash: bytes = HASH) -> set[bytes]:
    return set(peers.sample(info_hash, 10_000, now, random.Random(1)))


def test_peers_come_back_until_they_are_too_old() -> None:
    peers = store()
    peers.add(HASH, peer(1), 1000.0, is_seed=False)
    peers.add(HASH, peer(2), 1500.0, is_seed=False)
    assert all_of(peers, 2700.0) == {peer(1), peer(2)}
    assert all_of(peers, 2900.0) == {peer(2)}
    assert all_of(peers, 3400.0) == set()
    assert (peers.peer_count, peers.torrent_count) == (0, 0)


def test_second_announce_renews_and_is_not_counted_twice() -> None:
    peers = store()
    peers.add(HASH, peer(1), 1000.0, is_seed=False)
    peers.add(HASH, peer(2), 1100.0, is_seed=False)
    peers.add(HASH, peer(1), 2000.0, is_seed=True)
    assert peers.peer_count == 2
    assert all_of(peers, 3000.0) == {peer(1)}
    assert peers.addresses(HASH, 3000.0) == ({peer(1)[:4]}, set())


def test_sample_is_random_and_has_no_doubles() -> None:
    peers = store()
    for number in range(100):
        peers.add(HASH, peer(number), 1000.0, is_seed=False)
    rng = random.Random(1)
    samples = [peers.sample(HASH, 10, 1000.0, rng) for _ in range(50)]
    assert all(len(set(sample)) == 10 for sample in samples)
    assert len({found for sample in samples for found in sample}) > 90


def test_seeds_are_left_out_on_request() -> None:
    peers = store()
    for number in range(10):
        peers.add(HASH, peer(number), 1000.0, is_seed=number % 2 == 0)
    found = peers.sample(HASH, 100, 1000.0, random.Random(1), is_without_seeds=True)
    assert set(found) == {peer(number) for number in range(1, 10, 2)}
    seeds, leechers = peers.addresses(HASH, 1000.0)
    assert (len(seeds), len(leechers)) == (5, 5)


def test_full_swarm_forgets_who_was_silent_longest() -> None:
    peers = store(swarm_peers_max=3)
    for number in range(5):
        peers.add(HASH, peer(number), 1000.0 + number, is_seed=False)
    assert all_of(peers, 1010.0) == {peer(2), peer(3), peer(4)}
    assert peers.peer_count == 3


def test_one_address_has_few_ports() -> None:
    peers = store(ports_max=3)
    peers.add(HASH, peer(2), 1000.0, is_seed=False)
    for port in range(1, 11):
        peers.add(HASH, peer(1, port), 1000.0 + port, is_seed=False)
    assert all_of(peers, 1010.0) == {peer(2), peer(1, 8), peer(1, 9), peer(1, 10)}
    assert peers.peer_count == 4


def test_entries_are_not_mistaken_across_their_borders() -> None:
    # The bytes of the second lie across two entries of the first swarm: stamps are bytes, too.
    peers = store()
    first = bytes.fromhex("010203040506")
    across = bytes.fromhex("030405060000")
    peers.add(HASH, first, 1000.0, is_seed=False)
    peers.add(HASH, across, 1000.0, is_seed=False)
    peers.add(HASH, across, 1001.0, is_seed=False)
    assert all_of(peers, 1001.0) == {first, across}


def test_flood_of_info_hashes_is_bounded_and_spares_large_swarms() -> None:
    peers = store(torrents_max=50)
    for number in range(20):
        peers.add(HASH, peer(number), 1000.0, is_seed=False)
    for number in range(500):
        peers.add(number.to_bytes(20, "big"), peer(number), 1001.0, is_seed=False)
    assert peers.torrent_count <= 50
    assert len(all_of(peers, 1002.0)) == 20


def test_flood_of_peers_is_bounded() -> None:
    peers = store(peers_max=100)
    for number in range(1000):
        peers.add((number % 40).to_bytes(20, "big"), peer(number), 1000.0, is_seed=False)
        assert peers.peer_count <= 100
    assert peers.peer_count == sum(len(all_of(peers, 1000.0, n.to_bytes(20, "big"))) for n in range(40))


def test_sweep_forgets_all_that_is_too_old() -> None:
    peers = store()
    for number in range(50):
        peers.add(number.to_bytes(20, "big"), peer(number), 1000.0 + number, is_seed=False)
    peers.sweep(2825.0)
    assert (peers.peer_count, peers.torrent_count) == (25, 25)


def test_samples_of_info_hashes_are_ours() -> None:
    peers = store()
    names = {number.to_bytes(20, "big") for number in range(30)}
    for name in names:
        peers.add(name, peer(1), 1000.0, is_seed=False)
    found = peers.sample_info_hashes(10, random.Random(1))
    assert len(set(found)) == 10 and set(found) <= names


def test_swarm_that_shrinks_to_one_peer_and_grows_again_keeps_its_peers() -> None:
    peers = store()
    peers.add(HASH, peer(1), 1000.0, is_seed=False)
    peers.add(HASH, peer(2), 1500.0, is_seed=True)
    assert all_of(peers, 2900.0) == {peer(2)}
    assert peers.addresses(HASH, 2900.0) == ({peer(2)[:4]}, set())
    peers.add(HASH, peer(3), 2900.0, is_seed=False)
    assert all_of(peers, 2900.0) == {peer(2), peer(3)}
    assert all_of(peers, 3400.0) == {peer(3)}
    assert (peers.peer_count, peers.torrent_count) == (1, 1)


def test_lone_peers_on_one_shelf_are_told_apart() -> None:
    # The bytes of each name that ends so lie on one shelf, one after the other.
    peers = store()
    names = [bytes((number,)) * 19 + b"s" for number in range(50)]
    for number, name in enumerate(names):
        peers.add(name, peer(number), 1000.0, is_seed=False)
    peers.add(names[7], peer(7), 1900.0, is_seed=True)
    assert [all_of(peers, 1900.0, name) for name in names] == [{peer(number)} for number in range(50)]
    peers.sweep(2900.0)
    assert [name for name in names if peers.has(name)] == [names[7]]
    assert peers.peer_count == 1


def test_name_across_two_records_is_no_swarm() -> None:
    # An info-hash, an address and a stamp are the other's choice: together they can look like another name.
    peers = store()
    first, second = b"a" * 19 + b"s", b"s" * 20
    peers.add(first, b"ssssss", 1000.0, is_seed=False)
    peers.add(second, peer(2), 1000.0, is_seed=False)
    across = (first + b"ssssss" + bytes(4) + second)[11:31]
    assert across[-1:] == b"s" and not peers.has(across)
    peers.add(across, peer(3), 1000.0, is_seed=False)
    assert [all_of(peers, 1000.0, name) for name in (first, second, across)] == [
        {b"ssssss"},
        {peer(2)},
        {peer(3)},
    ]


def test_flood_makes_those_go_first_that_were_silent_longest() -> None:
    peers = store(torrents_max=50)
    names = [number.to_bytes(20, "big") for number in range(51)]
    for number, name in enumerate(names[:50]):
        peers.add(name, peer(number), 1000.0 + number, is_seed=False)
    peers.add(names[0], peer(0), 1050.0, is_seed=False)
    peers.add(names[50], peer(50), 1051.0, is_seed=False)
    assert [name for name in names if not peers.has(name)] == [names[1]]


@pytest.mark.parametrize("peers_per_torrent", [1, 2, 10])
def test_stored_peer_costs_little(peers_per_torrent: int) -> None:
    peers = store(swarm_peers_max=10_000, peers_max=100_000, torrents_max=10_000)
    rng = random.Random(1)
    tracemalloc.start()
    try:
        for number in range(10_000):
            if number % peers_per_torrent == 0:
                name = rng.randbytes(20)
            peers.add(name, peer(number), 1000.0, is_seed=False)
        name = b""
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used / 10_000 - 6 < 100
