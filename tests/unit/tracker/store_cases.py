"""What every store must do, whatever it keeps swarms in: test classes to be derived from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from swarm.tracker.store import AS_THEY_COME, DOWNLOADER, PARTIAL_SEED, SEED, Kind, Store
from swarm.wire.tracker.announce import ScrapeEntry

LIFE_S = 100.0
TORRENT = b"t" * 20


def peer(number: int, width: int = 6) -> bytes:
    return number.to_bytes(width, "big")


def split(addresses: bytes, width: int = 6) -> list[bytes]:
    assert len(addresses) % width == 0
    return [addresses[at : at + width] for at in range(0, len(addresses), width)]


class Told(NamedTuple):
    """`Joined` with names."""

    was: Kind | None
    seeds: int
    leechers: int
    near: bytes
    far: bytes


class StoreCases:
    """Derive from it and say in `make` how a store is made."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        raise NotImplementedError

    def join(
        self,
        store: Store,
        number: int,
        *,
        width: int = 6,
        is_seed: bool = False,
        is_partial: bool = False,
        now: int = 0,
        want: int = 50,
        seeds_wanted: int = AS_THEY_COME,
        is_near_only: bool = False,
        torrent: bytes = TORRENT,
    ) -> Told:
        peer_id = bytes([number % 256]) * 20 if width == 6 else bytes([width, number % 256]) * 10
        kind = SEED if is_seed else PARTIAL_SEED if is_partial else DOWNLOADER
        return Told(
            *store.join(torrent, peer(number, width), peer_id, kind, now, want, seeds_wanted, is_near_only)
        )

    def test_tells_what_a_peer_was(self, store: Store) -> None:
        assert self.join(store, 1).was is None
        assert self.join(store, 1).was == DOWNLOADER
        assert self.join(store, 1, is_seed=True).was == DOWNLOADER
        assert self.join(store, 1, is_partial=True).was == SEED
        assert self.join(store, 1, is_partial=True).was == PARTIAL_SEED
        assert self.join(store, 1, is_seed=True).was == PARTIAL_SEED
        assert self.join(store, 1).was == SEED
        assert self.join(store, 1, is_partial=True).was == DOWNLOADER
        assert self.join(store, 1).was == PARTIAL_SEED
        assert store.counts(TORRENT) == ScrapeEntry(0, 1, 0, 1)

    def test_counts_the_peer_itself_and_both_families(self, store: Store) -> None:
        self.join(store, 1, is_seed=True)
        self.join(store, 1, width=18)
        joined = self.join(store, 2)
        assert (joined.seeds, joined.leechers) == (1, 2)
        assert store.counts(TORRENT) == ScrapeEntry(1, 2, 0, 2)

    @pytest.mark.parametrize("seeds_wanted", [AS_THEY_COME, 0])
    def test_who_has_addresses_of_both_families_does_not_meet_itself(
        self, store: Store, seeds_wanted: int
    ) -> None:
        port = b"\x1a\xe1"
        four, six, neighbour = bytes(4) + port, bytes(16) + port, b"\1\2\3\4" + port
        store.join(TORRENT, neighbour, b"n" * 20, False, 0, 50)
        for _ in range(2):
            assert store.join(TORRENT, four, b"i" * 20, False, 0, 50, seeds_wanted)[4] == b""
            assert store.join(TORRENT, six, b"i" * 20, False, 0, 50, seeds_wanted)[4] == neighbour
        # One of that name elsewhere is another one.
        assert store.join(TORRENT, bytes(17) + b"\2", b"i" * 20, False, 0, 50, seeds_wanted)[4] in (
            neighbour + four,
            four + neighbour,
        )

    def test_who_has_addresses_of_both_families_counts_once_when_it_was_noticed(self, store: Store) -> None:
        def join(number: int, width: int, kind: Kind, peer_id: bytes = b"") -> tuple[int, int]:
            one = number.to_bytes(width, "big")
            joined = store.join(TORRENT, one, peer_id or bytes([number]) * 20, kind, 0, 0)
            return joined[1], joined[2]

        for number, four, six in (
            (1, SEED, SEED),
            (2, SEED, DOWNLOADER),
            (3, PARTIAL_SEED, PARTIAL_SEED),
            (4, DOWNLOADER, PARTIAL_SEED),
            (5, DOWNLOADER, DOWNLOADER),
        ):
            join(number, 6, four)
            join(number, 18, six)
        # The same name on another port, another name on the same port, and one that has one address.
        join(6, 6, DOWNLOADER, b"6" * 20)
        join(7, 18, DOWNLOADER, b"6" * 20)
        join(7, 6, DOWNLOADER)
        store.expire(1)
        assert store.counts(TORRENT) == ScrapeEntry(2, 6, 0, 4)
        assert join(5, 6, DOWNLOADER) == (2, 6)
        # Nothing impossible until it is looked again: seeds that all are twins, twins that went.
        for number in range(1, 6):
            assert join(number, 6, SEED)[1] >= 0
        store.leave(TORRENT, peer(1))
        store.expire(2)
        assert store.counts(TORRENT) == ScrapeEntry(5, 3, 0, 3)
        for number in range(1, 8):
            store.leave(TORRENT, peer(number, 18))
        assert store.counts(TORRENT) == ScrapeEntry(4, 2, 0, 2)

    def test_a_swarm_that_is_not_known_has_no_counts(self, store: Store) -> None:
        assert store.counts(TORRENT) is None
        store.leave(TORRENT, peer(1))
        store.count_download(TORRENT, peer(1), b"i" * 20)
        assert store.counts(TORRENT) is None

    def test_leaving_takes_one_out_of_one_swarm(self, store: Store) -> None:
        for number in (1, 2, 3):
            self.join(store, number, is_seed=number == 1)
            self.join(store, number, torrent=b"u" * 20)
        store.leave(TORRENT, peer(1))
        store.leave(TORRENT, peer(9))
        store.leave(TORRENT, peer(2, 18))
        assert store.counts(TORRENT) == ScrapeEntry(0, 2, 0, 2)
        assert store.counts(b"u" * 20) == ScrapeEntry(0, 3, 0, 3)

    def test_downloads_outlive_the_peers(self, store: Store) -> None:
        self.join(store, 1)
        store.count_download(TORRENT, peer(1), b"i" * 20)
        store.leave(TORRENT, peer(1))
        assert store.counts(TORRENT) == ScrapeEntry(0, 0, 1, 0)

    def test_who_completes_under_both_its_addresses_counts_once(self, store: Store) -> None:
        self.join(store, 1)
        assert store.count_download(TORRENT, peer(1), b"i" * 20)
        assert not store.count_download(TORRENT, peer(1, 18), b"i" * 20)
        # Another one, and the same one again.
        assert store.count_download(TORRENT, peer(2, 18), b"i" * 20)
        assert store.count_download(TORRENT, peer(1), b"i" * 20)
        assert store.counts(TORRENT) == ScrapeEntry(0, 1, 3, 1)

    def test_seeds_get_leechers_only(self, store: Store) -> None:
        for number in range(1, 6):
            self.join(store, number, is_seed=number < 4)
        assert sorted(split(self.join(store, 9, is_seed=True).near)) == [peer(4), peer(5)]
        assert sorted(split(self.join(store, 4, is_seed=True).near)) == [peer(5)]

    def test_partial_seeds_are_leechers_that_download_nothing(self, store: Store) -> None:
        """And they are named to nobody who has nothing to get of them."""
        for number, kind in enumerate((SEED, PARTIAL_SEED, PARTIAL_SEED, DOWNLOADER, DOWNLOADER, DOWNLOADER)):
            for width in (6, 18):
                self.join(
                    store, number, width=width, is_seed=kind == SEED, is_partial=kind == PARTIAL_SEED, want=0
                )
        assert store.counts(TORRENT) == ScrapeEntry(2, 10, 0, 6)
        downloaders = [peer(number) for number in (3, 4, 5)]
        for number, is_seed in ((0, True), (1, False)):
            joined = self.join(store, number, is_seed=is_seed, is_partial=not is_seed)
            assert (joined.seeds, joined.leechers) == (2, 10)
            assert sorted(split(joined.near)) == downloaders and len(split(joined.far, 18)) == 3
        assert len(split(self.join(store, 3).near)) == 5
        store.leave(TORRENT, peer(1))
        store.leave(TORRENT, peer(4))
        assert store.counts(TORRENT) == ScrapeEntry(2, 8, 0, 5)

    @pytest.mark.parametrize("seeds_wanted", [AS_THEY_COME, 0, 1, 5, 100])
    @pytest.mark.parametrize(("seeds", "leechers"), [(0, 0), (0, 9), (5, 0), (1, 60), (60, 1), (30, 30)])
    def test_never_too_few_never_twice_never_the_asker(
        self, store: Store, seeds: int, leechers: int, seeds_wanted: int
    ) -> None:
        for number in range(seeds + leechers):
            self.join(store, 100 + number, is_seed=number < seeds, want=0)
        for want in (0, 1, 2, 3, 10, 50, 200):
            joined = self.join(store, 1, want=want, seeds_wanted=seeds_wanted)
            found = split(joined.near)
            assert len(found) == len(set(found)) == min(want, seeds + leechers)
            assert peer(1) not in found and joined.far == b""
            if seeds_wanted != AS_THEY_COME:
                seed_count = sum(int.from_bytes(one, "big") < 100 + seeds for one in found)
                assert seed_count == min(seeds, max(min(seeds_wanted, want), want - leechers))

    @pytest.mark.parametrize(
        ("want", "seeds_wanted", "count"), [(10, 3, 3), (50, 3, 9), (4, 9, 4), (8, 0, 0)]
    )
    def test_a_seed_may_want_seeds_too(self, store: Store, want: int, seeds_wanted: int, count: int) -> None:
        for number in range(30):
            self.join(store, 100 + number, is_seed=number < 10, want=0)
        found = split(self.join(store, 100, is_seed=True, want=want, seeds_wanted=seeds_wanted).near)
        assert len(found) == len(set(found)) == min(want, 29) and peer(100) not in found
        assert sum(int.from_bytes(one, "big") < 110 for one in found) == count

    def test_the_other_family_fills_up_where_it_may(self, store: Store) -> None:
        for number in range(1, 5):
            self.join(store, number, is_seed=number == 1)
            self.join(store, number, width=18, is_seed=number == 1)
        joined = self.join(store, 1, is_seed=True, want=5)
        assert (len(split(joined.near)), len(split(joined.far, 18))) == (3, 2)
        assert peer(1, 18) not in split(joined.far, 18)
        assert self.join(store, 2, want=50, is_near_only=True).far == b""
        assert len(split(self.join(store, 2, want=50).far, 18)) == 4
        assert len(split(self.join(store, 2, width=18, want=5).near, 18)) == 3

    def test_everybody_is_as_likely_as_any_other(self, store: Store) -> None:
        for number in range(20):
            self.join(store, 100 + number, is_seed=number < 10, want=0)
        tally = Counter(one for _ in range(2000) for one in split(self.join(store, 1, want=4).near))
        # 2000 draws of 4 out of 20: 400 each; six standard deviations are about 110.
        assert len(tally) == 20 and all(290 < count < 510 for count in tally.values())

    @pytest.mark.parametrize(("seeds", "want", "least"), [(1, 3, 1), (1, 50, 1), (4, 30, 3), (4, 50, 4)])
    def test_a_leecher_of_many_is_told_of_seeds(
        self, store: Store, seeds: int, want: int, least: int
    ) -> None:
        for number in range(80):
            self.join(store, 100 + number, is_seed=number < seeds, want=0)
        first_leecher = int.from_bytes(peer(100 + seeds), "big")
        tally: Counter[bytes] = Counter()
        for _ in range(200):
            found = split(self.join(store, 1, want=want).near)
            assert len(set(found)) == want
            assert sum(int.from_bytes(one, "big") < first_leecher for one in found) == least
            tally.update(found)
        assert len(tally) == 80, "the others come in turn"

    @pytest.mark.parametrize(
        ("seeds", "others", "want", "count"), [(1, 9, 5, 1), (1, 5, 2, 1), (5, 15, 4, 1), (5, 5, 4, 2)]
    )
    def test_a_leecher_that_is_told_of_few_is_told_of_a_seed(
        self, store: Store, seeds: int, others: int, want: int, count: int
    ) -> None:
        """As they come every other one in a swarm of ten would be told of leechers only."""
        for number in range(seeds + others):
            self.join(store, 100 + number, is_seed=number < seeds, want=0)
        first_leecher = int.from_bytes(peer(100 + seeds), "big")
        for _ in range(200):
            found = split(self.join(store, 1, want=want).near)
            assert len(set(found)) == want
            assert sum(int.from_bytes(one, "big") < first_leecher for one in found) == count

    def test_peer_ids_are_those_last_told(self, store: Store) -> None:
        self.join(store, 1)
        self.join(store, 2, width=18)
        asked = [peer(2, 18), peer(7), peer(1)]
        assert store.peer_ids(TORRENT, asked) == [b"\x12\2" * 10, None, b"\1" * 20]
        assert store.peer_ids(b"u" * 20, [peer(1)]) == [None]

    def test_the_overdue_go_and_the_others_stay(self, store: Store) -> None:
        for number in range(1, 31):
            self.join(store, number, is_seed=number % 3 == 0, now=number)
        store.expire(LIFE_S + 20.5)
        assert store.counts(TORRENT) == ScrapeEntry(4, 6, 0, 6)
        found = split(self.join(store, 99, now=121).near)
        assert sorted(found) == [peer(number) for number in range(21, 31)]

    def test_an_announce_renews(self, store: Store) -> None:
        self.join(store, 1)
        self.join(store, 2)
        self.join(store, 1, now=100)
        store.expire(LIFE_S + 5)
        assert split(self.join(store, 3, now=105).near) == [peer(1)]
