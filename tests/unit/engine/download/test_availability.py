"""Counting who has what."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.bitfield import Bitfield
from swarm.engine.download.availability import Availability
from swarm.engine.download.rarity import RarityOrder
from tests.unit.engine.world import read_drawing


class TestAvailability:
    def desk(self, count: int = 4, peers_max: int = 50) -> tuple[Availability, RarityOrder]:
        desk = Availability(count, peers_max)
        order = RarityOrder(desk.counts, b"\x01" * count, random.Random(1))
        desk.orders = [order]
        return desk, order

    def test_counts_peers_that_come_and_go(self) -> None:
        desk, order = self.desk()
        desk.add(read_drawing("**  "))
        desk.add(read_drawing(" *  "))
        assert list(desk.counts) == [1, 2, 0, 0]
        desk.remove(read_drawing("**  "))
        assert list(desk.counts) == [0, 1, 0, 0]
        order.check()

    def test_counts_few_pieces_of_many_one_by_one(self) -> None:
        desk, order = self.desk(100)
        few = Bitfield(100)
        few.add(7)
        desk.add(few)
        assert desk.of(7) == 1 and order.first_of(few.flags) == 7
        desk.remove(few)
        order.check()
        assert list(desk.counts) == [0] * 100

    @pytest.mark.parametrize("peers_max", [254, 255])
    @given(st.lists(st.lists(st.booleans(), min_size=20, max_size=20), max_size=8), st.randoms())
    def test_many_pieces_at_once_count_as_one_by_one(
        self, peers_max: int, peers: list[list[bool]], rng: random.Random
    ) -> None:
        desk, order = self.desk(20, peers_max)
        drawings = ["".join(" *"[flag] for flag in flags) for flags in peers]
        for drawing in drawings:
            desk.add(read_drawing(drawing))
        counts = [sum(drawing[piece] == "*" for drawing in drawings) for piece in range(20)]
        assert [desk.of(piece) for piece in range(20)] == counts
        rng.shuffle(drawings)
        for drawing in drawings:
            desk.remove(read_drawing(drawing))
            assert sorted(order) == list(range(20))
            order.check()
        assert list(desk.counts) == [0] * 20 and desk.seed_count == 0

    def test_more_peers_are_counted_than_fit_into_a_byte(self) -> None:
        desk, order = self.desk(peers_max=600)
        for _ in range(600):
            desk.add(read_drawing("* * "))
        desk.add(read_drawing(" ** "))
        desk.raise_one(0)
        assert list(desk.counts) == [601, 1, 601, 0]
        assert order.first() == 3 and order.first_of(bytearray(b"\1\1\1\0")) == 1
        order.remove(1)
        assert order.first_of(bytearray(b"\1\1\1\0")) in (0, 2)
        order.check()
        for _ in range(600):
            desk.remove(read_drawing("* * "))
        assert list(desk.counts) == [1, 1, 1, 0]

    def test_seeds_are_counted_apart(self) -> None:
        desk, _ = self.desk()
        desk.add(read_drawing("****"))
        assert desk.seed_count == 1 and list(desk.counts) == [0] * 4 and desk.of(2) == 1

    def test_peer_that_gets_the_last_piece_becomes_a_seed_and_back(self) -> None:
        desk, order = self.desk()
        desk.add(read_drawing("*** "))
        desk.counts[3] += 1
        desk.became_seed()
        assert list(desk.counts) == [0] * 4 and desk.seed_count == 1
        desk.was_seed()
        desk.lower_one(1)
        order.check()
        assert list(desk.counts) == [1, 0, 1, 1] and desk.seed_count == 0
