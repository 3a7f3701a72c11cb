"""Keeps info dictionaries, so that a magnet link's metadata is fetched once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from swarm.base.ids import InfoHash
from swarm.storage import sealed
from swarm.wire.peer.metadata import METADATA_BYTES_MAX


def cache_path(state_dir: Path, info_hash: InfoHash) -> Path:
    return state_dir / f"{info_hash}.info"


async def load(state_dir: Path, info_hash: InfoHash) -> bytes | None:
    """The info dictionary with that hash; None where it is not kept, or damaged.

    Raises:
        StorageError: it cannot be read.
    """
    info = await sealed.read(cache_path(state_dir, info_hash), METADATA_BYTES_MAX)
    if info is None or hashlib.sha1(info).digest() != info_hash:
        return None
    return info


async def save(state_dir: Path, info_hash: InfoHash, info: bytes) -> None:
    """Keep `info`.

    Raises:
        StorageError: it could not be written.
    """
    await sealed.replace(cache_path(state_dir, info_hash), info)
