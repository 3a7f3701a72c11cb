"""How a command ends: its exit status, and what each error means to scripts."""

from __future__ import annotations

import errno

from swarm.base.errors import MetainfoError, SettingsError, StorageError, SwarmError

#: The same for every command.
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_A_TORRENT = 3
EXIT_DISK = 4
EXIT_NO_PROGRESS = 5
EXIT_MISMATCH = 6
EXIT_INTERRUPTED = 130


#: What becomes of a write to a file on a disk that takes no more.
_UNWRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def is_unwritten(error: OSError) -> bool:
    """Whether a disk takes no more; that behind stdout, where the error names no file."""
    return error.errno in _UNWRITTEN


class ExitWith(Exception):
    """End the command with `status`, after what it had to say was said."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


def exit_status(error: SwarmError) -> int:
    """The exit status that `error` means to scripts."""
    match error:
        case MetainfoError():
            return EXIT_NOT_A_TORRENT
        case StorageError():
            return EXIT_DISK
        case SettingsError():
            return EXIT_USAGE
        case _:
            return EXIT_FAILED
