"""Swarms in memory: constant time to add, refresh and remove, and random picks in O(picked)."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator

from swarm.base.errors import TrackerError
from swarm.tracker.store import Picked, Randomness
from swarm.wire.tracker.announce import ScrapeEntry

#: Torrents kept: at some 700 bytes for one with a single peer, 200 MiB.
SWARMS_MAX = 300_000
#: Peers kept: at some 300 bytes each, 600 MiB.
PEERS_MAX = 2_000_000
#: Swarms looked at in one call of `expire`, so that it takes a few milliseconds at most.
SWARMS_PER_SWEEP = 2_000

#: Overdue peers of a row forgotten in one go; the next announce or sweep goes on with the rest.
FORGET_MAX = 5_000

_FULL_RETRY_S = 600.0


class _Roll:
    """The seeds or the leechers of one swarm with addresses of one family, without gaps.

    A gapless row lets a random run be cut out with one slice, which is an answer already.
    """

    __slots__ = ("addresses", "peer_ids", "places", "seen_at", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.addresses = bytearray()
        self.peer_ids: list[bytes] = []
        self.seen_at = array("d")
        #: compact address -> index, those not seen for longest first.
        self.places: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self.peer_ids)

    def put(self, peer: bytes, peer_id: bytes, now: float) -> bool:
        """Add or refresh; returns whether it was there already."""
        at = self.places.get(peer)
        if at is None:
            self.places[peer] = len(self.peer_ids)
            self.addresses += peer
            self.peer_ids.append(peer_id)
            self.seen_at.append(now)
            return False
        self.places.move_to_end(peer)
        self.peer_ids[at] = peer_id
        self.seen_at[at] = now
        return True

    def remove(self, peer: bytes) -> bool:
        """Take out, and let the last one fill the gap; returns whether it was there."""
        at = self.places.pop(peer, None)
        if at is None:
            return False
        peer_id, seen_at = self.peer_ids.pop(), self.seen_at.pop()
        last = bytes(self.addresses[-self.width :])
        del self.addresses[-self.width :]
        if at < len(self.peer_ids):
            self.addresses[at * self.width : (at + 1) * self.width] = last
            self.peer_ids[at], self.seen_at[at] = peer_id, seen_at
            self.places[last] = at
        return True

    def oldest_at(self) -> float | None:
        """When the one not seen for longest was seen."""
        return self.seen_at[next(iter(self.places.values()))] if self.places else None

    def forget(self, seen_before: float, count_max: int) -> int:
        """Take out those last seen before that instant, `count_max` at most; returns how many."""
        count = 0
        while count < count_max and (oldest_at := self.oldest_at()) is not None and oldest_at < seen_before:
            self.remove(next(iter(self.places)))
            count += 1
        return count

    def runs(self, count: int, asker: bytes, rng: Randomness) -> Iterator[tuple[int, int]]:
        """Yield [start, end) of the row that hold `count` random peers, or all if there are fewer.

        Two runs in random places of the row closed to a ring: every peer is as likely as any
        other, at the price of two random numbers. Source: aquatic's tracker picks likewise.
        """
        total = len(self.peer_ids)
        asker_at = self.places.get(asker)
        # The others as a line that begins behind the asker and is closed to a ring without it.
        base, others = (0, total) if asker_at is None else (asker_at + 1, total - 1)
        if count >= others:
            yield from _on_line(base, others, total)
            return
        first = count // 2
        start = int(rng.random() * others)
        gap = int(rng.random() * (others - count + 1))
        for at, length in ((start, first), ((start + first + gap) % others, count - first)):
            before_seam = min(length, others - at)
            yield from _on_line(base + at, before_seam, total)
            yield from _on_line(base, length - before_seam, total)


def _on_line(start: int, length: int, total: int) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of `length` entries from `start` on, going on at 0 behind the last."""
    if length <= 0:
        return
    start %= total
    yield start, min(start + length, total)
    if start + length > total:
        yield 0, start + length - total


class _Swarm:
    __slots__ = ("check_at", "downloads", "rolls")

    def __init__(self) -> None:
        #: (width, is_seed) -> roll; made when first needed, most swarms have one or two.
        self.rolls: dict[tuple[int, bool], _Roll] = {}
        self.downloads = 0
        #: Before this instant nobody can be overdue.
        self.check_at = 0.0

    def count(self, is_seed: bool) -> int:
        return sum(len(roll) for (_, seeds), roll in self.rolls.items() if seeds == is_seed)

    def is_empty(self) -> bool:
        return not any(self.rolls.values())


class MemoryStore:
    """A `Store` in this process's memory.

    Args:
        peer_life_s: a peer not heard of for so long is gone.
        swarms_max, peers_max: beyond these, newcomers are refused; what is there goes on.
    """

    def __init__(
        self, peer_life_s: float, *, swarms_max: int = SWARMS_MAX, peers_max: int = PEERS_MAX
    ) -> None:
        self._peer_life_s = peer_life_s
        self._swarms_max = swarms_max
        self._peers_max = peers_max
        self._swarms: dict[bytes, _Swarm] = {}
        #: Kept for their number of downloads only; the first that has to go is first.
        self._empty: OrderedDict[bytes, None] = OrderedDict()
        self._sweep: list[bytes] = []
        self.peer_count = 0

    @property
    def swarm_count(self) -> int:
        return len(self._swarms)

    def put(self, info_hash: bytes, peer: bytes, peer_id: bytes, is_seed: bool, now: float) -> bool | None:
        swarm = self._swarms.get(info_hash) or self._new_swarm(info_hash, now)
        width = len(peer)
        other = swarm.rolls.get((width, not is_seed))
        has_changed = other is not None and other.remove(peer)
        roll = swarm.rolls.get((width, is_seed))
        if roll is None:
            roll = swarm.rolls[width, is_seed] = _Roll(width)
        if has_changed:
            roll.put(peer, peer_id, now)
            return not is_seed
        if self.peer_count >= self._peers_max and peer not in roll.places:
            raise TrackerError("this tracker has no room for another peer", retry_in_s=_FULL_RETRY_S)
        if roll.put(peer, peer_id, now):
            return is_seed
        self.peer_count += 1
        self._empty.pop(info_hash, None)
        return None

    def _new_swarm(self, info_hash: bytes, now: float) -> _Swarm:
        if len(self._swarms) >= self._swarms_max:
            if not self._empty:
                raise TrackerError("this tracker has no room for another torrent", retry_in_s=_FULL_RETRY_S)
            del self._swarms[self._empty.popitem(last=False)[0]]
        swarm = self._swarms[info_hash] = _Swarm()
        swarm.check_at = now + self._peer_life_s
        # Until its first peer is in: a refused peer must not leave a swarm behind for ever.
        self._empty[info_hash] = None
        return swarm

    def remove(self, info_hash: bytes, peer: bytes) -> None:
        swarm = self._swarms.get(info_hash)
        if swarm is None:
            return
        for (width, _), roll in swarm.rolls.items():
            if width == len(peer) and roll.remove(peer):
                self.peer_count -= 1
                if swarm.is_empty():
                    self._emptied(info_hash, swarm)
                return

    def _emptied(self, info_hash: bytes, swarm: _Swarm) -> None:
        if swarm.downloads:
            swarm.rolls.clear()
            self._empty[info_hash] = None
        else:
            del self._swarms[info_hash]
            self._empty.pop(info_hash, None)

    def count_download(self, info_hash: bytes) -> None:
        if (swarm := self._swarms.get(info_hash)) is not None:
            swarm.downloads += 1

    def counts(self, info_hash: bytes, now: float) -> ScrapeEntry | None:
        swarm = self._swarms.get(info_hash)
        if swarm is None:
            return None
        if now >= swarm.check_at:
            self._forget_overdue(info_hash, swarm, now)
        return ScrapeEntry(swarm.count(True), swarm.count(False), swarm.downloads)

    def pick(
        self, info_hash: bytes, width: int, *, is_seed: bool, count: int, asker: bytes, rng: Randomness
    ) -> Picked:
        swarm = self._swarms.get(info_hash)
        roll = swarm.rolls.get((width, is_seed)) if swarm is not None else None
        if roll is None or count <= 0:
            return Picked(b"", ())
        runs = list(roll.runs(count, asker, rng))
        return Picked(
            b"".join([roll.addresses[start * width : end * width] for start, end in runs]),
            [peer_id for start, end in runs for peer_id in roll.peer_ids[start:end]],
        )

    def expire(self, now: float) -> int:
        if not self._sweep:
            self._sweep = list(self._swarms)
        count = 0
        for _ in range(min(SWARMS_PER_SWEEP, len(self._sweep))):
            info_hash = self._sweep.pop()
            swarm = self._swarms.get(info_hash)
            if swarm is not None and now >= swarm.check_at:
                count += self._forget_overdue(info_hash, swarm, now)
        return count

    def _forget_overdue(self, info_hash: bytes, swarm: _Swarm, now: float) -> int:
        count = sum(roll.forget(now - self._peer_life_s, FORGET_MAX) for roll in swarm.rolls.values())
        self.peer_count -= count
        # In the past where some are left over: then the next call comes here again.
        oldest = [at for roll in swarm.rolls.values() if (at := roll.oldest_at()) is not None]
        swarm.check_at = min(oldest, default=now) + self._peer_life_s
        if swarm.is_empty():
            self._emptied(info_hash, swarm)
        return count
