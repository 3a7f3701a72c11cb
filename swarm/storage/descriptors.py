"""Open files: a bounded number, shared by threads, and never outside the folder they belong to."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


class _Handle:
    """One open file; it is closed when it has been evicted and nobody uses it any more."""

    __slots__ = ("descriptor", "is_evicted", "is_writable", "users")

    def __init__(self, descriptor: int, is_writable: bool) -> None:
        self.descriptor = descriptor
        self.is_writable = is_writable
        self.users = 0
        self.is_evicted = False


class Descriptors:
    """Keeps the files open that were used last.

    Args:
        open_file: opens file `index`, for writing or not; its OSErrors pass through.
        open_max: how many stay open; those in use beyond it are closed when they are done.
    """

    def __init__(self, open_file: Callable[[int, bool], int], open_max: int) -> None:
        self._open = open_file
        self._open_max = open_max
        self._handles: OrderedDict[int, _Handle] = OrderedDict()
        self._lock = threading.Lock()
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
                self._handles.move_to_end(index)
                handle.users += 1
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
                self._handles.move_to_end(index)
                handle.users += 1
                return handle
        opened = _Handle(self._open(index, is_writable), is_writable)
        opened.users = 1
        evicted = []
        with self._lock:
            if self._is_closed:
                # A job that comes late must not leave a descriptor behind that nobody closes.
                os.close(opened.descriptor)
                raise OSError(errno.ESHUTDOWN, "the torrent was stopped")
            rival = self._handles.pop(index, None)
            if rival is not None:
                evicted.append(rival)
            self._handles[index] = opened
            while len(self._handles) > self._open_max:
                evicted.append(self._handles.popitem(last=False)[1])
            for handle in evicted:
                handle.is_evicted = True
            unused = [handle for handle in evicted if not handle.users]
        for handle in unused:
            os.close(handle.descriptor)
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
            handle = self._handles.pop(index, None)
            if handle is None:
                return
            handle.is_evicted = True
            # Afterwards its last user may have closed it, and the number may be another file's.
            is_unused = not handle.users
        if is_unused:
            os.close(handle.descriptor)

    def release(self) -> None:
        """Close all files, those in use as soon as they are not; they are opened again when needed."""
        with self._lock:
            handles = list(self._handles.values())
            self._handles.clear()
            for handle in handles:
                handle.is_evicted = True
            unused = [handle for handle in handles if not handle.users]
        for handle in unused:
            os.close(handle.descriptor)

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
