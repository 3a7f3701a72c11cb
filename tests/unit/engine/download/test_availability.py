"""Counting who has what, and the order of rarity that follows from it.

Worlds are drawn: one digit a piece for its availability.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.bitfield import Bitfield
from swarm.engine.download.availability import Availability, RarityOrder
from tests.unit.engine.world import read_drawing


def rarity(counts: str, seed: int = 1) -> tuple[RarityOrder, list[int]]:
    numbers = list(map(int, counts))
    order = RarityOrder(numbers, random.Random(seed))
    order.rebuild(list(range(len(numbers))), numbers)
    return order, numbers


def levels(order: RarityOrder, counts: list[int]) -> str:
    return "".join(str(counts[piece]) for piece in order)


class TestRarityOrder:
    @pytest.mark.parametrize("counts", ["", "0", "2223333", "3120", "0900", "5555"])
    def test_rarest_pieces_come_first(self, counts: str) -> None:
        order, numbers = rarity(counts)
        order.check()
        assert levels(order, numbers) == "".join(sorted(counts))

    def test_equally_rare_pieces_come_in_any_order(self) -> None:
        firsts = Counter(next(iter(rarity("2111", seed)[0])) for seed in range(300))
        assert set(firsts) == {1, 2, 3} and min(firsts.values()) > 60

    def test_piece_that_becomes_as_common_as_others_mixes_with_them(self) -> None:
        lasts: Counter[int] = Counter()
        for seed in range(300):
            order, counts = rarity("0111", seed)
            counts[0] += 1
            order.raised(0)
            order.check()
            lasts[list(order)[-1]] += 1
        assert set(lasts) == {0, 1, 2, 3} and min(lasts.values()) > 40

    def test_ties_after_a_recount_are_by_lot_in_each_client(self) -> None:
        firsts: Counter[int] = Counter()
        for seed in range(300):
            order, _ = rarity("1000", seed)
            order.recount([1, 2, 2, 2])
            order.check()
            assert order.at(0) == 0
            firsts[order.at(1)] += 1
        assert set(firsts) == {1, 2, 3} and min(firsts.values()) > 60

    def test_recount_knows_pieces_that_were_taken_out_and_those_that_came_later(self) -> None:
        order = RarityOrder([0] * 4, random.Random(1))
        order.rebuild([0, 1], [0] * 4)
        order.remove(0)
        order.add(3)
        order.recount([5, 2, 1, 1])
        order.check()
        assert list(order) == [3, 1]
        order.add(0)
        order.recount([0, 2, 1, 1])
        order.check()
        assert list(order) == [0, 3, 1]

    def test_what_comes_and_goes_after_a_recount_finds_its_place_when_somebody_asks(self) -> None:
        order, counts = rarity("0123")
        counts[:] = [3, 2, 1, 0]
        order.recount(counts)
        order.remove(1)
        counts[3] += 9
        order.raised(3)
        order.add(1)
        order.remove(0)
        order.check()
        assert len(order) == 3 and 0 not in order and 1 in order
        assert [order.at(0), *order] == [2, 2, 1, 3]
        assert order.count_of_none() == 0
        order.check()

    def test_add_leaves_other_places_right_across_empty_levels(self) -> None:
        order, counts = rarity("04")
        order.remove(0)
        order.add(0)
        order.check()
        assert levels(order, counts) == "04"

    def test_remove_leaves_other_places_right_across_empty_levels(self) -> None:
        order, _ = rarity("004")
        order.remove(2)
        order.remove(0)
        order.check()
        assert list(order) == [1]

    def test_pieces_that_are_not_in_it_are_passed_over(self) -> None:
        order, counts = rarity("12")
        order.remove(0)
        counts[0] += 1
        order.raised(0)
        order.check()
        assert list(order) == [1] and 0 not in order and len(order) == 1

    def test_from_place_goes_round(self) -> None:
        order, _ = rarity("123")
        assert list(order.from_place(1)) == [1, 2, 0]

    @given(
        st.lists(st.integers(0, 6), min_size=1, max_size=10),
        st.lists(
            st.tuples(
                st.sampled_from(["raise", "lower", "add", "remove", "recount", "look"]), st.integers(0, 9)
            ),
            max_size=60,
        ),
        st.integers(0, 5),
    )
    def test_order_holds_whatever_happens(
        self, counts: list[int], steps: list[tuple[str, int]], seed: int
    ) -> None:
        order, numbers = rarity("".join(map(str, counts)), seed)
        inside = set(range(len(numbers)))
        for step, number in steps:
            piece = number % len(numbers)
            if step == "raise":
                numbers[piece] += 1
                order.raised(piece)
            elif step == "lower" and numbers[piece]:
                numbers[piece] -= 1
                order.lowered(piece)
            elif step == "add" and piece not in inside:
                inside.add(piece)
                order.add(piece)
            elif step == "remove" and piece in inside:
                inside.remove(piece)
                order.remove(piece)
            elif step == "recount":
                numbers[piece:] = [count + 1 for count in numbers[piece:]]
                order.recount(numbers)
            elif step == "look":
                assert set(order) == inside
            order.check()
        assert set(order) == inside
        order.check()


class TestAvailability:
    def desk(self, count: int = 4) -> tuple[Availability, RarityOrder]:
        desk = Availability(count)
        order = RarityOrder(desk.counts, random.Random(1))
        order.rebuild(list(range(count)), desk.counts)
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
        assert list(order)[-1] == 7 and desk.of(7) == 1
        desk.remove(few)
        order.check()
        assert list(desk.counts) == [0] * 100

    @given(st.lists(st.lists(st.booleans(), min_size=20, max_size=20), max_size=8), st.randoms())
    def test_many_pieces_at_once_count_as_one_by_one(
        self, peers: list[list[bool]], rng: random.Random
    ) -> None:
        desk, order = self.desk(20)
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
