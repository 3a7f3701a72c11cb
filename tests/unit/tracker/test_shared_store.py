"""The store that several trackers share: what every store must do, and what they tell each other."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator

import pytest

from swarm.tracker.shared_store import AWAY, CHANGE, RENEW_S, TELL_AGAIN, SharedStore
from swarm.tracker.store import DOWNLOADER, PARTIAL_SEED, Store
from swarm.wire.tracker.announce import ScrapeEntry
from tests.unit.tracker.store_cases import LIFE_S, TORRENT, StoreCases, peer, split

#: Wall time at this process's instant 0.
OFFSET_S = 1_700_000_000.0


class Paper:
    """A journal in memory: what one tells, the others have heard; nobody hears while it is away."""

    def __init__(self) -> None:
        self.places: list[Place] = []

    def store(self, life_s: float = LIFE_S, offset_s: float = OFFSET_S, now: float = 0) -> SharedStore:
        place = Place(self)
        self.places.append(place)
        return SharedStore(life_s, random.Random(5), place, offset_s=offset_s, now=now)


class Place:
    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self.heard: deque[bytes | dict[bytes, int]] = deque()
        self.is_forgotten = False
        self.is_away = False
        self.told: list[bytes] = []
        self.downloads: list[bytes] = []

    @property
    def untold_count(self) -> int:
        return 0

    def tell(self, change: bytes) -> None:
        self.told.append(change)
        for place in self._paper.places:
            if place is not self and not place.is_away and not self.is_away:
                place.heard.append(change)

    def count_download(self, info_hash: bytes, peer: bytes, peer_id: bytes) -> None:
        self.downloads.append(info_hash)


def join(store: Store, number: int, now: int = 0, *, is_seed: bool = False, width: int = 6) -> list[bytes]:
    return split(store.join(TORRENT, peer(number, width), b"i" * 20, is_seed, now, 50)[3], width)


@pytest.fixture
def paper() -> Paper:
    return Paper()


class TestAlone(StoreCases):
    @pytest.fixture
    def store(self, paper: Paper) -> Iterator[Store]:
        yield paper.store()


def test_peers_of_two_trackers_find_each_other(paper: Paper) -> None:
    first, second = paper.store(), paper.store()
    join(first, 1, is_seed=True)
    join(first, 9, width=18)
    second.expire(0)
    assert join(second, 2) == [peer(1)]
    assert second.counts(TORRENT) == ScrapeEntry(1, 2, 0, 2)
    assert second.peer_ids(TORRENT, [peer(9, 18)]) == [b"i" * 20]
    # What has come is taken in before the answer, so a second announce need not wait for the beat.
    assert sorted(join(first, 3)) == [peer(1), peer(2)]
    second.leave(TORRENT, peer(1))
    second.leave(TORRENT, peer(77))
    first.expire(0)
    assert first.counts(TORRENT) == ScrapeEntry(0, 4 - 1, 0, 4 - 1)


def test_becoming_a_seed_and_having_completed_is_known_everywhere(paper: Paper) -> None:
    first, second = paper.store(), paper.store()
    join(first, 1)
    join(first, 1, is_seed=True)
    first.count_download(TORRENT, peer(1), b"i" * 20)
    second.expire(0)
    assert second.counts(TORRENT) == ScrapeEntry(1, 0, 1, 0)
    assert paper.places[0].downloads == [TORRENT]
    first.count_download(b"u" * 20, peer(1), b"i" * 20)
    assert paper.places[0].downloads == [TORRENT]


def test_who_downloads_nothing_more_is_known_everywhere_and_to_those_who_come_later(paper: Paper) -> None:
    first, second = paper.store(), paper.store()
    for number in (1, 2):
        join(first, number)
    for kind in (PARTIAL_SEED, DOWNLOADER, PARTIAL_SEED):
        first.join(TORRENT, peer(1), b"i" * 20, kind, 1, 0)
        second.expire(1)
        assert second.counts(TORRENT) == first.counts(TORRENT)
        assert first.counts(TORRENT) == ScrapeEntry(0, 2, 0, 1 if kind == PARTIAL_SEED else 2)
    late = paper.store()
    paper.places[1].is_forgotten = True
    second.expire(1)
    late.expire(1)
    assert late.counts(TORRENT) == ScrapeEntry(0, 2, 0, 1)


@pytest.mark.parametrize("is_heard_between", [False, True])
def test_who_completes_at_two_trackers_under_two_addresses_counts_once(
    paper: Paper, is_heard_between: bool
) -> None:
    first, second, third = (paper.store() for _ in range(3))
    for store in (first, second, third):
        join(store, 1)
    first.count_download(TORRENT, peer(1), b"i" * 20)
    if is_heard_between:
        second.expire(0)
    second.count_download(TORRENT, peer(1, 18), b"i" * 20)
    for store in (first, second, third):
        store.expire(0)
        counts = store.counts(TORRENT)
        assert counts is not None and counts.downloads == 1


def test_who_announces_all_the_time_is_told_of_once_a_minute(paper: Paper) -> None:
    store = paper.store()
    for now in range(5 * RENEW_S):
        join(store, 1, now)
    assert len(paper.places[0].told) == 5


def test_who_leaves_is_gone_where_it_was_seen_last_too(paper: Paper) -> None:
    """Announces within a minute of each other are not told, and each may go to another tracker."""
    first, second = paper.store(), paper.store()
    join(first, 1, 120)
    second.expire(121)
    join(second, 1, 128)
    first.expire(140)
    first.leave(TORRENT, peer(1))
    second.expire(140)
    assert second.counts(TORRENT) is None
    # What is heard late does not take away who came back meanwhile.
    gone = paper.places[0].told[-1]
    join(second, 1, 150)
    paper.places[1].heard.append(gone)
    second.expire(150)
    assert second.counts(TORRENT) == ScrapeEntry(0, 1, 0, 1)


def test_a_peer_lives_as_long_everywhere_whatever_the_clocks_began_with(paper: Paper) -> None:
    first = paper.store()
    # Its machine was started 40 s later.
    second = paper.store(offset_s=OFFSET_S + 40)
    join(first, 1, 50)
    second.expire(20)
    assert second.counts(TORRENT) == ScrapeEntry(0, 1, 0, 1)
    second.expire(10 + LIFE_S - 1)
    assert second.counts(TORRENT) == ScrapeEntry(0, 1, 0, 1)
    second.expire(10 + LIFE_S + 1)
    assert second.counts(TORRENT) is None


def test_what_is_heard_late_does_not_count_against_what_is_known(paper: Paper) -> None:
    first, second = paper.store(), paper.store()
    join(first, 1, 10)
    old = list(paper.places[0].told)
    second.expire(10)
    join(second, 1, 80, is_seed=True)
    paper.places[1].heard.extend(old)
    second.expire(90)
    assert second.counts(TORRENT) == ScrapeEntry(1, 0, 0, 0)
    # Overdue when it is heard: it never comes in.
    paper.places[1].heard.append(old[0].replace(TORRENT, b"u" * 20))
    second.expire(10 + 2 * LIFE_S)
    assert second.counts(b"u" * 20) is None


def test_downloads_from_before_the_start_come_as_a_number(paper: Paper) -> None:
    store = paper.store(now=1000)
    paper.places[0].heard.append({TORRENT: 7})
    completed = CHANGE.pack(3, TORRENT, b"", 0, b"", int(OFFSET_S) + 990)
    paper.places[0].heard.append(completed)
    store.expire(1000)
    assert store.counts(TORRENT) == ScrapeEntry(0, 0, 7, 0)
    paper.places[0].heard.append(CHANGE.pack(3, TORRENT, b"", 0, b"", int(OFFSET_S) + 1001))
    paper.places[0].heard.append({TORRENT: 5})
    store.expire(1001)
    assert store.counts(TORRENT) == ScrapeEntry(0, 0, 8, 0)


@pytest.mark.parametrize("entry", [b"", b"x", bytes(CHANGE.size - 1), bytes(CHANGE.size), b"\xff" * 200])
def test_what_makes_no_sense_is_no_harm(paper: Paper, entry: bytes) -> None:
    store = paper.store()
    paper.places[0].heard.append(entry)
    join(store, 1)
    assert store.counts(TORRENT) == ScrapeEntry(0, 1, 0, 1) and store.swarm_count == 1


def test_cut_off_answers_go_on_from_what_all_had_told(paper: Paper) -> None:
    first, second = paper.store(), paper.store()
    join(first, 1, is_seed=True)
    second.expire(0)
    assert second.warning == b""
    paper.places[1].is_away = True
    assert join(second, 2) == [peer(1)]
    assert second.warning == AWAY


def test_when_everything_was_lost_one_tells_again_in_steps(paper: Paper) -> None:
    store = paper.store(life_s=10_000)
    for number in range(TELL_AGAIN + 10):
        join(store, number, is_seed=number % 2 == 0, now=number % 100)
    late = paper.store(life_s=10_000)
    paper.places[0].is_forgotten = True
    store.expire(100)
    assert len(paper.places[1].heard) == TELL_AGAIN
    for _ in range(TELL_AGAIN):
        store.expire(100)
        late.expire(100)
    assert late.counts(TORRENT) == store.counts(TORRENT) == ScrapeEntry(1005, 1005, 0, 1005)
    assert late.seen_at(TORRENT, peer(7)) == 7
