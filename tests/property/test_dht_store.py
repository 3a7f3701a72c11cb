"""Stored peers against a store that is plain: whatever is announced when, both know the same."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swarm.dht.store import PeerStore

PEER_S = 100.0
SWARM_PEERS_MAX, PORTS_MAX, PEERS_MAX, TORRENTS_MAX = 4, 2, 12, 6
#: Of so few different bytes that one often looks like a part of two others.
names = st.builds(
    lambda head, period: (bytes(head) * 30)[period : period + 20],
    st.lists(st.integers(0, 1), min_size=1, max_size=3),
    st.integers(0, 2),
)
endpoints = st.lists(st.integers(0, 1), min_size=6, max_size=6).map(bytes)


class StoreAndModel(RuleBasedStateMachine):
    """The model: info-hash -> peer -> (second it was heard, is it a seed), the one heard last at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.store = PeerStore(
            6,
            self.now,
            peer_s=PEER_S,
            swarm_peers_max=SWARM_PEERS_MAX,
            ports_max=PORTS_MAX,
            peers_max=PEERS_MAX,
            torrents_max=TORRENTS_MAX,
        )
        self.model: dict[bytes, dict[bytes, tuple[int, bool]]] = {}

    def _fresh(self, name: bytes) -> dict[bytes, tuple[int, bool]]:
        swarm = self.model.get(name, {})
        fresh = {peer: heard for peer, heard in swarm.items() if heard[0] >= self.now - PEER_S}
        if fresh:
            self.model[name] = fresh
        else:
            self.model.pop(name, None)
        return fresh

    @rule(name=names, peer=endpoints, is_seed=st.booleans())
    def peer_announces(self, name: bytes, peer: bytes, is_seed: bool) -> None:
        self.store.add(name, peer, self.now, is_seed=is_seed)
        before = self._fresh(name)
        swarm = {other: heard for other, heard in before.items() if other != peer}
        if len(swarm) >= SWARM_PEERS_MAX:
            del swarm[next(iter(swarm))]
        of_address = [other for other in swarm if other[:4] == peer[:4]]
        if len(of_address) >= PORTS_MAX:
            del swarm[of_address[0]]
        is_full = sum(map(len, self.model.values())) >= PEERS_MAX
        if len(swarm) >= len(before) and (is_full or (not before and len(self.model) >= TORRENTS_MAX)):
            # All is full: the smallest swarm goes, of these the one that was silent longest.
            others = sorted(
                (len(peers), *list(peers.values())[-1], other)
                for other, peers in self.model.items()
                if other != name
            )
            for *_, other in others[:1]:
                del self.model[other]
        self.model[name] = {**swarm, peer: (int(self.now), is_seed)}

    @rule(span_s=st.sampled_from([0.5, 1.0, 30.0, 70.0]))
    def time_passes(self, span_s: float) -> None:
        self.now += span_s

    @rule()
    def all_is_swept(self) -> None:
        self.store.sweep(self.now)
        for name in list(self.model):
            self._fresh(name)
        assert self.store.torrent_count == len(self.model)

    @rule(name=names)
    def peers_are_asked_for(self, name: bytes) -> None:
        swarm = self._fresh(name)
        rng = random.Random(1)
        assert self.store.sample(name, 100, self.now, rng) == list(swarm)
        leechers = {peer for peer, (_, is_seed) in swarm.items() if not is_seed}
        assert set(self.store.sample(name, 100, self.now, rng, is_without_seeds=True)) == leechers
        addresses = ({peer[:4] for peer in swarm.keys() - leechers}, {peer[:4] for peer in leechers})
        assert self.store.addresses(name, self.now) == addresses
        assert self.store.has(name) == bool(swarm)

    @invariant()
    def both_know_the_same(self) -> None:
        assert self.store.peer_count == sum(map(len, self.model.values())) <= PEERS_MAX
        names_of_all = self.store.sample_info_hashes(100, random.Random(1))
        assert sorted(names_of_all) == sorted(self.model)
        assert self.store.torrent_count == len(self.model) <= TORRENTS_MAX


TestStoreAndModel = StoreAndModel.TestCase
TestStoreAndModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
