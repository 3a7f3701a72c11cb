"""Swarms shared by several trackers: each keeps all of them in its memory and tells the others what changes.

An announce is answered from memory, at memory's speed, whatever becomes of the others; what they told is
taken in between two announces. Two announces at two trackers within some milliseconds may miss each other:
whoever asks next finds both.
"""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from swarm.base.errors import TrackerError
from swarm.tracker.memory_store import Kept, MemoryStore
from swarm.tracker.store import AS_THEY_COME, DOWNLOADER, PARTIAL_SEED, SEED, Joined, Kind, Randomness

#: A peer that announces all the time is told of once in so long.
RENEW_S = 60
#: Entries of others taken at once, some milliseconds of work.
TAKE_MAX = 10
#: Peers told again at once, while no more than so many wait to be told.
TELL_AGAIN = 2000
UNTOLD_FEW = 10_000

AWAY = b"this tracker is cut off from the others for the moment: not all peers are known"

#: What may happen, besides that a peer is there, as which a `Kind` tells.
LEFT, COMPLETED = 2, 3
#: What happened, to whom (compact, filled up with zeros; its length), peer id, when in seconds of wall time.
CHANGE = struct.Struct(">B20s18sB20sI")


class Journal(Protocol):
    """Where trackers tell each other of changes; `redis_journal.RedisJournal` says more."""

    heard: deque[bytes | dict[bytes, int]]
    is_forgotten: bool

    @property
    def is_away(self) -> bool: ...
    @property
    def untold_count(self) -> int: ...
    def tell(self, change: bytes) -> None: ...
    def count_download(self, info_hash: bytes, peer: bytes, peer_id: bytes) -> None: ...


class SharedStore(MemoryStore):
    """A `MemoryStore` that tells a journal what changes, and hears of what others told.

    Args:
        offset_s: what is added to a `now` gives seconds since 1970, which is all that the clocks of several
            machines have in common.
        now: the start. Downloads completed before it are in the numbers that the journal gives at the start,
            and do not count again when they are heard of.
    """

    def __init__(
        self, peer_life_s: float, rng: Randomness, journal: Journal, *, offset_s: float, now: float
    ) -> None:
        super().__init__(peer_life_s, rng)
        self._journal = journal
        self._offset_s = int(offset_s)
        self._began_at = self._heard_at = int(now)
        self._again: Iterator[bytes] | None = None

    @property
    def warning(self) -> bytes:
        """What peers are to be told."""
        return AWAY if self._journal.is_away else b""

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
        if self._journal.heard:
            self.take(now, 1)
        before = self.seen_at(info_hash, peer)
        joined = super().join(info_hash, peer, peer_id, kind, now, want, seeds_wanted, is_near_only)
        if joined[0] != kind or before is None or before // RENEW_S != now // RENEW_S:
            self._tell(kind, info_hash, peer, peer_id, now)
        return joined

    def leave(self, info_hash: bytes, peer: bytes) -> None:
        if (seen_at := self.seen_at(info_hash, peer)) is not None:
            super().leave(info_hash, peer)
            # As of now: another tracker may have seen it since, and not have told so.
            self._tell(LEFT, info_hash, peer, b"", max(seen_at, self._heard_at))

    def count_download(self, info_hash: bytes, peer: bytes, peer_id: bytes) -> bool:
        # Its other address may complete at another tracker, which is told who it was: in whatever order the
        # two hear of each other, each counts one of them.
        if not super().count_download(info_hash, peer, peer_id):
            return False
        self._tell(COMPLETED, info_hash, peer, peer_id, self._heard_at)
        self._journal.count_download(info_hash, peer, peer_id)
        return True

    def expire(self, now: float) -> int:
        self.take(int(now), TAKE_MAX)
        if self._journal.is_forgotten and not self._journal.is_away:
            self._journal.is_forgotten = False
            self._again = self._everybody()
        if self._again is not None and self._journal.untold_count < UNTOLD_FEW:
            for _ in range(TELL_AGAIN):
                change = next(self._again, None)
                if change is None:
                    self._again = None
                    break
                self._journal.tell(change)
        return super().expire(now)

    def take(self, now: int, entries_max: int) -> None:
        """Take in so many entries of what others told."""
        self._heard_at = now
        heard = self._journal.heard
        for _ in range(min(entries_max, len(heard))):
            entry = heard.popleft()
            if isinstance(entry, dict):
                for info_hash, downloads in entry.items():
                    self._count_at_least(info_hash, downloads, now)
            else:
                # Who shares our Redis may be an older tracker, or none at all.
                for change in CHANGE.iter_unpack(entry[: len(entry) // CHANGE.size * CHANGE.size]):
                    self._apply(now, *change)

    def _apply(
        self, now: int, kind: int, info_hash: bytes, filled: bytes, length: int, peer_id: bytes, told_at: int
    ) -> None:
        seen_at = min(told_at - self._offset_s, now)
        if kind == COMPLETED:
            if seen_at >= self._began_at:
                super().count_download(info_hash, filled[:length], peer_id)
            return
        if seen_at < now - self._peer_life_s or length not in (6, 18):
            return
        peer = filled[:length]
        # Heard again after Redis was away, or older than what came here.
        if (before := self.seen_at(info_hash, peer)) is not None and before > seen_at:
            return
        if kind == LEFT:
            super().leave(info_hash, peer)
        else:
            if kind not in (SEED, PARTIAL_SEED):
                kind = DOWNLOADER
            # Who does not fit in here may fit elsewhere.
            with contextlib.suppress(TrackerError):
                super().join(info_hash, peer, peer_id, kind, seen_at, 0)

    def _count_at_least(self, info_hash: bytes, downloads: int, now: int) -> None:
        known = self.counts(info_hash)
        if downloads > (known.downloads if known is not None else 0):
            with contextlib.suppress(TrackerError):
                self.restore(Kept(info_hash, downloads, ()), now)

    def _tell(self, kind: int, info_hash: bytes, peer: bytes, peer_id: bytes, seen_at: int) -> None:
        wall = seen_at + self._offset_s
        self._journal.tell(CHANGE.pack(kind, info_hash, peer, len(peer), peer_id, wall))

    def _everybody(self) -> Iterator[bytes]:
        for kept in self.keep():
            for row in kept.rows:
                for peer, peer_id, kind, seen_at in row.peers():
                    wall = seen_at + self._offset_s
                    yield CHANGE.pack(kind, kept.info_hash, peer, row.width, peer_id, wall)
