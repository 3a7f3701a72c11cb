"""The canonical sets of BEP 6."""

from __future__ import annotations

from swarm.engine.upload.allowed_fast import allowed_fast_set

INFO_HASH = b"\xaa" * 20


def test_sets_are_those_of_bep_6() -> None:
    seven = (1059, 431, 808, 1217, 287, 376, 1188)
    assert allowed_fast_set("80.4.4.200", 7, 1313, INFO_HASH) == seven
    assert allowed_fast_set("80.4.4.200", 9, 1313, INFO_HASH) == (*seven, 353, 508)


def test_neighbours_in_a_network_get_the_same_set() -> None:
    assert allowed_fast_set("80.4.4.1", 7, 1313, INFO_HASH) == allowed_fast_set(
        "80.4.4.200", 7, 1313, INFO_HASH
    )
    assert allowed_fast_set("80.4.5.1", 7, 1313, INFO_HASH) != allowed_fast_set(
        "80.4.4.1", 7, 1313, INFO_HASH
    )


def test_small_torrent_gives_each_piece_once() -> None:
    assert sorted(allowed_fast_set("80.4.4.200", 10, 3, INFO_HASH)) == [0, 1, 2]


def test_nothing_is_allowed_without_pieces_or_over_v6() -> None:
    assert allowed_fast_set("80.4.4.200", 10, 0, INFO_HASH) == ()
    assert allowed_fast_set("2001:db8::1", 10, 100, INFO_HASH) == ()
