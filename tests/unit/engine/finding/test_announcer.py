"""The announcer's decisions, in virtual time."""

from __future__ import annotations

import random
from typing import Any

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.engine.finding.announcer import Announcer, AnnounceSettings, Due
from swarm.engine.finding.pace import SourceState
from swarm.wire.tracker.announce import AnnounceResponse

PEERS = (Endpoint("10.0.0.1", 1),)
#: No spread, so that instants can be compared.
EXACT = AnnounceSettings(interval_jitter=0, retry_jitter=0)


def announcer(*tiers: list[str], is_seed: bool = False, seed: int = 1) -> Announcer:
    return Announcer(tiers, random.Random(seed), key=7, is_seed=is_seed, settings=EXACT)


def response(interval_s: int = 1800, **fields: object) -> AnnounceResponse:
    return AnnounceResponse(interval_s=interval_s, **({"peers": PEERS} | fields))  # type: ignore[arg-type]


def only(dues: list[Due]) -> tuple[str, str | None]:
    (due,) = dues
    return due.url, due.event


class TestEvents:
    def test_started_comes_once_then_regular_announces(self) -> None:
        desk = announcer(["a"])
        assert only(desk.due(0)) == ("a", "started")
        desk.answered("a", response(), 1)
        assert desk.due(1800) == []
        assert desk.next_wakeup() == 1801
        assert only(desk.due(1801)) == ("a", None)

    def test_started_is_said_again_until_it_is_answered(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.failed("a", TrackerError("no answer"), 1)
        assert only(desk.due(11)) == ("a", "started")

    def test_nothing_is_due_while_an_announce_is_on_its_way(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        assert desk.due(100) == [] and desk.next_wakeup() is None

    def test_completed_is_told_at_once_and_once(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.answered("a", response(), 0)
        desk.completed(5)
        assert desk.next_wakeup() == 0
        assert only(desk.due(5)) == ("a", "completed")
        desk.answered("a", response(), 6)
        assert desk.due(7) == []
        desk.completed(8)
        assert desk.due(8) == []

    def test_completed_is_tried_again_after_a_failure(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.answered("a", response(), 0)
        desk.completed(5)
        desk.due(5)
        desk.failed("a", TrackerError("down"), 6)
        assert desk.due(7) == []
        assert only(desk.due(16)) == ("a", "completed")

    def test_completed_while_started_is_on_its_way_follows_it(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.completed(1)
        desk.answered("a", response(), 2)
        assert only(desk.due(2)) == ("a", "completed")

    def test_completed_before_any_announce_joins_as_a_seed(self) -> None:
        desk = announcer(["a"])
        desk.completed(0)
        assert only(desk.due(0)) == ("a", "started")
        desk.answered("a", response(), 0)
        assert desk.due(1) == []

    def test_who_lost_a_piece_says_so_early_seeks_peers_and_completes_once(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.answered("a", response(), 0)
        desk.completed(5)
        desk.due(5)
        desk.answered("a", response(), 5)
        desk.reopened(10)
        assert desk.next_wakeup() == 65
        assert only(desk.due(65)) == ("a", None)
        # Nobody else is there: as a leecher it asks again soon.
        desk.answered("a", response(peers=()), 65)
        assert desk.next_wakeup() == 125
        desk.completed(70)
        assert only(desk.due(125)) == ("a", None)
        desk.answered("a", response(peers=()), 125)
        assert desk.next_wakeup() == 1925

    def test_completed_is_not_said_while_a_piece_is_missing_again(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.answered("a", response(), 0)
        desk.completed(5)
        desk.due(5)
        desk.failed("a", TrackerError("down"), 5)
        desk.reopened(10)
        assert only(desk.due(15)) == ("a", None)
        desk.answered("a", response(), 15)
        desk.completed(20)
        assert only(desk.due(20)) == ("a", "completed")

    def test_a_seed_from_the_start_never_completes(self) -> None:
        desk = announcer(["a"], is_seed=True)
        desk.due(0)
        desk.answered("a", response(), 0)
        desk.completed(1)
        assert desk.due(1) == []

    def test_stopped_goes_to_those_that_list_us(self) -> None:
        desk = announcer(["a"], ["b"], ["c"])
        desk.due(0)
        desk.failed("a", TrackerError("down"), 0)
        desk.due(0)
        desk.answered("b", response(), 0)
        assert [(due.url, due.event, due.num_want) for due in desk.stopping()] == [("b", "stopped", 0)]
        assert desk.due(10_000) == [] and desk.next_wakeup() is None

    def test_stopped_also_goes_to_the_one_being_asked(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        assert only(desk.stopping()) == ("a", "stopped")

    def test_nobody_is_told_who_was_never_asked(self) -> None:
        assert announcer(["a"]).stopping() == []

    def test_tracker_id_and_key_go_into_the_next_announces(self) -> None:
        desk = announcer(["a"])
        assert desk.due(0)[0].tracker_id is None
        desk.answered("a", response(tracker_id=b"id"), 0)
        (due,) = desk.due(1800)
        assert (due.tracker_id, due.key, due.num_want) == (b"id", 7, 80)
        desk.answered("a", response(), 1800)
        assert desk.stopping()[0].tracker_id == b"id"


class TestTiers:
    def test_trackers_of_a_tier_are_shuffled_and_tiers_are_not(self) -> None:
        orders = set()
        for seed in range(20):
            status = announcer(["a", "b"], ["c", "d"], seed=seed).status()
            orders.add("".join(tracker.url for tracker in status))
        assert orders == {"abcd", "bacd", "abdc", "badc"}

    def test_a_later_tier_is_asked_only_when_all_before_fail(self) -> None:
        desk = announcer(["a"], ["b"], ["c"])
        desk.due(0)
        desk.failed("a", TrackerError("down"), 0)
        assert only(desk.due(0)) == ("b", "started")
        desk.answered("b", response(), 0)
        # c is not asked; a is tried again after its backoff.
        assert desk.due(9) == [] and desk.next_wakeup() == 10
        assert only(desk.due(10)) == ("a", "started")

    def test_the_one_that_answers_moves_to_the_front_of_its_tier(self) -> None:
        desk = announcer(["a", "b", "c"])
        first, second, third = (tracker.url for tracker in desk.status())
        desk.due(0)
        desk.failed(first, TrackerError("down"), 0)
        desk.due(0)
        desk.answered(second, response(), 0)
        assert [tracker.url for tracker in desk.status()] == [second, first, third]
        # The one that works is enough: the failed one behind it is left alone.
        assert desk.due(1799) == []
        assert only(desk.due(1800)) == (second, None)

    def test_an_earlier_tier_that_comes_back_is_used_again(self) -> None:
        desk = announcer(["a"], ["b"])
        desk.due(0)
        desk.failed("a", TrackerError("down"), 0)
        desk.due(0)
        desk.answered("b", response(), 0)
        desk.due(10)
        desk.answered("a", response(), 10)
        assert desk.due(1805) == []
        assert only(desk.due(1810)) == ("a", None)
        assert {due.url for due in desk.stopping()} == {"a", "b"}

    def test_a_url_that_comes_twice_counts_once(self) -> None:
        assert [tracker.url for tracker in announcer(["a", "a"], ["a"], ["b"]).status()] == ["a", "b"]

    def test_without_trackers_nothing_is_ever_due(self) -> None:
        desk = announcer()
        assert desk.due(0) == [] and desk.next_wakeup() is None and desk.status() == ()


class TestPatience:
    def test_a_tracker_that_does_not_answer_holds_up_the_next_one_for_three_seconds(self) -> None:
        desk = announcer(["a"], ["b"], ["c"])
        desk.due(0)
        assert desk.due(2.9) == [] and desk.next_wakeup() == 3
        assert only(desk.due(3)) == ("b", "started")
        assert desk.next_wakeup() == 6
        desk.answered("b", response(), 4)
        # That is enough: c is left alone, whatever becomes of a.
        assert desk.next_wakeup() == 1804
        desk.failed("a", TrackerError("no answer"), 45)
        assert desk.next_wakeup() == 55

    def test_no_more_than_four_are_asked_at_a_time(self) -> None:
        desk = announcer(*([name] for name in "abcdef"))
        asked = [only(desk.due(now))[0] for now in (0, 3, 6, 9)]
        assert asked == ["a", "b", "c", "d"]
        assert desk.due(1000) == [] and desk.next_wakeup() is None
        desk.failed("b", TrackerError("down"), 1000)
        assert only(desk.due(1000)) == ("e", "started")

    def test_a_tracker_that_lists_us_is_waited_for(self) -> None:
        desk = announcer(["a"], ["b"])
        desk.due(0)
        desk.answered("a", response(), 0)
        desk.due(1800)
        assert desk.due(1840) == [] and desk.next_wakeup() is None

    def test_all_that_are_being_asked_hear_that_we_stop(self) -> None:
        desk = announcer(["a"], ["b"])
        desk.due(0)
        desk.due(3)
        assert [due.url for due in desk.stopping()] == ["a", "b"]

    def test_completion_reaches_each_of_them_after_its_answer(self) -> None:
        desk = announcer(["a"], ["b"])
        desk.due(0)
        desk.due(3)
        desk.completed(4)
        desk.answered("b", response(), 5)
        assert only(desk.due(5)) == ("b", "completed")
        desk.answered("a", response(), 6)
        assert only(desk.due(6)) == ("a", "completed")


class TestIntervals:
    @pytest.mark.parametrize(
        ("interval_s", "min_interval_s", "next_at"),
        [
            (1800, None, 1800),
            (0, None, 60),
            (30, None, 30),
            (30, 60, 60),
            (8, 8, 8),
            (2, None, 60),
            (30, 90, 90),
            (10**9, None, 86_400),
            (10**9, 10**9, 86_400),
        ],
    )
    def test_are_the_tracker_s_within_our_bounds(
        self, interval_s: int, min_interval_s: int | None, next_at: float
    ) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.answered("a", response(interval_s, min_interval_s=min_interval_s), 0)
        assert desk.next_wakeup() == next_at

    def test_need_brings_the_next_announce_forward_to_the_min_interval(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.answered("a", response(min_interval_s=300), 0)
        desk.need_peers(10)
        assert desk.next_wakeup() == 300
        desk.need_peers(400)
        assert only(desk.due(400)) == ("a", None)

    def test_need_never_goes_below_a_minute(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.answered("a", response(min_interval_s=1), 0)
        desk.need_peers(1)
        assert desk.next_wakeup() == 60

    def test_need_does_not_hurry_a_tracker_that_fails(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.failed("a", TrackerError("down"), 0)
        desk.need_peers(1)
        assert desk.next_wakeup() == 10

    # opentracker names a peer to itself.
    @pytest.mark.parametrize("fields", [{"peers": ()}, {"seeds": 0, "leechers": 1}])
    def test_alone_in_the_swarm_we_ask_again_sooner_but_ever_less(self, fields: dict[str, Any]) -> None:
        desk = announcer(["a"])
        now = 0.0
        waits = []
        for _ in range(6):
            desk.due(now)
            desk.answered("a", response(**fields), now)
            wakeup_at = desk.next_wakeup()
            assert wakeup_at is not None
            waits.append(wakeup_at - now)
            now = wakeup_at
        assert waits == [60, 150, 375, 937.5, 1800, 1800]

    def test_with_one_other_we_are_not_alone(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.answered("a", response(seeds=1, leechers=1), 0)
        assert desk.next_wakeup() == 1800

    def test_a_seed_alone_waits_for_leechers_to_come(self) -> None:
        desk = announcer(["a"], is_seed=True)
        desk.due(0)
        desk.answered("a", response(peers=()), 0)
        assert desk.next_wakeup() == 1800

    def test_jitter_comes_later_never_earlier(self) -> None:
        desk = Announcer([["a"]], random.Random(3), key=1)
        for _ in range(50):
            now = desk.next_wakeup() or 0.0
            desk.due(now)
            desk.answered("a", response(), now)
            wakeup_at = desk.next_wakeup()
            assert wakeup_at is not None and now + 1800 <= wakeup_at <= now + 1890


def dual(*tiers: list[str], settings: AnnounceSettings = EXACT) -> Announcer:
    """For a host that peers reach over both families."""
    return Announcer(tiers, random.Random(1), key=7, families=(False, True), settings=settings)


def asked(desk: Announcer, now: float) -> list[tuple[str, bool, str | None]]:
    """All that is due now."""
    found: list[tuple[str, bool, str | None]] = []
    while dues := desk.due(now):
        found += [(due.url, due.is_v6, due.event) for due in dues]
    return found


class TestFamilies:
    def test_a_tracker_is_told_over_both_at_once_with_one_key(self) -> None:
        desk = dual(["http://t/"], ["http://later/"])
        first, second = desk.due(0) + desk.due(0)
        assert (first.url, first.is_v6, first.event) == ("http://t/", False, "started")
        assert (second.url, second.is_v6, second.event) == ("http://t/", True, "started")
        assert first.key == second.key
        assert desk.due(0) == []

    @pytest.mark.parametrize(("url", "is_v6"), [("http://[::1]:1/a", True), ("udp://127.0.0.1:1", False)])
    def test_an_address_instead_of_a_name_has_but_one(self, url: str, is_v6: bool) -> None:
        assert asked(dual([url]), 0) == [(url, is_v6, "started")]

    def test_each_has_its_events(self) -> None:
        desk = dual(["t"])
        asked(desk, 0)
        desk.answered("t", response(), 0)
        desk.failed("t", TrackerError("down"), 0, is_v6=True)
        desk.completed(1)
        # The one that lists us hears of the end of the download, the other of a seed that joins.
        assert asked(desk, 1) == [("t", False, "completed")]
        desk.answered("t", response(), 1)
        assert asked(desk, 10) == [("t", True, "started")]
        desk.answered("t", response(), 10, is_v6=True)
        assert asked(desk, 1801) == [("t", False, None)]
        assert [(due.is_v6, due.event) for due in desk.stopping()] == [(False, "stopped"), (True, "stopped")]

    def test_who_does_not_list_us_is_not_told_that_we_stop(self) -> None:
        desk = dual(["t"])
        asked(desk, 0)
        desk.answered("t", response(), 0)
        desk.failed("t", TrackerError("the tracker has no IPv6 address", lacks="address"), 0, is_v6=True)
        assert [(due.is_v6, due.event) for due in desk.stopping()] == [(False, "stopped")]

    def test_one_that_fails_alone_is_not_shown_and_others_are_not_asked(self) -> None:
        desk = dual(["t"], ["later"])
        asked(desk, 0)
        desk.failed("t", TrackerError("connection refused"), 0)
        assert desk.status()[0].state is SourceState.ASKING
        desk.answered("t", response(), 1, is_v6=True)
        shown = desk.status()[0]
        # Nor when it is tried again.
        assert (shown.state, shown.error, shown.next_at) == (SourceState.WORKING, "", 1801)
        assert desk.next_wakeup() == 10
        assert asked(desk, 1000) == [("t", False, "started")]

    def test_where_both_fail_the_tracker_does_and_the_next_is_asked(self) -> None:
        desk = dual(["t"], ["later"])
        asked(desk, 0)
        desk.failed("t", TrackerError("connection refused"), 0)
        assert asked(desk, 0) == []
        desk.failed("t", TrackerError("no route to the server", lacks="route"), 1, is_v6=True)
        shown = desk.status()[0]
        assert (shown.state, shown.error, shown.next_at) == (SourceState.FAILED, "connection refused", 10)
        assert asked(desk, 1) == [("later", False, "started"), ("later", True, "started")]

    @pytest.mark.parametrize("lacking_is_v6", [False, True])
    def test_a_lack_of_an_address_says_less_than_any_other_error(self, lacking_is_v6: bool) -> None:
        desk = dual(["t"])
        asked(desk, 0)
        desk.failed("t", TrackerError("none", lacks="address"), 0, is_v6=lacking_is_v6)
        desk.failed("t", TrackerError("no route", lacks="route"), 0, is_v6=not lacking_is_v6)
        assert desk.status()[0].error == "no route"

    def test_one_that_hangs_holds_up_the_next_tracker_for_three_seconds_only(self) -> None:
        desk = dual(["t"], ["later"])
        asked(desk, 0)
        desk.failed("t", TrackerError("down"), 0)
        assert asked(desk, 2.9) == []
        assert asked(desk, 3) == [("later", False, "started"), ("later", True, "started")]

    def test_four_trackers_are_asked_at_a_time_over_both(self) -> None:
        desk = dual(*([name] for name in "abcdef"))
        urls = [url for now in (0, 3, 6, 9, 12) for url, _, _ in asked(desk, now)]
        assert urls == ["a", "a", "b", "b", "c", "c", "d", "d"]

    def test_what_the_tracker_forbids_holds_for_both(self) -> None:
        desk = dual(["t"])
        asked(desk, 0)
        desk.failed("t", TrackerError("go away", is_final=True), 0)
        desk.failed("t", TrackerError("no address", lacks="address"), 0, is_v6=True)
        assert (desk.status()[0].state, desk.status()[0].error) == (SourceState.OFF, "go away")
        assert desk.next_wakeup() is None

    def test_what_it_forbids_over_one_does_not_end_the_other_at_its_first_failure(self) -> None:
        desk = dual(["t"])
        asked(desk, 0)
        desk.answered("t", response(), 0)
        desk.failed("t", TrackerError("no IPv6, please", is_final=True), 0, is_v6=True)
        assert asked(desk, 1800) == [("t", False, None)]
        desk.failed("t", TrackerError("no answer"), 1800)
        assert (desk.status()[0].state, desk.status()[0].error) == (SourceState.FAILED, "no answer")
        assert asked(desk, 1900) == [("t", False, None)]

    def test_they_keep_in_step(self) -> None:
        desk = dual(["t"], settings=AnnounceSettings())
        now = 0.0
        for _ in range(20):
            assert len(asked(desk, now)) == 2
            desk.answered("t", response(), now + 0.1)
            desk.answered("t", response(), now + 0.3, is_v6=True)
            wakeup_at = desk.next_wakeup()
            assert wakeup_at is not None and now + 1800.3 <= wakeup_at <= now + 1890.3
            assert desk.status()[0].next_at == wakeup_at
            now = wakeup_at

    def test_a_family_that_comes_later_is_told_at_once(self) -> None:
        desk = announcer(["t"], ["http://127.0.0.1/a"])
        asked(desk, 0)
        desk.answered("t", response(), 0)
        desk.network_changed(10, (False, True))
        assert asked(desk, 10) == [("t", True, "started")]
        desk.answered("t", response(), 10, is_v6=True)
        desk.network_changed(20, (False, True))
        assert asked(desk, 20) == []
        assert [(due.url, due.is_v6) for due in desk.stopping()] == [("t", False), ("t", True)]

    def test_a_tracker_that_wants_no_more_is_not_asked_over_a_family_that_comes_later(self) -> None:
        desk = announcer(["t"])
        asked(desk, 0)
        desk.failed("t", TrackerError("go away", is_final=True), 0)
        desk.network_changed(10, (False, True))
        assert asked(desk, 10_000) == []

    def test_need_hurries_both(self) -> None:
        desk = dual(["t"])
        asked(desk, 0)
        desk.answered("t", response(), 0)
        desk.answered("t", response(), 0, is_v6=True)
        desk.need_peers(70)
        assert asked(desk, 70) == [("t", False, None), ("t", True, None)]

    def test_our_other_address_is_no_company(self) -> None:
        desk = dual(["t"])
        asked(desk, 0)
        alone = response(seeds=0, leechers=2)
        desk.answered("t", alone, 0)
        desk.answered("t", alone, 0, is_v6=True)
        # The answer over IPv4 came first, when IPv6 might have been somebody else.
        assert asked(desk, 60) == [("t", True, None)]

    @pytest.mark.parametrize(("port", "asked_soon"), [(6881, [False, True]), (6882, [False])])
    def test_one_other_is_company_where_a_tracker_counts_each_family_apart(
        self, port: int, asked_soon: list[bool]
    ) -> None:
        desk = dual(["t"])
        asked(desk, 0)
        desk.answered("t", response(seeds=0, leechers=2, peers=()), 0, own_port=6881)
        # Either ourselves under both our addresses, or us and another of this family.
        two = response(seeds=0, leechers=2, peers=(Endpoint("::2", port),))
        desk.answered("t", two, 0, is_v6=True, own_port=6881)
        assert [is_v6 for _, is_v6, _ in asked(desk, 60)] == asked_soon

    def test_seeds_and_peers_are_not_added_up(self) -> None:
        desk = dual(["t"])
        asked(desk, 0)
        desk.answered("t", response(seeds=3, leechers=4), 0)
        desk.answered("t", response(seeds=3, leechers=5, peers=()), 0, is_v6=True)
        shown = desk.status()[0]
        assert (shown.peers, shown.seeds, shown.leechers) == (1, 3, 5)


class TestFailures:
    def test_back_off_by_two_and_a_half_up_to_an_hour(self) -> None:
        desk = announcer(["a"])
        now = 0.0
        waits = []
        for _ in range(9):
            assert only(desk.due(now)) == ("a", "started")
            desk.failed("a", TrackerError("down"), now)
            wakeup_at = desk.next_wakeup()
            assert wakeup_at is not None
            waits.append(wakeup_at - now)
            now = wakeup_at
        assert waits == pytest.approx([10, 25, 62.5, 156.25, 390.625, 976.5625, 2441.40625, 3600, 3600])

    def test_an_answer_ends_the_backoff(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.failed("a", TrackerError("down"), 0)
        desk.due(10)
        desk.answered("a", response(), 10)
        desk.due(1810)
        desk.failed("a", TrackerError("down"), 1810)
        assert desk.next_wakeup() == 1820

    def test_jitter_spreads_retries_both_ways(self) -> None:
        waits = []
        for seed in range(50):
            desk = Announcer([["a"]], random.Random(seed), key=1)
            desk.due(0)
            desk.failed("a", TrackerError("down"), 0)
            waits.append(desk.next_wakeup() or 0)
        assert 8 <= min(waits) < 9.5 and 10.5 < max(waits) <= 12

    @pytest.mark.parametrize(("retry_in_s", "wait_s"), [(600, 600), (0, 60), (1e12, 86_400)])
    def test_the_tracker_s_own_word_counts_within_bounds(self, retry_in_s: float, wait_s: float) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.failed("a", TrackerError("full", retry_in_s=retry_in_s), 0)
        assert desk.next_wakeup() == wait_s

    def test_a_network_that_is_back_is_tried_at_once_and_from_the_beginning(self) -> None:
        desk = announcer(["a"], ["b"])
        now = 0.0
        for _ in range(30):
            now = desk.next_wakeup() or 0.0
            (due,) = desk.due(now)
            desk.failed(due.url, TrackerError("no route to the server", lacks="route"), now)
        assert (desk.next_wakeup() or 0.0) > now + 1000
        now += 60
        desk.network_changed(now, (False,))
        assert only(desk.due(now)) == ("a", "started")
        desk.failed("a", TrackerError("down"), now)
        assert only(desk.due(now)) == ("b", "started")
        desk.failed("b", TrackerError("down"), now)
        # One that comes and goes does not have us ask all the time.
        desk.network_changed(now + 1, (False,))
        assert desk.next_wakeup() == now + 10

    def test_at_another_address_trackers_that_work_hear_of_it_as_early_as_they_allow(self) -> None:
        desk = announcer(["a"])
        desk.due(0)
        desk.answered("a", response(min_interval_s=300), 0)
        desk.network_changed(10, (False,))
        assert desk.next_wakeup() == 300
        desk.network_changed(400, (False,))
        assert only(desk.due(400)) == ("a", None)

    def test_a_network_that_is_back_does_not_outweigh_the_tracker_s_own_word(self) -> None:
        desk = announcer(["a"], ["b"])
        desk.due(0)
        desk.failed("a", TrackerError("full", retry_in_s=600), 0)
        desk.due(0)
        desk.failed("b", TrackerError("go away", is_final=True), 0)
        desk.network_changed(100, (False,))
        assert desk.next_wakeup() == 600

    def test_never_means_never(self) -> None:
        desk = announcer(["a"], ["b"])
        desk.due(0)
        desk.failed("a", TrackerError("go away", is_final=True), 0)
        assert only(desk.due(0)) == ("b", "started")
        desk.answered("b", response(), 0)
        assert only(desk.due(1e9)) == ("b", None)
        assert desk.status()[0].state is SourceState.OFF

    def test_an_answer_that_nobody_waits_for_changes_nothing(self) -> None:
        desk = announcer(["a"])
        desk.answered("a", response(), 0)
        desk.failed("b", TrackerError("down"), 0)
        assert desk.status()[0].state is SourceState.WAITING


def test_status_shows_what_a_user_wants_to_know() -> None:
    desk = announcer(["a"], ["b"], ["c"])
    desk.due(0)
    desk.failed("a", TrackerError("connection refused"), 0)
    desk.due(0)
    desk.answered("b", response(seeds=3, leechers=4, warning="soon down"), 0)
    first, second, third = desk.status()
    assert (first.state, first.error, first.next_at) == (SourceState.FAILED, "connection refused", 10)
    assert (second.state, second.seeds, second.leechers) == (SourceState.WORKING, 3, 4)
    assert (second.warning, second.next_at, second.tier) == ("soon down", 1800, 1)
    assert (third.state, third.next_at) == (SourceState.WAITING, None)


def test_one_seed_gives_one_schedule() -> None:
    def schedule(seed: int) -> list[tuple[str, float]]:
        desk = Announcer([["a", "b", "c"], ["d"]], random.Random(seed), key=1)
        found = []
        for step in range(40):
            now = desk.next_wakeup() or 0.0
            (due,) = desk.due(now)
            found.append((due.url, now))
            if step % 3:
                desk.failed(due.url, TrackerError("down"), now)
            else:
                desk.answered(due.url, response(), now)
        return found

    assert schedule(1) == schedule(1) != schedule(2)
