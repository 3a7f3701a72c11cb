"""Rate limits: exact on average, fair among links, without a busy loop.

A link that may not go on now waits in a ring. What flows in a turn is paid for afterwards: the ring stands
still until the debt is paid, and then goes on (docs/decisions/027). Limits on what comes in work by not
reading: the kernel's buffers fill, TCP slows the sender, and nothing piles up here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.bucket import Bucket
from swarm.base.errors import SettingsError

#: At high rates so much is enough for a turn of all links together, as long as there is this pause after it.
_TURN_BYTES = 1 << 20
_STEP_S = 0.02
#: uvloop's timers go by whole milliseconds, and to be called a little early is to be called in vain.
_TIMER_S = 0.001
#: And no link moves less at a time.
_LEAST_BYTES = 1024
#: Who alone has moved anything for so long forgoes what was saved for late comers: turns become longer.
_ALONE_S = 1.0


#: A link's turn: it may move about so many bytes; it answers with what it moved, and whether it has more.
Turn = Callable[[int], tuple[int, bool]]


def _turn_bytes(bucket: Bucket, now: float) -> float:
    """What all links together may move in a turn: they are the fewer the longer each is."""
    rate = bucket.rate
    return _TURN_BYTES if rate is None else max(rate * _STEP_S, min(bucket.debt_max(now), _TURN_BYTES))


def checked_rate(rate: float | None) -> float | None:
    """`rate`, if it can be a limit in bytes a second; None is no limit.

    Raises:
        SettingsError: less than a block a second, or no number.
    """
    # Written so that it refuses what is no number too.
    if rate is not None and not BLOCK_BYTES <= rate < float("inf"):
        raise SettingsError(
            f"a rate limit is at least {BLOCK_BYTES // 1024}K (a block a second), not {rate:g} bytes"
        )
    return rate


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
        self._due_at = 0.0
        #: Whose turn the last one was, since when all were his, and whether he has forgone anything.
        self._taker: Turn | None = None
        self._alone_since = 0.0
        self._has_forgone = False

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
        limited = [(bucket, rate) for bucket in (self._bucket, own) if (rate := bucket.rate) is not None]
        # What is saved in the moment between two turns does not count.
        owing = [rate for bucket, rate in limited if bucket.available(now) <= rate * _TIMER_S]
        return min(owing, default=None)

    def charge(self, size_bytes: int, own: Bucket) -> None:
        """So many bytes have flowed."""
        now = self._loop.time()
        self._bucket.take(size_bytes, now)
        own.take(size_bytes, now)

    def is_spent(self, own: Bucket) -> bool:
        """Must a link wait for its turn now?"""
        now = self._loop.time()
        return self._bucket.available(now) <= 0 or own.available(now) <= 0

    def room(self, own: Bucket) -> int:
        """How much a link may move at once: never so much that there are debts of more than a turn."""
        now = self._loop.time()
        room = min(
            _turn_bytes(bucket, now) + min(0.0, bucket.available(now)) for bucket in (self._bucket, own)
        )
        return max(_LEAST_BYTES, int(room))

    def wait(self, turn: Turn, own: Bucket) -> None:
        """Put a link into the ring; `turn` is called when its turn has come."""
        self._ring.append((turn, own))
        self._plan(self._pause_s(own) if self.is_spent(own) else 0.0)

    def leave(self, turn: Turn) -> None:
        """The link is gone."""
        self._ring = deque(entry for entry in self._ring if entry[0] != turn)
        if self._taker == turn:
            self._taker = None

    def wake(self) -> None:
        """A limit has changed: look at the ring now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._serve()

    def _serve(self) -> None:
        self._timer = None
        now = self._loop.time()
        share_bytes = _turn_bytes(self._bucket, now) / max(1, len(self._ring))
        idle = 0
        try:
            while self._ring and idle < len(self._ring) and self._bucket.available(now) > 0:
                turn, own = self._ring.popleft()
                saved = own.available(now)
                if saved <= 0:
                    self._ring.append((turn, own))
                    idle += 1
                    continue
                share = min(share_bytes, saved + _turn_bytes(own, now))
                moved, has_more = turn(max(_LEAST_BYTES, int(share)))
                self.charge(moved, own)
                self._look_who_takes(turn, own, now)
                if has_more:
                    self._ring.append((turn, own))
                # Where all have more and none moves anything, the next try is after a pause.
                idle = idle + 1 if has_more and not moved else 0
        finally:
            # A bug in one link's turn (the loop reports it) must not end the turns of all others.
            if self._ring:
                self._plan(min(self._pause_s(own) for _, own in self._ring))

    def _look_who_takes(self, turn: Turn, own: Bucket, now: float) -> None:
        if turn != self._taker:
            self._taker, self._alone_since, self._has_forgone = turn, now, False
        elif not self._has_forgone and now - self._alone_since >= _ALONE_S:
            self._bucket.forgo(now)
            own.forgo(now)
            self._has_forgone = True

    def _pause_s(self, own: Bucket) -> float:
        """Until a link may move again: the debts of the session and of its torrent are paid."""
        return max(_STEP_S, self._bucket.wait_s(1), own.wait_s(1)) + _TIMER_S

    def _plan(self, delay_s: float) -> None:
        """Serve the ring after so long, if not before."""
        at = self._loop.time() + delay_s
        if self._timer is not None:
            if self._due_at <= at:
                return
            self._timer.cancel()
        self._due_at = at
        self._timer = self._loop.call_at(at, self._serve)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ring.clear()
