"""The tracker's rules: who gets whom, and what an announce changes. Pure: no clock, no socket.

A peer is known by the address its announce came from and the port it names. Seeds get leechers
only; leechers get both, everybody as likely as any other; nobody gets himself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from swarm.base.endpoint import COMPACT_V4_BYTES, COMPACT_V6_BYTES
from swarm.base.errors import TrackerError
from swarm.tracker.store import Picked, Randomness, Store
from swarm.wire.tracker.announce import Event, ScrapeEntry

_NOBODY = Picked(b"", ())
_UNKNOWN = ScrapeEntry(0, 0, 0)


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How our tracker behaves. Spans in seconds."""

    #: Between two announces of a peer: half of what most trackers ask, since peers vanish unheard.
    interval_s: float = 15 * 60.0
    #: Part of the interval by which answers differ, so that peers of one moment spread out.
    interval_jitter: float = 0.1
    #: Announces that are due to need may come this early.
    min_interval_s: float = 60.0
    #: Peers handed out where the peer does not say; it seldom has more connections.
    num_want_default: int = 50
    #: Peers handed out at most: 200 of 6 bytes fit one TCP segment (libtorrent asks for 200).
    num_want_max: int = 200
    #: Only these info-hashes are served (None: all of them) ...
    allowed: frozenset[bytes] | None = None
    #: ... and never these.
    denied: frozenset[bytes] = frozenset()

    @property
    def peer_life_s(self) -> float:
        """A peer that missed two announces and a minute is gone."""
        return 2 * self.interval_s * (1 + self.interval_jitter) + 60.0


class Announce(NamedTuple):
    """One announce, however it came here.

    Args:
        peer: the compact address it came from with the port it named, 6 or 18 bytes.
        left_bytes: None where it was not said.
        num_want: None where it was not said.
    """

    info_hash: bytes
    peer: bytes
    peer_id: bytes
    left_bytes: int | None
    event: Event | None
    num_want: int | None


class Answer(NamedTuple):
    """What the peer is told; spans in whole seconds."""

    interval_s: int
    min_interval_s: int
    seeds: int
    leechers: int
    v4: Picked
    v6: Picked


class Rules:
    """The tracker's mind.

    Args:
        rng: draws peers and jitter.
    """

    def __init__(self, store: Store, rng: Randomness, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._store = store
        self._rng = rng

    def announce(self, announce: Announce, now: float) -> Answer:
        """Take note of the peer and choose others for it.

        Raises:
            TrackerError: the torrent is not served here, or the store is full.
        """
        info_hash = announce.info_hash
        self._refuse_unlisted(info_hash)
        if announce.event == "stopped":
            self._store.remove(info_hash, announce.peer)
            return self._answer(info_hash, now, _NOBODY, _NOBODY)
        is_seed = announce.left_bytes == 0
        was_seed = self._store.put(info_hash, announce.peer, announce.peer_id, is_seed, now)
        # A completed download is one that was not complete before, as far as we know.
        if announce.event == "completed" and is_seed and not was_seed:
            self._store.count_download(info_hash)
        return self._choose(announce, is_seed, now)

    def scrape(self, info_hashes: Iterable[bytes], now: float) -> dict[bytes, ScrapeEntry]:
        """The numbers of those swarms that are known here and may be."""
        return {
            info_hash: counts
            for info_hash in info_hashes
            if self._is_listed(info_hash) and (counts := self._store.counts(info_hash, now)) is not None
        }

    def expire(self, now: float) -> int:
        """Forget some of those that are overdue; to be called every second or so."""
        return self._store.expire(now)

    def _is_listed(self, info_hash: bytes) -> bool:
        settings = self.settings
        return info_hash not in settings.denied and (
            settings.allowed is None or info_hash in settings.allowed
        )

    def _refuse_unlisted(self, info_hash: bytes) -> None:
        if not self._is_listed(info_hash):
            raise TrackerError("this tracker does not serve that torrent")

    def _choose(self, announce: Announce, is_seed: bool, now: float) -> Answer:
        settings = self.settings
        # First, since it also forgets those of this swarm that are overdue.
        counts = self._store.counts(announce.info_hash, now) or _UNKNOWN
        wanted = settings.num_want_default if announce.num_want is None else announce.num_want
        wanted = min(wanted, settings.num_want_max)
        width = len(announce.peer)
        # Its own family first: that one it can reach for sure.
        near = self._pick(announce, width, is_seed, wanted, counts)
        far = _NOBODY
        if (more := wanted - len(near.peer_ids)) > 0:
            other = COMPACT_V6_BYTES if width == COMPACT_V4_BYTES else COMPACT_V4_BYTES
            far = self._pick(announce, other, is_seed, more, counts)
        v4, v6 = (near, far) if width == COMPACT_V4_BYTES else (far, near)
        return self._answer(announce.info_hash, now, v4, v6, counts)

    def _pick(
        self, announce: Announce, width: int, is_seed: bool, wanted: int, counts: ScrapeEntry
    ) -> Picked:
        pick = self._store.pick
        info_hash, peer, rng = announce.info_hash, announce.peer, self._rng
        if is_seed or not counts.seeds or not wanted:
            return pick(info_hash, width, is_seed=False, count=wanted, asker=peer, rng=rng)
        # As many seeds as their part of the swarm; the random number rounds without leaning.
        others = max(1, counts.seeds + counts.leechers - 1)
        seed_count = min(wanted, int(wanted * counts.seeds / others + rng.random()))
        seeds = pick(info_hash, width, is_seed=True, count=seed_count, asker=peer, rng=rng)
        count = wanted - len(seeds.peer_ids)
        leechers = pick(info_hash, width, is_seed=False, count=count, asker=peer, rng=rng)
        if (more := wanted - len(seeds.peer_ids) - len(leechers.peer_ids)) > 0 and counts.seeds > seed_count:
            # Too few leechers in this family: seeds take their places.
            seeds = pick(info_hash, width, is_seed=True, count=seed_count + more, asker=peer, rng=rng)
        return Picked(seeds.addresses + leechers.addresses, [*seeds.peer_ids, *leechers.peer_ids])

    def _answer(
        self, info_hash: bytes, now: float, v4: Picked, v6: Picked, counts: ScrapeEntry | None = None
    ) -> Answer:
        settings = self.settings
        counts = counts or self._store.counts(info_hash, now) or _UNKNOWN
        swing = 1 + settings.interval_jitter * (2 * self._rng.random() - 1)
        return Answer(
            interval_s=max(1, round(settings.interval_s * swing)),
            min_interval_s=max(1, round(min(settings.min_interval_s, settings.interval_s))),
            seeds=counts.seeds,
            leechers=counts.leechers,
            v4=v4,
            v6=v6,
        )
