"""The tracker's rules, over the store in memory, in virtual time."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from swarm.base.endpoint import Endpoint, decode_compact_v4, decode_compact_v6, encode_compact
from swarm.base.errors import TrackerError
from swarm.tracker import announce
from swarm.tracker.admission import Admission
from swarm.tracker.announce import (
    Announce,
    Answer,
    Rules,
    TrackerSettings,
    nearest_first,
)
from swarm.tracker.memory_store import MemoryStore
from swarm.wire.tracker.announce import Event, ScrapeEntry

TORRENT = b"t" * 20


def v4(number: int) -> bytes:
    return encode_compact(Endpoint(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 6881))


def v6(number: int) -> bytes:
    return encode_compact(Endpoint(f"2001:db8::{number:x}", 6881))


class World:
    """A tracker without sockets."""

    def __init__(
        self, settings: TrackerSettings | None = None, seed: int = 1, admission: Admission | None = None
    ) -> None:
        self.settings = settings or TrackerSettings()
        self.store = MemoryStore(self.settings.peer_life_s, random.Random(seed))
        self.rules = Rules(self.store, random.Random(seed), self.settings, admission)

    def announce(
        self,
        peer: bytes,
        *,
        left: int | None = 100,
        event: Event | None = None,
        num_want: int | None = None,
        now: float = 0.0,
        torrent: bytes = TORRENT,
        peer_id: bytes = b"",
    ) -> Answer:
        self.rules.expire(now)
        peer_id = peer_id or peer.rjust(20, b"p")
        return self.rules.announce(Announce(torrent, peer, peer_id, left, event, num_want), now)

    def counts(self, now: float = 0.0) -> ScrapeEntry | None:
        self.rules.expire(now)
        return self.rules.scrape([TORRENT]).get(TORRENT)


def peers(answer: Answer) -> list[bytes]:
    found = [encode_compact(one) for one in decode_compact_v4(answer.v4)]
    found += [encode_compact(one) for one in decode_compact_v6(answer.v6)]
    return found


class TestWhoGetsWhom:
    def test_nobody_gets_himself(self) -> None:
        world = World()
        assert peers(world.announce(v4(1))) == []
        assert peers(world.announce(v4(1))) == []

    @pytest.mark.parametrize("event", [None, "started"])
    def test_nobody_gets_himself_under_his_address_of_the_other_family(self, event: Event | None) -> None:
        world = World()
        world.announce(v4(1))
        assert peers(world.announce(v4(2), peer_id=b"2" * 20, event=event)) == [v4(1)]
        assert peers(world.announce(v6(2), peer_id=b"2" * 20, event=event)) == [v4(1)]
        assert peers(world.announce(v4(2), peer_id=b"2" * 20, event=event)) == [v4(1)]
        # Another one, on the same port.
        assert sorted(peers(world.announce(v6(3), event=event))) == [v4(1), v4(2), v6(2)]

    def test_a_peer_of_both_families_counts_once_and_its_download_too(self) -> None:
        world = World()
        for left, event in ((100, "started"), (0, "completed")):
            for peer in (v4(1), v6(1)):
                world.announce(peer, peer_id=b"1" * 20, left=left, event=event)  # type: ignore[arg-type]
        assert world.counts(now=1) == ScrapeEntry(seeds=1, leechers=0, downloads=1, downloaders=0)
        for number in (2, 3):
            world.announce(v4(number), left=0, event="completed", peer_id=b"1" * 20)
        assert world.counts(now=2) == ScrapeEntry(seeds=3, leechers=0, downloads=3, downloaders=0)

    def test_a_leecher_gets_seeds_and_leechers(self) -> None:
        world = World()
        world.announce(v4(1), left=0)
        world.announce(v4(2))
        assert sorted(peers(world.announce(v4(3)))) == [v4(1), v4(2)]

    def test_a_seed_gets_leechers_only(self) -> None:
        world = World()
        world.announce(v4(1), left=0)
        world.announce(v4(2))
        assert peers(world.announce(v4(3), left=0)) == [v4(2)]

    def test_one_who_starts_with_nothing_left_gets_seeds_too_for_it_may_have_but_a_magnet_link(self) -> None:
        world = World()
        world.announce(v4(1), left=0)
        world.announce(v4(2))
        assert sorted(peers(world.announce(v4(3), left=0, event="started"))) == [v4(1), v4(2)]
        assert sorted(peers(world.announce(v6(3), left=0, event="started"))) == [v4(1), v4(2), v4(3)]
        # Of many, leechers mostly: it may be a seed all the same.
        for number in range(100, 200):
            world.announce(v4(number), left=number % 2)
        found = peers(world.announce(v4(3), left=0, event="started", num_want=40))
        leechers = [one for one in found if one[3] >= 100 and one[3] % 2]
        assert len(found) == 40 and v4(3) not in found and len(leechers) >= 29

    def test_with_but_a_magnet_link_it_is_counted_once_and_its_download_too(self) -> None:
        world = World()
        world.announce(v4(1), left=0, event="started")
        world.announce(v4(1), left=0, event="started")
        assert world.counts() == ScrapeEntry(seeds=1, leechers=0, downloads=0, downloaders=0)
        world.announce(v4(1), left=100, event="started")
        assert world.counts() == ScrapeEntry(seeds=0, leechers=1, downloads=0, downloaders=1)
        world.announce(v4(1), left=0, event="completed")
        assert world.counts() == ScrapeEntry(seeds=1, leechers=0, downloads=1, downloaders=0)

    def test_the_same_address_with_two_ports_are_two_peers(self) -> None:
        world = World()
        first, second = (encode_compact(Endpoint("127.0.0.1", port)) for port in (1, 2))
        world.announce(first)
        assert peers(world.announce(second)) == [first]

    def test_the_own_family_comes_first_and_the_other_fills_up(self) -> None:
        world = World()
        for number in range(1, 4):
            world.announce(v4(number))
            world.announce(v6(number))
        assert sorted(peers(world.announce(v4(9), num_want=3))) == [v4(1), v4(2), v4(3)]
        assert sorted(peers(world.announce(v6(9), num_want=3))) == [v6(1), v6(2), v6(3)]
        answer = world.announce(v6(9), num_want=10)
        assert len(answer.v6) == 3 * 18 and len(answer.v4) == 4 * 6

    def test_torrents_do_not_mix(self) -> None:
        world = World()
        world.announce(v4(1), torrent=b"a" * 20)
        assert peers(world.announce(v4(2), torrent=b"b" * 20)) == []

    @pytest.mark.parametrize(("num_want", "count"), [(None, 50), (0, 0), (7, 7), (200, 200), (10**20, 200)])
    def test_numwant_is_bounded(self, num_want: int | None, count: int) -> None:
        world = World()
        for number in range(1, 301):
            world.announce(v4(number), num_want=0)
        found = peers(world.announce(v4(1), num_want=num_want))
        assert len(found) == len(set(found)) == count and v4(1) not in found

    @pytest.mark.parametrize(("seeds", "leechers"), [(0, 9), (5, 0), (1, 60), (60, 1), (30, 30), (300, 20)])
    def test_never_too_few_never_twice(self, seeds: int, leechers: int) -> None:
        world = World()
        for number in range(seeds):
            world.announce(v4(1000 + number), left=0)
        for number in range(leechers):
            world.announce(v4(2000 + number))
        for want in (1, 2, 3, 10, 50):
            found = peers(world.announce(v4(1), num_want=want))
            assert len(found) == len(set(found)) == min(want, seeds + leechers)
            assert v4(1) not in found

    def test_everybody_is_as_likely_as_any_other(self) -> None:
        world = World()
        for number in range(20):
            world.announce(v4(100 + number), left=0 if number < 10 else 1)
        tally = Counter(peer for _ in range(4000) for peer in peers(world.announce(v4(1), num_want=4)))
        # 4000 draws of 4 out of 20: 800 each; five standard deviations are about 130.
        assert len(tally) == 20 and all(670 < count < 930 for count in tally.values())


class TestEvents:
    def test_stopped_leaves_and_gets_nobody(self) -> None:
        world = World()
        world.announce(v4(1))
        world.announce(v4(2))
        answer = world.announce(v4(1), event="stopped")
        assert peers(answer) == [] and answer.interval_s > 0
        assert peers(world.announce(v4(2))) == []

    def test_stopped_of_a_stranger_changes_nothing(self) -> None:
        world = World()
        world.announce(v4(1), event="stopped")
        assert world.counts() is None and world.store.swarm_count == 0

    def test_one_that_completes_becomes_a_seed_and_is_counted_once(self) -> None:
        world = World()
        world.announce(v4(1), event="started")
        world.announce(v4(1), left=0, event="completed")
        world.announce(v4(1), left=0, event="completed")
        assert world.counts() == ScrapeEntry(seeds=1, leechers=0, downloads=1, downloaders=0)

    def test_a_seed_that_starts_is_no_download(self) -> None:
        world = World()
        world.announce(v4(1), left=0, event="started")
        assert world.counts() == ScrapeEntry(seeds=1, leechers=0, downloads=0, downloaders=0)

    def test_one_that_does_not_say_what_is_left_is_a_leecher(self) -> None:
        world = World()
        world.announce(v4(1), left=None)
        assert world.counts() == ScrapeEntry(seeds=0, leechers=1, downloads=0, downloaders=1)

    def test_who_pauses_is_a_leecher_that_downloads_nothing_until_it_says_so_no_more(self) -> None:
        world = World()
        world.announce(v4(1), left=0)
        world.announce(v4(2), event="paused")
        assert world.counts() == ScrapeEntry(seeds=1, leechers=1, downloads=0, downloaders=0)
        assert world.announce(v4(3)).leechers == 2
        assert peers(world.announce(v4(2), event="paused")) == [v4(3)]
        assert world.counts() == ScrapeEntry(seeds=1, leechers=2, downloads=0, downloaders=1)
        assert sorted(peers(world.announce(v4(2)))) == [v4(1), v4(3)]
        assert world.counts() == ScrapeEntry(seeds=1, leechers=2, downloads=0, downloaders=2)
        # Who has everything is a seed, whatever it calls itself.
        world.announce(v4(2), left=0, event="paused")
        assert world.counts() == ScrapeEntry(seeds=2, leechers=1, downloads=0, downloaders=1)

    def test_counts_are_in_every_answer(self) -> None:
        world = World()
        world.announce(v4(1), left=0)
        answer = world.announce(v6(2))
        assert (answer.seeds, answer.leechers) == (1, 1)


class TestTime:
    def test_intervals_differ_by_a_tenth_both_ways(self) -> None:
        world = World(TrackerSettings(young_interval_s=0))
        intervals = [world.announce(v4(number)).interval_s for number in range(1, 300)]
        assert 810 <= min(intervals) < 830 and 970 < max(intervals) <= 990
        assert world.announce(v4(1)).min_interval_s == 60

    def test_a_peer_not_heard_of_for_two_intervals_and_a_minute_is_gone(self) -> None:
        world = World()
        life_s = world.settings.peer_life_s
        world.announce(v4(1), now=0)
        world.announce(v4(2), now=100)
        assert sorted(peers(world.announce(v4(3), now=life_s))) == [v4(1), v4(2)]
        assert peers(world.announce(v4(3), now=life_s + 1)) == [v4(2)]
        assert world.counts(now=life_s + 1) == ScrapeEntry(0, 2, 0, 2)

    def test_an_announce_renews(self) -> None:
        world = World()
        life_s = world.settings.peer_life_s
        world.announce(v4(1), now=0)
        world.announce(v4(2), now=1)
        world.announce(v4(1), now=life_s)
        assert peers(world.announce(v4(3), now=life_s + 2)) == [v4(1)]

    def test_expire_empties_swarms_that_nobody_asks_for(self) -> None:
        world = World()
        for number in range(1, 50):
            world.announce(v4(number), torrent=bytes([number]) * 20)
        assert world.rules.expire(world.settings.peer_life_s + 1) == 49
        assert world.store.swarm_count == world.store.peer_count == 0

    def test_downloads_are_remembered_when_everybody_has_gone(self) -> None:
        world = World()
        world.announce(v4(1))
        world.announce(v4(1), left=0, event="completed")
        world.announce(v4(1), left=0, event="stopped")
        world.rules.expire(1e6)
        assert world.counts(1e6) == ScrapeEntry(0, 0, 1, 0)


class TestYoungSwarms:
    def test_who_got_fewer_than_it_asked_for_may_soon_ask_again(self) -> None:
        world = World()
        for number in range(1, 6):
            answer = world.announce(v4(number), num_want=5)
            assert 7 <= answer.interval_s <= 9 and answer.min_interval_s == answer.interval_s
        assert world.announce(v4(6), num_want=5).interval_s >= 810
        assert world.announce(v4(1), num_want=0).interval_s >= 810

    def test_after_two_minutes_there_is_no_haste(self) -> None:
        world = World()
        world.announce(v4(1))
        assert world.announce(v4(2), now=119).interval_s < 10
        assert world.announce(v4(2), now=120).interval_s >= 810

    def test_a_swarm_that_was_left_begins_anew(self) -> None:
        world = World()
        world.announce(v4(1))
        world.announce(v4(1), event="stopped", now=500)
        assert world.announce(v4(1), now=501).interval_s < 10

    def test_one_that_stays_alone_is_in_no_haste_for_ever(self) -> None:
        world = World()
        assert [world.announce(v4(1), now=now).interval_s < 10 for now in range(0, 240, 60)] == [
            True,
            True,
            False,
            False,
        ]

    def test_a_flood_of_new_swarms_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(announce, "YOUNG_SWARMS_MAX", 20)
        world = World()
        for number in range(21):
            world.announce(v4(1), torrent=number.to_bytes(20, "big"))
        assert world.announce(v4(2), torrent=(0).to_bytes(20, "big")).interval_s >= 810
        assert world.announce(v4(2), torrent=(1).to_bytes(20, "big")).interval_s < 10


class TestLoad:
    @pytest.mark.parametrize(
        ("share", "stretch"), [(0.0, 1.0), (0.6, 1.0), (0.8, 1.4), (1.0, 1.8), (7.0, 1.8)]
    )
    def test_a_busy_tracker_asks_its_peers_to_come_less_often(self, share: float, stretch: float) -> None:
        world = World(TrackerSettings(young_interval_s=0, interval_jitter=0.0))
        world.rules.busy(share)
        assert world.announce(v4(1)).interval_s == round(900 * stretch)
        world.rules.busy(0.1)
        assert world.announce(v4(1)).interval_s == 900

    def test_a_peer_of_the_longest_interval_is_not_lost(self) -> None:
        settings = TrackerSettings()
        longest_s = settings.interval_s * settings.busy_stretch * (1 + settings.interval_jitter)
        assert longest_s < settings.peer_life_s

    def test_a_busy_tracker_is_in_no_haste(self) -> None:
        world = World()
        world.rules.busy(1.0)
        assert world.announce(v4(1)).interval_s >= 810


class TestSeedsAndLeechers:
    def test_who_starts_gets_seeds_and_who_asks_again_gets_leechers(self) -> None:
        world = World(TrackerSettings(fresh_seed_share=0.75, later_seed_share=0.25))
        for number in range(200):
            world.announce(v4(1000 + number), left=number % 2)
        for event, count in (("started", 30), (None, 10)):
            found = peers(world.announce(v4(1), event=event, num_want=40))  # type: ignore[arg-type]
            assert len(found) == 40 and sum(one[3] % 2 == 1000 % 2 for one in found) == count


class TestNearFirst:
    def test_peers_of_the_own_network_come_first(self) -> None:
        world = World(TrackerSettings(is_near_first=True))
        for number in range(1, 500):
            world.announce(v4(number), num_want=0)
            world.announce(v6(number), num_want=0)
        found = peers(world.announce(v4(300), num_want=10))
        assert len(set(found)) == 10 and all(one.startswith(v4(300)[:3]) for one in found)
        found = peers(world.announce(v4(300), num_want=200))
        assert set(found) >= {v4(number) for number in range(256, 400)} - {v4(300)} or len(found) == 200
        found = peers(world.announce(encode_compact(Endpoint("192.0.2.1", 1)), num_want=20))
        assert len(set(found)) == 20 and len({one[2] for one in found}) == 2

    @pytest.mark.parametrize("want", [0, 1, 3, 4, 5, 7, 100])
    def test_never_more_than_wanted_and_the_other_family_fills_up(self, want: int) -> None:
        near = v4(1) + v4(2) + v4(300) + v4(301)
        chosen, others = nearest_first(v4(9), near, v6(1) + v6(2), want)
        assert [chosen[at : at + 6] for at in range(0, len(chosen), 6)] == [v4(1), v4(2), v4(300), v4(301)][
            :want
        ]
        assert len(others) // 18 == max(0, min(2, want - 4))


class TestLists:
    def test_only_allowed_torrents_are_served(self) -> None:
        world = World(admission=Admission(allowed=[b"a" * 20]))
        world.announce(v4(1), torrent=b"a" * 20)
        with pytest.raises(TrackerError, match="does not serve"):
            world.announce(v4(1), torrent=b"b" * 20)
        assert set(world.rules.scrape([b"a" * 20, b"b" * 20])) == {b"a" * 20}

    def test_denied_torrents_are_not_served(self) -> None:
        world = World(admission=Admission(denied=[TORRENT]))
        with pytest.raises(TrackerError, match="does not serve"):
            world.announce(v4(1))
        assert world.counts() is None
