"""libtorrent and we find each other over the loopback interface, with no tracker and no DHT (BEP 14)."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm import Session, SessionSettings
from swarm.metainfo.builder import TorrentOptions
from swarm.storage.create import create_torrent

try:
    import libtorrent as lt
except ImportError:
    lt = None  # type: ignore[assignment]  # a module or nothing

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(lt is None and "CI" not in os.environ, reason="libtorrent is not installed"),
]

LOOPBACK = "127.0.0.1"
PATIENCE_S = 60.0
_SETTINGS: Any = {
    "enable_lsd": True,
    "enable_dht": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "listen_interfaces": f"{LOOPBACK}:0",
}


class Libtorrent:
    """A session that has nothing but local discovery."""

    def __init__(self) -> None:
        self.session: Any = lt.session(_SETTINGS)

    def add(self, torrent: Path, folder: Path) -> Any:
        params = lt.load_torrent_file(str(torrent))
        params.save_path = str(folder)
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        return self.session.add_torrent(params)

    async def until_seeding(self, handle: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not handle.status().is_seeding:  # noqa: ASYNC110  # its alerts come by polling too
                await asyncio.sleep(0.05)


@pytest.fixture
def libtorrent() -> Iterator[Libtorrent]:
    made = Libtorrent()
    yield made
    # Its destructor waits for its threads and sockets.
    made.session = None


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    settings = SessionSettings(state_dir=tmp_path / "state", is_dht_enabled=False, thread_count=2)
    async with Session(port=0, bind=LOOPBACK, settings=settings) as opened:
        yield opened


@pytest.fixture
def torrent(tmp_path: Path) -> Path:
    """Content that nobody else has, in the folder "seed"; its torrent names no tracker."""
    content = tmp_path / "seed" / "content"
    content.parent.mkdir()
    content.write_bytes(random.SystemRandom().randbytes(1_000_003))
    path = tmp_path / "the.torrent"
    path.write_bytes(create_torrent(content, TorrentOptions()))
    return path


async def test_we_find_a_libtorrent_that_seeds(
    libtorrent: Libtorrent, session: Session, torrent: Path, tmp_path: Path
) -> None:
    handle = libtorrent.add(torrent, tmp_path / "seed")
    await libtorrent.until_seeding(handle)
    ours = await session.add(torrent, save_to=tmp_path / "here")
    async with asyncio.timeout(PATIENCE_S):
        await ours.completed()
    assert (tmp_path / "here" / "content").read_bytes() == (tmp_path / "seed" / "content").read_bytes()


async def test_a_libtorrent_finds_us_who_seed(
    libtorrent: Libtorrent, session: Session, torrent: Path, tmp_path: Path
) -> None:
    ours = await session.add(torrent, save_to=tmp_path / "seed", is_seeding_only=True)
    async with asyncio.timeout(PATIENCE_S):
        await ours.completed()
    (tmp_path / "there").mkdir()
    await libtorrent.until_seeding(libtorrent.add(torrent, tmp_path / "there"))
    assert (tmp_path / "there" / "content").read_bytes() == (tmp_path / "seed" / "content").read_bytes()
