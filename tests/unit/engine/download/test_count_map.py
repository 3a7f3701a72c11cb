"""Pieces found by how many peers have them. The rest of the map is tested with the rows (`test_rarity`)."""

from __future__ import annotations

import random
from array import array

import pytest

from swarm.engine.download.count_map import PAGE, CountMap


def drawn(*counts: int, offered: bytes | None = None, typecode: str = "H") -> tuple[CountMap, array[int]]:
    numbers = array(typecode, counts)
    return CountMap(numbers, offered or b"\x01" * len(counts), random.Random(1)), numbers


@pytest.mark.parametrize("typecode", ["B", "H"])
def test_map_shows_where_pieces_of_a_count_are(typecode: str) -> None:
    one, _ = drawn(3, 7, 3, 254, typecode=typecode)
    assert not one.shows(0) and one.open(0) and one.shows(0) and one.shows(PAGE - 1)
    assert [one.next_level(level) for level in (0, 4, 8)] == [3, 7, 254]
    assert sorted(one.take(3)) == [0, 2]
    assert one.next_level(3) == 7 and list(one.take(3)) == []


def test_pages_begin_where_others_end() -> None:
    one, _ = drawn(254, 255, 256, 510)
    assert one.open(254) and one.next_level(1) == 254 and list(one.take(254)) == [0]
    assert one.next_level(254) == PAGE and not one.shows(PAGE)
    assert one.open(PAGE) and [one.next_level(255), one.next_level(256)] == [255, 256]
    assert list(one.take(255)) == [1] and one.next_level(257) == 2 * PAGE
    assert one.open(2 * PAGE) and one.next_level(2 * PAGE) == 510
    assert not one.open(3 * PAGE) and one.shows(2 * PAGE)


def test_what_is_not_on_offer_or_left_out_is_not_shown() -> None:
    one, _ = drawn(1, 1, 1, 1, offered=b"\x01\x00\x01\x01")
    one.open(1, without=(2,))
    assert sorted(one.take(1)) == [0, 3]
    assert one.rarest_of(bytearray(b"\x00\x01\x00\x00")) is None


def test_rises_are_not_entered_until_somebody_says_so() -> None:
    one, counts = drawn(1, 1, 254)
    one.open(1)
    for piece in (0, 2):
        counts[piece] += 1
        assert one.may_find(piece, 1)
    assert one.next_level(1) == 1 and one.next_level(2) == 254
    one.put(0)
    one.put(2)
    assert list(one.take(1)) == [1] and one.next_level(1) == 2 and one.next_level(3) == PAGE
    one.forget()
    assert not one.shows(0) and list(one.take(2)) == []
