"""Pieces on offer in the order of their rarity. Worlds are drawn: one digit a piece for its availability."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.engine.download.rarity import RarityOrder


def rarity(counts: str, seed: int = 1) -> tuple[RarityOrder, array[int]]:
    numbers = array("B", map(int, counts))
    return RarityOrder(numbers, b"\x01" * len(numbers), random.Random(seed)), numbers


def picked(order: RarityOrder) -> Iterator[int]:
    """All pieces as they are picked with a seed."""
    while (piece := order.first()) is not None:
        order.check()
        yield piece
        order.remove(piece)


def flags(drawing: str) -> bytearray:
    return bytearray(sign == "*" for sign in drawing)


@pytest.fixture(params=[512, 2])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Small worlds stand in rows as a whole, or as large ones do."""
    number: int = request.param
    monkeypatch.setattr(RarityOrder, "AT_ONCE", number)
    return number


@pytest.mark.usefixtures("at_once")
class TestPicking:
    @pytest.mark.parametrize("counts", ["", "0", "2223333", "3120", "0900", "5555"])
    def test_rarest_pieces_come_first(self, counts: str) -> None:
        order, numbers = rarity(counts)
        assert "".join(str(numbers[piece]) for piece in picked(order)) == "".join(sorted(counts))

    def test_equally_rare_pieces_come_in_any_order(self) -> None:
        firsts = Counter(rarity("2111", seed)[0].first() for seed in range(300))
        assert set(firsts) == {1, 2, 3} and min(firsts.values()) > 60

    def test_equally_rare_pieces_come_in_any_order_after_many_counts_have_changed(self) -> None:
        firsts: Counter[int | None] = Counter()
        for seed in range(300):
            order, counts = rarity("1000", seed)
            assert order.first() != 0
            counts[:] = array("B", (1, 2, 2, 2))
            order.recount()
            assert order.first() == 0
            order.remove(0)
            firsts[order.first()] += 1
        assert set(firsts) == {1, 2, 3} and min(firsts.values()) > 60

    def test_piece_that_becomes_as_common_as_others_mixes_with_them(self, at_once: int) -> None:
        lasts: Counter[int] = Counter()
        for seed in range(300):
            order, counts = rarity("0111", seed)
            order.first()
            counts[0] += 1
            order.raised(0)
            order.check()
            lasts[list(picked(order))[-1]] += 1
        # Where others have no place in a row yet, it comes after those that have.
        assert set(lasts) == {0, 1, 2, 3} and min(lasts.values()) > (40 if at_once > 4 else 20)

    def test_only_what_is_flagged_and_somebody_has_comes(self) -> None:
        order, _ = rarity("02311")
        assert order.first_of(flags("*** *")) == 4
        assert order.first_of(flags("***  ")) == 1
        assert order.first_of(flags("* *  ")) == 2
        assert order.first_of(flags("     ")) is None
        order.check()

    def test_search_finds_the_rarest_that_is_flagged(self) -> None:
        order, _ = rarity("02311")
        assert order.search(flags("*****")) == 0
        assert order.search(flags(" **  ")) == 1
        assert order.search(flags("   * ")) == 3
        assert order.search(flags("     ")) is None

    def test_any_that_is_flagged_comes_at_random(self) -> None:
        order, _ = rarity("91119")
        order.remove(2)
        found = Counter(order.any_of(flags("*** *")) for _ in range(300))
        assert set(found) == {0, 1, 4} and min(found.values()) > 60
        assert order.any_of(flags("  *  ")) is None

    def test_pieces_that_nobody_has_are_counted(self) -> None:
        order, counts = rarity("03001")
        assert order.count_of_none() == 3
        order.first()
        order.remove(0)
        counts[2] += 1
        order.raised(2)
        assert order.count_of_none() == 1


@pytest.mark.usefixtures("at_once")
class TestChanges:
    def test_pieces_are_taken_out_and_come_back(self) -> None:
        order, _ = rarity("0123")
        assert order.first() == 0
        for piece in (0, 2):
            order.remove(piece)
        assert len(order) == 2 and list(order) == [1, 3] and 2 not in order
        order.add(2)
        order.check()
        assert 2 in order and list(picked(order)) == [1, 2, 3]

    def test_what_comes_and_goes_after_a_recount_finds_its_place_when_somebody_asks(self) -> None:
        order, counts = rarity("0123")
        counts[:] = array("B", (3, 2, 1, 0))
        order.recount()
        order.remove(1)
        counts[3] += 9
        order.raised(3)
        order.add(1)
        order.remove(0)
        order.check()
        assert list(picked(order)) == [2, 1, 3]

    def test_pieces_that_are_not_here_are_passed_over(self) -> None:
        order, counts = rarity("012")
        order.first()
        order.remove(0)
        counts[0] += 1
        order.raised(0)
        counts[0] -= 1
        order.lowered(0)
        order.check()
        assert list(picked(order)) == [1, 2]

    def test_piece_that_its_last_holder_loses_is_the_rarest(self) -> None:
        order, counts = rarity("1123")
        assert order.first() in (0, 1)
        counts[3] = 0
        order.recount()
        assert order.first() == 3
        counts[1] -= 1
        order.lowered(1)
        order.check()
        assert set(list(picked(order))[:2]) == {1, 3}


class TestLargeTorrents:
    def order(self, counts: list[int], seed: int = 1) -> tuple[RarityOrder, array[int]]:
        numbers = array("B", counts)
        return RarityOrder(numbers, b"\x01" * len(numbers), random.Random(seed)), numbers

    def standing(self, order: RarityOrder) -> int:
        return sum(map(len, order._rows))

    @pytest.mark.parametrize("levels", [1, 4])
    def test_who_picks_after_a_bitfield_has_a_few_hundred_put_in_order_and_not_all(self, levels: int) -> None:
        order, counts = self.order([1 + piece % levels for piece in range(10_000)])
        for _ in range(3):
            order.recount()
            piece = order.first_of(bytearray(b"\x01") * 10_000)
            assert piece is not None and counts[piece] == 1
            assert self.standing(order) == order.AT_ONCE
            order.check()

    def test_who_lacks_all_that_is_rare_finds_the_rarest_it_has_and_few_are_put_in_order(self) -> None:
        order, _ = self.order([1] * 9_000 + [3] * 500 + [2] * 500)
        has = bytearray(9_000) + b"\x01" * 1_000
        for _ in range(20):
            piece = order.first_of(has)
            assert piece is not None and piece >= 9_500
            order.remove(piece)
        assert self.standing(order) <= 20 * order.AT_ONCE
        order.check()

    def test_clients_take_different_pieces_of_a_long_run_of_equals(self) -> None:
        counts = [5] * 4_000 + [1] * 2_000
        firsts = [self.order(counts, seed)[0].first() or 0 for seed in range(100)]
        assert len(set(firsts)) > 90
        assert all(min(firsts[n::4]) < 4_500 and max(firsts[n::4]) > 5_500 for n in range(4))

    def test_what_nobody_had_and_stood_in_no_row_is_found_once_somebody_has_it(self) -> None:
        order, counts = self.order([0] * 1_000)
        assert order.first() is not None
        assert self.standing(order) == order.AT_ONCE
        for piece in range(1_000):
            counts[piece] += 1
            order.raised(piece)
            order.check()
        everything = bytearray(b"\x01") * 1_000
        for missing in range(1_000, 0, -1):
            assert len(order) == missing
            order.remove(order.first_of(everything) or 0)
        assert order.first_of(everything) is None

    def test_what_became_common_since_the_map_was_drawn_is_not_taken_for_rare(self) -> None:
        order, counts = self.order([1] * 5_000)
        everything = bytearray(b"\x01") * 5_000
        assert order.first_of(everything) is not None
        rare = random.Random(2).sample(range(5_000), 20)
        for piece in set(range(5_000)) - set(rare):
            counts[piece] += 1
            order.raised(piece)
        order.check()
        found = []
        for _ in rare:
            found.append(order.first_of(everything) or 0)
            order.remove(found[-1])
        assert sorted(found) == sorted(rare)
        assert counts[order.first_of(everything) or 0] == 2
        order.check()


class SmallRows(RarityOrder):
    """As an order of many pieces, with few."""

    AT_ONCE = 2


#: Few different counts at a time: many pieces must have the same for some of them to stand in no row.
COUNTS = [(0,), (0,), (0, 1), (0, 1, 2), (1, 2), (0, 253, 254), (254, 255), (255, 256), (3, 509, 510), (765,)]
PIECES = st.sampled_from(COUNTS).flatmap(
    lambda counts: st.lists(st.sampled_from(counts), min_size=1, max_size=12)
)
STEPS = [
    "raise",
    "raise",
    "lower",
    "add",
    "remove",
    "recount",
    "first",
    "first_of",
    "search",
    "any_of",
    "count",
]


@settings(max_examples=400)
@given(
    PIECES,
    st.integers(0, (1 << 12) - 1),
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(0, 11), st.integers(0, (1 << 12) - 1)), max_size=60
    ),
    st.booleans(),
    st.integers(0, 5),
)
def test_order_is_that_of_the_counts_whatever_happens(
    pieces: list[int], absent: int, steps: list[tuple[str, int, int]], is_wide: bool, seed: int
) -> None:
    most = 65_000 if is_wide else 254
    counts = array("H" if is_wide else "B", (min(count, most) for count in pieces))
    size = len(pieces)
    here = {piece for piece in range(size) if not absent >> piece & 1}
    order = SmallRows(counts, bytes(piece in here for piece in range(size)), random.Random(seed))
    for step, number, mask in steps:
        piece = number % size
        flagged = {one for one in here if mask >> one & 1}
        field = bytearray(mask >> one & 1 for one in range(size))
        if step == "raise" and counts[piece] < most:
            counts[piece] += 1
            order.raised(piece)
        elif step == "lower" and counts[piece]:
            counts[piece] -= 1
            order.lowered(piece)
        elif step == "add" and piece not in here:
            here.add(piece)
            order.add(piece)
        elif step == "remove" and piece in here:
            here.remove(piece)
            order.remove(piece)
        elif step == "recount":
            for one in range(size):
                counts[one] = min(counts[one] + (mask >> one & 1), most)
            order.recount()
        elif step == "first":
            assert_rarest(order.first(), here, counts)
        elif step == "first_of":
            # Whoever is no seed and has a piece is counted.
            held = {one for one in flagged if counts[one]}
            assert_rarest(order.first_of(bytearray(one in held for one in range(size))), held, counts)
        elif step == "search":
            assert_rarest(order.search(field), flagged, counts)
        elif step == "any_of":
            found = order.any_of(field)
            assert found in flagged if flagged else found is None
        elif step == "count":
            assert order.count_of_none() == sum(counts[one] == 0 for one in here)
        order.check()
        assert set(order) == here and len(order) == len(here) and (piece in order) == (piece in here)


def assert_rarest(found: int | None, pieces: set[int], counts: array[int]) -> None:
    assert found in pieces if pieces else found is None
    if found is not None:
        assert counts[found] == min(counts[piece] for piece in pieces)
