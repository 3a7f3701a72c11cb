"""The files that go into a torrent, as they were when found."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from swarm.base.errors import StorageError
from swarm.metainfo.limits import MAX_FILES
from swarm.storage.faults import storage_error


class SourceFile(NamedTuple):
    """A file that goes into the torrent, as it was when found.

    `path` is where to open it, `name` its path within the torrent ("/" between parts, b"" for a single file).
    """

    path: bytes
    name: bytes
    length: int
    modified_ns: int


def own_name(target: bytes) -> bytes:
    """The name of a file or folder itself, also of `.` and `..`."""
    name = os.path.basename(target.rstrip(b"/"))
    if name in (b"", b".", b".."):
        name = os.path.basename(os.path.realpath(target))
    return name or b"root"


def find_files(target: bytes, *, exclude: Sequence[str] = (), omit: str | None = None) -> list[SourceFile]:
    """The regular files of `target`, links followed, hidden and empty ones too, sorted by their whole path.

    That is what the C program `mktorrent` takes, in its order: bytes of the path compared as numbers.

    Raises:
        StorageError: something cannot be read, a link leads nowhere or in a circle, or there is no file.
    """
    # Of "", an unset variable in somebody's script, the whole file system must not be made.
    stripped = target.rstrip(b"/") or target[:1]
    try:
        status = os.stat(stripped)
        if stat.S_ISREG(status.st_mode):
            return [SourceFile(stripped, b"", status.st_size, status.st_mtime_ns)]
        if not stat.S_ISDIR(status.st_mode):
            raise StorageError("neither a file nor a folder", path=os.fsdecode(target))
        files = list(_walk(stripped, exclude, _identity(omit)))
    except OSError as error:
        raise _storage_error(error, stripped) from None
    if not files:
        raise StorageError("there is no file in it", path=os.fsdecode(target))
    files.sort(key=lambda file: file.name)
    return files


def _identity(path: str | None) -> tuple[int, int] | None:
    """Device and inode of a file, None where there is none."""
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _walk(root: bytes, exclude: Sequence[str], omitted: tuple[int, int] | None) -> Iterator[SourceFile]:
    status = os.stat(root)
    # Folders on the way down, so that a link back up is found: (path, prefix of names, their identities).
    pending = [(root, b"", frozenset({(status.st_dev, status.st_ino)}))]
    count = 0
    while pending:
        folder, prefix, above = pending.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if exclude and _is_excluded(name, exclude):
                    continue
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    if entry.is_symlink():
                        raise StorageError(
                            "a link that leads nowhere", path=os.fsdecode(entry.path)
                        ) from None
                    raise
                if stat.S_ISREG(status.st_mode):
                    if omitted is not None and (status.st_dev, status.st_ino) == omitted:
                        continue
                    count += 1
                    if count > MAX_FILES:
                        raise StorageError(f"more than {MAX_FILES} files", path=os.fsdecode(root))
                    yield SourceFile(entry.path, name, status.st_size, status.st_mtime_ns)
                elif stat.S_ISDIR(status.st_mode):
                    identity = (status.st_dev, status.st_ino)
                    if identity in above:
                        raise StorageError("a link that leads in a circle", path=os.fsdecode(entry.path))
                    pending.append((entry.path, name + b"/", above | {identity}))


def _is_excluded(name: bytes, exclude: Sequence[str]) -> bool:
    text = os.fsdecode(name)
    own = text.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(own, glob) or fnmatch.fnmatchcase(text, glob) for glob in exclude)


def _storage_error(error: OSError, fallback: bytes) -> StorageError:
    path = error.filename if isinstance(error.filename, (str, bytes)) else fallback
    return storage_error(error, os.fsdecode(path))
