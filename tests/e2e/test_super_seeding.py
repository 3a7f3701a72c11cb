"""`swarm seed --super-seed` (BEP 16) with real processes, and what a stranger is told by it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm import Metainfo
from tests.e2e.commands import Commands, make_torrent
from tests.e2e.scripted_peer import FAST, HAVE, HAVE_ALL, HAVE_NONE, dialled

PIECES = 60


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    running = Commands(tmp_path)
    yield running
    running.close()


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(random.Random(16).randbytes((PIECES << 15) - 7))
    return path


def test_two_leechers_get_everything_from_a_super_seed(commands: Commands, content: Path) -> None:
    torrent = make_torrent(content)
    _, port = commands.seed(torrent, "--super-seed")
    to_seed = ("--peer", f"127.0.0.1:{port}", "--port", "0", "--bind", "127.0.0.1")
    leechers = [commands.start("leech", torrent, "-o", name, *to_seed) for name in ("one", "two")]
    for leecher in leechers:
        leecher.wait("complete")
    for name in ("one", "two"):
        assert (commands.folder / name / "data.bin").read_bytes() == content.read_bytes()


def test_two_leechers_that_never_meet_get_everything_too(commands: Commands, content: Path) -> None:
    torrent = make_torrent(content)
    _, port = commands.seed(torrent, "--super-seed")
    alone = ("--peer", f"127.0.0.1:{port}", "--port", "0", "--bind", "127.0.0.1", "--no-pex", "--no-dht")
    leechers = [commands.start("leech", torrent, "-o", name, *alone) for name in ("one", "two")]
    for leecher in leechers:
        leecher.wait("complete")
    for name in ("one", "two"):
        assert (commands.folder / name / "data.bin").read_bytes() == content.read_bytes()


async def test_stranger_hears_of_one_piece_only(commands: Commands, content: Path) -> None:
    torrent = make_torrent(content)
    _, port = commands.seed(torrent, "--super-seed")
    async with dialled(port, Metainfo.parse(torrent.read_bytes())) as line:
        await line.shake(reserved=FAST)
        kinds = [(await line.receive())[0] for _ in range(2)]
    assert kinds == [HAVE_NONE, HAVE]


async def test_without_the_option_a_stranger_hears_of_all(commands: Commands, content: Path) -> None:
    torrent = make_torrent(content)
    _, port = commands.seed(torrent)
    async with dialled(port, Metainfo.parse(torrent.read_bytes())) as line:
        await line.shake(reserved=FAST)
        kind, _ = await line.receive()
    assert kind == HAVE_ALL
