"""Swarms in Redis, shared by tracker processes on one machine or several; one round trip an announce.

A script does what an announce does, all of it or nothing. What came through this process is kept in its
own memory too: while Redis is away answers go on from that, and when it is back it is told again.

Keys, each with the info-hash in braces so that a cluster keeps a swarm together: sets s4 s6 l4 l6 of compact
addresses, t (a sorted set: when each was seen), i (a hash: peer ids), d (downloads).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import redis

from swarm.base.errors import SettingsError
from swarm.tracker.memory_store import PEER_ID_BYTES, MemoryStore
from swarm.tracker.store import AS_THEY_COME, Join, Joined, Randomness
from swarm.wire.tracker.announce import ScrapeEntry

#: An answer of Redis, or it counts as away: everybody waits for it.
TIMEOUT_S = 0.25
#: Between two attempts to reach it.
RETRY_S = 1.0
#: Overdue peers that one call forgets.
FORGET_MAX = 100
#: Peers told again in one call of `expire`, when Redis is back.
TELL_AGAIN = 200
_EPOCH = b"swarm:epoch"
#: The number of downloads of a swarm that nobody announces to is kept for so long.
DOWNLOADS_S = 30 * 86_400

AWAY = b"this tracker is cut off from the others for the moment: not all peers are known"

_Told = TypeVar("_Told")

_HEAD = f"""
local k = KEYS[1]
local function forget(now, life)
  local old = redis.call('ZRANGEBYSCORE', k..'t', '-inf', '('..(now - life), 'LIMIT', 0, {FORGET_MAX})
  for _, p in ipairs(old) do
    local f = #p == 6 and '4' or '6'
    redis.call('SREM', k..'s'..f, p)
    redis.call('SREM', k..'l'..f, p)
    redis.call('ZREM', k..'t', p)
    redis.call('HDEL', k..'i', p)
  end
end
"""

_JOIN = (
    _HEAD
    + """
local p, id, seed = ARGV[1], ARGV[2], ARGV[3] == '1'
local now, life = tonumber(ARGV[4]), tonumber(ARGV[5])
local want, wanted, near_only = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local chance, other_chance = tonumber(ARGV[9]), tonumber(ARGV[10])
forget(now, life)
local f, g = '4', '6'
if #p ~= 6 then f, g = '6', '4' end
local into, out = 's', 'l'
if not seed then into, out = 'l', 's' end
local left = redis.call('SREM', k..out..f, p)
local came = redis.call('SADD', k..into..f, p)
local was = -1
if left == 1 then was = seed and 0 or 1 elseif came == 0 then was = seed and 1 or 0 end
redis.call('ZADD', k..'t', now, p)
redis.call('HSET', k..'i', p, id)
for _, part in ipairs({into..f, 't', 'i'}) do redis.call('EXPIRE', k..part, life + 60) end
local count = {}
for _, part in ipairs({'s4', 's6', 'l4', 'l6'}) do count[part] = redis.call('SCARD', k..part) end
local function draw(part, most)
  if most <= 0 then return {} end
  if part ~= into..f then return redis.call('SRANDMEMBER', k..part, most) end
  -- One more, for the asker may be drawn too; where it is not, any of them goes, since they come in no
  -- random order.
  local found = redis.call('SRANDMEMBER', k..part, most + 1)
  for at, one in ipairs(found) do
    if one == p then
      table.remove(found, at)
      return found
    end
  end
  if #found > most then table.remove(found, 1 + math.floor(other_chance * #found)) end
  return found
end
local function pick(family, most)
  if most <= 0 then return '' end
  local s, l = count['s'..family], count['l'..family]
  if family == f then
    if seed then s = s - 1 else l = l - 1 end
  end
  if seed and wanted < 0 then return table.concat(draw('l'..family, most)) end
  local seeds
  if wanted < 0 then seeds = math.floor(most * s / math.max(1, s + l) + chance)
  else seeds = math.min(wanted, most) end
  seeds = math.min(s, math.max(seeds, most - l))
  return table.concat(draw('s'..family, seeds))..table.concat(draw('l'..family, most - seeds))
end
local near = pick(f, want)
local far = ''
if not near_only then far = pick(g, want - #near / #p) end
return {was, count.s4 + count.s6, count.l4 + count.l6, near, far}
"""
)

_LEAVE = """
local k, p = KEYS[1], ARGV[1]
local f = #p == 6 and '4' or '6'
redis.call('SREM', k..'s'..f, p)
redis.call('SREM', k..'l'..f, p)
redis.call('ZREM', k..'t', p)
redis.call('HDEL', k..'i', p)
"""

_COUNTS = (
    _HEAD
    + """
forget(tonumber(ARGV[1]), tonumber(ARGV[2]))
local n = {}
for _, part in ipairs({'s4', 's6', 'l4', 'l6'}) do n[part] = redis.call('SCARD', k..part) end
return {n.s4 + n.s6, n.l4 + n.l6, tonumber(redis.call('GET', k..'d') or '-1')}
"""
)

_DOWNLOAD = """
local k = KEYS[1]
if redis.call('EXISTS', k..'t', k..'d') > 0 then
  redis.call('INCR', k..'d')
  redis.call('EXPIRE', k..'d', ARGV[1])
end
"""


class RedisStore:
    """A `Store` in a Redis.

    Args:
        url: redis://HOST:PORT/NUMBER, rediss:// or unix://.
        local: takes what comes through this process, for when Redis is away.
        offset_s: what makes wall time of the `now` that is passed in: processes on several machines
            share instants.

    Raises:
        SettingsError: `url` is none.
    """

    def __init__(
        self, url: str, peer_life_s: float, rng: Randomness, *, local: MemoryStore, offset_s: float = 0.0
    ) -> None:
        try:
            self._redis: Any = redis.Redis.from_url(
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
            )
        except ValueError as error:
            raise SettingsError(f"--store: {error}") from None
        self._life_s = math.ceil(peer_life_s)
        self._rng = rng
        self._offset_s = offset_s
        self._now = 0.0
        self._retry_at = self._look_at = -math.inf
        #: What this Redis is known by since it was last empty; whoever comes first says it.
        self._epoch: bytes | None = None
        self._again: Iterator[tuple[Any, ...]] | None = None
        #: (info-hash, peer) -> what the join script answered.
        self._foreseen: dict[tuple[bytes, bytes], Any] = {}
        self.local = local
        self.is_away = False
        self._join = self._redis.register_script(_JOIN)
        self._leave = self._redis.register_script(_LEAVE)
        self._counts = self._redis.register_script(_COUNTS)
        self._download = self._redis.register_script(_DOWNLOAD)

    @property
    def swarm_count(self) -> int:
        """Of those that announce through this process, as the other counts."""
        return self.local.swarm_count

    @property
    def peer_count(self) -> int:
        return self.local.peer_count

    @property
    def seed_count(self) -> int:
        return self.local.seed_count

    @property
    def warning(self) -> bytes:
        """What peers are to be told."""
        return AWAY if self.is_away else b""

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()

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
        self._now = now
        known = self.local.join(info_hash, peer, peer_id, is_seed, now, want, seeds_wanted, is_near_only)
        told = self._foreseen.pop((info_hash, peer), None)
        if told is None:
            arguments = self._arguments(
                info_hash, peer, peer_id, is_seed, now, want, seeds_wanted, is_near_only
            )
            told = self._told(lambda: self._join([_key(info_hash)], arguments))
        if told is None:
            return known
        was, seeds, leechers, near, far = told
        return (None if was < 0 else was == 1), seeds, leechers, near, far

    def foresee(self, joins: Sequence[Join]) -> None:
        """Tell Redis of all these in one round trip; the `join` of each then finds its answer here."""
        self._foreseen.clear()
        # The second announce of a peer depends on what became of the first.
        first: dict[tuple[bytes, bytes], Join] = {}
        for join in joins:
            first.setdefault((join.info_hash, join.peer), join)
        if len(first) < 2:
            return
        self._now = joins[0].now
        asked = [(_key(join.info_hash), *self._arguments(*join)) for join in first.values()]
        answers = self._told(lambda: self._ask_all(asked))
        if answers is not None:
            self._foreseen = dict(zip(first, answers, strict=True))

    def _ask_all(self, asked: Sequence[tuple[Any, ...]]) -> list[Any]:
        def ask() -> list[Any]:
            with self._redis.pipeline(transaction=False) as pipeline:
                for keys_and_arguments in asked:
                    pipeline.evalsha(self._join.sha, 1, *keys_and_arguments)
                answers: list[Any] = pipeline.execute()
                return answers

        try:
            return ask()
        except redis.exceptions.NoScriptError:
            # A Redis that has just been started.
            self._redis.script_load(_JOIN)
            return ask()

    def _arguments(
        self,
        info_hash: bytes,
        peer: bytes,
        peer_id: bytes,
        is_seed: bool,
        now: int,
        want: int,
        seeds_wanted: int,
        is_near_only: bool,
    ) -> list[Any]:
        """Of the join script."""
        draw = self._rng.random
        seen_at = int(now + self._offset_s)
        return [peer, peer_id, int(is_seed), seen_at, self._life_s, want, seeds_wanted, int(is_near_only),
                draw(), draw()]  # fmt: skip

    def leave(self, info_hash: bytes, peer: bytes) -> None:
        self.local.leave(info_hash, peer)
        self._told(lambda: self._leave([_key(info_hash)], [peer]))

    def count_download(self, info_hash: bytes) -> None:
        self.local.count_download(info_hash)
        self._told(lambda: self._download([_key(info_hash)], [DOWNLOADS_S]))

    def counts(self, info_hash: bytes) -> ScrapeEntry | None:
        now = self._now + self._offset_s
        told = self._told(lambda: self._counts([_key(info_hash)], [now, self._life_s]))
        if told is None:
            return self.local.counts(info_hash)
        seeds, leechers, downloads = told
        if not seeds and not leechers and downloads < 0:
            return None
        return ScrapeEntry(seeds, leechers, max(0, downloads))

    def peer_ids(self, info_hash: bytes, peers: Sequence[bytes]) -> list[bytes | None]:
        if not peers:
            return []
        told = self._told(lambda: self._redis.hmget(_key(info_hash) + b"i", peers))
        return self.local.peer_ids(info_hash, peers) if told is None else list(told)

    def expire(self, now: float) -> int:
        self._now = now
        if now >= self._look_at:
            self._look_at = now + RETRY_S
            self._look_whether_new()
        self._tell_again()
        # Redis forgets by itself: peers with the next look at their swarm, swarms by their keys' lives.
        return self.local.expire(now)

    def _look_whether_new(self) -> None:
        """Tell again whom we know, if Redis has come back empty, even if nobody asked it meanwhile."""
        fresh = secrets.token_hex(8).encode()
        epoch = self._told(lambda: self._redis.set(_EPOCH, fresh, nx=True, get=True) or fresh)
        if epoch is not None and epoch != self._epoch:
            if self._epoch is not None:
                self._again = self._known()
            self._epoch = epoch

    def _told(self, ask: Callable[[], _Told]) -> _Told | None:
        """What Redis answers; None while it is away."""
        if self._now < self._retry_at:
            return None
        try:
            answer = ask()
        except redis.RedisError:
            # Gone, too slow, still loading, out of memory: for the peers it is all one.
            self._retry_at = self._now + RETRY_S
            self.is_away = True
            return None
        if self.is_away:
            self.is_away = False
            self._again = self._known()
        return answer

    def _known(self) -> Iterator[tuple[Any, ...]]:
        """Everybody who came through this process, as arguments of the join script."""
        for kept in self.local.keep(self._now):
            for width, seed_count, addresses, peer_ids, ages in kept.rows:
                for at, age in enumerate(ages):
                    peer = addresses[at * width : (at + 1) * width]
                    peer_id = peer_ids[at * PEER_ID_BYTES : (at + 1) * PEER_ID_BYTES]
                    seen_at = int(self._now + self._offset_s) - age
                    yield (
                        [_key(kept.info_hash)],
                        [
                            peer,
                            peer_id,
                            int(at < seed_count),
                            seen_at,
                            self._life_s,
                            0,
                            AS_THEY_COME,
                            1,
                            0,
                            0,
                        ],
                    )

    def _tell_again(self) -> None:
        for _ in range(TELL_AGAIN):
            if self._again is None or self.is_away:
                return
            try:
                keys, arguments = next(self._again)
            except StopIteration:
                self._again = None
                return
            self._told(partial(self._join, keys, arguments))


def _key(info_hash: bytes) -> bytes:
    return b"swarm:{%s}:" % info_hash
