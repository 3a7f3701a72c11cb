"""A journal in Redis through which trackers tell each other what changes; the one door to `redis`.

It is one stream of entries, each a batch of changes of one tracker; Redis has a command to do for hundreds of
announces, and nobody who announces waits for it: two threads tell and hear. While Redis is away what is to be
told is kept; what became of it, and whether Redis has come back empty, stands in the attributes.

Sources: redis.io/commands: XADD, XREAD, SET.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import redis

from swarm.base.errors import SettingsError

#: What is told within so long goes as one entry.
GATHER_S = 0.002
#: Changes in one entry: applying them takes a millisecond.
ENTRY_CHANGES = 500
#: Entries read at a time, and kept until the tracker has taken them.
ENTRIES = 100
HEARD_MAX = 1000
#: Changes kept to be told when Redis is back, at some 100 bytes each; the oldest go first.
UNTOLD_MAX = 200_000
#: An answer of Redis, or it counts as away.
TIMEOUT_S = 2.0
#: Between two attempts to reach it, and two looks whether it has lost everything.
RETRY_S = 1.0
#: How long a question for news stays open; also how long closing may take.
_OPEN_MS = 200
#: The number of downloads of a torrent that nobody completes any more is kept for so long.
DOWNLOADS_S = 30 * 86_400
#: For so long it is known who has completed; his two addresses say so within seconds.
COMPLETED_S = 3600

_JOURNAL, _EPOCH, _TELLS_AGAIN = b"swarm:journal", b"swarm:epoch", b"swarm:tells-again:"
_DOWNLOADS, _COMPLETED = b"swarm:downloads:", b"swarm:completed:"


class RedisJournal:
    """One tracker's place at the journal.

    Args:
        url: redis://HOST:PORT/NUMBER, rediss:// or unix://.
        keep_s: older entries are of no use.

    Attributes:
        heard: entries of other trackers, oldest first, to be taken from the left: changes as they were told,
            or numbers of downloads by info-hash.
        is_away: Redis cannot be reached. why_away: what was wrong with it the last time, for people.
        is_forgotten: changes were lost, by Redis or here, and it falls to this tracker to tell everything
            again; whoever does so sets it to False.

    Raises:
        SettingsError: `url` is none.
    """

    def __init__(self, url: str, keep_s: float) -> None:
        try:
            self._redis: Any = redis.Redis.from_url(
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
            )
        except ValueError as error:
            raise SettingsError(f"--store: {error}") from None
        self._keep_ms = round(1000 * keep_s)
        self._us = secrets.token_bytes(8)
        self._untold: deque[bytes] = deque(maxlen=UNTOLD_MAX)
        #: Info-hash, who completed, by the length of which of its addresses.
        self._completed: deque[tuple[bytes, bytes, bytes]] = deque(maxlen=UNTOLD_MAX)
        self._something = threading.Event()
        self._is_closing = False
        #: Known by what since it was last empty; whoever comes first says it.
        self._epoch: bytes | None = None
        self._heard_upto: bytes | str = "0"
        self._told_at_ms = 0
        self._look_at = 0.0
        self._away: set[str] = set()
        self.why_away = ""
        self.heard: deque[bytes | dict[bytes, int]] = deque()
        self.is_forgotten = False
        #: Everything that was there at the start has been heard, or Redis is away.
        self.has_caught_up = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._repeating, args=(step,), name=f"journal {step.__name__}", daemon=True
            )
            for step in (self._tell, self._hear)
        ]

    @property
    def is_away(self) -> bool:
        return bool(self._away)

    @property
    def untold_count(self) -> int:
        return len(self._untold)

    def start(self) -> None:
        """Begin to tell and to hear."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Tell what is left, if Redis is there, and end."""
        self._is_closing = True
        self._something.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(2 * TIMEOUT_S)
        if not self._away:
            with contextlib.suppress(redis.RedisError):
                self._tell_all()
        self._redis.close()

    def tell(self, change: bytes) -> None:
        """Tell the other trackers, soon."""
        if len(self._untold) == UNTOLD_MAX:
            self.is_forgotten = True
        self._untold.append(change)
        if not self._something.is_set():
            self._something.set()

    def count_download(self, info_hash: bytes, peer: bytes, peer_id: bytes) -> None:
        """`peer` has completed, for trackers that start later.

        Of two of its addresses that complete at two trackers at once one counts: who comes first says so.
        """
        self._completed.append((info_hash, peer_id + peer[-2:], b"%d" % len(peer)))
        self._something.set()

    def _repeating(self, step: Callable[[], None]) -> None:
        """One of the two threads."""
        name = step.__name__
        while not self._is_closing:
            try:
                step()
                self._away.discard(name)
            except redis.RedisError as error:
                # Gone, too slow, still loading, out of memory: it is all one.
                self.why_away = _in_words(error)
                self._away.add(name)
                self._look_at = 0.0
                self.has_caught_up.set()
                time.sleep(0 if self._is_closing else RETRY_S)

    def _tell(self) -> None:
        if self._something.wait(RETRY_S):
            self._something.clear()
            time.sleep(GATHER_S)
        self._tell_all()

    def _tell_all(self) -> None:
        while self._untold:
            changes = [self._untold.popleft() for _ in range(min(ENTRY_CHANGES, len(self._untold)))]
            entry = {b"by": self._us, b"changes": b"".join(changes)}
            try:
                oldest = max(0, self._told_at_ms - self._keep_ms)
                number = self._redis.xadd(_JOURNAL, entry, minid=oldest, approximate=True)
            except redis.RedisError:
                self._untold.extendleft(reversed(changes))
                raise
            self._told_at_ms = int(number.partition(b"-")[0])
        while self._completed:
            info_hash, who, width = self._completed[0]
            first = self._redis.set(_COMPLETED + info_hash + who, width, nx=True, get=True, ex=COMPLETED_S)
            if first in (None, width):
                key = _DOWNLOADS + info_hash
                with self._redis.pipeline(transaction=False) as pipeline:
                    pipeline.incr(key)
                    pipeline.expire(key, DOWNLOADS_S)
                    pipeline.execute()
            self._completed.popleft()

    def _hear(self) -> None:
        if len(self.heard) > HEARD_MAX:
            time.sleep(GATHER_S)
            return
        self._look_whether_new()
        open_ms = _OPEN_MS if self.has_caught_up.is_set() else None
        found = self._redis.xread({_JOURNAL: self._heard_upto}, count=ENTRIES, block=open_ms)
        entries = found[0][1] if found else ()
        for number, entry in entries:
            self._heard_upto = number
            if entry.get(b"by") != self._us:
                self.heard.append(entry.get(b"changes", b""))
        if len(entries) < ENTRIES:
            self.has_caught_up.set()

    def _look_whether_new(self) -> None:
        """Has Redis come back empty, even if nobody asked it meanwhile?"""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + RETRY_S
        fresh = secrets.token_bytes(8)
        epoch = self._redis.set(_EPOCH, fresh, nx=True, get=True) or fresh
        if epoch == self._epoch:
            return
        if self._epoch is not None and self._redis.set(_TELLS_AGAIN + epoch, self._us, nx=True, ex=3600):
            # All trackers know the same, so one of those who were there before is enough.
            self.is_forgotten = True
        self._epoch = epoch
        self._heard_upto = "0"
        self.heard.append(self._downloads())

    def _downloads(self) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for keys in _in_parts(self._redis.scan_iter(_DOWNLOADS + b"*", count=1000), 1000):
            for key, count in zip(keys, self._redis.mget(keys), strict=True):
                info_hash = key.removeprefix(_DOWNLOADS)
                # What else lies there under such a name is not ours.
                if len(info_hash) == 20 and count is not None and count.isdigit():
                    found[info_hash] = int(count)
        return found


def _in_words(error: redis.RedisError) -> str:
    """What is wrong with Redis, for people: the library's own words are those of its sockets."""
    text = str(error).partition("\n")[0].rstrip(".")
    if isinstance(error, redis.TimeoutError):
        return "Redis does not answer"
    unreached = re.fullmatch(r"Error (?:-?[0-9]+ )?(?:while )?connecting to (\S+)\. (.+)", text)
    return f"Redis at {unreached[1]}: {unreached[2].lower()}" if unreached else f"Redis: {text}"


def _in_parts(keys: Iterable[bytes], size: int) -> Iterable[list[bytes]]:
    part: list[bytes] = []
    for key in keys:
        part.append(key)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
