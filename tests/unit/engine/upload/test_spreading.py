"""An only seed gives each piece once, to those who pass it on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.bitfield import Bitfield
from swarm.engine.peer import NO_PIECES, Peer
from swarm.engine.settings import EngineSettings
from swarm.engine.upload.spreading import Spreading
from tests.unit.engine.world import inside_of, read_drawing

SETTINGS = EngineSettings(miser_pieces=2)


class Crowd:
    """A spreading desk of `pieces`, with leechers numbered from 1."""

    def __init__(self, pieces: int = 6, peers: int = 3) -> None:
        self.desk = Spreading(Bitfield(pieces, is_full=True), SETTINGS)
        self.peers = [inside_of(number, " " * pieces) for number in range(1, peers + 1)]


def test_first_who_asks_gets_the_piece_and_the_second_is_told_no() -> None:
    crowd = Crowd()
    one, two, _ = crowd.peers
    assert crowd.desk.accepts(one, 0)
    assert not crowd.desk.accepts(two, 0)
    assert crowd.desk.accepts(one, 0), "the rest of its piece"
    assert crowd.desk.accepts(two, 1)


def test_whoever_asks_again_is_served() -> None:
    crowd = Crowd()
    one, two, _ = crowd.peers
    crowd.desk.accepts(one, 0)
    assert [crowd.desk.accepts(two, 0) for _ in range(2)] == [False, True]


def test_peer_without_the_fast_extension_is_never_declined() -> None:
    crowd = Crowd()
    one, two, _ = crowd.peers
    two.has_fast = False
    crowd.desk.accepts(one, 0)
    assert crowd.desk.accepts(two, 0)


def test_all_are_served_when_nothing_is_fresh() -> None:
    crowd = Crowd(pieces=2)
    one, two, three = crowd.peers
    assert crowd.desk.accepts(one, 0)
    assert crowd.desk.accepts(two, 1)
    assert crowd.desk.accepts(three, 0)


def test_piece_of_a_peer_that_is_choked_is_fresh_again() -> None:
    crowd = Crowd()
    one, two, _ = crowd.peers
    crowd.desk.accepts(one, 0)
    crowd.desk.take_back(one)
    assert crowd.desk.accepts(two, 0)
    assert not crowd.desk.accepts(one, 0)


def test_what_only_a_lost_peer_had_is_fresh_again() -> None:
    crowd = Crowd()
    one, two, three = crowd.peers
    crowd.desk.accepts(one, 0)
    crowd.desk.seen(one, 0)
    assert not crowd.desk.accepts(two, 0)
    crowd.desk.lost(one)
    assert crowd.desk.accepts(three, 0)


def test_it_ends_when_a_copy_is_out() -> None:
    crowd = Crowd(pieces=2)
    one, two, _ = crowd.peers
    crowd.desk.accepts(one, 0)
    crowd.desk.seen(one, 0)
    assert crowd.desk.is_active
    crowd.desk.seen(two, 1)
    assert not crowd.desk.is_active


def test_with_another_seed_about_it_declines_only_where_the_line_is_late() -> None:
    crowd = Crowd()
    one, two, _ = crowd.peers
    crowd.desk.met_seed()
    assert crowd.desk.accepts(one, 0, is_late=False)
    assert crowd.desk.accepts(two, 0, is_late=False)
    assert not crowd.desk.accepts(two, 0, is_late=True)


@pytest.mark.parametrize(
    ("have", "is_super_seeding", "is_active"),
    [("**", False, True), ("* ", False, False), ("", False, False), ("**", True, False)],
)
def test_it_is_for_seeds_of_whom_the_user_wants_nothing_else(
    have: str, is_super_seeding: bool, is_active: bool
) -> None:
    settings = EngineSettings(is_super_seeding=is_super_seeding)
    assert Spreading(read_drawing(have), settings).is_active == is_active


def test_who_passes_nothing_on_gets_no_more_fresh_pieces_and_others_get_his() -> None:
    crowd = Crowd()
    miser, other, _ = crowd.peers
    for piece in (0, 1):
        assert crowd.desk.accepts(miser, piece)
        crowd.desk.seen(miser, piece)
    crowd.desk.accepts(other, 5)
    crowd.desk.seen(other, 5)
    assert [crowd.desk.accepts(miser, 2) for _ in range(3)] == [False] * 3
    assert crowd.desk.accepts(other, 0)


def test_misers_are_served_where_there_are_no_others() -> None:
    crowd = Crowd()
    miser = crowd.peers[0]
    for piece in range(4):
        assert crowd.desk.accepts(miser, piece)
        crowd.desk.seen(miser, piece)
    assert miser.is_miser


def test_what_the_seed_gave_a_second_time_is_not_to_the_credit_of_the_first() -> None:
    crowd = Crowd()
    miser, other, _ = crowd.peers
    for piece in (0, 1):
        crowd.desk.accepts(miser, piece)
        crowd.desk.seen(miser, piece)
    crowd.desk.accepts(other, 0)
    crowd.desk.seen(other, 0)
    crowd.desk.accepts(other, 5)
    crowd.desk.seen(other, 5)
    assert not crowd.desk.accepts(miser, 2)


def test_who_has_passed_a_piece_on_is_no_miser() -> None:
    crowd = Crowd()
    giver, other, _ = crowd.peers
    for piece in (0, 1):
        crowd.desk.accepts(giver, piece)
        crowd.desk.seen(giver, piece)
    crowd.desk.seen(other, 0)
    assert crowd.desk.accepts(giver, 2)


def test_each_piece_is_given_once_whatever_the_order_of_requests() -> None:
    rng = random.Random(5)
    crowd = Crowd(pieces=40, peers=8)
    givers: dict[int, Peer] = {}
    while len(givers) < 40:
        peer, piece = rng.choice(crowd.peers), rng.randrange(40)
        peer.declined = NO_PIECES
        if crowd.desk.accepts(peer, piece) and len(givers) < 40:
            assert givers.setdefault(piece, peer) is peer


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 5)), max_size=30),
    st.integers(0, 2),
    st.text(" *", min_size=6, max_size=6),
)
def test_a_bitfield_is_seen_at_once_as_piece_by_piece(
    steps: list[tuple[bool, int, int]], newcomer: int, drawing: str
) -> None:
    have = read_drawing(drawing)
    books = []
    for is_at_once in (False, True):
        crowd = Crowd()
        for is_request, number, piece in steps:
            if is_request:
                crowd.desk.accepts(crowd.peers[number], piece)
            else:
                crowd.desk.seen(crowd.peers[number], piece)
        desk, peer = crowd.desk, crowd.peers[newcomer]
        if is_at_once:
            desk.seen_all(peer, have)
        else:
            for piece in have:
                desk.seen(peer, piece)
        books.append(
            (
                [desk._fresh, desk._fresh_count, desk._given, desk._held, desk._kept, desk._passed_on],
                [set(desk._misers), desk.is_active or not have.count],
                [other.is_miser for other in crowd.peers],
            )
        )
    assert books[0] == books[1]
