"""A session's numbers; the engine's own are in `engine/settings`."""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import parse_host_port
from swarm.base.errors import SettingsError
from swarm.base.version import VERSION
from swarm.engine.settings import EngineSettings

#: How we call ourselves to peers.
CLIENT_NAME = f"swarm {VERSION}"
#: Where a node that knows nobody asks first; any one of them is enough (defaults.md: four routers, as a cold
#: start fails with the one that libtorrent ships).
DHT_ROUTERS = (
    ("router.bittorrent.com", 6881),
    ("dht.transmissionbt.com", 6881),
    ("dht.libtorrent.org", 25401),
    ("router.utorrent.com", 6881),
)


def default_state_dir() -> Path:
    """Where resume data lives: `SWARM_STATE_DIR`, or the XDG place for state."""
    named = os.environ.get("SWARM_STATE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "swarm"


def default_dht_routers() -> tuple[tuple[str, int], ...]:
    """The public routers, or those in `SWARM_DHT_BOOTSTRAP`: HOST:PORT and blanks between; empty for none.

    Raises:
        SettingsError: the variable holds something else.
    """
    named = os.environ.get("SWARM_DHT_BOOTSTRAP")
    if named is None:
        return DHT_ROUTERS
    try:
        return tuple(map(parse_host_port, named.split()))
    except ValueError as error:
        raise SettingsError(f"SWARM_DHT_BOOTSTRAP: {error}") from None


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a session behaves. Spans in seconds, sizes in bytes."""

    #: Links of all torrents together (defaults.md: 200).
    connections_max: int = 200
    #: Incoming links from one address, and from one network (/24, /48): a few people behind one router, many
    #: in one house; more would be one machine that wants all places.
    connections_per_address_max: int = 8
    connections_per_prefix_max: int = 32
    #: Incoming links that have not said what they want: in a storm the oldest of them go.
    silent_links_max: int = 64
    #: A file of addresses that nothing is exchanged with (P2P or CIDR), and how often it is looked at.
    blocklist: Path | None = None
    blocklist_check_s: float = 5.0
    #: TCP connect, and the handshake after it. Who is slower than this would be a slow peer anyway.
    connect_timeout_s: float = 10.0
    handshake_timeout_s: float = 10.0
    #: Find peers on the local network (BEP 14), and be found there.
    is_lsd_enabled: bool = True
    #: Host names of peers that users give are looked up for so long, all together.
    names_timeout_s: float = 10.0
    #: What was written to a peer that we drop may take this long to leave.
    close_timeout_s: float = 5.0
    #: One buffer that all links receive into: large enough that a fast link needs few wake-ups, small
    #: enough to stay in the processor's cache.
    receive_buffer_bytes: int = 1 << 20
    #: Above this many unsent bytes a link counts as full.
    send_high_water_bytes: int = 512 << 10
    #: A peer that lets this much pile up unread is dropped.
    send_backlog_max_bytes: int = 16 << 20
    #: Limits of the whole session in bytes a second, protocol included; None for none.
    up_bytes_per_s: float | None = None
    down_bytes_per_s: float | None = None
    #: Peers on the local network (not on this machine) are not limited: limits are for the line that
    #: leads out (qBittorrent's users ask for it since #8084).
    is_local_unlimited: bool = True
    #: The ports tried where none was asked for (6881 is what the field uses).
    first_port: int = 6881
    ports_tried: int = 100
    #: Resume data is written at most this long after a piece was verified ...
    resume_save_s: float = 3.0
    #: ... and written content is forced to the disk this often, for what survives a power cut.
    sync_s: float = 15.0
    #: A disk that is full makes a download wait (or fail, if this is off) ...
    is_waiting_for_room: bool = True
    #: ... and is looked at again this often.
    room_probe_s: float = 5.0
    #: So much must be free, or all that is missing, before it goes on: else it would stop again at once.
    room_to_go_on_bytes: int = 64 << 20
    #: Threads for hashing and disk; None: as many as there are cores, 2 to 8.
    thread_count: int | None = None
    #: How long a stop waits for trackers and for data that is being written.
    stop_timeout_s: float = 2.0
    #: The DHT: peers without a tracker, for torrents that are not private.
    is_dht_enabled: bool = True
    #: (host name or address, port); asked only while no other nodes are known.
    dht_routers: tuple[tuple[str, int], ...] = field(default_factory=default_dht_routers)
    #: Ask, but never answer nor be listed in routing tables (BEP 43): for metered or unreachable lines.
    is_dht_read_only: bool = False
    state_dir: Path = field(default_factory=default_state_dir)
    engine: EngineSettings = field(default_factory=EngineSettings)
