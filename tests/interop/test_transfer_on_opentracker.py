"""We, libtorrent and aria2 find each other through opentracker, Debian's tracker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop.cases import KIB, MIB
from tests.interop.conftest import client_or_skip
from tools.bench.clients import Client, Opentracker, first_difference, make_torrent, write_random

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

START_TIMEOUT_S = 30
TRANSFER_TIMEOUT_S = 60


@pytest.fixture
def opentracker(tmp_path_factory: pytest.TempPathFactory) -> Opentracker:
    missing = Opentracker.missing()
    if missing is not None and os.environ.get("CI") == "true":
        pytest.fail(missing)
    elif missing is not None:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("opentracker")
    # Where it runs as root it becomes nobody, and must still find its way here.
    for parent in [folder, *folder.parents][:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    return Opentracker(folder)


@pytest.mark.parametrize(
    ("seeding", "leeching", "scheme"),
    [
        ("swarm", "swarm", "http"),
        ("swarm", "libtorrent", "http"),
        ("aria2", "swarm", "http"),
        ("swarm", "swarm", "udp"),
        ("libtorrent", "swarm", "udp"),
        ("swarm", "libtorrent", "udp"),
        ("transmission", "swarm", "udp"),
    ],
)
def test_peers_meet_on_opentracker(
    seeding: str, leeching: str, scheme: str, opentracker: Opentracker, swarm: Client, tmp_path: Path
) -> None:
    content, here = tmp_path / "content.bin", tmp_path / "here"
    write_random(content, 3 * MIB + 7)
    here.mkdir()
    torrent = make_torrent(
        content, tmp_path / "the.torrent", 128 * KIB, opentracker.announce.replace("http", scheme)
    )
    with opentracker:
        opentracker.start([torrent.infohash])
        with client_or_skip(seeding).seed(torrent, tmp_path / "seeder") as seeder:
            seeder.wait_ready(START_TIMEOUT_S)
            opentracker.wait_for_members(torrent.infohash, 1)
            with client_or_skip(leeching).leech(torrent, here, tmp_path / "leecher") as leecher:
                leecher.wait_complete(TRANSFER_TIMEOUT_S)
    assert first_difference(content, here / content.name) is None
