"""What the system says went wrong, or would, in words for users."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from swarm.base.errors import StorageError


class ContentChangedError(StorageError):
    """Somebody else has changed the file: what was just read may not be what was verified."""


#: What passes when somebody makes room: worth waiting for, unlike a disk that refuses.
_SHORTAGES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})


def is_shortage(error: StorageError) -> bool:
    """Does the disk lack room (or the process descriptors), and nothing else?"""
    return error.error_number in _SHORTAGES


def name_error(error: UnicodeEncodeError, path: Path | str) -> StorageError:
    """A file's name that the locale cannot write, as one line that says what to do about it."""
    return StorageError(
        f"the locale ({error.encoding}) has no letters for this name; LC_ALL=C.UTF-8 has", path=str(path)
    )


def storage_error(error: OSError, path: Path | str) -> StorageError:
    """An OSError as one line that says what to do about it."""
    advice = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EACCES: "permission denied",
        errno.EPERM: "not permitted",
        errno.EROFS: "the file system is read-only",
        errno.EMFILE: "too many open files (see ulimit -n)",
        errno.ENFILE: "too many files are open on this machine",
        errno.ENOENT: "no such file or folder",
        errno.ENOTDIR: "a part of the path is not a folder",
        errno.EISDIR: "a folder stands where a file should be",
        errno.ELOOP: "a symbolic link stands in the way; it is not followed out of the download folder",
        errno.EIO: "the disk reports an input/output error",
        errno.ESHUTDOWN: "the torrent was stopped",
        errno.EFBIG: "the file would be larger than the file system allows",
    }.get(error.errno or 0, error.strerror or "unknown error")
    return StorageError(advice, path=str(path), error_number=error.errno or 0)


def check_folder(folder: Path | str, *, advice: str = "") -> None:
    """Find out now, rather than after hours of work, that nothing could be written into `folder`.

    Args:
        advice: what else to do where it is closed to us; follows the reason.

    Raises:
        StorageError: it is missing, or closed to us.
    """
    if not os.path.isdir(folder):
        raise StorageError("no such folder", path=str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        reason = "the folder is not writable"
        raise StorageError(f"{reason}; {advice}" if advice else reason, path=str(folder))
