"""The tracker's rules: who gets whom, and what an announce changes. Pure: no clock, no socket.

A peer is known by the address its announce came from and the port it names. Seeds, and partial seeds, which
download nothing more (BEP 21), get those who download; these get everybody, each as likely as any other, but
of ten named one is a seed where there are any. Nobody gets himself.

Whoever starts with nothing left may be a seed, or may have a magnet link and not know yet what is left
(aria2 says 0 then): it is counted as a seed and gets leechers first, but some seeds too. Two seeds part
at once.

A swarm that has just begun changes by the second: who got fewer than it asked for may ask again soon.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from typing import NamedTuple

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import COMPACT_V4_BYTES, COMPACT_V6_BYTES
from swarm.base.errors import TrackerError
from swarm.tracker.admission import Admission
from swarm.tracker.store import AS_THEY_COME, DOWNLOADER, PARTIAL_SEED, SEED, Kind, Randomness, Store
from swarm.wire.tracker.announce import Event, ScrapeEntry

_UNKNOWN = ScrapeEntry(0, 0, 0, 0)


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
    #: Of the places of a leecher that starts, the part for seeds: they have all that it lacks, and it has
    #: nothing to trade with leechers. None: seeds and leechers as they come.
    fresh_seed_share: float | None = None
    #: Of those of a leecher that asks again.
    later_seed_share: float | None = None
    #: A swarm is young for so long after its first announce ...
    young_s: float = 120.0
    #: ... and who got fewer peers than it asked for may ask again after this; 0 for no such haste.
    young_interval_s: float = 8.0
    #: Peers of the asker's own network (IPv4: /24, IPv6: /64) come first.
    is_near_first: bool = False
    #: From this part of its core on, a tracker asks its peers to come less often.
    busy_from: float = 0.6
    #: With a full core intervals are so many times longer; a peer that then misses none is not lost.
    busy_stretch: float = 1.8

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
    """What the peer is told; spans in whole seconds, peers compact, 6 and 18 bytes each."""

    interval_s: int
    min_interval_s: int
    seeds: int
    leechers: int
    v4: bytes
    v6: bytes


#: An answer in its barest form: interval in seconds, seeds, leechers, compact peers of the asker's address
#: family and of the other.
Visit = tuple[int, int, int, bytes, bytes]

#: Who may be a seed or not gets one seed in so many places, and more where leechers are few.
UNSURE_SEEDS = 4
#: Young swarms known at a time; with more the oldest count as grown up.
YOUNG_SWARMS_MAX = 10_000
#: Peers among whom those of the asker's own network are looked for.
NEAR_LOOK = 1_000
_NETWORK_V4_BYTES, _NETWORK_V6_BYTES = 3, 8
#: A smaller change of the load does not change the intervals.
_STRETCH_STEP = 0.05
#: Jitters drawn at the start; answers take one after the other.
_JITTERS = 1024


class Rules:
    """The tracker's mind.

    Args:
        rng: draws jitter, now and when the load changes.
        admission: who may; by default everybody.

    Attributes:
        warning: shown to those who announce, empty for none.
    """

    def __init__(
        self,
        store: Store,
        rng: Randomness,
        settings: TrackerSettings | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.settings = settings or TrackerSettings()
        self._store = store
        # Found once, as they are asked for with every announce.
        self._is_near_first = self.settings.is_near_first
        self._young_interval_s = self.settings.young_interval_s
        self._fresh_share = self.settings.fresh_seed_share
        self._later_share = self.settings.later_seed_share
        #: What every answer says.
        self.min_interval_s = max(1, round(min(self.settings.min_interval_s, self.settings.interval_s)))
        self._want_default, self._want_max = self.settings.num_want_default, self.settings.num_want_max
        self.admission = admission or Admission()
        self.warning = b""
        self._rng = rng
        self._stretch = 1.0
        self._intervals = self._draw_intervals(self.settings.interval_s)
        self._young_intervals = self._draw_intervals(self.settings.young_interval_s)
        #: info-hash -> whole seconds of the first announce, oldest first.
        self._young: OrderedDict[bytes, int] = OrderedDict()

    def announce(self, announce: Announce, now: float) -> Answer:
        """Take note of the peer and choose others for it.

        Raises:
            TrackerError: the torrent is not served here, or the store is full.
        """
        interval_s, seeds, leechers, near, far = self.visit(*announce, int(now))
        v4, v6 = (near, far) if len(announce.peer) == COMPACT_V4_BYTES else (far, near)
        return Answer(interval_s, min(self.min_interval_s, interval_s), seeds, leechers, v4, v6)

    def visit(
        self,
        info_hash: bytes,
        peer: bytes,
        peer_id: bytes,
        left_bytes: int | None,
        event: Event | None,
        num_want: int | None,
        now: int,
        is_near_only: bool = False,
    ) -> Visit:
        """`announce` for those in a hurry: the fields of `Announce` one by one.

        Args:
            now: whole seconds.
            is_near_only: name nobody of the other address family, for whom the answer has no room (UDP).

        Raises:
            TrackerError: as `announce`.
        """
        if not self.admission.serves(info_hash):
            raise TrackerError("this tracker does not serve that torrent")
        if event == "stopped":
            self._store.leave(info_hash, peer)
            counts = self._store.counts(info_hash) or _UNKNOWN
            return next(self._intervals), counts.seeds, counts.leechers, b"", b""
        kind: Kind = DOWNLOADER
        is_fresh = event == "started"
        want = self._want_default if num_want is None else num_want
        if want > self._want_max:
            want = self._want_max
        if left_bytes == 0:
            kind = SEED
            seeds_wanted = want // UNSURE_SEEDS if is_fresh else AS_THEY_COME
        elif event == "paused":
            kind, seeds_wanted = PARTIAL_SEED, AS_THEY_COME
        else:
            share = self._fresh_share if is_fresh else self._later_share
            seeds_wanted = AS_THEY_COME if share is None else int(want * share)
        was, seeds, leechers, near, far = self._store.join(
            info_hash,
            peer,
            peer_id,
            kind,
            now,
            NEAR_LOOK if self._is_near_first and want else want,
            seeds_wanted,
            is_near_only,
        )
        if self._is_near_first:
            near, far = nearest_first(peer, near, far, want)
        # A completed download is one that was not complete before, as far as we know.
        if kind == SEED and was != SEED and event == "completed":
            self._store.count_download(info_hash, peer, peer_id)
        members = seeds + leechers
        if members == 1 and was is None and self._young_interval_s:
            self._begin(info_hash, now)
        if members <= want and info_hash in self._young and self._is_in_haste(info_hash, now):
            return next(self._young_intervals), seeds, leechers, near, far
        return next(self._intervals), seeds, leechers, near, far

    def _begin(self, info_hash: bytes, now: int) -> None:
        young = self._young
        young[info_hash] = now
        young.move_to_end(info_hash)
        if len(young) > YOUNG_SWARMS_MAX:
            young.popitem(last=False)

    def _is_in_haste(self, info_hash: bytes, now: int) -> bool:
        return self._stretch == 1.0 and now - self._young[info_hash] < self.settings.young_s

    def busy(self, share: float) -> None:
        """The tracker's core is busy for this part (0 to 1) of the time; too much makes intervals grow."""
        settings = self.settings
        over = (share - settings.busy_from) / (1 - settings.busy_from)
        stretch = 1 + (settings.busy_stretch - 1) * min(1.0, max(0.0, over))
        if abs(stretch - self._stretch) >= _STRETCH_STEP or (stretch == 1.0 != self._stretch):
            self._stretch = stretch
            self._intervals = self._draw_intervals(settings.interval_s * stretch)

    def admit(self, passkey: bytes, address: bytes, now: float) -> None:
        """TrackerError unless `address`, which is proven, may announce with this passkey now."""
        self.admission.check_passkey(passkey)
        self.admission.count(address, now)

    def check_passkey(self, passkey: bytes) -> None:
        """TrackerError unless it is known here, or none is needed."""
        self.admission.check_passkey(passkey)

    def scrape(self, info_hashes: Iterable[bytes]) -> dict[bytes, ScrapeEntry]:
        """The numbers of those swarms that are known here and may be."""
        return {
            info_hash: counts
            for info_hash in info_hashes
            if self.admission.serves(info_hash) and (counts := self._store.counts(info_hash)) is not None
        }

    def peer_ids(self, info_hash: bytes, peers: Sequence[bytes]) -> list[bytes | None]:
        """The peer ids of peers just handed out, for answers in BEP 3's long form."""
        return self._store.peer_ids(info_hash, peers)

    def expire(self, now: float) -> int:
        """Forget some of those that are overdue; to be called several times a second."""
        while self._young and now - next(iter(self._young.values())) >= self.settings.young_s:
            self._young.popitem(last=False)
        return self._store.expire(now)

    def _draw_intervals(self, interval_s: float) -> Iterator[int]:
        jitter, draw = self.settings.interval_jitter, self._rng.random
        return cycle([max(1, round(interval_s * (1 + jitter * (2 * draw() - 1)))) for _ in range(_JITTERS)])


def nearest_first(asker: bytes, near: bytes, far: bytes, want: int) -> tuple[bytes, bytes]:
    """`want` of these peers, compact, those in the asker's network before all others.

    Args:
        near: of the asker's address family; far: of the other.
    """
    width = len(asker)
    network = asker[: _NETWORK_V4_BYTES if width == COMPACT_V4_BYTES else _NETWORK_V6_BYTES]
    neighbours: list[bytes] = []
    strangers: list[bytes] = []
    for at in range(0, len(near), width):
        peer = near[at : at + width]
        (neighbours if peer.startswith(network) else strangers).append(peer)
    chosen = _spread(neighbours, want)
    chosen += _spread(strangers, want - len(chosen))
    other = COMPACT_V4_BYTES + COMPACT_V6_BYTES - width
    others = [far[at : at + other] for at in range(0, len(far), other)]
    return b"".join(chosen), b"".join(_spread(others, want - len(chosen)))


def _spread(peers: list[bytes], count: int) -> list[bytes]:
    """So many, from all over the list: a store may give seeds first."""
    if count >= len(peers):
        return peers
    return [peers[at * len(peers) // count] for at in range(count)]
