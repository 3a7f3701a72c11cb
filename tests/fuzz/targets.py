"""Every decoder that a stranger, a server or a broken file can reach, by name."""

from __future__ import annotations

from tests.fuzz.dht_targets import DHT_TARGETS
from tests.fuzz.file_targets import FILE_TARGETS
from tests.fuzz.peer_targets import PEER_TARGETS
from tests.fuzz.target import Target
from tests.fuzz.torrent_targets import TORRENT_TARGETS
from tests.fuzz.tracker_targets import TRACKER_TARGETS

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (*TORRENT_TARGETS, *PEER_TARGETS, *DHT_TARGETS, *TRACKER_TARGETS, *FILE_TARGETS)
}
