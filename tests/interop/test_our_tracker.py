"""Real clients announce to our tracker, over HTTP and over UDP, and are counted as what they are."""

from __future__ import annotations

import os

import pytest

from tests.interop.cases import KIB, Case
from tests.interop.conftest import Stage, client_or_skip
from tools.bench.clients import Torrent, make_torrent
from tools.bench.clients.process import Process, free_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

START_TIMEOUT_S = 30
CASE = Case("announced", "mid-block", 16 * KIB)


def torrent_for(stage: Stage, scheme: str) -> Torrent:
    announce = stage.tracker.announce.replace("http://", f"{scheme}://")
    path = stage.folder(CASE, "torrent") / "the.torrent"
    content = stage.contents[CASE.content_name]
    return make_torrent(content, path, CASE.piece_length, announce, source=f"{stage.test} {scheme}")


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("libtorrent", "http"),
        ("libtorrent", "udp"),
        ("aria2", "http"),
        ("transmission", "http"),
        ("transmission", "udp"),
    ],
)
def test_a_seed_is_counted_as_one(name: str, scheme: str, stage: Stage) -> None:
    client = client_or_skip(name)
    torrent = torrent_for(stage, scheme)
    with client.seed(torrent, stage.folder(CASE, "seeder")) as seeder:
        seeder.wait_ready(START_TIMEOUT_S)
        stage.tracker.wait_for_members(torrent.infohash, 1)
        assert stage.tracker.scrape(torrent.infohash) == (1, 0)


def test_aria2_is_counted_over_udp(stage: Stage) -> None:
    """aria2 asks UDP trackers through the socket of its DHT, which therefore must be on."""
    client_or_skip("aria2")
    torrent = torrent_for(stage, "udp")
    command = [
        "aria2c",
        "--no-conf=true",
        f"--dir={stage.folder(CASE, 'leecher')}",
        f"--listen-port={free_port()}",
        "--enable-dht=true",
        f"--dht-listen-port={free_port()}",
        f"--dht-file-path={stage.folder(CASE, 'state') / 'dht.dat'}",
        "--bt-enable-lpd=false",
        f"--stop-with-process={os.getpid()}",
        str(torrent.path),
    ]
    with Process(command):
        stage.tracker.wait_for_members(torrent.infohash, 1)
        assert stage.tracker.scrape(torrent.infohash) == (0, 1)
