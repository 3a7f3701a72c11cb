"""`--bind`: nothing leaves from anywhere else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.net.lsd import LocalMulticast
from swarm.net.outlet import Outlet
from tests.e2e.commands import Commands
from tests.e2e.sources import Ears
from tests.e2e.transfers import offer_file

KINDS = ("web", "http tracker", "udp tracker", "peer", "dht")


@pytest.fixture
def ears(tmp_path: Path) -> Iterator[Ears]:
    offer = offer_file(tmp_path / "far", 100_000, 16 << 10)
    ears = Ears("127.0.0.1", offer.raw)
    yield ears
    ears.close()


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path)
    yield commands
    commands.close()


def arguments(ears: Ears, host: str) -> list[str]:
    """A download that talks to everybody it can."""
    urls = (f"http://{host}:{ears.web_port}/announce", f"udp://{host}:{ears.datagrams('udp tracker')}")
    return [
        f"http://{host}:{ears.web_port}/a.torrent", "--tracker", urls[0], "--tracker", urls[1],
        "--peer", f"{host}:{ears.stream('peer')}", "--port", "0",
    ]  # fmt: skip


async def test_everything_leaves_from_the_bound_address(
    commands: Commands, ears: Ears, tmp_path: Path
) -> None:
    commands.environment["SWARM_DHT_BOOTSTRAP"] = f"127.0.0.1:{ears.datagrams('dht')}"
    del commands.environment["SWARM_NO_LSD"]
    said: asyncio.Queue[str] = asyncio.Queue()
    local = LocalMulticast(lambda _, host: said.put_nowait(host), outlet=Outlet({False: "127.0.0.1"}))
    try:
        commands.start("leech", *arguments(ears, "127.0.0.1"), "-o", tmp_path, "--bind", "127.0.0.2")
        sources = {kind: await asyncio.to_thread(ears.heard, kind) for kind in KINDS}
        assert sources == dict.fromkeys(KINDS, "127.0.0.2")
        async with asyncio.timeout(30):
            # Tests beside us have their say from their own addresses.
            while await said.get() != "127.0.0.2":
                pass
    finally:
        local.close()


def test_scrape_leaves_from_the_bound_address(commands: Commands, ears: Ears) -> None:
    trackers = (
        f"http://127.0.0.1:{ears.web_port}/announce",
        f"udp://127.0.0.1:{ears.datagrams('udp tracker')}/announce",
    )
    link = f"magnet:?xt=urn:btih:{'ab' * 20}&" + "&".join(f"tr={url}" for url in trackers)
    commands.start("scrape", link, "--bind", "127.0.0.2")
    assert [ears.heard(kind) for kind in ("http tracker", "udp tracker")] == ["127.0.0.2"] * 2


def test_bound_interface_is_kept_to_where_the_routing_table_leads_elsewhere() -> None:
    """In network namespaces of its own, since it takes two ways to the same place."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    program = Path(__file__).with_name("bound_to_interface.py")
    command = ["unshare", "--net", *as_root, sys.executable, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("command", ["leech", "scrape"])
def test_bind_to_what_is_not_ours_is_one_line(commands: Commands, ears: Ears, command: str) -> None:
    link = f"magnet:?xt=urn:btih:{'ab' * 20}&tr=http://127.0.0.1:{ears.web_port}/announce"
    done = commands.run(command, link, "--bind", "nowhere0")
    assert done.returncode == 2
    assert "--bind nowhere0: neither an address nor a network interface" in done.stderr
