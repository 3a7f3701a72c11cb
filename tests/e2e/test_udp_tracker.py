"""Our commands on our tracker over UDP: they meet there, tell of it, and read its numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import Commands, make_torrent

ALONE = ("--no-dht", "--no-lsd", "--port", "0", "--bind", "127.0.0.1")


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    running = Commands(tmp_path)
    yield running
    running.close()


def test_two_processes_meet_over_udp_and_scrape_counts_them(commands: Commands, tmp_path: Path) -> None:
    tracker = commands.start("tracker", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0")
    url = tracker.wait("listening")["udp"]
    assert url.startswith("udp://127.0.0.1:")
    content = tmp_path / "content"
    content.write_bytes(bytes(range(256)) * 2000)
    torrent = make_torrent(content, url)

    seeder = commands.start("seed", torrent, *ALONE)
    told = seeder.wait("tracker", lambda event: event["state"] == "working")
    assert (told["url"], told["peers"], told["seeds"], told["error"]) == (url, 0, 1, "")
    # A swarm that has just begun is asked back in 8 s.
    assert 0 < told["next_s"] <= 10
    leecher = commands.start("leech", torrent, "-o", tmp_path / "here", *ALONE)
    leecher.wait("complete")
    assert leecher.end()[0] == 0
    assert (tmp_path / "here" / "content").read_bytes() == content.read_bytes()

    done = commands.run("scrape", torrent, "--json")
    (answer,) = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 0
    assert (answer["tracker"], answer["seeds"]) == (url, 1)


def test_a_tracker_that_is_gone_is_told_with_its_next_try(commands: Commands, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"x" * 100_000)
    seeder = commands.start("seed", make_torrent(content, "udp://127.0.0.1:9/announce"), *ALONE)
    failed = seeder.wait("tracker", lambda event: event["state"] == "failed")
    assert failed["error"] == "connection refused" and 0 <= failed["next_s"] <= 12
    warning = next(event for event in seeder.events if event["event"] == "warning")
    assert warning["message"].startswith("tracker 127.0.0.1:9: connection refused; next try in 0:")
