"""Two tracker processes, and one of two workers, on one real redis-server."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from swarm.wire.tracker.announce import AnnounceResponse
from swarm.wire.tracker.http import decode_announce
from tools.bench.clients.process import free_port

QUERY = "info_hash=" + "a" * 20 + "&peer_id=" + "b" * 20 + "&left=0&port="

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None and "CI" not in os.environ, reason="redis-server is not installed"
)


@contextlib.contextmanager
def redis_server(folder: Path, port: int | None = None) -> Iterator[str]:
    port = port or free_port()
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running(store: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = "from swarm.cli.main import main; main()"
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", command, "tracker", "--http", f"127.0.0.1:{port}", "--json", "--store", store,
         *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        process.stdout.close()


def announce(first: dict[str, Any], port: int, left: int = 0) -> AnnounceResponse:
    query = QUERY.replace("left=0", f"left={left}")
    with urlopen(f"{first['http']}?{query}{port}", timeout=30) as response:
        return decode_announce(response.read())


def announce_until(first: dict[str, Any], port: int, wanted: set[int]) -> AnnounceResponse:
    """Announce until these are named: trackers hear of each other's peers some milliseconds later."""
    deadline = time.monotonic() + 30
    while True:
        found = announce(first, port, left=5)
        if {peer.port for peer in found.peers} == wanted:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.005)


def test_peers_of_two_processes_find_each_other(tmp_path: Path) -> None:
    with redis_server(tmp_path) as url, running(url) as (_, one), running(url) as (_, other):
        announce(one, 1001)
        assert announce_until(other, 1002, {1001}).warning is None
        announce_until(one, 1003, {1001, 1002})


def test_a_tracker_that_is_started_again_knows_who_was_there(tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        with running(url) as (_, one):
            announce(one, 1001)
            announce(one, 1002, left=5)
        with running(url) as (_, again):
            assert {peer.port for peer in announce(again, 1003, left=5).peers} == {1001, 1002}


def test_without_redis_answers_go_on_with_a_warning() -> None:
    with running(f"redis://127.0.0.1:{free_port()}/0") as (_, first):
        announce(first, 1001)
        deadline = time.monotonic() + 30
        while (found := announce(first, 1002, left=5)).warning is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert [peer.port for peer in found.peers] == [1001]


def test_operator_is_told_that_redis_is_away_and_that_it_is_back(tmp_path: Path) -> None:
    command = "from swarm.cli.main import main; main()"
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", command, "tracker", "--http", "127.0.0.1:0", "--store",
         f"redis://127.0.0.1:{port}/0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith("listening on ")
        away = process.stderr.readline()
        assert away.startswith("warning: --store: ") and f"127.0.0.1:{port}" in away
        assert away.endswith("; peers of other trackers are not known until it is back\n")
        with redis_server(tmp_path, port):
            assert process.stderr.readline() == (
                "--store: it is back, and so are the peers of other trackers\n"
            )
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_workers_share_ports_and_swarms_and_end_together(tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        with running(url, "--workers", "3") as (process, first):
            # The kernel spreads connections over the workers.
            for port in range(1001, 1031):
                announce(first, port, left=5)
            # Whichever worker answers.
            for _ in range(10):
                announce_until(first, 1030, set(range(1001, 1030)))
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            assert len(children) == 2
        assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_a_worker_that_is_killed_is_named_and_the_others_go_on() -> None:
    with running(f"redis://127.0.0.1:{free_port()}/0", "--workers", "3") as (process, first):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert process.stdout is not None
        # The Redis that is not there is told of, too, by one of them.
        told = sorted(json.loads(process.stdout.readline())["message"] for _ in range(2))
        assert told[0].startswith("--store: ") and told[1] == (
            "worker 1 was killed (SIGKILL, as the system does when memory runs out); 2 of 3 go on"
        )
        # Whichever worker is asked.
        for port in range(1001, 1021):
            announce(first, port)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workers", "2"), "--store redis"),
        (("--workers", "2", "--store", "redis://127.0.0.1:1/0", "--http", "127.0.0.1:0"), "must be named"),
        (("--store", "http://nowhere"), "--store"),
    ],
)
def test_wrong_usage_is_status_2(arguments: tuple[str, ...], message: str) -> None:
    command = "from swarm.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "tracker", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and message in done.stderr
