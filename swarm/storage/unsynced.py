"""What was written to files and has not been forced to the disk yet: a power cut would lose it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from swarm.storage.faults import storage_error
from swarm.storage.sealed import sync_folder

#: Said by file systems that nothing can be written to: all of it is on the disk.
_NEVER_WRITTEN = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)


class Unsynced:
    """Remembers which files were written, and forces them to the disk with the names of new ones.

    All methods may be called from several threads at once.

    Args:
        opened: gives a descriptor of the file with that index, for reading, as long as it is entered.
        path_of: where that file is.
        folders_of: the folders whose entries lead to it; a file's own sync does not cover its name.
        is_reading_only: the files were written by others.
    """

    def __init__(
        self,
        opened: Callable[[int], AbstractContextManager[int]],
        path_of: Callable[[int], Path],
        folders_of: Callable[[int], Sequence[Path]],
        *,
        is_reading_only: bool = False,
    ) -> None:
        self._opened = opened
        self._path_of = path_of
        self._folders_of = folders_of
        self._ignored = _NEVER_WRITTEN if is_reading_only else ()
        #: Guards the set of files that were written since the last `sync`.
        self._lock = threading.Lock()
        self._written: set[int] = set()
        #: Files whose names were synced: once is enough.
        self._named: set[int] = set()

    def add(self, indices: Iterable[int]) -> None:
        """These files have been written to."""
        # `sync` takes the set under the same lock: it never changes while that goes through it.
        with self._lock:
            self._written.update(indices)

    def sync(self) -> None:
        """Wait until everything written before this call has reached the disk.

        Raises:
            StorageError: the disk failed; what was written since the last `sync` may be lost.
        """
        with self._lock:
            written, self._written = self._written, set()
        folders: dict[Path, None] = {}
        for index in sorted(written):
            try:
                # Not for writing: that would create a file that somebody has deleted meanwhile.
                with self._opened(index) as descriptor:
                    os.fdatasync(descriptor)
                if index not in self._named:
                    folders.update(dict.fromkeys(self._folders_of(index)))
            except FileNotFoundError:
                continue  # the signatures in the resume data will tell
            except OSError as error:
                if error.errno in self._ignored:
                    continue
                self.add(written)
                raise storage_error(error, self._path_of(index)) from None
        for folder in folders:
            try:
                sync_folder(folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                self.add(written)
                raise storage_error(error, folder) from None
        self._named |= written
