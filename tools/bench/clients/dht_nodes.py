"""A DHT of libtorrent nodes in one process, on loopback addresses of their own; ends when stdin closes.

Says `listening` (host, port of the node to begin with) once all nodes know others. A line on stdin is an
info-hash: `found` follows (peers) as soon as a lookup by one of the nodes finds somebody.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import libtorrent as lt

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.bench.clients.libtorrent_peer import DHT_SETTINGS

#: A node is of use when it knows so many others.
_NODES_KNOWN_MIN = 3
_LOOKUP_EVERY_S = 0.5

_OTHERS_OFF = {
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.dht_operation_notification,
}


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "at": time.monotonic(), **fields}), flush=True)


def node(host: str, bootstrap: str) -> Any:
    """A session that is nothing but a DHT node."""
    settings: Any = {**DHT_SETTINGS, **_OTHERS_OFF, "listen_interfaces": f"{host}:0"}
    settings["dht_bootstrap_nodes"] = bootstrap
    return lt.session(settings)


def known_nodes(session: Any) -> int:
    """How many others a node has in its routing table."""
    session.post_dht_stats()
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.dht_stats_alert):
                return sum(bucket["num_nodes"] for bucket in alert.routing_table)
    return 0


def _read_lines(lines: SimpleQueue[str | None]) -> None:
    for line in sys.stdin:
        lines.put(line.strip())
    lines.put(None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--prefix", default="127.0.0.", help="of their addresses; the first ends in 2")
    arguments = parser.parse_args()
    hosts = [f"{arguments.prefix}{2 + number}" for number in range(arguments.nodes)]
    first = node(hosts[0], "")
    start = f"{hosts[0]}:{first.listen_port()}"
    nodes = [first, *(node(host, start) for host in hosts[1:])]
    lonely = nodes
    while lonely := [one for one in lonely if known_nodes(one) < min(_NODES_KNOWN_MIN, len(nodes) - 1)]:
        time.sleep(0.1)
        for one in lonely:
            one.add_dht_node((hosts[0], first.listen_port()))
    say("listening", host=hosts[0], port=first.listen_port(), nodes=len(nodes))
    lines: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_read_lines, args=(lines,), daemon=True).start()
    answer_for_ever(nodes, lines)


def answer_for_ever(nodes: list[Any], lines: SimpleQueue[str | None]) -> None:
    """Look up all hashes that came in, again and again until somebody is there."""
    wanted: set[str] = set()
    asker = nodes[-1]
    next_at = 0.0
    while True:
        with contextlib.suppress(Empty):
            line = lines.get(timeout=0.05 if wanted else 1.0)
            if line is None:
                return
            wanted.add(line)
        for one in nodes[:-1]:
            one.pop_alerts()
        for alert in asker.pop_alerts():
            if isinstance(alert, lt.dht_get_peers_reply_alert) and alert.peers():
                infohash = str(alert.info_hash)
                if infohash in wanted:
                    wanted.remove(infohash)
                    say("found", peers=len(alert.peers()), infohash=infohash)
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + _LOOKUP_EVERY_S
            for infohash in wanted:
                asker.dht_get_peers(lt.sha1_hash(bytes.fromhex(infohash)))


if __name__ == "__main__":
    main()
