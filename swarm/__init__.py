"""swarm: a BitTorrent client, tracker and library for moving big files between many machines.

async with swarm.Session(port=0) as session:
    torrent = await session.add("dataset.torrent", save_to="here")
    async for progress in torrent.progress():
        print(progress.done_bytes, "of", progress.wanted_bytes)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swarm.base.version import VERSION as __version__

#: Public name -> where it lives; imported when first used, so that small commands start at once.
_PLACES = {
    "BencodeError": "swarm.base.errors",
    "DataMismatchError": "swarm.session.keeping.inspection",
    "EngineSettings": "swarm.engine.settings",
    "InfoHash": "swarm.base.ids",
    "Metainfo": "swarm.metainfo.torrent",
    "MetainfoError": "swarm.base.errors",
    "Notice": "swarm.session.notices",
    "PeerError": "swarm.base.errors",
    "Progress": "swarm.session.progress",
    "Session": "swarm.session.session",
    "SessionSettings": "swarm.session.settings",
    "SettingsError": "swarm.base.errors",
    "StorageError": "swarm.base.errors",
    "SwarmError": "swarm.base.errors",
    "Torrent": "swarm.session.torrent",
    "TrackerError": "swarm.base.errors",
}

__all__ = [*_PLACES, "__version__"]  # pyright: ignore

if TYPE_CHECKING:
    from swarm.base.errors import (
        BencodeError as BencodeError,
    )
    from swarm.base.errors import (
        MetainfoError as MetainfoError,
    )
    from swarm.base.errors import (
        PeerError as PeerError,
    )
    from swarm.base.errors import (
        SettingsError as SettingsError,
    )
    from swarm.base.errors import (
        StorageError as StorageError,
    )
    from swarm.base.errors import (
        SwarmError as SwarmError,
    )
    from swarm.base.errors import (
        TrackerError as TrackerError,
    )
    from swarm.base.ids import InfoHash as InfoHash
    from swarm.engine.settings import EngineSettings as EngineSettings
    from swarm.metainfo.torrent import Metainfo as Metainfo
    from swarm.session.keeping.inspection import DataMismatchError as DataMismatchError
    from swarm.session.notices import Notice as Notice
    from swarm.session.progress import Progress as Progress
    from swarm.session.session import Session as Session
    from swarm.session.settings import SessionSettings as SessionSettings
    from swarm.session.torrent import Torrent as Torrent


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
