"""swarm: a BitTorrent client, tracker and library for moving big files between many machines.

A `Session` downloads and seeds; `Session.add` gives a `Torrent` for each .torrent, magnet link or info-hash:

    async with swarm.Session(port=0) as session:
        torrent = await session.add("dataset.torrent", save_to="here")
        async for progress in torrent.progress():
            print(progress.done_bytes, "of", progress.wanted_bytes)
            if progress.state == "seeding":
                break

`create_torrent` makes a .torrent of a file or folder, `Metainfo.parse` reads one. Everything that is raised
on purpose is a `SwarmError`, whose text is one line fit for a user. Sizes are in bytes, rates in bytes a
second, spans in seconds. A session belongs to the asyncio loop on which it was entered: call nothing of it
from another thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swarm.base.version import VERSION as __version__

#: Public name -> the module it lives in. Each is imported when it is first used, so that small commands start
#: at once; `__all__` and the imports for type checkers below name the same (a test sees to it).
_PLACES = {
    "BencodeError": "swarm.base.errors",
    "DataMismatchError": "swarm.session.keeping.inspection",
    "EngineSettings": "swarm.engine.settings",
    "FetchProgress": "swarm.session.magnets.metadata_fetch",
    "InfoHash": "swarm.base.ids",
    "Magnet": "swarm.metainfo.magnet",
    "MetadataFetch": "swarm.session.magnets.metadata_fetch",
    "Metainfo": "swarm.metainfo.torrent",
    "MetainfoError": "swarm.base.errors",
    "Notice": "swarm.session.notices",
    "PeerError": "swarm.base.errors",
    "PeerNews": "swarm.session.notices",
    "PeerStats": "swarm.engine.stats",
    "Progress": "swarm.session.progress",
    "Reason": "swarm.session.explaining",
    "Session": "swarm.session.session",
    "SessionSettings": "swarm.session.settings",
    "SettingsError": "swarm.base.errors",
    "SourceStatus": "swarm.session.finding.sources",
    "StorageError": "swarm.base.errors",
    "SwarmError": "swarm.base.errors",
    "Torrent": "swarm.session.torrent",
    "TorrentOptions": "swarm.metainfo.builder",
    "TrackerError": "swarm.base.errors",
    "create_torrent": "swarm.storage.create",
}

__all__ = [
    "BencodeError",
    "DataMismatchError",
    "EngineSettings",
    "FetchProgress",
    "InfoHash",
    "Magnet",
    "MetadataFetch",
    "Metainfo",
    "MetainfoError",
    "Notice",
    "PeerError",
    "PeerNews",
    "PeerStats",
    "Progress",
    "Reason",
    "Session",
    "SessionSettings",
    "SettingsError",
    "SourceStatus",
    "StorageError",
    "SwarmError",
    "Torrent",
    "TorrentOptions",
    "TrackerError",
    "__version__",
    "create_torrent",
]

if TYPE_CHECKING:
    from swarm.base.errors import (
        BencodeError,
        MetainfoError,
        PeerError,
        SettingsError,
        StorageError,
        SwarmError,
        TrackerError,
    )
    from swarm.base.ids import InfoHash
    from swarm.engine.settings import EngineSettings
    from swarm.engine.stats import PeerStats
    from swarm.metainfo.builder import TorrentOptions
    from swarm.metainfo.magnet import Magnet
    from swarm.metainfo.torrent import Metainfo
    from swarm.session.explaining import Reason
    from swarm.session.finding.sources import SourceStatus
    from swarm.session.keeping.inspection import DataMismatchError
    from swarm.session.magnets.metadata_fetch import FetchProgress, MetadataFetch
    from swarm.session.notices import Notice, PeerNews
    from swarm.session.progress import Progress
    from swarm.session.session import Session
    from swarm.session.settings import SessionSettings
    from swarm.session.torrent import Torrent
    from swarm.storage.create import create_torrent


if not TYPE_CHECKING:  # else a type checker would believe in any name

    def __getattr__(name: str) -> Any:
        place = _PLACES.get(name)
        if place is None:
            raise AttributeError(f"module 'swarm' has no attribute {name!r}")
        import importlib

        value = getattr(importlib.import_module(place), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
