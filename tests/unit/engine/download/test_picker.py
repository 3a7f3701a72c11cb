"""Which piece comes next. Worlds are drawn: a digit a piece for availability, `*` for what one has."""

from __future__ import annotations

import random
from array import array

import pytest

from swarm.base.blocks import Geometry
from swarm.engine.download.availability import Availability
from swarm.engine.download.picker import Picker
from swarm.engine.download.rarity import RarityOrder
from swarm.engine.peer import NO_PIECES, Peer, with_piece
from tests.unit.engine.world import drawn, inside_of, read_drawing


def picker(
    availability: str,
    have: str = "",
    priorities: str = "",
    *,
    seed: int = 1,
    random_first: int = 0,
    is_sequential: bool = False,
) -> Picker:
    count = len(availability)
    desk = Availability(count)
    desk.counts[:] = array("H", map(int, availability))
    return Picker(
        read_drawing(have or " " * count),
        bytes(map(int, priorities or "1" * count)),
        desk,
        random.Random(seed),
        is_sequential=is_sequential,
        random_first_pieces=random_first,
    )


def peer(have: str) -> Peer:
    return inside_of(1, have)


def picks(desk: Picker, one: Peer) -> list[int]:
    """All pieces that would be started with `one`, in order."""
    order = []
    while (piece := desk.pick(one)) is not None:
        desk.started(piece)
        desk.check([one])
        order.append(piece)
    return order


class TestOrder:
    @pytest.mark.parametrize(
        ("availability", "have", "peer_has", "first"),
        [
            ("2223333", "* * *  ", "*******", 1),
            ("3223333", "       ", "****** ", (1, 2)),
            ("1222", "    ", " ***", (1, 2, 3)),
            ("1111", "****", "****", None),
            ("1111", "    ", "    ", None),
            ("9219", "    ", "*  *", (0, 3)),
        ],
    )
    def test_rarest_piece_comes_first(
        self, availability: str, have: str, peer_has: str, first: int | tuple[int, ...] | None
    ) -> None:
        piece = picker(availability, have).pick(peer(peer_has))
        assert piece in first if isinstance(first, tuple) else piece == first

    def test_rarest_first_goes_on_to_the_commonest(self) -> None:
        assert picks(picker("43210"), peer("*****")) == [4, 3, 2, 1, 0]

    def test_ties_are_broken_at_random(self) -> None:
        assert {picker("1111", seed=seed).pick(peer("****")) for seed in range(50)} == {0, 1, 2, 3}

    def test_first_pieces_are_random_so_that_there_is_something_to_trade(self) -> None:
        firsts = {picker("1999", seed=seed, random_first=1).pick(peer("****")) for seed in range(50)}
        assert firsts == {0, 1, 2, 3}
        assert picker("1999", "   *", random_first=1).pick(peer("****")) == 0

    def test_first_pieces_need_no_order_of_rarity_however_many_bitfields_come(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        filled: list[int] = []
        fill = RarityOrder._fill_all

        def counted(order: RarityOrder) -> None:
            filled.append(len(order))
            fill(order)

        desk = picker("0000", random_first=1)
        monkeypatch.setattr(RarityOrder, "_fill_all", counted)
        for have in ("**  ", "* * ", "*  *"):
            other = peer(have)
            desk._availability.add(other.have)
            first = desk.pick(other)
            assert first is not None and other.have.flags[first]
        assert filled == []
        # The second goes by rarity, and all that came before is in order.
        desk._have.add(0)
        desk.verified(0)
        desk.started(0)
        assert desk.pick(peer("****")) in (1, 2, 3)
        assert filled == [3]
        desk.check()

    def test_sequential_goes_in_order_through_what_the_peer_has(self) -> None:
        assert picks(picker("12345", is_sequential=True), peer("* ***")) == [0, 2, 3, 4]

    @pytest.mark.parametrize("is_sequential", [True, False])
    def test_higher_priorities_come_first_and_unwanted_never(self, is_sequential: bool) -> None:
        desk = picker("1111", priorities="0121", is_sequential=is_sequential)
        assert picks(desk, peer("****"))[0] == 2
        assert sorted(picks(picker("1111", priorities="0121"), peer("****"))) == [1, 2, 3]

    def test_a_piece_that_is_refused_no_more_is_found_though_another_one_is(self) -> None:
        one, desk = peer("**"), picker("11")
        desk.started(1)
        one.refused = with_piece(NO_PIECES, 0)
        assert desk.pick(one) is None
        # A round later what it refused is forgotten; then it rejects the other piece.
        one.refused = with_piece(NO_PIECES, 1)
        assert desk.pick(one) == 0

    def test_refused_pieces_are_not_asked_for_again(self) -> None:
        one = peer("****")
        one.refused = {0, 2}
        assert sorted(picks(picker("1234"), one)) == [1, 3]

    @pytest.mark.parametrize("gained", [(1, 3), (3, 1)])
    def test_who_had_nothing_gains_the_rarest_of_what_comes(self, gained: tuple[int, int]) -> None:
        desk, one = picker("12341"), peer("     ")
        assert desk.pick(one) is None
        for piece in gained:
            assert one.have.add(piece) and desk.gained(one, piece)
        assert picks(desk, one) == [1, 3]
        one.have.add(0)
        desk.started(0)
        assert desk.gained(one, 0) and desk.pick(one) is None

    def test_what_was_refused_is_not_found_among_the_gains(self) -> None:
        desk, one = picker("111"), peer("   ")
        assert desk.pick(one) is None
        one.have.add(1)
        desk.gained(one, 1)
        one.refused = {1}
        assert desk.pick(one) is None

    def test_allowed_fast_pieces_are_those_named_had_and_startable(self) -> None:
        one = peer("*** ")
        one.allowed_fast_in = {0, 1, 2, 3}
        one.refused = {1}
        desk = picker("1111", "*   ")
        assert desk.pick_allowed_fast(one) == 2
        desk.started(2)
        assert desk.pick_allowed_fast(one) is None


class TestBooks:
    def test_started_piece_is_not_offered_until_returned(self) -> None:
        desk = picker("12")
        desk.started(0)
        assert desk.pick(peer("**")) == 1
        desk.returned(0)
        desk.returned(0)
        desk.check()
        assert desk.pick(peer("**")) == 0

    def test_unwanted_piece_is_not_taken_back(self) -> None:
        desk = picker("11", priorities="01")
        desk.returned(0)
        desk.check()
        assert picks(desk, peer("**")) == [1]

    def test_piece_of_a_priority_of_which_none_was_missing_is_taken_back(self) -> None:
        desk = picker("111", "*  ", priorities="211")
        desk.started(1)
        desk._have.discard(0)
        desk.lost(0)
        desk.check()
        assert picks(desk, peer("***")) == [0, 2]

    def test_lost_piece_is_offered_again(self) -> None:
        desk = picker("11", "**")
        assert desk.wanted_missing == 0 and not desk.has_startable
        desk._have.discard(1)
        desk.lost(1)
        desk.check()
        assert drawn(picks(desk, peer("**")), 2) == " *"

    def test_wrong_number_of_priorities_is_our_own_fault(self) -> None:
        with pytest.raises(ValueError, match="3 priorities for 2 pieces"):
            picker("11", priorities="111")

    def test_missing_bytes_know_the_short_last_piece(self) -> None:
        geometry = Geometry(250, 100)
        assert picker("111").missing_bytes(geometry) == 250
        assert picker("111", priorities="110").missing_bytes(geometry) == 200
        assert picker("111", "* *").missing_bytes(geometry) == 100


@pytest.mark.parametrize(
    ("theirs", "ours", "priorities", "count"),
    [("*** ", "    ", "1111", 3), ("****", "*   ", "1021", 2), ("* * ", "* * ", "1111", 0), ("", "", "", 0)],
)
def test_pieces_that_interest_us_are_those_that_we_want_and_miss(
    theirs: str, ours: str, priorities: str, count: int
) -> None:
    desk = picker("0" * len(theirs), ours, priorities)
    assert desk.count_interesting(read_drawing(theirs)) == count
