"""Two of us on a network that has IPv6 alone meet by BEP 14. Exits 0 if the one had all of the other.

A program, to be run in a network namespace of its own (`unshare --net`); the seeder lives in a second one, at
the other end of a pair of interfaces. Without IPv4 on that pair nothing but an IPv6 announce can lead there.
Its argument says what addresses there are, see `WAYS`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e.commands import SWARM, Commands, Running
from tests.e2e.transfers import offer_file

#: Way -> our addresses, and what is said of them on the command line.
WAYS = {
    # Nobody has another address than those that every interface has: one means nothing without its interface.
    "link-local": (("fe80::1/64",), ()),
    # Left to itself the kernel takes the last one for what it sends, and nobody listens there.
    "bound": (("fe80::1/64", "fd77::1/64", "fd77::3/64"), ("--bind", "fd77::1")),
}
FAR_ADDRESSES = ("fe80::2/64", "fd77::2/64")
SWARM_ALONE = ("--no-trackers", "--no-dht", "--port", "0")


def run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=10)


def bring_up(name: str, addresses: tuple[str, ...], *inside: str) -> None:
    # Nothing of the system's own, and no waiting until it knows that nobody else has the address.
    run(*inside, "ip", "link", "set", name, "addrgenmode", "none")
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "link", "set", name, "up")
    for address in addresses:
        run(*inside, "ip", "address", "add", address, "dev", name, "nodad")


def meet(way: str, folder: Path, inside: tuple[str, ...]) -> None:
    """The seeder is inside the second namespace, the leecher in ours."""
    addresses, arguments = WAYS[way]
    bring_up("near", addresses)
    bring_up("aside", ("fe80::9/64",), *inside)
    bring_up("nowhere", ("fe80::8/64",), *inside)
    bring_up("far", FAR_ADDRESSES[: len(addresses)], *inside)
    offer = offer_file(folder / "far", 100_000, 16 << 10)
    torrent = folder / "far" / "content.torrent"
    torrent.write_bytes(offer.raw)
    ours, theirs = Commands(folder / "ours"), Commands(folder / "theirs")
    for commands in (ours, theirs):
        commands.folder.mkdir()
        del commands.environment["SWARM_NO_LSD"]
    seeding = [*inside, *SWARM, "seed", str(torrent), *SWARM_ALONE, "--json"]
    seeder = Running(seeding, theirs.folder, theirs.environment)
    try:
        seeder.wait("lsd", lambda event: bool(event["state"] == "working"))
        leecher = ours.start("leech", torrent, "-o", folder / "here", *SWARM_ALONE, *arguments)
        leecher.wait("complete")
    finally:
        ours.close()
        seeder.kill()


def main() -> None:
    # A process that does nothing holds the second namespace, until we close its input.
    holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
    assert holder.stdin is not None
    own, theirs = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{holder.pid}/ns/net")
    try:
        while theirs.readlink() == own:
            assert holder.poll() is None, "no second namespace"
        inside = ("nsenter", f"--net={theirs}")
        # The seeder's first interfaces lead nowhere; some event loops take the first where none is named.
        run(*inside, "ip", "link", "add", "aside", "type", "veth", "peer", "name", "nowhere")
        run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(holder.pid))
        with tempfile.TemporaryDirectory() as folder:
            meet(sys.argv[1], Path(folder), inside)
    finally:
        holder.stdin.close()
        holder.wait()


if __name__ == "__main__":
    main()
