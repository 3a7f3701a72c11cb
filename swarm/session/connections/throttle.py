"""Rate limits: exact on average, fair among links, without a busy loop.

A link that may not go on now waits in a ring; when the buckets have filled enough for a step, the ring
is served in turn, a block at a time. Limits on what comes in work by not reading: the kernel's buffers
fill, TCP slows the sender, and nothing piles up here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.bucket import Bucket

#: Served at least this long apart: at high rates a turn then moves many blocks, at low ones a block. Shorter
#: costs wake-ups, longer delays whoever waits to pass a piece on (256 KiB take 60 ms at 4 MiB/s).
_STEP_S = 0.02
#: What one link gets in its turn: a block and its head.
TURN_BYTES = BLOCK_BYTES + 64
#: And at the most: what a receive buffer holds.
TURN_BYTES_MAX = 1 << 20


#: A link's turn: it may move about so many bytes; it answers with what it moved, and whether it has more.
Turn = Callable[[int], tuple[int, bool]]


class Throttle:
    """One direction of a session: its own bucket, and those of the torrents.

    Args:
        rate: bytes a second for all links together; None for no limit.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, rate: float | None = None) -> None:
        self._loop = loop
        self._bucket = Bucket(rate, loop.time())
        self._ring: deque[tuple[Turn, Bucket]] = deque()
        self._timer: asyncio.Handle | None = None

    @property
    def rate(self) -> float | None:
        return self._bucket.rate

    def set_rate(self, rate: float | None) -> None:
        """Change the limit while data flows."""
        self._bucket.set_rate(rate, self._loop.time())
        self.wake()

    def is_limiting(self, own: Bucket) -> bool:
        """Does any limit hold for a link whose torrent has the bucket `own`?"""
        return self._bucket.rate is not None or own.rate is not None

    def holding_rate(self, own: Bucket) -> float | None:
        """The limit for which links of the torrent with the bucket `own` wait now; None where none does."""
        if not any(bucket is own for _, bucket in self._ring):
            return None
        now = self._loop.time()
        empty = [bucket for bucket in (self._bucket, own) if bucket.available(now) < TURN_BYTES]
        return min((bucket.rate for bucket in empty if bucket.rate is not None), default=None)

    def charge(self, size_bytes: int, own: Bucket) -> None:
        """So many bytes have flowed already, or, below zero, were granted and not used."""
        now = self._loop.time()
        self._bucket.take(size_bytes, now)
        own.take(size_bytes, now)

    def wait(self, turn: Turn, own: Bucket) -> None:
        """Put a link into the ring; `turn` is called when its turn has come."""
        self._ring.append((turn, own))
        if self._timer is None:
            self._timer = self._loop.call_soon(self._serve)

    def leave(self, turn: Turn) -> None:
        """The link is gone."""
        self._ring = deque(entry for entry in self._ring if entry[0] != turn)

    def wake(self) -> None:
        """A limit has changed: look at the ring now."""
        if self._timer is not None:
            self._timer.cancel()
        self._serve()

    def _serve(self) -> None:
        self._timer = None
        now = self._loop.time()
        idle = 0
        while self._ring and idle < len(self._ring):
            room = self._bucket.available(now)
            if room <= 0:
                break
            turn, own = self._ring.popleft()
            room = min(room, own.available(now))
            if room <= 0:
                self._ring.append((turn, own))
                idle += 1
                continue
            share = room / (len(self._ring) + 1)
            moved, has_more = turn(max(TURN_BYTES, int(min(share, TURN_BYTES_MAX))))
            self.charge(moved, own)
            if has_more:
                self._ring.append((turn, own))
            idle = 0
        if self._ring and self._timer is None:
            self._timer = self._loop.call_later(self._pause_s(), self._serve)

    def _pause_s(self) -> float:
        """Until the ring can move again: the session's bucket, and a torrent's, are full again."""
        own = min(bucket.wait_s(TURN_BYTES) for _, bucket in self._ring)
        return max(_STEP_S, self._bucket.wait_s(TURN_BYTES), own)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ring.clear()
