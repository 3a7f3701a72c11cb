"""Open files: a bounded number, shared by threads, and never outside the folder they belong to."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path

#: Descriptors of content that a session keeps open (defaults.md has 100) ...
OPEN_FILES_MAX = 256
#: ... and that only up to this part of what the process may have: connections need some as well.
_SHARE_MAX = 0.25


class _Handle:
    """One open file; it is closed when it has been evicted and nobody uses it any more.

    Args:
        home: where its torrent keeps it, under `index`.
    """

    __slots__ = ("descriptor", "home", "index", "is_evicted", "is_writable", "users")

    def __init__(self, descriptor: int, home: dict[int, _Handle], index: int, *, is_writable: bool) -> None:
        self.descriptor = descriptor
        self.home = home
        self.index = index
        self.is_writable = is_writable
        self.users = 0
        self.is_evicted = False


class OpenFiles:
    """What all torrents of a session keep open together: those files that were used last.

    A thousand torrents, or ten of many files, would else have all that the process may open, and neither a
    torrent nor a peer could come any more.

    Args:
        open_max: how many stay open; those in use beyond it are closed when they are done. None for as many
            as there should be.
    """

    __slots__ = ("_handles", "_open_max", "lock")

    def __init__(self, open_max: int | None = None) -> None:
        self._open_max = _open_files_max() if open_max is None else open_max
        #: Guards the handles of all torrents; it is never held while a file is opened or closed.
        self.lock = threading.Lock()
        #: The one used longest ago first.
        self._handles: OrderedDict[_Handle, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._handles)

    # Under the lock.

    def used(self, handle: _Handle) -> None:
        """Somebody uses it now."""
        self._handles.move_to_end(handle)
        handle.users += 1

    def add(self, handle: _Handle) -> list[_Handle]:
        """One more is open; returns those that must be closed for it, at once."""
        handle.home[handle.index] = handle
        self._handles[handle] = None
        return self.evict(list(islice(self._handles, max(0, len(self._handles) - self._open_max))))

    def evict(self, handles: Sequence[_Handle]) -> list[_Handle]:
        """Nobody gets these any more; returns those that nobody uses, to be closed at once."""
        for handle in handles:
            del handle.home[handle.index], self._handles[handle]
            handle.is_evicted = True
        return [handle for handle in handles if not handle.users]

    # Without it.

    def release(self) -> None:
        """Close all, those in use as soon as they are not; they are opened again when needed."""
        with self.lock:
            unused = self.evict(list(self._handles))
        _close(unused)


def _open_files_max() -> int:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return OPEN_FILES_MAX
    return max(1, min(OPEN_FILES_MAX, int(allowed * _SHARE_MAX)))


def _close(handles: Sequence[_Handle]) -> None:
    for handle in handles:
        os.close(handle.descriptor)


class Descriptors:
    """The open files of one torrent.

    Args:
        open_file: opens file `index`, for writing or not; its OSErrors pass through.
        shared: what is open in all torrents.
    """

    def __init__(self, open_file: Callable[[int, bool], int], shared: OpenFiles) -> None:
        self._open = open_file
        self._shared = shared
        self._handles: dict[int, _Handle] = {}
        self._lock = shared.lock
        self._is_closed = False

    def __contains__(self, index: int) -> bool:
        return index in self._handles

    def opened(self, index: int, *, is_writable: bool) -> AbstractContextManager[int]:
        """Open file `index` now; its descriptor is ours until the end of the `with` block."""
        return self._lent(self._acquire(index, is_writable=is_writable))

    @contextmanager
    def opened_before(self, index: int) -> Iterator[int | None]:
        """The descriptor of file `index` if it is open; None: to open it may take the disk's time."""
        with self._lock:
            handle = self._handles.get(index)
            if handle is not None:
                self._shared.used(handle)
        if handle is None:
            yield None
            return
        try:
            yield handle.descriptor
        finally:
            self._release(handle)

    @contextmanager
    def _lent(self, handle: _Handle) -> Iterator[int]:
        try:
            yield handle.descriptor
        finally:
            self._release(handle)

    def _acquire(self, index: int, *, is_writable: bool) -> _Handle:
        with self._lock:
            handle = self._handles.get(index)
            if handle is not None and (handle.is_writable or not is_writable):
                self._shared.used(handle)
                return handle
        opened = _Handle(self._open(index, is_writable), self._handles, index, is_writable=is_writable)
        opened.users = 1
        with self._lock:
            is_late = self._is_closed
            if is_late:
                # A job that comes late must not leave a descriptor behind that nobody closes.
                unused = [opened]
            else:
                rival = self._handles.get(index)
                unused = [] if rival is None else self._shared.evict([rival])
                unused += self._shared.add(opened)
        _close(unused)
        if is_late:
            raise OSError(errno.ESHUTDOWN, "the torrent was stopped")
        return opened

    def _release(self, handle: _Handle) -> None:
        with self._lock:
            handle.users -= 1
            is_last = handle.is_evicted and not handle.users
        if is_last:
            os.close(handle.descriptor)

    def evict(self, index: int) -> None:
        """Close file `index` as soon as nobody uses it."""
        with self._lock:
            handle = self._handles.get(index)
            # Afterwards its last user may have closed it, and the number may be another file's.
            unused = [] if handle is None else self._shared.evict([handle])
        _close(unused)

    def release(self) -> None:
        """Close all files, those in use as soon as they are not; they are opened again when needed."""
        with self._lock:
            unused = self._shared.evict(list(self._handles.values()))
        _close(unused)

    def close(self) -> None:
        """As `release`, and nothing is opened any more."""
        with self._lock:
            self._is_closed = True
        self.release()


def open_below(top: Path, parts: Sequence[str], *, is_writable: bool) -> int:
    """Open the file `parts` below the folder `top` without following any link on the way.

    Args:
        is_writable: for writing too; missing folders and the file are created.

    Raises:
        OSError: as `os.open`; ELOOP or ENOTDIR where a link stands in the way.
    """
    folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                inner = os.open(part, flags, dir_fd=folder)
            except FileNotFoundError:
                if not is_writable:
                    raise
                with contextlib.suppress(FileExistsError):  # another thread was faster
                    os.mkdir(part, dir_fd=folder)
                inner = os.open(part, flags, dir_fd=folder)
            os.close(folder)
            folder = inner
        flags = os.O_RDWR | os.O_CREAT if is_writable else os.O_RDONLY
        # O_NONBLOCK: a pipe somebody put there must not hang us; it means nothing to files.
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(parts[-1], flags, 0o666, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EISDIR, "not a file", parts[-1])
        return descriptor
    finally:
        os.close(folder)
