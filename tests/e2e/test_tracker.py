"""`swarm tracker` and `swarm scrape` as processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from swarm.base import bencode
from swarm.wire.tracker.http import decode_announce

MAGNET = "magnet:?xt=urn:btih:" + "61" * 20
QUERY = "info_hash=" + "a" * 20 + "&peer_id=" + "b" * 20 + "&left=0&port="


def swarm(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from swarm.cli.main import main; main()", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(swarm(*arguments), capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def running(
    *arguments: str, descriptors: tuple[int, int] | None = None
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A tracker process that listens, and its first JSON line.

    Args:
        descriptors: how many it may have, and to how many it may raise that.
    """
    command = swarm("tracker", "--http", "127.0.0.1:0", "--json", *arguments)
    if descriptors is not None:
        soft, hard = descriptors
        command = ["sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"', "sh", *command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def get(url: str) -> bytes:
    with urlopen(url, timeout=30) as response:
        body: bytes = response.read()
        return body


@pytest.mark.parametrize(("descriptors", "kept"), [((64, 64), 1), ((64, 4096), 100)])
def test_clients_that_stay_do_not_take_the_descriptors_that_others_need(
    descriptors: tuple[int, int], kept: int
) -> None:
    with running(descriptors=descriptors) as (_, first), contextlib.ExitStack() as stack:
        stay = [
            stack.enter_context(socket.create_connection(("127.0.0.1", first["port"]))) for _ in range(100)
        ]
        for one in stay:
            one.settimeout(30)
            one.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert all(b"HTTP/1.1 200" in one.recv(1000) for one in stay)
        for number in range(5):
            assert decode_announce(get(f"{first['http']}?{QUERY}{number + 1}")).seeds == number + 1
        still = 0
        for one in stay:
            with contextlib.suppress(ConnectionError):
                one.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                still += b"HTTP/1.1 200" in one.recv(1000)
        assert kept <= still <= descriptors[1]


def test_the_first_line_says_where_it_listens() -> None:
    with running() as (_, first):
        assert first["event"] == "listening"
        assert first["http"] == f"http://127.0.0.1:{first['port']}/announce"
        get(f"{first['http']}?{QUERY}6881")
        response = decode_announce(get(f"{first['http']}?{QUERY.replace('left=0', 'left=1')}6882"))
    assert [str(peer) for peer in response.peers] == ["127.0.0.1:6881"]


def test_people_are_told_what_to_put_into_torrents() -> None:
    process = subprocess.Popen(
        swarm("tracker", "--http", "127.0.0.1:0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert line.startswith("announce URL for torrents: http://127.0.0.1:") and line.endswith("/announce\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_end_it_with_connections_open(number: signal.Signals, status: int) -> None:
    with running() as (process, first), contextlib.ExitStack() as stack:
        for _ in range(5):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", first["port"])))
            held.sendall(b"GET /announce?")
        get(f"{first['http']}?{QUERY}6881")
        process.send_signal(number)
        assert process.wait(timeout=30) == status


def test_interval_is_what_peers_are_told() -> None:
    with running("--interval", "100") as (_, first):
        # Who asks for nobody is in no haste, though the swarm is young.
        response = decode_announce(get(f"{first['http']}?{QUERY}1&numwant=0"))
    assert 90 <= response.interval_s <= 110 and response.min_interval_s == 60


def test_what_is_known_outlives_the_process(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    with running("--state", state) as (process, first):
        get(f"{first['http']}?{QUERY}6881")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    with running("--state", state) as (_, first):
        response = decode_announce(get(f"{first['http']}?{QUERY.replace('left=0', 'left=1')}6882"))
    assert [str(peer) for peer in response.peers] == ["127.0.0.1:6881"]


def test_one_state_is_kept_by_one_tracker(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    with running("--state", state) as (process, first):
        # Each would write over what the other one knows.
        done = run("tracker", "--http", "127.0.0.1:0", "--state", state)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"error: {state}: another tracker keeps its state there\n"
        get(f"{first['http']}?{QUERY}6881")
        process.kill()
        process.wait(timeout=30)
    # Who was killed holds it no longer.
    with running("--state", state) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_state_that_could_not_be_kept_is_an_error_at_once(tmp_path: Path) -> None:
    done = run("tracker", "--http", "127.0.0.1:0", "--state", str(tmp_path / "nowhere" / "state"))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"error: {tmp_path / 'nowhere'}: no such folder\n"


def test_a_port_in_use_is_one_line_and_status_1() -> None:
    with running() as (_, first):
        done = run("tracker", "--http", f"127.0.0.1:{first['port']}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: cannot listen on 127.0.0.1:{first['port']}: the port is in use; give another one with "
        "--http HOST:PORT\n"
    )


@pytest.mark.parametrize(("option", "is_served"), [("--allow", True), ("--deny", False)])
def test_lists_decide_who_is_served(tmp_path: Path, option: str, is_served: bool) -> None:
    listed = tmp_path / "hashes"
    listed.write_text(f"# ours\n\n{'61' * 20}  # a\n")
    with running(option, str(listed)) as (_, first):
        ours = get(f"{first['http']}?{QUERY}1")
        other = get(f"{first['http']}?{QUERY.replace('a' * 20, 'c' * 20)}1")
    refusals = [b"failure reason" in body for body in (ours, other)]
    assert refusals == [not is_served, is_served]


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [("nonsense\n", 2, "line 1: not an info-hash"), (None, 4, "no such file or folder")],
)
def test_a_bad_list_is_one_line(tmp_path: Path, content: str | None, status: int, message: str) -> None:
    listed = tmp_path / "hashes"
    if content is not None:
        listed.write_text(content)
    done = run("tracker", "--allow", str(listed))
    assert done.returncode == status and message in done.stderr and done.stderr.count("\n") == 1


def test_a_changed_list_holds_without_a_restart(tmp_path: Path) -> None:
    listed = tmp_path / "hashes"
    listed.write_text("")
    with running("--allow", str(listed)) as (_, first):
        url = f"{first['http']}?{QUERY}1"
        assert b"failure reason" in get(url)
        listed.write_text("61" * 20)
        deadline = time.monotonic() + 30
        while b"failure reason" in get(url):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_numbers_and_orders_have_ports_of_their_own() -> None:
    arguments = ("--stats", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--admin-token", "secret")
    with running(*arguments) as (_, first):
        get(f"{first['http']}?{QUERY}1")
        assert b"swarm_tracker_torrents 1.0" in get(f"{first['stats']}metrics")
        request = Request(f"{first['admin']}stats", headers={"Authorization": "Bearer secret"})
        with urlopen(request, timeout=30) as response:
            assert json.load(response)["peers"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--admin", "0.0.0.0:0", "--admin-token", "x"), "loopback"),
        (("--admin", "127.0.0.1:0"), "--admin-token"),
        (("--https", "127.0.0.1:0"), "--cert"),
        (("--https", "127.0.0.1:0", "--cert", __file__), "no certificate"),
        (("--proxy", "nonsense"), "neither an address nor a network"),
    ],
)
def test_wrong_usage_is_status_2(arguments: tuple[str, ...], message: str) -> None:
    done = run("tracker", *arguments)
    assert done.returncode == 2 and message in done.stderr


def test_options_come_from_the_environment_too() -> None:
    done = subprocess.run(
        swarm("tracker"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SWARM_HTTP": "192.0.2.1:1"},
    )
    assert done.returncode == 1 and "does not have that address" in done.stderr


class TestScrape:
    def test_of_a_torrent_and_a_magnet_link(self, tmp_path: Path) -> None:
        with running() as (_, first):
            url = first["http"]
            info: dict[bytes, bencode.Encodable] = {
                b"name": b"x",
                b"length": 1,
                b"piece length": 16384,
                b"pieces": b"p" * 20,
            }
            torrent = tmp_path / "x.torrent"
            torrent.write_bytes(bencode.encode({b"announce": url.encode(), b"info": info}))
            unknown = run("scrape", str(torrent))
            get(f"{url}?{QUERY}1")
            done = run("scrape", f"{MAGNET}&tr={url}&tr=http://127.0.0.1:1/announce", "--json")
        assert unknown.returncode == 1 and "it does not know this torrent" in unknown.stderr
        known, failed = (json.loads(line) for line in done.stdout.splitlines())
        assert done.returncode == 0
        assert known == {
            "event": "scrape",
            "tracker": url,
            "infohash": "61" * 20,
            "seeds": 1,
            "leechers": 0,
            "downloaders": 0,
            "downloads": 0,
        }
        assert failed["error"] == "connection refused"

    @pytest.mark.parametrize(
        ("source", "status", "message"),
        [
            (MAGNET, 1, "names no trackers"),
            ("magnet:?x=y", 3, "magnet"),
            ("/nowhere.torrent", 4, "no such file"),
            (__file__, 3, "torrent"),
        ],
    )
    def test_of_nothing_is_one_line(self, source: str, status: int, message: str) -> None:
        done = run("scrape", source)
        assert done.returncode == status and message in done.stderr and done.stderr.count("\n") == 1


def test_the_http_library_is_loaded_only_when_it_is_needed() -> None:
    code = "import sys, swarm; swarm.Session; sys.exit('h11' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
