"""Real BitTorrent clients behind one door: for the benchmarks here and for tests/interop."""

from __future__ import annotations

from tools.bench.clients.aria2_client import Aria2
from tools.bench.clients.client import LOOPBACK, Client, Endpoint, Peer
from tools.bench.clients.floor_client import Floor
from tools.bench.clients.libtorrent_client import Libtorrent, LibtorrentDefaults
from tools.bench.clients.process import ClientError, Process, Usage
from tools.bench.clients.swarm_client import Swarm
from tools.bench.clients.torrents import Torrent, first_difference, make_torrent, write_random, write_tree
from tools.bench.clients.trackers import Opentracker, SwarmTracker, Tracker
from tools.bench.clients.transmission_client import Transmission
from tools.bench.clients.webtorrent_client import NO_NODE, Webtorrent

#: What `--pairs` calls it -> its class.
CLIENTS: dict[str, type[Client]] = {
    "swarm": Swarm,
    "libtorrent": Libtorrent,
    "libtorrent-defaults": LibtorrentDefaults,
    "aria2": Aria2,
    "transmission": Transmission,
    "webtorrent": Webtorrent,
    "floor": Floor,
}

__all__ = [
    "CLIENTS",
    "LOOPBACK",
    "NO_NODE",
    "Aria2",
    "Client",
    "ClientError",
    "Endpoint",
    "Floor",
    "Libtorrent",
    "LibtorrentDefaults",
    "Opentracker",
    "Peer",
    "Process",
    "Swarm",
    "SwarmTracker",
    "Torrent",
    "Tracker",
    "Transmission",
    "Usage",
    "Webtorrent",
    "first_difference",
    "make_torrent",
    "write_random",
    "write_tree",
]
