"""npm's bittorrent-tracker and webtorrent at our tracker, others over IPv6; one swarm on two trackers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_tracker_redis import redis_server, running
from tests.interop.cases import KIB, Case
from tests.interop.conftest import Stage, client_or_skip
from tools.bench.clients import NO_NODE, Client, Torrent, make_torrent
from tools.bench.clients.process import Process
from tools.bench.clients.swarm_client import COMMAND, json_event
from tools.bench.clients.webtorrent_client import NPM, missing_package

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

TIMEOUT_S = 30
CASE = Case("announced", "mid-block", 16 * KIB)


def torrent_for(stage: Stage, announce: str, name: str = "the") -> Torrent:
    """The test's torrent with this tracker; its info-hash is the same whatever the tracker."""
    path = stage.folder(CASE, "torrent") / f"{name}.torrent"
    return make_torrent(
        stage.contents[CASE.content_name], path, CASE.piece_length, announce, source=stage.test
    )


@contextmanager
def npm_client(announce: str, info_hash: bytes, port: int, left: int) -> Iterator[Process]:
    missing = missing_package("bittorrent-tracker")
    if missing is not None:
        if os.environ.get("CI") == "true" and missing != NO_NODE:
            pytest.fail(missing)
        pytest.skip(missing)
    command: list[str | Path] = [
        "node",
        NPM / "tracker_client.mjs",
        announce,
        info_hash.hex(),
        str(port),
        str(left),
    ]
    with Process(command) as process:
        yield process


def said(process: Process, event: str) -> dict[str, object]:
    """The first such event, without its name."""
    line = process.wait_for(lambda text: json_event(text).get("event") == event, TIMEOUT_S, event)
    return {key: value for key, value in json_event(line.text).items() if key != "event"}


@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_npm_s_tracker_client_announces_and_scrapes(scheme: str, stage: Stage) -> None:
    announce = stage.tracker.announce.replace("http://", f"{scheme}://")
    info_hash = torrent_for(stage, announce).infohash
    with npm_client(announce, info_hash, 7001, left=0) as seed:
        assert said(seed, "update") == said(seed, "scrape") == {"complete": 1, "incomplete": 0}
        with npm_client(announce, info_hash, 7002, left=5) as leecher:
            assert said(leecher, "update") == said(leecher, "scrape") == {"complete": 1, "incomplete": 1}
            assert said(leecher, "peer") == {"at": "127.0.0.1:7001"}


@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_webtorrent_is_counted_as_the_seed_that_it_is(scheme: str, stage: Stage) -> None:
    client = client_or_skip("webtorrent")
    torrent = torrent_for(stage, stage.tracker.announce.replace("http://", f"{scheme}://"))
    with client.seed(torrent, stage.folder(CASE, "seeder")) as seeder:
        seeder.wait_ready(TIMEOUT_S)
        wait_for_counts(stage.tracker.announce, torrent.infohash, b"8:completei1e", b"10:incompletei0e")


def wait_for_counts(announce: str, info_hash: bytes, *wanted: bytes) -> None:
    """Until a scrape says so."""
    url = announce.replace("/announce", "/scrape") + "?info_hash=" + urllib.parse.quote(info_hash)
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        with urllib.request.urlopen(url, timeout=10) as response:
            body: bytes = response.read(64 << 10)
        if all(part in body for part in wanted):
            return
        assert time.monotonic() < deadline, body
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["aria2", "webtorrent"])
def test_others_announce_over_ipv6(name: str, stage: Stage) -> None:
    """Over HTTP: for UDP trackers aria2 and webtorrent have sockets of IPv4 only (docs/PROTOCOLS.md)."""
    client = client_or_skip(name)
    with Process([*COMMAND, "tracker", "--http", "[::1]:0", "--json"]) as tracker:
        where = said(tracker, "listening")
        torrent = torrent_for(stage, str(where["http"]))
        with client.seed(torrent, stage.folder(CASE, "seeder")) as seeder:
            seeder.wait_ready(TIMEOUT_S)
            wait_for_counts(str(where["http"]), torrent.infohash, b"8:completei1e", b"10:incompletei0e")


@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_transmission_announces_over_ipv6(scheme: str) -> None:
    client_or_skip("transmission")
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    program = Path(__file__).with_name("transmission_over_ipv6.py")
    command = ["unshare", "--net", "--mount", *as_root, sys.executable, str(program), scheme]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_libtorrent_announces_over_ipv6(scheme: str, stage: Stage) -> None:
    lt = pytest.importorskip("libtorrent")
    with Process([*COMMAND, "tracker", "--http", "[::1]:0", "--json"]) as tracker:
        where = said(tracker, "listening")
        torrent = torrent_for(stage, str(where[scheme]))
        session = lt.session(
            {
                "listen_interfaces": "[::1]:0",
                "enable_dht": False,
                "enable_lsd": False,
                "enable_upnp": False,
                "enable_natpmp": False,
            }
        )
        parameters = lt.load_torrent_file(str(torrent.path))
        parameters.save_path = str(torrent.content.parent)
        session.add_torrent(parameters)
        http = str(where["http"])
        wait_for_counts(http, torrent.infohash, b"8:completei1e", b"10:incompletei0e")
        # Named by its IPv6 address to who comes after it.
        query = f"?info_hash={urllib.parse.quote(torrent.infohash)}&peer_id={'x' * 20}&port=9&left=5"
        with urllib.request.urlopen(http + query, timeout=10) as response:
            body: bytes = response.read(64 << 10)
        named = bytes(15) + b"\x01" + session.listen_port().to_bytes(2, "big")
        assert b"6:peers618:" + named in body
        del session


@pytest.mark.skipif(
    shutil.which("redis-server") is None and "CI" not in os.environ, reason="redis-server is not installed"
)
def test_peers_of_two_trackers_on_one_redis_find_each_other(
    stage: Stage, swarm: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    with redis_server(folder) as url, running(url) as (_, one), running(url) as (_, other):
        first = torrent_for(stage, one["http"], "one")
        second = torrent_for(stage, other["http"], "other")
        assert first.infohash == second.infohash
        with swarm.seed(first, stage.folder(CASE, "seeder")) as seeder:
            seeder.wait_ready(TIMEOUT_S)
            wait_for_counts(other["http"], second.infohash, b"8:completei1e")
            with swarm.leech(second, stage.folder(CASE, "here"), stage.folder(CASE, "leecher")) as leecher:
                leecher.wait_complete(TIMEOUT_S)
    assert stage.difference(CASE, "here", swarm) is None
