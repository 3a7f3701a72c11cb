"""A machine that loses its network, comes into another one, and back. Exits 0 if each change is noticed once.

A program, to be run in a network namespace of its own (`unshare --net`).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from swarm.net.outlet import Outlet
from swarm.net.ways_out import is_ours
from swarm.session.finding import network_watch
from swarm.session.finding.network_watch import NetworkWatch
from tests.e2e.transfers import until
from tests.unit.session.finding.test_peer_finder import FIRST, world_of


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, timeout=10)


def come_into_network(number: int) -> None:
    ip(f"address add 10.{number}.0.2/24 dev lan")
    ip(f"route add default via 10.{number}.0.1 dev lan")


async def main() -> None:
    network_watch.LOOK_S = 0.01
    ip("link set lo up")
    make_lan()
    heard: asyncio.Queue[Sequence[str]] = asyncio.Queue()
    watch = NetworkWatch(Outlet(), heard.put)
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
    with tempfile.TemporaryDirectory() as folder:
        await bound_to_the_interface(Path(folder))


async def bound_to_the_interface(folder: Path) -> None:
    """A session with `--bind lan`, which gets another address, and is then made anew, as a VPN's is."""
    ip("-6 address flush dev lan")
    async with asyncio.timeout(60), world_of(folder, bind="lan", listen_on="lan") as world:
        port = world.links.port
        assert world.begin(FIRST, "udp://10.9.9.9:1/announce") is not None
        assert world.finder.join_dht() is not None
        await until(lambda: listening() == ({f"10.2.0.2:{port}"}, {f"10.2.0.2:{port}"}))
        ip("address flush dev lan scope global")
        come_into_network(3)
        await until(lambda: listening() == ({f"10.3.0.2:{port}"}, {f"10.3.0.2:{port}"}))
        ip("link delete lan")
        make_lan()
        come_into_network(3)
        # The kernel knows the sockets of the old one by its number, and no name for it any more.
        await until(lambda: f"%lan:{port}" in sockets("-lt") and f"%lan:{port}" in sockets("-lu"))
        # For a second nobody can be at an address of IPv6: it is not ours before nobody else has claimed it.
        ip("-6 address add 2001:db8:6::2/64 dev lan")
        await until(lambda: f"[2001:db8:6::2]%lan:{port}" in sockets("-lt"))
        said = [text for level, text in world.notices if level == "warning"]
        assert not [text for text in said if "reach us" in text or "cannot use UDP" in text], said


def sockets(kind: str) -> str:
    """What `ss` says of our sockets that wait for others."""
    return subprocess.run(["ss", "-Hn", kind], check=True, timeout=10, capture_output=True, text=True).stdout


def listening() -> tuple[set[str], set[str]]:
    """Where TCP is listened on, and UDP on the same port."""
    tcp, udp = (
        {line.split()[3].replace("%lan", "") for line in sockets(kind).splitlines()}
        for kind in ("-lt", "-lu")
    )
    ports = {at.rpartition(":")[2] for at in tcp}
    return tcp, {at for at in udp if at.startswith("10.") and at.rpartition(":")[2] in ports}


def make_lan() -> None:
    ip("link add lan type veth peer name far")
    ip("link set far up")
    ip("link set lan up")


if __name__ == "__main__":
    asyncio.run(main())
