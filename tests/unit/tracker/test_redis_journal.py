"""The journal in a real redis-server: what one tracker tells the others hear, whatever becomes of Redis."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from swarm.base.errors import SettingsError
from swarm.tracker import redis_journal
from swarm.tracker.redis_journal import ENTRY_CHANGES, RedisJournal, _in_words
from tools.bench.clients.process import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None and "CI" not in os.environ, reason="redis-server is not installed"
)


class Server:
    """A redis-server process on a port of loopback that can be ended, held up, and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        with redis.Redis(port=self.port) as client:
            until(lambda: answers(client))

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            redis.ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."),
            "Redis at 127.0.0.1:1: connection refused",
        ),
        (
            redis.ConnectionError("Error -2 connecting to none:6379. Name or service not known."),
            "Redis at none:6379: name or service not known",
        ),
        (redis.TimeoutError("Timeout reading from socket"), "Redis does not answer"),
        (redis.AuthenticationError("Authentication required."), "Redis: Authentication required"),
        (redis.RedisError("two\nlines"), "Redis: two"),
    ],
)
def test_what_is_wrong_is_said_in_words_for_people(error: redis.RedisError, words: str) -> None:
    assert _in_words(error) == words


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.end()


@pytest.fixture
def journals(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], RedisJournal]]:
    """Makes journals that have begun, and that end with the test."""
    monkeypatch.setattr(redis_journal, "RETRY_S", 0.05)
    made: list[RedisJournal] = []

    def begin() -> RedisJournal:
        journal = RedisJournal(server.url, 100.0)
        made.append(journal)
        journal.start()
        assert journal.has_caught_up.wait(30)
        return journal

    yield begin
    for journal in made:
        journal.close()


def changes(journal: RedisJournal) -> bytes:
    return b"".join(entry for entry in list(journal.heard) if isinstance(entry, bytes))


def test_what_one_tells_the_others_hear_in_order_and_it_does_not(
    journals: Callable[[], RedisJournal],
) -> None:
    first, second = journals(), journals()
    told = [number.to_bytes(4, "big") for number in range(3 * ENTRY_CHANGES)]
    for change in told:
        first.tell(change)
    until(lambda: changes(second) == b"".join(told))
    assert changes(first) == b"" and not first.is_away


def test_who_starts_later_hears_what_was_told_before(journals: Callable[[], RedisJournal]) -> None:
    first = journals()
    first.tell(b"early")
    second = journals()
    first.count_download(b"t" * 20, bytes(6), b"i" * 20)
    first.count_download(b"t" * 20, bytes(6), b"j" * 20)
    first.close()
    # The first one, under its address of the other family.
    second.count_download(b"t" * 20, bytes(18), b"i" * 20)
    second.close()
    late = journals()
    assert changes(late) == b"early"
    assert {b"t" * 20: 2} in late.heard


def test_what_others_left_in_redis_is_left_alone(
    journals: Callable[[], RedisJournal], server: Server
) -> None:
    with redis.Redis(port=server.port) as client:
        client.set(redis_journal._DOWNLOADS + b"short", 1)
        client.set(redis_journal._DOWNLOADS + b"t" * 20, "many")
        client.xadd("swarm:journal", {"something": "else"})
    journal = journals()
    assert list(journal.heard) == [{}, b""] and not journal.is_away


def test_old_entries_go_and_numbers_of_downloads_have_an_end(
    journals: Callable[[], RedisJournal], server: Server
) -> None:
    journal = journals()
    with redis.Redis(port=server.port) as client:
        for number in range(500):
            client.xadd("swarm:journal", {"by": "x", "changes": b"c" * 5000}, id=f"{1000 + number}-0")
        journal.tell(b"new")
        journal.tell(b"newer")
        until(lambda: client.xlen("swarm:journal") > 500)
        journal.tell(b"newest")
        until(lambda: client.xlen("swarm:journal") < 100)
        journal.count_download(b"t" * 20, bytes(6), b"i" * 20)
        key = redis_journal._DOWNLOADS + b"t" * 20
        until(lambda: bool(client.exists(key)))
        assert client.ttl(key) > 86_400


def test_what_is_told_while_redis_is_away_is_told_when_it_is_back(
    journals: Callable[[], RedisJournal], server: Server
) -> None:
    first, second = journals(), journals()
    first.tell(b"one ")
    until(lambda: changes(second) == b"one ")
    server.end()
    until(lambda: first.is_away and second.is_away)
    first.tell(b"two ")
    server.start()
    until(lambda: changes(second) == b"one two ")
    until(lambda: not first.is_away and not second.is_away)
    # It came back empty: one of those who were there before tells everything again, and only one.
    until(lambda: first.is_forgotten or second.is_forgotten)
    until(lambda: first._epoch == second._epoch)
    assert [first.is_forgotten, second.is_forgotten].count(True) == 1


def test_a_redis_that_hangs_holds_up_nobody(
    journals: Callable[[], RedisJournal], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_journal, "TIMEOUT_S", 0.3)
    first, second = journals(), journals()
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        for _ in range(1000):
            first.tell(b"x")
        assert time.monotonic() - start < 0.2
        until(lambda: first.is_away)
    finally:
        server.process.send_signal(signal.SIGCONT)
    until(lambda: changes(second).count(b"x") >= 1000 and not first.is_away)
    # Redis was not empty, so there is nothing to be told again.
    assert not first.is_forgotten


def test_more_than_can_be_kept_means_that_all_is_to_be_told_again(
    journals: Callable[[], RedisJournal], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_journal, "UNTOLD_MAX", 10)
    journal = journals()
    server.end()
    until(lambda: journal.is_away)
    for _ in range(20):
        journal.tell(b"x")
    assert journal.untold_count == 10 and journal.is_forgotten


def test_without_redis_it_does_not_wait() -> None:
    journal = RedisJournal("redis://127.0.0.1:1/0", 100.0)
    journal.start()
    assert journal.has_caught_up.wait(30) and journal.is_away
    journal.close()


def test_a_url_that_is_none_is_one_clear_line() -> None:
    with pytest.raises(SettingsError, match="--store"):
        RedisJournal("http://nowhere", 100.0)
