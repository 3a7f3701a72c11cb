"""Exit statuses, and which of them each error leads to."""

from __future__ import annotations

import errno

from swarm.base.errors import MetainfoError, SettingsError, StorageError, SwarmError

#: The same for every command (README, "In scripts").
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_A_TORRENT = 3
EXIT_DISK = 4
EXIT_NO_PROGRESS = 5
EXIT_MISMATCH = 6
EXIT_INTERRUPTED = 130


#: Errors of a write to a disk that takes no more.
_UNWRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def is_unwritten(error: OSError) -> bool:
    """Is it an error of a disk that takes no more? If it names no file, the disk is that of stdout."""
    return error.errno in _UNWRITTEN


class ExitWith(Exception):
    """End the command with `status`; everything has been printed already."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


def exit_status(error: SwarmError) -> int:
    """The exit status of a command that ends by `error`."""
    match error:
        case MetainfoError():
            return EXIT_NOT_A_TORRENT
        case StorageError():
            return EXIT_DISK
        case SettingsError():
            return EXIT_USAGE
        case _:
            return EXIT_FAILED
