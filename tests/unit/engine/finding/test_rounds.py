"""Rounds of a source, in virtual time."""

from __future__ import annotations

import random

from swarm.engine.finding.pace import Pace
from swarm.engine.finding.rounds import Rounds

EXACT = Pace(interval_jitter=0, retry_jitter=0)


def rounds(interval_s: float = 900) -> Rounds:
    return Rounds(interval_s, random.Random(1), 100.0, EXACT)


def test_the_first_is_due_at_once_and_the_next_an_interval_after_its_beginning() -> None:
    desk = rounds()
    assert desk.next_at == 100
    desk.begin(100)
    assert desk.next_at is None and desk.is_under_way
    desk.ended(5, is_complete=False)
    assert (desk.next_at, desk.peer_count) == (1000, 5)


def test_whoever_is_alone_asks_sooner_but_ever_less() -> None:
    desk = rounds()
    now, waits = 100.0, []
    for _ in range(5):
        desk.begin(now)
        desk.ended(0, is_complete=False)
        assert desk.next_at is not None
        waits.append(desk.next_at - now)
        now = desk.next_at
    assert waits == [60, 150, 375, 900, 900]


def test_a_seed_alone_is_content() -> None:
    desk = rounds()
    desk.begin(100)
    desk.ended(0, is_complete=True)
    assert desk.next_at == 1000


def test_need_brings_the_next_forward_to_a_minute_after_the_last() -> None:
    desk = rounds()
    desk.begin(100)
    desk.hurry(101)
    desk.ended(5, is_complete=False)
    assert desk.next_at == 1000
    desk.hurry(110)
    assert desk.next_at == 160
    desk.hurry(500)
    assert desk.next_at == 160


def test_completion_during_a_round_is_told_in_one_that_follows_soon() -> None:
    desk = rounds()
    desk.begin(100)
    desk.changed(105)
    desk.ended(5, is_complete=True)
    assert desk.next_at == 160
    desk.begin(160)
    desk.ended(5, is_complete=True)
    assert desk.next_at == 1060


def test_failures_back_off_and_need_does_not_hurry_them() -> None:
    desk = rounds()
    now, waits = 100.0, []
    for _ in range(4):
        desk.begin(now)
        desk.failed("no nodes", now)
        desk.hurry(now + 1)
        assert desk.next_at is not None and desk.error == "no nodes"
        waits.append(desk.next_at - now)
        now = desk.next_at
    assert waits == [10, 25, 62.5, 156.25]
    desk.begin(now)
    desk.ended(1, is_complete=False)
    assert desk.error == ""


def test_a_thousand_torrents_that_start_together_drift_apart() -> None:
    found = set()
    for seed in range(1000):
        desk = Rounds(900, random.Random(seed), 0.0)
        desk.begin(0)
        desk.ended(1, is_complete=False)
        assert desk.next_at is not None and 900 <= desk.next_at <= 945
        found.add(round(desk.next_at))
    assert len(found) > 40


def test_failures_do_not_make_it_rarer_than_it_is_while_all_is_well() -> None:
    desk = rounds()
    now, waits = 100.0, []
    for _ in range(12):
        desk.begin(now)
        desk.failed("no nodes", now)
        assert desk.next_at is not None
        waits.append(desk.next_at - now)
        now = desk.next_at
    assert max(waits) == 900


def test_a_network_that_is_back_is_tried_at_once_and_from_the_beginning() -> None:
    desk = rounds()
    now = 100.0
    for _ in range(8):
        desk.begin(now)
        desk.failed("no nodes", now)
        assert desk.next_at is not None
        now = desk.next_at
    desk.begin(now)
    desk.failed("no nodes", now)
    desk.network_changed(now + 100)
    assert desk.next_at == now + 100
    desk.begin(now + 100)
    desk.failed("no nodes", now + 100)
    # One that comes and goes does not have us ask all the time.
    desk.network_changed(now + 101)
    assert desk.next_at == now + 110
    # Nor is the round that is under way a later failure than the first.
    desk.begin(now + 110)
    desk.network_changed(now + 115)
    desk.failed("no nodes", now + 120)
    assert desk.next_at == now + 130


def test_at_another_address_it_is_told_as_early_as_is_polite() -> None:
    desk = rounds()
    desk.begin(100)
    desk.ended(5, is_complete=False)
    desk.network_changed(120)
    assert desk.next_at == 160
    desk.begin(160)
    desk.network_changed(161)
    desk.ended(5, is_complete=False)
    assert desk.next_at == 220
