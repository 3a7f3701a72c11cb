"""Turns under a rate limit, in virtual time."""

from __future__ import annotations

from typing import Any, cast

import pytest

from swarm.base.bucket import Bucket
from swarm.session.connections.throttle import Throttle
from tests.unit.session.connections.virtual_loop import Link, VirtualLoop


def make(rate: float | None) -> tuple[VirtualLoop, Throttle]:
    loop = VirtualLoop()
    return loop, Throttle(cast(Any, loop), rate)


@pytest.mark.parametrize("rate", [100 * 1024, 4 << 20, 100 << 20])
def test_throttle_moves_the_rate_within_two_percent_over_ten_seconds(rate: int) -> None:
    loop, throttle = make(rate)
    links = [Link() for _ in range(5)]
    for link in links:
        throttle.wait(link.turn, Bucket(None, 0.0))
    loop.run(10.0)
    assert sum(link.moved_bytes for link in links) == pytest.approx(10 * rate, rel=0.02)


def test_throttle_serves_links_evenly() -> None:
    loop, throttle = make(4 << 20)
    links = [Link() for _ in range(7)]
    for link in links:
        throttle.wait(link.turn, Bucket(None, 0.0))
    loop.run(10.0)
    assert max(link.moved_bytes for link in links) <= 1.02 * min(link.moved_bytes for link in links)


def test_throttle_holds_a_torrent_to_its_own_tighter_limit_without_slowing_the_other() -> None:
    loop, throttle = make(4 << 20)
    slow, fast = Link(), Link()
    throttle.wait(slow.turn, Bucket(1 << 20, 0.0))
    throttle.wait(fast.turn, Bucket(None, 0.0))
    loop.run(10.0)
    assert slow.moved_bytes == pytest.approx(10 << 20, rel=0.02)
    assert slow.moved_bytes + fast.moved_bytes == pytest.approx(40 << 20, rel=0.02)


def test_throttle_goes_on_with_others_after_a_bug_in_the_turn_of_one() -> None:
    loop, throttle = make(4 << 20)
    good = Link()

    def broken(size_bytes: int) -> tuple[int, bool]:
        raise ValueError("a bug")

    throttle.wait(good.turn, Bucket(None, 0.0))
    throttle.wait(broken, Bucket(None, 0.0))
    with pytest.raises(ValueError, match="a bug"):
        loop.run(1.0)
    loop.run(10.0)
    assert good.moved_bytes == pytest.approx(40 << 20, rel=0.02)


def test_throttle_does_not_spin_for_a_link_that_has_more_and_moves_nothing() -> None:
    loop, throttle = make(4 << 20)
    good = Link()
    turns = 0

    def stuck(size_bytes: int) -> tuple[int, bool]:
        nonlocal turns
        turns += 1
        assert turns < 1000
        return 0, True

    throttle.wait(stuck, Bucket(None, 0.0))
    loop.run(1.0)
    throttle.wait(good.turn, Bucket(None, 0.0))
    loop.run(10.0)
    assert good.moved_bytes == pytest.approx(36 << 20, rel=0.05)


def test_throttle_changed_in_the_middle_takes_effect_at_once() -> None:
    loop, throttle = make(1 << 20)
    link = Link()
    throttle.wait(link.turn, Bucket(None, 0.0))
    loop.run(10.0)
    before = link.moved_bytes
    throttle.set_rate(4 << 20)
    loop.run(20.0)
    assert before == pytest.approx(10 << 20, rel=0.02)
    assert link.moved_bytes - before == pytest.approx(40 << 20, rel=0.02)


def test_throttle_counts_what_was_charged_elsewhere() -> None:
    loop, throttle = make(1 << 20)
    link, own = Link(), Bucket(None, 0.0)
    throttle.wait(link.turn, own)
    for second in range(10):
        throttle.charge(100_000, own)
        loop.run(second + 1.0)
    assert link.moved_bytes + 1_000_000 == pytest.approx(10 << 20, rel=0.02)


def test_throttle_says_which_limit_holds_whom() -> None:
    loop, throttle = make(4 << 20)
    slow, fast = Bucket(1 << 20, 0.0), Bucket(None, 0.0)
    throttle.wait(Link().turn, slow)
    assert throttle.holding_rate(fast) is None
    loop.run(5.0)
    # Only its own limit is used up.
    assert throttle.holding_rate(slow) == 1 << 20
    throttle.wait(Link().turn, fast)
    loop.run(10.0)
    assert throttle.holding_rate(fast) == 4 << 20


def test_throttle_does_not_spin_while_nothing_may_flow() -> None:
    loop, throttle = make(100 * 1024)
    link = Link()
    throttle.wait(link.turn, Bucket(None, 0.0))
    loop.run(10.0)
    # A block every 0.16 s: about one call for each.
    assert loop.calls < 100


def test_throttle_forgets_a_link_that_left() -> None:
    loop, throttle = make(1 << 20)
    gone, here = Link(), Link()
    throttle.wait(gone.turn, Bucket(None, 0.0))
    throttle.wait(here.turn, Bucket(None, 0.0))
    throttle.leave(gone.turn)
    loop.run(10.0)
    assert gone.moved_bytes == 0
    assert here.moved_bytes == pytest.approx(10 << 20, rel=0.02)


def test_throttle_whose_limit_is_taken_away_lets_all_go() -> None:
    loop, throttle = make(16384)
    link = Link()
    throttle.wait(lambda size_bytes: (link.turn(size_bytes)[0], False), Bucket(None, 0.0))
    throttle.set_rate(None)
    loop.run(0.1)
    assert link.moved_bytes


def test_throttle_pays_for_a_turn_before_the_next() -> None:
    """A fifth of a second at a time where that is less than 1 MiB: about five calls a second."""
    loop, throttle = make(4 << 20)
    link = Link()
    throttle.wait(link.turn, Bucket(None, 0.0))
    loop.run(10.0)
    assert loop.calls < 55
    assert link.moved_bytes == pytest.approx(40 << 20, rel=0.02)


@pytest.mark.parametrize(("taker_count", "calls_a_second"), [(1, 5), (2, 20)])
def test_throttle_has_longer_turns_for_who_alone_takes_after_a_rest(
    taker_count: int, calls_a_second: int
) -> None:
    """Of two each has half a turn of a tenth of a second."""
    loop, throttle = make(4 << 20)
    loop.run(60.0)
    for _ in range(taker_count):
        throttle.wait(Link().turn, Bucket(None, 60.0))
    loop.run(62.0)
    before = loop.calls
    loop.run(67.0)
    assert loop.calls - before == pytest.approx(5 * calls_a_second, abs=8)


def test_throttle_lets_ten_seconds_after_a_pause_have_two_percent_more_and_not_more() -> None:
    rate = 4 << 20
    loop, throttle = make(rate)
    loop.run(60.0)
    link = Link()
    throttle.wait(link.turn, Bucket(None, 60.0))
    loop.run(70.0)
    assert 10 * rate <= link.moved_bytes <= 1.021 * 10 * rate


def test_throttle_serves_a_torrent_without_debts_while_another_pays_its_own() -> None:
    loop, throttle = make(None)
    poor, rich = Bucket(16_384, 0.0), Bucket(10 << 20, 0.0)
    throttle.charge(160_000, poor)
    late, soon = Link(), Link()
    throttle.wait(late.turn, poor)
    loop.run(0.01)
    throttle.wait(soon.turn, rich)
    loop.run(1.0)
    assert not late.moved_bytes
    assert soon.moved_bytes >= 9 << 20


def test_throttle_has_less_room_the_more_it_owes() -> None:
    loop, throttle = make(1 << 20)
    own = Bucket(None, 0.0)
    turn = throttle.room(own)
    assert turn == (1 << 20) // 5
    throttle.charge(50_000, own)
    assert throttle.is_spent(own)
    assert throttle.room(own) == turn - 50_000
    throttle.charge(1 << 20, own)
    # Who reads at all reads something.
    assert 0 < throttle.room(own) < 16_384
    loop.run(2.0)
    assert not throttle.is_spent(own)
