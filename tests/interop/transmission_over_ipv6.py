"""transmission announces to our tracker over IPv6, by HTTP or UDP as asked; exits 0 if it is counted.

A program, to be run in network and mount namespaces of its own (`unshare --net --mount`). Transmission 3
opens its IPv6 socket for UDP only where the host has a global address (2000::/3) and a route, and it cuts
literal addresses in URLs of UDP trackers short, so here the tracker has a name that only /etc/hosts knows.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench.clients import Transmission, make_torrent, write_random
from tools.bench.clients.process import Process
from tools.bench.clients.swarm_client import COMMAND, json_event

#: RFC 3849 and RFC 5737: for examples, so nobody's.
ADDRESS, ADDRESS_V4 = "2001:db8::1", "192.0.2.1"
NAME = "tracker.test"
TIMEOUT_S = 40


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=10)


def bring_up_network(folder: Path) -> None:
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{ADDRESS}/128", "dev", "lo")
    run("ip", "-6", "route", "add", "default", "dev", "lo")
    # Without an address of IPv4 besides 127.0.0.1 its RPC does not listen (AI_ADDRCONFIG).
    run("ip", "address", "add", f"{ADDRESS_V4}/32", "dev", "lo")
    hosts = folder / "hosts"
    hosts.write_text(f"{ADDRESS} {NAME}\n")
    run("mount", "--bind", str(hosts), "/etc/hosts")


def wait_counted(scrape: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        with urllib.request.urlopen(scrape, timeout=10) as response:
            body: bytes = response.read(64 << 10)
        if b"8:completei1e" in body and b"10:incompletei0e" in body:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"not counted: {body!r}")
        time.sleep(0.05)


def main() -> None:
    scheme = sys.argv[1]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bring_up_network(folder)
        with Process([*COMMAND, "tracker", "--http", f"[{ADDRESS}]:0", "--json"]) as tracker:
            line = tracker.wait_for(
                lambda text: json_event(text).get("event") == "listening", TIMEOUT_S, "listening"
            )
            where = json_event(line.text)
            content = folder / "source" / "content.bin"
            write_random(content, 300 << 10, seed=6)
            announce = str(where[scheme]).replace(f"[{ADDRESS}]", NAME)
            torrent = make_torrent(content, folder / "content.torrent", 16 << 10, announce)
            with Transmission(host="0.0.0.0").seed(torrent, folder / "seeder") as seeder:
                seeder.wait_ready(TIMEOUT_S)
                scrape = str(where["http"]).replace("/announce", "/scrape")
                wait_counted(f"{scrape}?info_hash={urllib.parse.quote(torrent.infohash)}")


if __name__ == "__main__":
    main()
