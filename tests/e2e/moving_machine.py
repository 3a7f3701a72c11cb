"""A machine that loses its network, comes into another one, and back. Exits 0 if each change is noticed once.

A program, to be run in a network namespace of its own (`unshare --net`).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from swarm.net.outlet import Outlet
from swarm.net.ways_out import is_ours
from swarm.session.finding import network_watch
from swarm.session.finding.network_watch import NetworkWatch


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, timeout=10)


def come_into_network(number: int) -> None:
    ip(f"address add 10.{number}.0.2/24 dev lan")
    ip(f"route add default via 10.{number}.0.1 dev lan")


async def main() -> None:
    network_watch.LOOK_S = 0.01
    ip("link set lo up")
    ip("link add lan type veth peer name far")
    ip("link set far up")
    ip("link set lan up")
    heard: asyncio.Queue[Sequence[str]] = asyncio.Queue()
    watch = NetworkWatch(Outlet(), heard.put_nowait)
    watch.start()
    async with asyncio.timeout(60):
        # It begins without a network, which is seen before anything else happens.
        await asyncio.sleep(0)
        come_into_network(1)
        assert await heard.get() == ("10.1.0.2",)
        assert is_ours("10.1.0.2") and is_ours("::1")
        assert not is_ours("10.2.0.2") and not is_ours("2001:db8::7")
        ip("address flush dev lan scope global")
        await asyncio.sleep(0.1)
        assert heard.empty(), "nothing can be done without a network"
        come_into_network(2)
        assert await heard.get() == ("10.2.0.2",)
        assert not is_ours("10.1.0.2")
        ip("-6 address add 2001:db8:5::2/64 dev lan nodad")
        ip("-6 route add default via 2001:db8:5::1 dev lan")
        assert await heard.get() == ("10.2.0.2", "2001:db8:5::2")
        assert heard.empty()
    await watch.close()


if __name__ == "__main__":
    asyncio.run(main())
