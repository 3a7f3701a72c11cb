"""Swarms in memory: constant time to add, refresh and remove, and random picks in O(picked).

Made for a million small swarms and for one of a million peers; those of one swarm lie in `rows`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from swarm.base.endpoint import COMPACT_V4_BYTES, COMPACT_V6_BYTES
from swarm.base.errors import TrackerError
from swarm.tracker.rows import PEER_ID_BYTES, Row
from swarm.tracker.store import (
    AS_THEY_COME,
    DOWNLOADER,
    LEECHERS_A_SEED,
    PARTIAL_SEED,
    SEED,
    Joined,
    Kind,
    Randomness,
)
from swarm.tracker.twins import Twins, count_twins
from swarm.wire.tracker.announce import ScrapeEntry

#: Torrents kept, and peers kept: together they fill 1.6 GB (tools/bench/tracker --memory).
SWARMS_MAX = 1_000_000
PEERS_MAX = 10_000_000
#: Work of one call of `expire`, a few milliseconds: a swarm looked at is one, so are 50 peers looked at; a
#: peer forgotten is two.
EXPIRE_WORK = 1_500
_FORGETTING = 2
#: Peers of one row looked at in one go: with all of them overdue they make a call that much longer.
_LOOK_AT = 250
#: So many entries looked at for twins are one, and each step is some on top.
_TWIN_LOOKS, _TWIN_STEP = 4, 2
#: Twins are counted for so much of that work a second (a quarter of a percent of the time), but each swarm's
#: not less often than so.
_TWIN_WORK_PER_S = 1_000
_TWINS_S = 60.0
#: Picked as they come, an answer has a seed all but certainly (99 %) where so many are to be expected in it.
_SURE_SEEDS = 5
#: Swarms are kept in so many dictionaries: one of a million would stop everybody while it grows.
_SHARDS = 256

#: Downloads remembered, so that a peer with addresses of both families counts once.
COMPLETED_MAX = 10_000

_FULL_RETRY_S = 600.0


class _Swarm:
    __slots__ = ("downloads", "four", "six", "twins")

    def __init__(self) -> None:
        self.four: Row | None = None
        self.six: Row | None = None
        self.downloads = 0
        #: As they were counted last; None where nobody has addresses of both families.
        self.twins: Twins | None = None

    def find(self, peer: bytes) -> tuple[Row, int] | None:
        """Its row, and its index there; None for one that is not in the swarm."""
        row = self.four if len(peer) == COMPACT_V4_BYTES else self.six
        at = row.find(peer) if row is not None else -1
        return (row, at) if row is not None and at >= 0 else None

    @property
    def rows(self) -> list[Row]:
        return [row for row in (self.four, self.six) if row is not None]

    def counts(self) -> tuple[int, int, int]:
        """Members, how many of them are seeds, and how many seeds or partial seeds."""
        four, six, twins = self.four, self.six, self.twins
        if four is None or six is None:
            row = four or six
            return (0, 0, 0) if row is None else (len(row), row.seed_count, row.done_count)
        members, seeds = len(four) + len(six), four.seed_count + six.seed_count
        done = four.done_count + six.done_count
        if twins is None:
            return members, seeds, done
        # Some may have gone or turned since they were counted.
        seeds -= min(twins.seeds, four.seed_count, six.seed_count)
        done = max(seeds, done - min(twins.done, four.done_count, six.done_count))
        return max(done, members - min(twins.members, len(four), len(six))), seeds, done


class KeptRow(NamedTuple):
    """A row as it is saved and restored; when each peer was seen, in whole seconds of the store's clock."""

    width: int
    seed_count: int
    done_count: int
    addresses: bytes
    peer_ids: bytes
    seen_at: Sequence[int]

    def peers(self) -> Iterator[tuple[bytes, bytes, Kind, int]]:
        """Yield compact address, peer id and kind of each, and when it was seen."""
        width = self.width
        for at, seen in enumerate(self.seen_at):
            kind = DOWNLOADER if at >= self.done_count else SEED if at < self.seed_count else PARTIAL_SEED
            peer_id = self.peer_ids[at * PEER_ID_BYTES : (at + 1) * PEER_ID_BYTES]
            yield self.addresses[at * width : (at + 1) * width], peer_id, kind, seen


class Kept(NamedTuple):
    """A swarm as it is saved and restored."""

    info_hash: bytes
    downloads: int
    rows: Sequence[KeptRow]


class MemoryStore:
    """A `Store` in this process's memory.

    Args:
        peer_life_s: a peer not heard of for so long is gone.
        rng: draws the peers.
        swarms_max, peers_max: beyond these, newcomers are refused; what is there goes on.
    """

    def __init__(
        self,
        peer_life_s: float,
        rng: Randomness,
        *,
        swarms_max: int = SWARMS_MAX,
        peers_max: int = PEERS_MAX,
    ) -> None:
        self._peer_life_s = peer_life_s
        self._rng = rng
        self._swarms_max = swarms_max
        self._peers_max = peers_max
        self._shards: list[dict[bytes, _Swarm]] = [{} for _ in range(_SHARDS)]
        #: Kept for their number of downloads only; the first that has to go is first.
        self._empty: OrderedDict[bytes, None] = OrderedDict()
        #: Goes round and round; each step yields (work done, peers forgotten).
        self._sweep = self._sweeping()
        #: Info-hash, peer id, port -> length of the address of who completed, oldest first.
        self._completed: OrderedDict[tuple[bytes, bytes, bytes], int] = OrderedDict()
        self._now = 0.0
        self._twins_due_at = self._twin_work = 0.0
        self.swarm_count = 0
        self.peer_count = 0
        self._seed_count = self._counting = 0

    @property
    def seed_count(self) -> int:
        """Of all swarms; kept up by the sweep, so up to a round of it late."""
        return self._seed_count

    def join(
        self,
        info_hash: bytes,
        peer: bytes,
        peer_id: bytes,
        kind: Kind,
        now: int,
        want: int,
        seeds_wanted: int = AS_THEY_COME,
        is_near_only: bool = False,
    ) -> Joined:
        swarm = self._shards[info_hash[0]].get(info_hash)
        if swarm is None:
            swarm = self._new_swarm(info_hash)
        if len(peer) == COMPACT_V4_BYTES:
            row, other = swarm.four, swarm.six
            if row is None:
                row = swarm.four = Row(COMPACT_V4_BYTES)
        else:
            row, other = swarm.six, swarm.four
            if row is None:
                row = swarm.six = Row(COMPACT_V6_BYTES)
        # `row.find`, written out: this is the tracker's hottest line.
        places = row.places
        if places is not None:
            at = places.get(peer, -1)
        else:
            at = row.addresses.find(peer)
            if at > 0:
                at, rest = divmod(at, row.width)
                if rest:
                    at = row.find(peer)
        was: Kind | None
        if at < 0:
            was = None
            at = self._add(info_hash, row, peer, peer_id, kind, now)
        else:
            was = DOWNLOADER if at >= row.done_count else SEED if at < row.seed_count else PARTIAL_SEED
            row.seen_at[at] = now
            if was != kind:
                at = row.turn(at, kind)
        seeds = row.seed_count
        total = len(row.seen_at)
        if seeds_wanted < 0 and (
            kind or not seeds or (seeds * LEECHERS_A_SEED >= total and seeds * want >= total * _SURE_SEEDS)
        ):
            near = row.pick(row.done_count if kind else 0, total, want, at, self._rng)
        elif seeds_wanted < 0:
            part = max(-(-want // LEECHERS_A_SEED), round(want * seeds / total))
            near = self._mixed(row, want, part, at)
        else:
            near = self._mixed(row, want, seeds_wanted, at)
        far = b""
        if other is not None:
            if not is_near_only and (more := want - len(near) // row.width) > 0:
                # In a crowd it hardly ever comes out, and a search costs more.
                own = other.find_twin(peer_id, peer[-2:]) if other.places is None else -1
                if seeds_wanted >= 0:
                    far = self._mixed(other, more, seeds_wanted, own)
                else:
                    start = other.done_count if kind else 0
                    far = other.pick(start, len(other), more, own, self._rng)
            if swarm.twins is None:
                seeds += other.seed_count
                total += len(other.seen_at)
            else:
                total, seeds, _ = swarm.counts()
        return was, seeds, total - seeds, near, far

    def _add(self, info_hash: bytes, row: Row, peer: bytes, peer_id: bytes, kind: Kind, now: int) -> int:
        if self.peer_count >= self._peers_max:
            raise TrackerError("this tracker has no room for another peer", retry_in_s=_FULL_RETRY_S)
        self.peer_count += 1
        if self._empty:
            self._empty.pop(info_hash, None)
        return row.add(peer, peer_id, kind, now, self._rng)

    def _mixed(self, row: Row, want: int, seeds_wanted: int, asker: int) -> bytes:
        """`want` peers of one family: `seeds_wanted` seeds and, for the rest, leechers.

        Where there are too few of the ones, more of the others; never the one at index `asker`.
        """
        seeds, total = row.seed_count, len(row.seen_at)
        leechers = total - seeds - (asker >= seeds)
        others = seeds - (0 <= asker < seeds)
        seed_count = min(others, max(min(seeds_wanted, want), want - leechers))
        return row.pick(0, seeds, seed_count, asker, self._rng) + row.pick(
            seeds, total, want - seed_count, asker, self._rng
        )

    def _new_swarm(self, info_hash: bytes) -> _Swarm:
        if self.swarm_count >= self._swarms_max:
            if not self._empty:
                raise TrackerError("this tracker has no room for another torrent", retry_in_s=_FULL_RETRY_S)
            self._drop(next(iter(self._empty)))
        swarm = self._shards[info_hash[0]][info_hash] = _Swarm()
        self.swarm_count += 1
        # Until its first peer is in: a refused peer must not leave a swarm behind for ever.
        self._empty[info_hash] = None
        return swarm

    def _drop(self, info_hash: bytes) -> None:
        del self._shards[info_hash[0]][info_hash]
        self._empty.pop(info_hash, None)
        self.swarm_count -= 1

    def leave(self, info_hash: bytes, peer: bytes) -> None:
        swarm = self._shards[info_hash[0]].get(info_hash)
        if swarm is None:
            return
        if (found := swarm.find(peer)) is not None:
            row, at = found
            row.remove(at)
            self.peer_count -= 1
            self._tidy(info_hash, swarm)

    def _tidy(self, info_hash: bytes, swarm: _Swarm) -> None:
        """Let go of rows without peers, and of a swarm of which there is nothing to tell."""
        if swarm.four is not None and not swarm.four.seen_at:
            swarm.four = None
        if swarm.six is not None and not swarm.six.seen_at:
            swarm.six = None
        if swarm.four is None or swarm.six is None:
            swarm.twins = None
        if swarm.four is None and swarm.six is None:
            if swarm.downloads:
                self._empty.setdefault(info_hash)
            else:
                self._drop(info_hash)

    def count_download(self, info_hash: bytes, peer: bytes, peer_id: bytes) -> bool:
        swarm = self._shards[info_hash[0]].get(info_hash)
        if swarm is None:
            return False
        width = self._completed.setdefault((info_hash, peer_id, peer[-2:]), len(peer))
        if len(self._completed) > COMPLETED_MAX:
            self._completed.popitem(last=False)
        if width != len(peer):
            return False
        swarm.downloads += 1
        return True

    def counts(self, info_hash: bytes) -> ScrapeEntry | None:
        swarm = self._shards[info_hash[0]].get(info_hash)
        if swarm is None:
            return None
        members, seeds, done = swarm.counts()
        return ScrapeEntry(seeds, members - seeds, swarm.downloads, members - done)

    def peer_ids(self, info_hash: bytes, peers: Sequence[bytes]) -> list[bytes | None]:
        swarm = self._shards[info_hash[0]].get(info_hash) or _Swarm()
        return [None if found is None else found[0].peer_id(found[1]) for found in map(swarm.find, peers)]

    def seen_at(self, info_hash: bytes, peer: bytes) -> int | None:
        """When this peer was last heard of, in whole seconds; None if it is not known."""
        swarm = self._shards[info_hash[0]].get(info_hash)
        if swarm is None:
            return None
        # `swarm.find`, written out: a shared store asks with each announce.
        row = swarm.four if len(peer) == COMPACT_V4_BYTES else swarm.six
        at = row.find(peer) if row is not None else -1
        return row.seen_at[at] if row is not None and at >= 0 else None

    def expire(self, now: float) -> int:
        self._now = now
        forgotten = work = 0
        while work < EXPIRE_WORK:
            done, count = next(self._sweep)
            work += done
            forgotten += count
        return forgotten

    def _sweeping(self) -> Iterator[tuple[int, int]]:
        while True:
            is_counting = self._now >= self._twins_due_at
            self._twin_work = 0.0
            for shard in self._shards:
                for info_hash in list(shard):
                    swarm = shard.get(info_hash)
                    if swarm is not None:
                        yield from self._forgetting(info_hash, swarm)
                        if is_counting and swarm.four is not None and swarm.six is not None:
                            yield from self._counting_twins(swarm, swarm.four, swarm.six)
            if is_counting:
                self._twins_due_at = self._now + min(_TWINS_S, self._twin_work / _TWIN_WORK_PER_S)
            self._seed_count, self._counting = self._counting, 0
            # A round's end is a call's end: a store that is nearly empty must not be looked at for ever.
            yield EXPIRE_WORK, 0

    def _forgetting(self, info_hash: bytes, swarm: _Swarm) -> Iterator[tuple[int, int]]:
        """Forget the overdue of one swarm, in steps between which rows may change.

        Yields what `_sweep` does.
        """
        for row in swarm.rows:
            if row.oldest_at >= self._now - self._peer_life_s:
                continue
            is_small = len(row) <= _LOOK_AT
            # From the end, for what fills a gap comes from there and has been looked at.
            end = len(row)
            while end > 0:
                start = max(0, end - _LOOK_AT)
                look = row.seen_at[start:end]
                count = self._forget_some(row, start, look)
                if is_small:
                    row.oldest_at = min(row.seen_at, default=0)
                yield len(look) // 50 + _FORGETTING * count, count
                end = min(start, len(row))
        self._counting += sum(row.seed_count for row in swarm.rows)
        if self._shards[info_hash[0]].get(info_hash) is swarm:
            self._tidy(info_hash, swarm)
        yield 1, 0

    def _counting_twins(self, swarm: _Swarm, four: Row, six: Row) -> Iterator[tuple[int, int]]:
        """Count those of one swarm who have addresses of both families."""
        counting = count_twins(four, six)
        try:
            while True:
                work = _TWIN_STEP + next(counting) // _TWIN_LOOKS
                self._twin_work += work
                yield work, 0
        except StopIteration as end:
            swarm.twins = end.value if end.value.members else None

    def _forget_some(self, row: Row, start: int, seen_at: Sequence[int]) -> int:
        """Forget those of the peers from `start` on, last seen at these times, that are overdue."""
        seen_before = self._now - self._peer_life_s
        overdue = [at for at, seen in enumerate(seen_at, start) if seen < seen_before]
        for at in reversed(overdue):
            row.remove(at)
        self.peer_count -= len(overdue)
        return len(overdue)

    def keep(self) -> Iterator[Kept]:
        """Everything, a swarm at a time, to be restored by another process.

        The store may change between two of them: each swarm is as it was when it was its turn.
        """
        for shard in self._shards:
            for info_hash, swarm in list(shard.items()):
                # Copied as they are: a swarm of a million peers takes some milliseconds.
                rows = [
                    KeptRow(row.width, row.seed_count, row.done_count,
                            bytes(row.addresses), bytes(row.peer_ids), row.seen_at[:])
                    for row in swarm.rows
                ]  # fmt: skip
                yield Kept(info_hash, swarm.downloads, rows)

    def restore(self, kept: Kept, now: float) -> None:
        """Take in a swarm that `keep` gave, as if its peers had announced when they did.

        Those that are overdue stay away.

        Raises:
            TrackerError: the store is full.
        """
        for row in kept.rows:
            for peer, peer_id, kind, seen in row.peers():
                if int(now) - seen <= self._peer_life_s:
                    self.join(kept.info_hash, peer, peer_id, kind, min(seen, int(now)), 0)
        if kept.downloads:
            if self.counts(kept.info_hash) is None:
                self._new_swarm(kept.info_hash)
            self._shards[kept.info_hash[0]][kept.info_hash].downloads = kept.downloads
