"""The store in Redis, with a real redis-server: what every store must do, and what becomes of it without."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from swarm.base.errors import SettingsError
from swarm.tracker.memory_store import MemoryStore
from swarm.tracker.redis_store import AWAY, RETRY_S, RedisStore
from swarm.tracker.store import AS_THEY_COME, Join, Store
from swarm.wire.tracker.announce import ScrapeEntry
from tests.unit.tracker.store_cases import LIFE_S, TORRENT, StoreCases, peer, split

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None and "CI" not in os.environ, reason="redis-server is not installed"
)


class Server:
    """A redis-server process on a port of loopback that can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("redis"))
    made.start()
    yield made
    made.end()


def connected(server: Server) -> RedisStore:
    rng = random.Random(5)
    return RedisStore(server.url, LIFE_S, rng, local=MemoryStore(LIFE_S, rng))


def join(store: Store, number: int, now: int = 0, *, is_seed: bool = False) -> list[bytes]:
    return split(store.join(TORRENT, peer(number), b"i" * 20, is_seed, now, 50)[3])


@pytest.fixture
def stores(server: Server) -> Iterator[tuple[RedisStore, RedisStore]]:
    """Two trackers' stores on one empty Redis."""
    with redis.Redis(port=server.port) as client:
        client.flushall()
    first, second = connected(server), connected(server)
    yield first, second
    first.close()
    second.close()


class TestRedisStore(StoreCases):
    @pytest.fixture
    def store(self, stores: tuple[RedisStore, RedisStore]) -> Iterator[Store]:
        yield stores[0]


def test_peers_of_two_trackers_find_each_other(stores: tuple[RedisStore, RedisStore]) -> None:
    first, second = stores
    join(first, 1, is_seed=True)
    assert join(second, 2) == [peer(1)]
    assert sorted(join(first, 3)) == [peer(1), peer(2)]
    assert second.counts(TORRENT) == ScrapeEntry(1, 2, 0)
    second.leave(TORRENT, peer(1))
    assert first.counts(TORRENT) == ScrapeEntry(0, 2, 0)


def joining(number: int, *, is_seed: bool = False) -> Join:
    return Join(TORRENT, peer(number), b"i" * 20, is_seed, 0, 50, AS_THEY_COME, True)


def test_what_is_foreseen_is_told_in_one_round_trip(
    stores: tuple[RedisStore, RedisStore], server: Server
) -> None:
    first, second = stores
    with redis.Redis(port=server.port) as client:
        # A Redis that does not know the script yet, as after its restart.
        client.script_flush()
        first.foresee([joining(1, is_seed=True), joining(2), joining(2, is_seed=True), joining(3)])
        asked = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert join(first, 1, is_seed=True) == []
        assert set(join(first, 3)) <= {peer(1), peer(2)}
        assert join(first, 2) == [peer(1)]
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == asked
    # The second of that peer was not foreseen: it depends on the first.
    assert first.join(TORRENT, peer(2), b"i" * 20, True, 0, 50)[0] is False
    assert second.counts(TORRENT) == ScrapeEntry(2, 1, 0)


def test_what_was_foreseen_and_did_not_come_is_not_kept(stores: tuple[RedisStore, RedisStore]) -> None:
    first, _ = stores
    first.foresee([joining(1), joining(2)])
    first.foresee([])
    assert sorted(join(first, 1)) == [peer(2)]


def test_keys_have_an_end(stores: tuple[RedisStore, RedisStore], server: Server) -> None:
    join(stores[0], 1)
    stores[0].count_download(TORRENT)
    with redis.Redis(port=server.port) as client:
        assert all(client.ttl(key) > 0 for key in client.scan_iter("swarm:{*"))


def test_away_and_back(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    store, other = connected(server), connected(server)
    try:
        join(store, 1, is_seed=True)
        join(other, 2)
        store.expire(5)
        other.expire(5)
        server.end()
        # From what came through this process, and said so.
        assert join(store, 3, 10) == [peer(1)]
        assert store.is_away and store.warning == AWAY
        assert store.counts(TORRENT) == ScrapeEntry(1, 1, 0)
        store.leave(TORRENT, peer(99))
        assert store.peer_ids(TORRENT, [peer(1)]) == [b"i" * 20]
        # Restarted with nothing in it: each tracker tells again whom it knows.
        server.start()
        store.expire(10 + RETRY_S / 2)
        assert store.is_away
        for one in (store, other):
            for step in range(4):
                one.expire(12 + RETRY_S * step)
        assert not store.is_away and store.warning == b""
        assert sorted(join(other, 4, 20)) == [peer(1), peer(2), peer(3)]
    finally:
        store.close()
        other.close()
        server.end()


def test_a_url_that_is_none_is_one_clear_line() -> None:
    rng = random.Random(1)
    with pytest.raises(SettingsError, match="--store"):
        RedisStore("http://nowhere", LIFE_S, rng, local=MemoryStore(LIFE_S, rng))
