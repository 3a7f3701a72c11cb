"""Finds the content of a torrent at the place that the user names, and under which names it lies there."""

from __future__ import annotations

import errno
import os
from itertools import islice
from pathlib import Path

from swarm.base.errors import StorageError
from swarm.metainfo.torrent import Metainfo
from swarm.storage.faults import storage_error

#: Files that are looked at to tell the content's own folder from the one around it.
_LOOKED_AT = 50


def find_content(torrent: Metainfo, place: Path, *, may_be_absent: bool = False) -> Path:
    """The path of the content, if `place` is the content or the folder that holds it.

    Args:
        may_be_absent: if nothing of the torrent is there, return where it would be.

    Raises:
        StorageError: there is no such place, or nothing of the torrent in it.
    """
    try:
        os.lstat(place)
    except OSError as error:
        raise storage_error(error, place) from None
    inner = place / torrent.name
    if not torrent.is_multi_file:
        content = inner if os.path.isdir(place) else place
        if not may_be_absent and not os.path.exists(content):
            raise _absent(torrent, place)
        return content
    # Where both folders have as many files, the one inside wins: it has the torrent's name.
    content = max((inner, place), key=lambda candidate: _found(torrent, candidate))
    if not may_be_absent and _found(torrent, content) == (0, 0):
        raise _absent(torrent, place)
    return content


def named_as_there(raw: bytes, own: Metainfo, place: Path) -> Metainfo:
    """The torrent under the names by which its content lies at `place`: its maker's, or those of a download.

    Args:
        raw: the .torrent. own: what it is with the maker's names (`Metainfo.parse` with `is_own`).
        place: as for `find_content`.

    Raises:
        StorageError: there is no such place.
    """
    if own.has_portable_names:
        return own
    downloaded = Metainfo.parse(raw)
    # Files with the same name in both tell nothing.
    telling = [
        index
        for index, (one, other) in enumerate(zip(own.files, downloaded.files, strict=True))
        if one.path != other.path and not one.is_pad
    ] or range(len(own.files))

    def present(torrent: Metainfo) -> int:
        content = find_content(torrent, place, may_be_absent=True)
        paths = [content.joinpath(*torrent.files[index].path) for index in telling[:_LOOKED_AT]]
        return sum(map(os.path.lexists, paths))

    return max((downloaded, own), key=present)


def _found(torrent: Metainfo, folder: Path) -> tuple[int, int]:
    """How many of the torrent's files `folder` has with the right size, and how many at all."""
    right = present = 0
    for file in islice((file for file in torrent.files if not file.is_pad), _LOOKED_AT):
        try:
            size = folder.joinpath(*file.path).stat().st_size
        except OSError:
            continue
        present += 1
        right += size == file.length
    return right, present


def _absent(torrent: Metainfo, place: Path) -> StorageError:
    return StorageError(f"nothing of {torrent.name} is there", path=str(place), error_number=errno.ENOENT)
