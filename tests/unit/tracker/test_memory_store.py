"""The store in memory: what every store must do, its limits, and a model of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swarm.base.errors import TrackerError
from swarm.tracker import rows, twins
from swarm.tracker.memory_store import EXPIRE_WORK, MemoryStore
from swarm.tracker.rows import COPIED_MAX, INDEX_ABOVE, Row
from swarm.tracker.store import AS_THEY_COME, DOWNLOADER, PARTIAL_SEED, SEED, Kind, Store
from swarm.wire.tracker.announce import ScrapeEntry
from tests.unit.tracker.store_cases import LIFE_S, TORRENT, StoreCases, peer, split


def memory_store(**limits: int) -> MemoryStore:
    return MemoryStore(LIFE_S, random.Random(5), **limits)


def put(store: MemoryStore, torrent: int, number: int, now: int = 0, is_seed: bool = False) -> None:
    store.join(bytes([torrent]) * 20, peer(number), b"i" * 20, is_seed, now, 0)


class Drawn:
    """A source of one number."""

    def __init__(self, number: float) -> None:
        self._number = number

    def random(self) -> float:
        return self._number


class Searched(bytearray):
    """Counts how often it was searched."""

    count_of_searches = 0

    def find(self, *arguments: Any) -> int:
        self.count_of_searches += 1
        return super().find(*arguments)


class TestMemoryStore(StoreCases):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        yield memory_store()


class TestSizes:
    def test_small_and_large_rows_find_the_same(self) -> None:
        store = memory_store()
        # Through the border where the dictionary comes, and back through where it goes.
        for number in range(4 * INDEX_ABOVE):
            kind = (SEED, PARTIAL_SEED, DOWNLOADER)[number % 3]
            store.join(bytes(20), peer(number), b"i" * 20, kind, 0, 0)
        for number in range(4 * INDEX_ABOVE - 10):
            store.leave(bytes(20), peer(number))
            store.leave(bytes(20), peer(number))
        assert store.peer_count == 10
        left = split(store.join(bytes(20), peer(9999), b"i" * 20, False, 0, 50)[3])
        assert sorted(left) == [peer(number) for number in range(4 * INDEX_ABOVE - 10, 4 * INDEX_ABOVE)]

    @pytest.mark.parametrize("copied_max", [0, COPIED_MAX], ids=["large", "small"])
    @pytest.mark.parametrize(("start", "end"), [(0, 7), (2, 7), (0, 5)], ids=["all", "leechers", "seeds"])
    def test_over_all_draws_everybody_is_named_equally_often(
        self, start: int, end: int, copied_max: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rows, "COPIED_MAX", copied_max)
        row = Row(6)
        for number in range(7):
            # Each at the end of those before it.
            row.add(peer(number), b"i" * 20, False, 0, Drawn(1 - 2**-53))
        for asker in (-1, *range(7)):
            others = {peer(number) for number in range(start, end) if number != asker}
            for count in range(1, len(others)):
                draws = len(others) * (len(others) - count + 1)
                tally: Counter[bytes] = Counter()
                for number in range(draws):
                    found = split(row.pick(start, end, count, asker, Drawn((number + 0.5) / draws)))
                    assert len(found) == len(set(found)) == count
                    tally.update(found)
                assert tally == dict.fromkeys(others, draws * count // len(others))

    @pytest.mark.parametrize("is_seed", [False, True], ids=["leechers", "seeds"])
    @pytest.mark.parametrize("count", [200, 2000])
    def test_those_who_came_together_are_not_named_together(self, count: int, is_seed: bool) -> None:
        store = memory_store()
        for number in range(count):
            put(store, 0, number, is_seed=is_seed)
        for _ in range(50):
            near = store.join(bytes(20), peer(count), b"i" * 20, False, 0, 80)[3]
            early = sum(one < peer(count // 2) for one in split(near))
            # Of 80 drawn one by one 40, and 4.5 more or less.
            assert 16 <= early <= 64

    def test_a_pick_knows_who_came_turned_and_left_since_the_last(self) -> None:
        store = memory_store()
        for number in range(9):
            put(store, 0, number, is_seed=False)

        def found() -> set[bytes]:
            """Everybody, in picks of some."""
            joined = [store.join(bytes(20), peer(0), b"i" * 20, True, 0, 3)[3] for _ in range(200)]
            return {one for near in joined for one in split(near)}

        assert found() == {peer(number) for number in range(1, 9)}
        put(store, 0, 9, is_seed=False)
        assert peer(9) in found()
        put(store, 0, 9, is_seed=True)
        store.leave(bytes(20), peer(5))
        assert found() == {peer(number) for number in (1, 2, 3, 4, 6, 7, 8)}

    def test_an_address_is_not_found_across_the_border_of_two(self) -> None:
        store = memory_store()
        for address in (b"\1\1\1\1\1\2", b"\1\1\1\1\1\1"):
            store.join(TORRENT, address, b"i" * 20, False, 0, 0)
        assert store.join(TORRENT, b"\1\2\1\1\1\1", b"i" * 20, False, 0, 0)[0] is None
        assert store.join(TORRENT, b"\1\1\1\1\1\1", b"i" * 20, False, 0, 0)[0] == DOWNLOADER

    def test_a_search_looks_once_at_each_peer_whatever_it_calls_itself(self) -> None:
        row = Row(18)
        for number in range(1, INDEX_ABOVE + 1):
            # As found at every byte of the others.
            row.add(bytes(14) + number.to_bytes(4, "big"), bytes(20), DOWNLOADER, 0, random.Random(1))
        row.peer_ids, row.addresses = Searched(row.peer_ids), Searched(row.addresses)
        assert row.find_twin(bytes(20), b"\xff\xff") == -1
        assert row.find_twin(bytes(20), b"\0\1") == row.find(bytes(17) + b"\1") >= 0
        assert row.find(bytes(18)) == -1
        assert row.peer_ids.count_of_searches <= 2 * INDEX_ABOVE + 2
        assert row.addresses.count_of_searches <= 2 * INDEX_ABOVE + 2

    def test_expiry_goes_in_steps_and_gets_everybody(self) -> None:
        store = memory_store()
        for torrent in range(10):
            for number in range(3000):
                put(store, torrent, number)
        for number in range(30_000):
            put(store, 77, number, now=0 if number % 2 else 50)
        forgotten = steps = 0
        while store.peer_count > 15_000:
            count = store.expire(LIFE_S + 1)
            # One look at a row may go past the bound.
            assert count <= EXPIRE_WORK + 1_000
            forgotten += count
            steps += 1
        assert steps > 3 and forgotten == 45_000 and store.swarm_count == 1
        while store.swarm_count:
            forgotten += store.expire(LIFE_S + 60)
        assert forgotten == 60_000 and store.peer_count == 0

    def test_an_empty_store_is_not_looked_at_for_ever(self) -> None:
        assert memory_store().expire(1e6) == 0


class TestTwins:
    @given(
        st.lists(
            st.tuples(
                st.integers(1, 8),
                st.sampled_from([6, 18]),
                st.sampled_from([DOWNLOADER, SEED, PARTIAL_SEED, None]),
            ),
            max_size=40,
        ),
        st.integers(1, 3),
    )
    def test_are_counted_whatever_has_come_and_gone(
        self, events: list[tuple[int, int, Kind | None]], step: int
    ) -> None:
        store = memory_store()
        there: dict[int, dict[int, Kind]] = {}
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(twins, "STEP", step)
            for number, width, kind in events:
                if kind is None:
                    store.leave(TORRENT, peer(number, width))
                    there.get(number, {}).pop(width, None)
                else:
                    store.join(TORRENT, peer(number, width), bytes([number]) * 20, kind, 0, 0)
                    there.setdefault(number, {})[width] = kind
                counts = store.counts(TORRENT) or ScrapeEntry(0, 0, 0, 0)
                assert counts.seeds >= 0 and counts.leechers >= (counts.downloaders or 0) >= 0
            store.expire(1)
        order = [SEED, PARTIAL_SEED, DOWNLOADER]
        kinds = Counter(min(one.values(), key=order.index) for one in there.values() if one)
        leechers = kinds[DOWNLOADER] + kinds[PARTIAL_SEED]
        counts = store.counts(TORRENT) or ScrapeEntry(0, 0, 0, 0)
        assert counts == ScrapeEntry(kinds[SEED], leechers, 0, kinds[DOWNLOADER])

    def test_of_a_crowd_a_part_is_looked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(twins, "REMEMBERED_MAX", 2_000)
        store = memory_store()
        for number in range(15_000):
            for width in (6,) if number % 3 else (6, 18):
                peer_id = number.to_bytes(20, "big")
                store.join(
                    TORRENT, peer(number, width), peer_id, SEED if number % 5 == 0 else DOWNLOADER, 0, 0
                )
        for _ in range(20):
            store.expire(1)
        counts = store.counts(TORRENT)
        # 3,000 and 12,000; a third of the twins is looked for: six standard deviations are about 200 and 400.
        assert counts is not None and 2_600 < counts.seeds < 3_400 and 11_000 < counts.leechers < 13_000

    def test_counting_takes_a_small_part_of_the_time(self) -> None:
        store = memory_store()
        for number in range(10_000):
            for width in (6, 18):
                store.join(TORRENT, peer(number, width), number.to_bytes(20, "big"), SEED, 0, 0)
        for _ in range(10):
            store.expire(1)
        assert store.counts(TORRENT) == ScrapeEntry(10_000, 0, 0, 0)
        for number in range(10_000):
            store.leave(TORRENT, peer(number, 18))
            store.join(TORRENT, peer(number, 18), b"another".rjust(20), SEED, 0, 0)
        for now, is_counted in ((2, False), (6, False), (7, True)):
            for _ in range(10):
                store.expire(now)
            assert (store.counts(TORRENT) == ScrapeEntry(20_000, 0, 0, 0)) == is_counted


class TestKeeping:
    def test_another_store_takes_it_up(self) -> None:
        store = memory_store()
        for number in range(100):
            kind = (SEED, PARTIAL_SEED, DOWNLOADER, DOWNLOADER)[number % 4]
            store.join(bytes([number % 3]) * 20, peer(number), b"i" * 20, kind, number, 0)
            store.join(bytes(20), peer(number, 18), b"j" * 20, False, 50, 0)
        store.count_download(bytes(20), peer(1), b"i" * 20)
        put(store, 9, 1)
        store.count_download(b"\t" * 20, peer(1), b"i" * 20)
        store.leave(b"\t" * 20, peer(1))
        other = memory_store()
        for kept in store.keep():
            other.restore(kept, 100.0)
        for torrent in (0, 1, 2, 9):
            info_hash = bytes([torrent]) * 20
            assert other.counts(info_hash) == store.counts(info_hash)
        assert other.peer_ids(bytes(20), [peer(0), peer(0, 18)]) == [b"i" * 20, b"j" * 20]
        store.expire(100 + 60.5)
        other.expire(100 + 60.5)
        assert other.peer_count == store.peer_count == 39


class TestLimits:
    def test_a_flood_of_torrents_is_refused_and_what_is_there_goes_on(self) -> None:
        store = memory_store(swarms_max=3)
        for torrent in range(3):
            put(store, torrent, 1)
        with pytest.raises(TrackerError, match="no room for another torrent") as raised:
            put(store, 9, 1)
        assert raised.value.retry_in_s is not None
        put(store, 0, 2)
        assert (store.swarm_count, store.peer_count) == (3, 4)

    def test_the_oldest_empty_swarm_makes_room(self) -> None:
        store = memory_store(swarms_max=2)
        for torrent in range(2):
            put(store, torrent, 1)
            store.count_download(bytes([torrent]) * 20, peer(1), b"i" * 20)
            store.leave(bytes([torrent]) * 20, peer(1))
        put(store, 2, 1)
        assert store.counts(bytes(20)) is None
        assert store.counts(b"\x01" * 20) == ScrapeEntry(0, 0, 1, 0)

    def test_a_flood_of_peers_is_refused_and_known_ones_go_on(self) -> None:
        store = memory_store(peers_max=3)
        for number in range(3):
            put(store, 0, number)
        with pytest.raises(TrackerError, match="no room for another peer"):
            put(store, 0, 3)
        with pytest.raises(TrackerError, match="no room for another peer"):
            put(store, 1, 3)
        put(store, 0, 2, now=50)
        # Also from leecher to seed.
        assert store.join(bytes(20), peer(2), b"i" * 20, True, 60, 0)[0] == DOWNLOADER
        assert store.peer_count == 3
        # The torrent that got no peer does not stay.
        store.expire(LIFE_S + 1)
        assert store.swarm_count == 1


class StoreMachine(RuleBasedStateMachine):
    """The store against a dictionary."""

    torrents = st.sampled_from([b"a" * 20, b"b" * 20])
    numbers = st.integers(1, 25)
    widths = st.sampled_from([6, 18])

    def __init__(self) -> None:
        super().__init__()
        self.store = memory_store()
        self.now = 0
        #: (torrent, peer) -> (kind, last seen)
        self.model: dict[tuple[bytes, bytes], tuple[Kind, int]] = {}

    @rule(
        torrent=torrents,
        number=numbers,
        width=widths,
        kind=st.sampled_from([DOWNLOADER, SEED, PARTIAL_SEED]),
        want=st.integers(0, 12),
        seeds_wanted=st.integers(AS_THEY_COME, 5),
    )
    def join(self, torrent: bytes, number: int, width: int, kind: Kind, want: int, seeds_wanted: int) -> None:
        key = (torrent, peer(number, width))
        before = self.model.get(key)
        was, _, _, near, far = self.store.join(
            torrent, key[1], bytes([width]) * 20, kind, self.now, want, seeds_wanted
        )
        assert was == (before[0] if before is not None else None)
        self.model[key] = (kind, self.now)
        for found, of_width, most in (
            (near, width, want),
            (far, 24 - width, want - len(near) // width),
        ):
            others = {
                other
                for (in_torrent, other), (others_kind, _) in self.model.items()
                if in_torrent == torrent
                and len(other) == of_width
                and other != key[1]
                and (DOWNLOADER in (kind, others_kind) or seeds_wanted != AS_THEY_COME)
            }
            peers = split(found, of_width)
            assert len(peers) == len(set(peers)) == min(most, len(others)) and others.issuperset(peers)

    @rule(torrent=torrents, number=numbers, width=widths)
    def leave(self, torrent: bytes, number: int, width: int) -> None:
        self.store.leave(torrent, peer(number, width))
        self.model.pop((torrent, peer(number, width)), None)

    @rule(seconds=st.integers(0, 60))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.store.expire(self.now)
        self.model = {key: value for key, value in self.model.items() if value[1] >= self.now - LIFE_S}

    @invariant()
    def counts_agree(self) -> None:
        for torrent in (b"a" * 20, b"b" * 20):
            kinds = Counter(kind for key, (kind, _) in self.model.items() if key[0] == torrent)
            counts = self.store.counts(torrent) or ScrapeEntry(0, 0, 0, 0)
            partial = kinds[PARTIAL_SEED]
            assert counts == ScrapeEntry(kinds[SEED], kinds[DOWNLOADER] + partial, 0, kinds[DOWNLOADER])
        assert self.store.peer_count == len(self.model)
        assert self.store.swarm_count == len({torrent for torrent, _ in self.model})


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
