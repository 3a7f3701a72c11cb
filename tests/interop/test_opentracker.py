"""Our tracker client on opentracker, the tracker of the largest swarms there are (Debian's package)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.net.trackers import TrackerClient
from swarm.wire.tracker.announce import AnnounceRequest, Event, ScrapeEntry
from tools.bench.clients.process import free_port

TORRENT = InfoHash(bytes(range(20)))
#: Until it answers; a loaded machine may take a while to start a process.
START_TRIES = 200

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        shutil.which("opentracker") is None and "CI" not in os.environ, reason="opentracker is not installed"
    ),
]


def request(port: int, left_bytes: int, event: Event | None = "started") -> AnnounceRequest:
    peer_id = PeerId.generate(random.Random(port))
    return AnnounceRequest(TORRENT, peer_id, port, 0, 0, left_bytes, event, key=port)


@contextlib.asynccontextmanager
async def opentracker(folder: Path) -> AsyncIterator[str]:
    """An opentracker process that serves our torrent; gives its announce URL."""
    allowed = folder / "allowed"
    allowed.write_text(f"{TORRENT}\n")
    folder.chmod(0o755)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        # As root it locks itself into its folder, so the list has a relative name.
        *("opentracker", "-i", "127.0.0.1", "-p", str(port), "-P", str(port)),
        *("-d", str(folder), "-w", allowed.name),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/announce"
    try:
        await until_ready(url)
        yield url
    finally:
        process.kill()
        await process.wait()


async def until_ready(url: str) -> None:
    """Until it listens and has read its list, which it does in a thread."""
    for _ in range(START_TRIES):
        with contextlib.suppress(TrackerError):
            # A farewell passes the list unchecked.
            await TrackerClient().announce(url, request(1, 0))
            await TrackerClient().announce(url, request(1, 0, "stopped"))
            return
        await asyncio.sleep(0.05)
    raise AssertionError("opentracker does not serve")


@pytest.mark.parametrize("scheme", ["http", "udp"])
async def test_our_client_on_opentracker(tmp_path: Path, scheme: str) -> None:
    client = TrackerClient()
    async with opentracker(tmp_path) as http_url:
        url = http_url.replace("http", scheme)
        first = await client.announce(url, request(7001, 0))
        assert first.interval_s >= 60
        await client.announce(url, request(7002, 5))
        answer = await client.announce(url, request(7003, 5))
        assert set(answer.peers) >= {Endpoint("127.0.0.1", 7001), Endpoint("127.0.0.1", 7002)}
        assert (answer.seeds, answer.leechers) == (1, 2)
        await client.announce(url, request(7002, 0, "completed"))
        await client.announce(url, request(7003, 5, "stopped"))
        assert await client.scrape(url, [TORRENT]) == {TORRENT: ScrapeEntry(2, 0, 1)}
        await client.close()


async def test_opentracker_is_scraped_over_udp_for_many_torrents_at_once(tmp_path: Path) -> None:
    client = TrackerClient()
    others = [InfoHash(bytes([number]) * 20) for number in range(100)]
    async with opentracker(tmp_path) as http_url:
        url = http_url.replace("http", "udp")
        await client.announce(url, request(7001, 0))
        found = await client.scrape(url, [*others, TORRENT])
        assert found == dict.fromkeys(others, ScrapeEntry(0, 0, 0)) | {TORRENT: ScrapeEntry(1, 0, 0)}
        await client.close()


async def test_a_torrent_that_opentracker_does_not_serve_is_refused_in_its_words(tmp_path: Path) -> None:
    client = TrackerClient()
    async with opentracker(tmp_path) as url:
        stranger = AnnounceRequest(InfoHash(b"x" * 20), PeerId(b"-SW0100-abcdefghijkl"), 1, 0, 0, 0)
        with pytest.raises(TrackerError, match="not authorized"):
            await client.announce(url, stranger)
