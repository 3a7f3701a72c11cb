"""Swarms in memory: constant time to add, refresh and remove, and random picks in O(picked).

Made for a million small swarms and for one of a million peers: a swarm's addresses lie back to back, so
that a random run of them is an answer already; seeds come first, so that "leechers only" is a run too.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from swarm.base.endpoint import COMPACT_V4_BYTES, COMPACT_V6_BYTES
from swarm.base.errors import TrackerError
from swarm.tracker.store import AS_THEY_COME, LEECHERS_A_SEED, Joined, Randomness
from swarm.wire.tracker.announce import ScrapeEntry

#: Torrents kept, and peers kept: together they fill 1.6 GB (tools/bench/tracker --memory).
SWARMS_MAX = 1_000_000
PEERS_MAX = 10_000_000
#: Peers of one family from which on they are found through a dictionary: below, searching some hundred
#: bytes costs no more, and a dictionary takes 150 bytes a peer.
INDEX_ABOVE = 64
#: Of so many peers all are copied for a pick that wants some of them; more would cost more than it saves.
COPIED_MAX = 256
#: Work of one call of `expire`, a few milliseconds: a swarm looked at is one, so are 50 peers looked at; a
#: peer forgotten is two.
EXPIRE_WORK = 1_500
_FORGETTING = 2
#: Peers of one row looked at in one go: with all of them overdue they make a call that much longer.
_LOOK_AT = 250
#: Picked as they come, an answer has a seed all but certainly (99 %) where so many are to be expected in it.
_SURE_SEEDS = 5
#: Swarms are kept in so many dictionaries: one of a million would stop everybody while it grows.
_SHARDS = 256

PEER_ID_BYTES = 20
_FULL_RETRY_S = 600.0


class Row:
    """The peers of one swarm with addresses of one family, without gaps, seeds first."""

    __slots__ = ("addresses", "oldest_at", "peer_ids", "places", "seed_count", "seen_at", "twice", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.addresses = bytearray()
        #: `addresses` twice, as picks cut them up (slices of bytes cost half of those of a bytearray); None
        #: from a change to the next pick that needs it. Kept neither in large rows nor in small ones, of
        #: which there are a million.
        self.twice: bytes | None = None
        self.peer_ids = bytearray()
        #: Whole seconds; below zero for before this machine was started, where its clock begins.
        self.seen_at = array("i")
        self.seed_count = 0
        #: Before this instant nobody here was seen; a bound, not the very instant. Of rows that take
        #: several looks it stays as it is, since peers may move between looks.
        self.oldest_at = 0
        #: compact address -> index, in large rows only.
        self.places: dict[bytes, int] | None = None

    def __len__(self) -> int:
        return len(self.seen_at)

    def find(self, peer: bytes) -> int:
        """Its index, or -1."""
        if self.places is not None:
            return self.places.get(peer, -1)
        at = self.addresses.find(peer)
        width = self.width
        while at > 0 and at % width:
            # Found across the border of two addresses.
            at = self.addresses.find(peer, at + 1)
        return at // width

    def find_twin(self, peer_id: bytes, port: bytes) -> int:
        """The index of the peer of that id and port, or -1: one with an address of either family (BEP 7)."""
        at = self.peer_ids.find(peer_id)
        while at >= 0:
            place, rest = divmod(at, PEER_ID_BYTES)
            if not rest and self._peer(place).endswith(port):
                return place
            at = self.peer_ids.find(peer_id, at + 1)
        return -1

    def add(self, peer: bytes, peer_id: bytes, is_seed: bool, now: int, rng: Randomness) -> int:
        """Take in a peer that is not there yet; returns its index.

        Anywhere among its kind, so that a run of neighbours is a sample of the swarm: those who came at the
        same time know the same others, and have no place left for one to whom only they are named.
        """
        at = len(self.seen_at)
        # Restored peers come in any order.
        if not at or now < self.oldest_at:
            self.oldest_at = now
        self.addresses += peer
        self.twice = None
        self.peer_ids += peer_id
        self.seen_at.append(now)
        if self.places is not None:
            self.places[peer] = at
        elif at >= INDEX_ABOVE:
            self.places = {self._peer(index): index for index in range(at + 1)}
        if is_seed:
            at = self.turn(at, is_seed)
            place = int(rng.random() * self.seed_count)
        else:
            place = self.seed_count + int(rng.random() * (len(self.seen_at) - self.seed_count))
        self._swap(at, place)
        return place

    def turn(self, at: int, is_seed: bool) -> int:
        """Make the peer at `at`, which is the other, a seed or a leecher; returns its new index."""
        if is_seed:
            border = self.seed_count
            self.seed_count += 1
        else:
            self.seed_count -= 1
            border = self.seed_count
        self._swap(at, border)
        return border

    def remove(self, at: int) -> None:
        """Take out the peer at `at`, and let others fill the gap."""
        if at < self.seed_count:
            at = self.turn(at, is_seed=False)
        last = len(self.seen_at) - 1
        self._swap(at, last)
        if self.places is not None:
            del self.places[self._peer(last)]
            if last <= INDEX_ABOVE // 2:
                self.places = None
        del self.addresses[last * self.width :]
        self.twice = None
        del self.peer_ids[last * PEER_ID_BYTES :]
        self.seen_at.pop()

    def _peer(self, at: int) -> bytes:
        return bytes(self.addresses[at * self.width : (at + 1) * self.width])

    def _swap(self, one: int, other: int) -> None:
        if one == other:
            return
        self.twice = None
        for row, width in ((self.addresses, self.width), (self.peer_ids, PEER_ID_BYTES)):
            i, j = one * width, other * width
            row[i : i + width], row[j : j + width] = row[j : j + width], row[i : i + width]
        seen_at = self.seen_at
        seen_at[one], seen_at[other] = seen_at[other], seen_at[one]
        if self.places is not None:
            self.places[self._peer(one)] = one
            self.places[self._peer(other)] = other

    def pick(self, start: int, end: int, count: int, asker: int, rng: Randomness) -> bytes:
        """`count` random peers of [start, end), or all if there are fewer, never the one at `asker`.

        Two runs in random places of that part closed to a ring: every peer is as likely as any other, at
        the price of a random number. Source: aquatic's tracker picks likewise.
        """
        if not count:
            return b""
        width = self.width
        is_among = start <= asker < end
        others = end - start - is_among
        if count >= others:
            addresses = self.addresses
            if is_among:
                return b"".join(
                    (addresses[start * width : asker * width], addresses[(asker + 1) * width : end * width])
                )
            return bytes(addresses[start * width : end * width])
        # Where the first run begins, and how many peers lie between its end and the second.
        drawn = int(rng.random() * (others * (others - count + 1)))
        gap = drawn // others
        one = drawn - gap * others
        first = count // 2
        other = one + first + gap
        last = other + count - first
        if others > COPIED_MAX:
            # The others as a line that begins behind the asker and is closed to a ring without it.
            ring = (start, end, asker + 1 if is_among else start, others)
            return self._run(ring, one, first) + self._run(ring, other % others, count - first)
        twice = self.twice
        if twice is None:
            twice = bytes(self.addresses) * 2
            if self.places is not None:
                self.twice = twice
        if not is_among:
            line = twice[start * width : end * width]
        elif end - start == len(self.seen_at):
            line = twice[(asker + 1) * width : (asker + 1 + others) * width]
        else:
            line = twice[start * width : asker * width] + twice[(asker + 1) * width : end * width]
        if last > others:
            line += line
        return line[one * width : (one + first) * width] + line[other * width : last * width]

    def _run(self, ring: tuple[int, int, int, int], at: int, length: int) -> bytes:
        """`length` peers of the ring from `at` on; it closes where the asker is, the row where it ends."""
        start, end, base, others = ring
        if at + length > others:
            seam = others - at
            return self._run(ring, at, seam) + self._run(ring, 0, length - seam)
        width, addresses = self.width, self.addresses
        at += base
        if at >= end:
            at -= end - start
        upto = at + length
        if upto <= end:
            return bytes(addresses[at * width : upto * width])
        rest = start + upto - end
        return bytes(addresses[at * width : end * width] + addresses[start * width : rest * width])


class _Swarm:
    __slots__ = ("downloads", "four", "six")

    def __init__(self) -> None:
        self.four: Row | None = None
        self.six: Row | None = None
        self.downloads = 0

    @property
    def rows(self) -> list[Row]:
        return [row for row in (self.four, self.six) if row is not None]


class Kept(NamedTuple):
    """A swarm as it is saved and restored; ages in seconds since each peer was seen."""

    info_hash: bytes
    downloads: int
    rows: Sequence[tuple[int, int, bytes, bytes, Sequence[int]]]


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
        self._rounds = 0
        self._now = 0.0
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
        is_seed: bool,
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
        was_seed: bool | None
        if at < 0:
            was_seed = None
            at = self._add(info_hash, row, peer, peer_id, is_seed, now)
        else:
            was_seed = at < row.seed_count
            row.seen_at[at] = now
            if was_seed is not is_seed:
                at = row.turn(at, is_seed)
        seeds = row.seed_count
        total = len(row.seen_at)
        if seeds_wanted < 0 and (
            is_seed or not seeds or (seeds * LEECHERS_A_SEED >= total and seeds * want >= total * _SURE_SEEDS)
        ):
            near = row.pick(seeds if is_seed else 0, total, want, at, self._rng)
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
                    start = other.seed_count if is_seed else 0
                    far = other.pick(start, len(other), more, own, self._rng)
            seeds += other.seed_count
            total += len(other.seen_at)
        return was_seed, seeds, total - seeds, near, far

    def _add(self, info_hash: bytes, row: Row, peer: bytes, peer_id: bytes, is_seed: bool, now: int) -> int:
        if self.peer_count >= self._peers_max:
            raise TrackerError("this tracker has no room for another peer", retry_in_s=_FULL_RETRY_S)
        self.peer_count += 1
        if self._empty:
            self._empty.pop(info_hash, None)
        return row.add(peer, peer_id, is_seed, now, self._rng)

    def _mixed(self, row: Row, want: int, seeds_wanted: int, asker: int) -> bytes:
        """So many seeds and leechers for the rest, in one family."""
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
        row = swarm.four if len(peer) == COMPACT_V4_BYTES else swarm.six
        if row is not None and (at := row.find(peer)) >= 0:
            row.remove(at)
            self.peer_count -= 1
            self._tidy(info_hash, swarm)

    def _tidy(self, info_hash: bytes, swarm: _Swarm) -> None:
        """Let go of rows without peers, and of a swarm of which there is nothing to tell."""
        if swarm.four is not None and not swarm.four.seen_at:
            swarm.four = None
        if swarm.six is not None and not swarm.six.seen_at:
            swarm.six = None
        if swarm.four is None and swarm.six is None:
            if swarm.downloads:
                self._empty.setdefault(info_hash)
            else:
                self._drop(info_hash)

    def count_download(self, info_hash: bytes) -> None:
        if (swarm := self._shards[info_hash[0]].get(info_hash)) is not None:
            swarm.downloads += 1

    def counts(self, info_hash: bytes) -> ScrapeEntry | None:
        swarm = self._shards[info_hash[0]].get(info_hash)
        if swarm is None:
            return None
        seeds = sum(row.seed_count for row in swarm.rows)
        return ScrapeEntry(seeds, sum(map(len, swarm.rows)) - seeds, swarm.downloads)

    def peer_ids(self, info_hash: bytes, peers: Sequence[bytes]) -> list[bytes | None]:
        swarm = self._shards[info_hash[0]].get(info_hash) or _Swarm()
        found: list[bytes | None] = []
        for peer in peers:
            row = swarm.four if len(peer) == COMPACT_V4_BYTES else swarm.six
            at = row.find(peer) if row is not None else -1
            start = at * PEER_ID_BYTES
            found.append(
                bytes(row.peer_ids[start : start + PEER_ID_BYTES]) if row is not None and at >= 0 else None
            )
        return found

    def seen_at(self, info_hash: bytes, peer: bytes) -> int | None:
        """When this peer was last heard of, in whole seconds; None if it is not known."""
        swarm = self._shards[info_hash[0]].get(info_hash)
        if swarm is None:
            return None
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

    def expire_all(self, now: float) -> int:
        """One whole round of `expire`, however long it takes."""
        self._now = now
        self._sweep = self._sweeping()
        forgotten, rounds = 0, self._rounds
        while self._rounds == rounds:
            forgotten += next(self._sweep)[1]
        return forgotten

    def _sweeping(self) -> Iterator[tuple[int, int]]:
        while True:
            for shard in self._shards:
                for info_hash in list(shard):
                    swarm = shard.get(info_hash)
                    if swarm is not None:
                        yield from self._forgetting(info_hash, swarm)
            self._rounds += 1
            self._seed_count, self._counting = self._counting, 0
            # A round's end is a call's end: a store that is nearly empty must not be looked at for ever.
            yield EXPIRE_WORK, 0

    def _forgetting(self, info_hash: bytes, swarm: _Swarm) -> Iterator[tuple[int, int]]:
        """Forget the overdue of one swarm; rows may change between two steps."""
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

    def _forget_some(self, row: Row, start: int, seen_at: Sequence[int]) -> int:
        """Forget those of the peers from `start` on, last seen at these times, that are overdue."""
        seen_before = self._now - self._peer_life_s
        overdue = [at for at, seen in enumerate(seen_at, start) if seen < seen_before]
        for at in reversed(overdue):
            row.remove(at)
        self.peer_count -= len(overdue)
        return len(overdue)

    def keep(self, now: float) -> Iterator[Kept]:
        """Everything, a swarm at a time, to be restored by another process."""
        for shard in self._shards:
            # Copies of a shard: somebody may announce between two swarms.
            for info_hash, swarm in list(shard.items()):
                rows = [
                    (row.width, row.seed_count, bytes(row.addresses), bytes(row.peer_ids),
                     array("I", [max(0, int(now) - seen) for seen in row.seen_at]))
                    for row in swarm.rows
                ]  # fmt: skip
                yield Kept(info_hash, swarm.downloads, rows)

    def restore(self, kept: Kept, now: float) -> None:
        """Take in a swarm that `keep` gave, as if its peers had announced when they did.

        Those that are overdue stay away.

        Raises:
            TrackerError: the store is full.
        """
        for width, seed_count, addresses, peer_ids, ages in kept.rows:
            for at, age in enumerate(ages):
                if age > self._peer_life_s:
                    continue
                peer_id = peer_ids[at * PEER_ID_BYTES : (at + 1) * PEER_ID_BYTES]
                self.join(
                    kept.info_hash,
                    addresses[at * width : (at + 1) * width],
                    peer_id,
                    at < seed_count,
                    int(now) - age,
                    0,
                )
        if kept.downloads:
            if self.counts(kept.info_hash) is None:
                self._new_swarm(kept.info_hash)
            self._shards[kept.info_hash[0]][kept.info_hash].downloads = kept.downloads
