"""`--bind INTERFACE` where the routing table prefers another one. Exits 0 if nothing went through that.

A program, to be run in a network namespace of its own (`unshare --net`). It has two ways to 10.9.9.9, which
lives in a second namespace: `out0`, by default, and `out1`, which the client is told to use.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e.commands import Commands
from tests.e2e.sources import Ears
from tests.e2e.test_bind import KINDS, arguments
from tests.e2e.transfers import offer_file

FAR = "10.9.9.9"


def ip(*words: str) -> str:
    command = ["ip", *" ".join(words).split()]
    return subprocess.run(command, check=True, timeout=10, capture_output=True, text=True).stdout


def sent_through(name: str) -> int:
    """How many packets left by the interface so far."""
    (link,) = json.loads(ip("-json -stats link show", name))
    return int(link["stats64"]["tx"]["packets"])


def far_side(folder: Path) -> None:
    """What runs in the second namespace: the network of 10.9.9.9, and who listens there."""
    sys.stdin.readline()
    ip("link set lo up")
    ip("address add", f"{FAR}/32 dev lo")
    for number in (0, 1):
        ip(f"address add 10.{number}.0.2/24 dev far{number}")
        ip(f"link set far{number} up")
    ears = Ears(FAR, offer_file(folder / "far", 100_000, 16 << 10).raw)
    try:
        print(json.dumps([arguments(ears, FAR), ears.datagrams("dht")]), flush=True)
        print(json.dumps({kind: ears.heard(kind) for kind in KINDS}), flush=True)
    finally:
        ears.close()


def near_side(folder: Path) -> None:
    far = subprocess.Popen(
        ["unshare", "--net", sys.executable, __file__, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert far.stdin is not None and far.stdout is not None
    commands = Commands(folder)
    try:
        _make_ways(far)
        wanted, dht_port = json.loads(far.stdout.readline())
        commands.environment["SWARM_DHT_BOOTSTRAP"] = f"{FAR}:{dht_port}"
        before = sent_through("out0")
        commands.start("leech", *wanted, "-o", folder, "--bind", "out1")
        sources = json.loads(far.stdout.readline())
        assert sources == dict.fromkeys(KINDS, "10.1.0.1"), sources
        assert sent_through("out0") == before, "something left by the other interface"
    finally:
        commands.close()
        far.kill()
        far.wait()


def _make_ways(far: subprocess.Popen[str]) -> None:
    """Two pairs of interfaces; the far ends go to the second namespace, as soon as there is one."""
    assert far.stdin is not None
    own = Path("/proc/self/ns/net").readlink()
    theirs = Path(f"/proc/{far.pid}/ns/net")
    while theirs.readlink() == own:
        assert far.poll() is None, "no second namespace"
    ip("link set lo up")
    for number in (0, 1):
        ip(f"link add out{number} type veth peer name far{number}")
        # Nothing of the system's own shall be counted.
        ip(f"link set out{number} addrgenmode none")
        ip(f"link set far{number} netns {far.pid}")
        ip(f"address add 10.{number}.0.1/24 dev out{number}")
        ip(f"link set out{number} up")
    far.stdin.write("\n")
    far.stdin.flush()
    ip("route add default via 10.0.0.2 dev out0 metric 1")
    ip("route add default via 10.1.0.2 dev out1 metric 200")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        far_side(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            near_side(Path(folder))
