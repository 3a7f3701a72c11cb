"""How much memory a million swarms take, how long a pick takes, and the longest pause of expiry."""

from __future__ import annotations

import gc
import random
import resource
import statistics
import time
from dataclasses import dataclass

from swarm.tracker.memory_store import MemoryStore

_LIFE_S = 1000.0


@dataclass(frozen=True)
class Row:
    """One filled store. Times in milliseconds and microseconds as said.

    Attributes:
        filled: "even", all swarms of the same size, or "skewed", sizes as 1/rank.
        expire_max_ms: the longest call of `expire` while half of the peers went, and
        expire_idle_max_ms: while there was nobody to forget.
        pick_small_us, pick_large_us: an announce with 50 peers in a swarm of 100 and in the largest.
    """

    filled: str
    swarms: int
    peers: int
    rss_bytes: int
    bytes_per_peer: float
    joins_per_s: float
    pick_small_us: float
    pick_large_us: float
    largest: int
    expire_idle_max_ms: float
    expire_max_ms: float
    expire_p99_ms: float


def _rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _sizes(filled: str, swarms: int, peers: int) -> list[int]:
    if filled == "even":
        return [peers // swarms] * swarms
    harmonic = sum(1 / rank for rank in range(1, swarms + 1))
    scale = (peers - swarms) / harmonic
    return [1 + int(scale / rank) for rank in range(1, swarms + 1)]


def _timed_us(store: MemoryStore, info_hash: bytes, times: int = 2000) -> float:
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        store.join(info_hash, b"\x7f\0\0\1\1\1", bytes(20), False, 600, 50)
        spent.append(time.perf_counter() - start)
    return 1e6 * statistics.median(spent)


def measure(filled: str, swarms: int, peers: int) -> Row:
    """Fill a store in this process, which should be a fresh one."""
    # As `swarm tracker` does: a full collection of so many objects would be the longest pause of all.
    gc.disable()
    before = _rss_bytes()
    rng = random.Random(1)
    store = MemoryStore(_LIFE_S, rng, swarms_max=swarms + 2, peers_max=peers + 1000)
    sizes = _sizes(filled, swarms, peers)
    start = time.perf_counter()
    for number, size in enumerate(sizes):
        info_hash = rng.randbytes(20)
        if not number:
            largest = info_hash
        for _ in range(size):
            # Half of them are older.
            store.join(
                info_hash, rng.randbytes(6), rng.randbytes(20), rng.random() < 0.3, rng.choice((0, 500)), 0
            )
    seconds = time.perf_counter() - start
    rss = _rss_bytes() - before
    small = b"s" * 20
    for _ in range(100):
        store.join(small, rng.randbytes(6), bytes(20), False, 600, 0)
    pick_small_us, pick_large_us = _timed_us(store, small), _timed_us(store, largest)
    idle = _expiry(store, 900.0, 1000)
    active = _expiry(store, 1200.0, 100_000)
    return Row(
        filled=filled,
        swarms=store.swarm_count,
        peers=sum(sizes),
        rss_bytes=rss,
        bytes_per_peer=round(rss / sum(sizes), 1),
        joins_per_s=round(sum(sizes) / seconds),
        pick_small_us=round(pick_small_us, 2),
        pick_large_us=round(pick_large_us, 2),
        largest=sizes[0],
        expire_idle_max_ms=round(1000 * max(idle), 2),
        expire_max_ms=round(1000 * max(active), 2),
        expire_p99_ms=round(1000 * sorted(active)[len(active) * 99 // 100], 2),
    )


def _expiry(store: MemoryStore, now: float, calls_max: int) -> list[float]:
    """CPU seconds of each call until nobody went for a while: other programs' time is not ours."""
    spent: list[float] = []
    quiet = 0
    while quiet < 600 and len(spent) < calls_max:
        start = time.thread_time()
        count = store.expire(now)
        spent.append(time.thread_time() - start)
        quiet = 0 if count else quiet + 1
    return spent
