"""The store's limits, and a model that it must agree with."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swarm.base.errors import TrackerError
from swarm.tracker.memory_store import MemoryStore
from swarm.wire.tracker.announce import ScrapeEntry

LIFE_S = 100.0


def peer(number: int, width: int = 6) -> bytes:
    return number.to_bytes(width, "big")


def put(store: MemoryStore, torrent: int, number: int, now: float = 0.0) -> None:
    store.put(bytes([torrent]) * 20, peer(number), b"i" * 20, False, now)


class TestLimits:
    def test_a_flood_of_torrents_is_refused_and_what_is_there_goes_on(self) -> None:
        store = MemoryStore(LIFE_S, swarms_max=3)
        for torrent in range(3):
            put(store, torrent, 1)
        with pytest.raises(TrackerError, match="no room for another torrent") as raised:
            put(store, 9, 1)
        assert raised.value.retry_in_s is not None
        put(store, 0, 2)
        assert (store.swarm_count, store.peer_count) == (3, 4)

    def test_the_oldest_empty_swarm_makes_room(self) -> None:
        store = MemoryStore(LIFE_S, swarms_max=2)
        for torrent in range(2):
            put(store, torrent, 1)
            store.count_download(bytes([torrent]) * 20)
            store.remove(bytes([torrent]) * 20, peer(1))
        put(store, 2, 1)
        assert store.counts(bytes(20), 0) is None
        assert store.counts(b"\x01" * 20, 0) == ScrapeEntry(0, 0, 1)

    def test_a_flood_of_peers_is_refused_and_known_ones_go_on(self) -> None:
        store = MemoryStore(LIFE_S, peers_max=3)
        for number in range(3):
            put(store, 0, number)
        with pytest.raises(TrackerError, match="no room for another peer"):
            put(store, 0, 3)
        with pytest.raises(TrackerError, match="no room for another peer"):
            put(store, 1, 3)
        put(store, 0, 2, now=50)
        # Also from leecher to seed.
        assert store.put(bytes(20), peer(2), b"i" * 20, True, 60) is False
        assert store.peer_count == 3
        # The torrent that got no peer does not stay.
        store.expire(LIFE_S + 1)
        assert store.swarm_count == 1


class StoreMachine(RuleBasedStateMachine):
    """The store against two dictionaries."""

    torrents = st.sampled_from([b"a" * 20, b"b" * 20])
    numbers = st.integers(1, 25)
    widths = st.sampled_from([6, 18])

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(LIFE_S)
        self.now = 0.0
        self.rng = random.Random(5)
        #: (torrent, peer) -> (is_seed, peer id, last seen)
        self.model: dict[tuple[bytes, bytes], tuple[bool, bytes, float]] = {}

    @rule(torrent=torrents, number=numbers, width=widths, is_seed=st.booleans(), tag=st.integers(0, 9))
    def put(self, torrent: bytes, number: int, width: int, is_seed: bool, tag: int) -> None:
        self.forget(torrent)
        key, peer_id = (torrent, peer(number, width)), bytes([tag]) * 20
        before = self.model.get(key)
        was = self.store.put(torrent, key[1], peer_id, is_seed, self.now)
        assert was == (before[0] if before is not None else None)
        self.model[key] = (is_seed, peer_id, self.now)

    @rule(torrent=torrents, number=numbers, width=widths)
    def remove(self, torrent: bytes, number: int, width: int) -> None:
        self.store.remove(torrent, peer(number, width))
        self.model.pop((torrent, peer(number, width)), None)

    @rule(seconds=st.floats(0, 60))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        self.store.expire(self.now)
        for torrent in (b"a" * 20, b"b" * 20):
            self.forget(torrent)

    @rule(torrent=torrents, number=numbers, width=widths, is_seed=st.booleans(), count=st.integers(0, 12))
    def pick(self, torrent: bytes, number: int, width: int, is_seed: bool, count: int) -> None:
        self.forget(torrent)
        asker = peer(number, width)
        picked = self.store.pick(torrent, width, is_seed=is_seed, count=count, asker=asker, rng=self.rng)
        found = [picked.addresses[at : at + width] for at in range(0, len(picked.addresses), width)]
        others = {
            key[1]: peer_id
            for key, (seed, peer_id, _) in self.model.items()
            if key[0] == torrent and len(key[1]) == width and seed == is_seed and key[1] != asker
        }
        assert len(found) == len(set(found)) == min(count, len(others))
        assert [others[one] for one in found] == list(picked.peer_ids)

    @invariant()
    def counts_agree(self) -> None:
        for torrent in (b"a" * 20, b"b" * 20):
            self.forget(torrent)
            kinds = [seed for key, (seed, _, _) in self.model.items() if key[0] == torrent]
            counts = self.store.counts(torrent, self.now) or ScrapeEntry(0, 0, 0)
            assert (counts.seeds, counts.leechers) == (kinds.count(True), kinds.count(False))
        assert self.store.peer_count == len(self.model)

    def forget(self, torrent: bytes) -> None:
        """What every look at a swarm does: the overdue go."""
        self.store.counts(torrent, self.now)
        for key, (_, _, seen_at) in list(self.model.items()):
            if key[0] == torrent and seen_at < self.now - LIFE_S:
                del self.model[key]


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
