"""What users name a torrent by: a file, a URL, bytes; a magnet link or an info-hash."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from swarm.base.errors import MetainfoError, StorageError
from swarm.base.ids import InfoHash
from swarm.metainfo import magnet as magnets
from swarm.metainfo.magnet import Magnet
from swarm.metainfo.torrent import MAX_METAINFO_BYTES, Metainfo
from swarm.net.outlet import Outlet
from swarm.storage.whereabouts import named_as_there
from swarm.storage.whole_file import read_whole_beside

T = TypeVar("T")

#: To understand a .torrent of this size, of thousands of files, takes longer than others on the loop should
#: wait; of 100,000 files it takes seconds.
_READ_BESIDE_BYTES = 256 << 10
#: A web server may take this long to give a .torrent.
_FETCH_TIMEOUT_S = 30.0
#: An info-hash as text, where no file has that name.
_INFO_HASH = "[0-9a-fA-F]{40}|[a-zA-Z2-7]{32}"


def magnet_of(source: object) -> Magnet | None:
    """The magnet link that `source` is, or that an info-hash makes; None where it is something else.

    Raises:
        MetainfoError: a magnet link that is not valid.
    """
    if isinstance(source, Magnet):
        return source
    if isinstance(source, InfoHash):
        return Magnet(source)
    if not isinstance(source, str):
        return None
    if magnets.is_link(source):
        return magnets.parse(source)
    if re.fullmatch(_INFO_HASH, source) and not os.path.lexists(source):
        return Magnet(InfoHash.parse(source))
    return None


def is_url(text: str) -> bool:
    """Is it a URL that `read_source` fetches?"""
    return text[:8].lower().startswith(("http://", "https://"))


async def read_source(source: str | os.PathLike[str] | bytes, bind: str | None = None) -> bytes:
    """The bytes of a .torrent: the path of a file, an http(s) URL, or the bytes themselves.

    Args:
        bind: the address or interface that a web request leaves from; None for any.

    Raises:
        MetainfoError: it is too large. StorageError: it cannot be read. SwarmError: nor fetched.
        SettingsError: `bind` is not ours.
    """
    if isinstance(source, bytes):
        return source
    text = os.fspath(source)
    if is_url(text):
        from swarm.net.http import fetch

        return await fetch(text, MAX_METAINFO_BYTES, _FETCH_TIMEOUT_S, Outlet.of(bind))
    raw = await read_whole_beside(text, MAX_METAINFO_BYTES)
    if len(raw) > MAX_METAINFO_BYTES:
        raise MetainfoError(f"{text}: larger than any .torrent ({MAX_METAINFO_BYTES >> 20} MiB)")
    return raw


def read_own(place: Path, raw: bytes) -> Metainfo:
    """What a .torrent is whose content is the user's own: with the names that the files have at `place`.

    Raises:
        MetainfoError: it is no torrent.
    """
    own = Metainfo.parse(raw, is_own=True)
    # Where nothing is, the torrent itself will say so.
    with contextlib.suppress(StorageError):
        return named_as_there(raw, own, place)
    return own


async def understood(raw: bytes, read: Callable[[bytes], T]) -> T:
    """What `read` makes of a .torrent, or of its info dictionary; in a thread where that takes long."""
    if len(raw) < _READ_BESIDE_BYTES:
        return read(raw)
    return await asyncio.to_thread(read, raw)
