"""Processes of ours that know nothing of each other but the loopback interface."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from swarm.base.errors import PeerError
from swarm.base.ids import InfoHash
from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.torrent import Metainfo
from swarm.net.lsd import LocalMulticast
from swarm.net.outlet import Outlet
from swarm.storage.create import create_torrent
from swarm.wire.lsd import decode_announce
from tests.e2e.commands import TIMEOUT_S, Commands, Event
from tests.e2e.local_ipv6 import WAYS

LOOPBACK = "127.0.0.1"
ALONE = ("--no-trackers", "--no-dht", "--port", "0", "--bind", LOOPBACK)


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    running = Commands(tmp_path)
    # Contents are random, so that nobody but those of a test has the torrent.
    del running.environment["SWARM_NO_LSD"]
    yield running
    running.close()


def offer(folder: Path, name: str, *, is_private: bool = False) -> tuple[Path, InfoHash]:
    """Content that nobody else has, with its .torrent, which names no tracker, beside it."""
    content = folder / name
    content.write_bytes(random.SystemRandom().randbytes(700_001))
    torrent = folder / f"{name}.torrent"
    torrent.write_bytes(create_torrent(content, TorrentOptions(is_private=is_private)))
    return torrent, Metainfo.parse(torrent.read_bytes()).info_hash


def test_two_processes_find_each_other_without_a_tracker(commands: Commands, tmp_path: Path) -> None:
    torrent, info_hash = offer(tmp_path, "content")
    seeder = commands.start("seed", torrent, *ALONE)
    seeder.wait("lsd", lambda event: event["state"] == "working")
    leecher = commands.start("leech", torrent, "-o", tmp_path / "here", *ALONE)
    leecher.wait("complete")
    told = {(event["infohash"], event["state"]) for event in leecher.events if event["event"] == "lsd"}
    assert (str(info_hash), "working") in told
    assert (tmp_path / "here" / "content").read_bytes() == (tmp_path / "content").read_bytes()


def test_a_magnet_link_without_a_tracker_is_enough(commands: Commands, tmp_path: Path) -> None:
    torrent, info_hash = offer(tmp_path, "content")
    seeder = commands.start("seed", torrent, *ALONE)
    seeder.wait("lsd", lambda event: event["state"] == "working")
    leecher = commands.start("leech", f"magnet:?xt=urn:btih:{info_hash}", "-o", tmp_path / "here", *ALONE)
    leecher.wait("complete")
    assert (tmp_path / "here" / "content").read_bytes() == (tmp_path / "content").read_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_find_each_other_by_ipv6_alone(way: str) -> None:
    """In network namespaces of its own, since it takes a network without IPv4."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    program = Path(__file__).with_name("local_ipv6.py")
    command = ["unshare", "--net", *as_root, sys.executable, str(program), way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def is_joined(info_hash: str, event: Event) -> bool:
    return bool(event["infohash"] == info_hash and event["state"] != "checking")


async def test_private_torrents_and_no_lsd_are_never_announced(commands: Commands, tmp_path: Path) -> None:
    public, private, hidden = (
        offer(tmp_path, name, is_private=name == "private") for name in ("public", "private", "hidden")
    )
    heard: set[InfoHash] = set()
    news = asyncio.Event()

    def hear(raw: bytes, _host: str) -> None:
        try:
            heard.update(decode_announce(raw).info_hashes)
        except PeerError:
            return
        news.set()

    ear = LocalMulticast(hear, outlet=Outlet({False: LOOPBACK}))
    try:
        off = commands.start("seed", hidden[0], "--no-lsd", *ALONE)
        both = commands.start("leech", private[0], public[0], "-o", tmp_path / "here", *ALONE)
        async with asyncio.timeout(TIMEOUT_S):
            while public[1] not in heard:
                news.clear()
                await news.wait()
        # At every tick the others would tell of it too, and their datagrams would be here by the next.
        for running, (_, info_hash) in ((both, private), (both, private), (off, hidden), (off, hidden)):
            await asyncio.to_thread(running.wait, "progress", partial(is_joined, str(info_hash)))
        assert private[1] not in heard and hidden[1] not in heard
        told = [
            event["infohash"]
            for running in (both, off)
            for event in running.events
            if event["event"] == "lsd"
        ]
        assert set(told) <= {str(public[1])}
    finally:
        ear.close()
