"""The content of one torrent on disk: positional reads and writes over many files.

No mmap: a file truncated under us must give an error, not SIGBUS. All methods may be called from
several threads at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from swarm.base.errors import StorageError
from swarm.metainfo.files import FileRange, Layout

#: Descriptors of one torrent that stay open (defaults.md: 100 files).
OPEN_FILES_MAX = 100
#: `preadv` and `pwritev` take so many buffers at a time (Linux IOV_MAX).
_VECTORS_MAX = 1024


def storage_error(error: OSError, path: Path | str) -> StorageError:
    """An OSError as one line that says what to do about it."""
    advice = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EACCES: "permission denied",
        errno.EPERM: "not permitted",
        errno.EROFS: "the file system is read-only",
        errno.EMFILE: "too many open files (see ulimit -n)",
        errno.ENOENT: "no such file or folder",
        errno.ENOTDIR: "a part of the path is not a folder",
        errno.EISDIR: "a folder stands where a file should be",
        errno.ELOOP: "a symbolic link stands in the way; it is not followed out of the download folder",
        errno.EIO: "the disk reports an input/output error",
        errno.ESHUTDOWN: "the torrent was stopped",
        errno.EFBIG: "the file would be larger than the file system allows",
    }.get(error.errno or 0, error.strerror or "unknown error")
    return StorageError(advice, path=str(path), error_number=error.errno or 0)


class _Handle:
    """One open file; it is closed when it has been evicted and nobody uses it any more."""

    __slots__ = ("descriptor", "is_evicted", "is_writable", "users")

    def __init__(self, descriptor: int, is_writable: bool) -> None:
        self.descriptor = descriptor
        self.is_writable = is_writable
        self.users = 0
        self.is_evicted = False


class ContentFiles:
    """Reads and writes ranges of a torrent's content.

    Args:
        root: the file itself (single-file torrent) or the folder that holds the files.
        layout: where each file lies in the content.
        unwanted: indices of files that were not selected: they are never created; bytes of theirs that
            share a piece with a selected file go to `part_path`, a sparse file laid out like the content.
        is_reading_only: content that belongs to the user, to be seeded: links in it are followed.
        is_allocating: reserve the whole length of each file when it is first written.
    """

    def __init__(
        self,
        root: Path,
        layout: Layout,
        *,
        part_path: Path,
        unwanted: frozenset[int] = frozenset(),
        is_reading_only: bool = False,
        is_allocating: bool = False,
        open_max: int = OPEN_FILES_MAX,
    ) -> None:
        self.root = root
        self.layout = layout
        self._part_path = part_path
        self._unwanted = unwanted
        self._is_reading_only = is_reading_only
        self._is_allocating = is_allocating
        self._open_max = open_max
        self._handles: OrderedDict[int, _Handle] = OrderedDict()
        self._lock = threading.Lock()
        self._allocated: set[int] = set()
        self._dirty: set[int] = set()
        self._is_closed = False

    #: The part file's place among the file indices.
    PART = -1

    def path_of(self, index: int) -> Path:
        if index == self.PART:
            return self._part_path
        return self.root.joinpath(*self.layout.files[index].path)

    # -- reading and writing --------------------------------------------------------------------

    def read(self, offset: int, views: Sequence[memoryview]) -> None:
        """Fill `views` with the content from `offset` on.

        Raises:
            StorageError: a file is missing, too short, or cannot be read.
        """
        self._transfer(offset, views, is_write=False)

    def write(self, offset: int, views: Sequence[memoryview]) -> None:
        """Put `views` into the content from `offset` on; files and folders are created as needed.

        Raises:
            StorageError: the disk is full, not writable, ...; what was written may be a part.
        """
        self._transfer(offset, views, is_write=True)

    def _transfer(self, offset: int, views: Sequence[memoryview], *, is_write: bool) -> None:
        length = sum(map(len, views))
        ranges = self.layout.ranges(offset, length)
        if len(ranges) == 1:
            self._transfer_range(ranges[0], offset, views, is_write=is_write)
            return
        cursor = _Cursor(views)
        for part in ranges:
            self._transfer_range(part, offset, cursor.take(part.length), is_write=is_write)
            offset += part.length

    def _transfer_range(
        self, part: FileRange, content_offset: int, views: Sequence[memoryview], *, is_write: bool
    ) -> None:
        index, offset = part.file_index, part.offset
        if self.layout.files[index].is_pad:
            # BEP 47: pad files read as zeros and are never written.
            if not is_write:
                for view in views:
                    view[:] = bytes(len(view))
            return
        if index in self._unwanted and not self._exists(index):
            index, offset = self.PART, content_offset
        try:
            with self._opened(index, is_writable=is_write) as descriptor:
                if is_write:
                    _write_all(descriptor, views, offset)
                    self._note_dirty(index)
                else:
                    _read_all(descriptor, views, offset)
        except OSError as error:
            raise storage_error(error, self.path_of(index)) from None
        except EOFError as error:
            raise StorageError(str(error), path=str(self.path_of(index))) from None

    def _note_dirty(self, index: int) -> None:
        # `sync` takes the set under the same lock: it never changes while that goes through it.
        with self._lock:
            self._dirty.add(index)

    def note_all_dirty(self) -> None:
        """An earlier run may have written without syncing: the next `sync` covers every file."""
        with self._lock:
            self._dirty.update(
                index for index, file in enumerate(self.layout.files) if file.length and not file.is_pad
            )
            self._dirty.add(self.PART)

    def _exists(self, index: int) -> bool:
        return index in self._handles or self.path_of(index).exists()

    # -- descriptors ----------------------------------------------------------------------------

    @contextmanager
    def _opened(self, index: int, *, is_writable: bool) -> Iterator[int]:
        handle = self._acquire(index, is_writable=is_writable)
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
        opened = _Handle(self._open(index, is_writable=is_writable), is_writable)
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

    def _open(self, index: int, *, is_writable: bool) -> int:
        path = self.path_of(index)
        if self._is_reading_only:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise OSError(errno.EISDIR, "not a file", str(path))
            return descriptor
        top: Path = path.parent
        parts: tuple[str, ...] = (path.name,)
        if index != self.PART and self.layout.files[index].path:
            top, parts = self.root, self.layout.files[index].path
        if is_writable:
            top.mkdir(parents=True, exist_ok=True)
        descriptor = open_below(top, parts, is_writable=is_writable)
        if is_writable and self._is_allocating and index != self.PART and index not in self._allocated:
            self._allocated.add(index)
            length = self.layout.files[index].length
            if length:
                try:
                    os.posix_fallocate(descriptor, 0, length)
                except OSError:
                    os.close(descriptor)
                    raise
        return descriptor

    # -- around a download ----------------------------------------------------------------------

    def create_empty(self) -> None:
        """Create the wanted files that have no bytes: no piece will ever do it."""
        if self._is_reading_only:
            return
        for index, file in enumerate(self.layout.files):
            if file.length == 0 and not file.is_pad and index not in self._unwanted:
                path = self.path_of(index)
                try:
                    with self._opened(index, is_writable=True):
                        pass
                except OSError as error:
                    raise storage_error(error, path) from None

    def select(self, unwanted: frozenset[int]) -> None:
        """Change which files are wanted; bytes of theirs in the part file move to where they belong.

        Raises:
            StorageError: the move failed; nothing was taken out of the part file.
        """
        gained = self._unwanted - unwanted
        self._unwanted = unwanted
        self._take_from_part(sorted(gained))

    def take_from_part(self) -> None:
        """Bring bytes of wanted files, that an earlier run put into the part file, to where they belong.

        Raises:
            StorageError: as `select`.
        """
        if not self._is_reading_only:
            self._take_from_part(
                [
                    index
                    for index, file in enumerate(self.layout.files)
                    if file.length and not file.is_pad and index not in self._unwanted
                ]
            )

    def _take_from_part(self, indices: Sequence[int]) -> None:
        if not indices or not self._part_path.exists():
            return
        for index in indices:
            # The bytes of a file that exists went there and not into the part file. Holes do not tell
            # single bytes apart: copying once more could put a neighbour's zeros over good data.
            if self._exists(index):
                continue
            file = self.layout.files[index]
            try:
                with self._opened(self.PART, is_writable=False) as source:
                    for start, end in data_regions(source, file.offset, file.offset + file.length):
                        self._copy_from_part(source, index, start, end)
            except OSError as error:
                raise storage_error(error, self.path_of(index)) from None

    def _copy_from_part(self, source: int, index: int, start: int, end: int) -> None:
        while start < end:
            chunk = os.pread(source, min(end - start, 1 << 20), start)
            if not chunk:
                break
            at = start - self.layout.files[index].offset
            with self._opened(index, is_writable=True) as target:
                _write_all(target, [memoryview(chunk)], at)
            start += len(chunk)
        self._note_dirty(index)

    def data_ranges(self) -> list[tuple[int, int]]:
        """The ranges (start, end) of the content that were ever written, holes left out, in order.

        Raises:
            StorageError: something stands where a file should be, or it may not be read.
        """
        found: list[tuple[int, int]] = []
        for index, file in enumerate(self.layout.files):
            if not file.length:
                continue
            if file.is_pad:
                found.append((file.offset, file.offset + file.length))
                continue
            is_in_part = index in self._unwanted and not self._exists(index)
            source, base = (self.PART, 0) if is_in_part else (index, file.offset)
            first = file.offset - base
            try:
                with self._opened(source, is_writable=False) as descriptor:
                    for start, end in data_regions(descriptor, first, first + file.length):
                        found.append((start + base, end + base))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise storage_error(error, self.path_of(source)) from None
        return found

    def signature(self) -> list[tuple[int, int]]:
        """(size in bytes, mtime in ns) of each file, (-1, 0) for one that is not there.

        For a file that is not wanted and not there it is the part file's: what is known of its pieces
        stands and falls with that.
        """
        signed = []
        part = _sign(self._part_path)
        for index, file in enumerate(self.layout.files):
            if file.is_pad:
                signed.append((0, 0))
                continue
            signed.append(
                part if index in self._unwanted and not self._exists(index) else _sign(self.path_of(index))
            )
        return signed

    def sync(self) -> None:
        """Wait until everything written so far has reached the disk.

        Raises:
            StorageError: the disk failed; what was written since the last `sync` may be lost.
        """
        with self._lock:
            dirty, self._dirty = self._dirty, set()
        for index in dirty:
            try:
                # Not for writing: that would create a file that somebody has deleted meanwhile.
                with self._opened(index, is_writable=False) as descriptor:
                    os.fdatasync(descriptor)
            except FileNotFoundError:
                continue  # the record's signatures will tell
            except OSError as error:
                with self._lock:
                    self._dirty |= dirty
                raise storage_error(error, self.path_of(index)) from None

    def remove_part_file(self) -> None:
        """Delete the part file: nothing unselected shares a piece with the selection any more.

        Raises:
            StorageError: it may not be deleted.
        """
        with self._lock:
            handle = self._handles.pop(self.PART, None)
            if handle is not None:
                handle.is_evicted = True
        if handle is not None and not handle.users:
            os.close(handle.descriptor)
        try:
            self._part_path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self._part_path) from None

    def close(self) -> None:
        """Close all descriptors, those in use as soon as they are not; nothing is opened any more."""
        with self._lock:
            self._is_closed = True
            handles = list(self._handles.values())
            self._handles.clear()
            for handle in handles:
                handle.is_evicted = True
            unused = [handle for handle in handles if not handle.users]
        for handle in unused:
            os.close(handle.descriptor)


def _sign(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (-1, 0)
    return (status.st_size, status.st_mtime_ns)


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


class _Cursor:
    """Hands out consecutive bytes of several views."""

    def __init__(self, views: Sequence[memoryview]) -> None:
        self._views = list(views)
        self._at = 0
        self._used = 0

    def take(self, length: int) -> list[memoryview]:
        taken = []
        while length:
            view = self._views[self._at]
            size = min(length, len(view) - self._used)
            taken.append(view[self._used : self._used + size])
            self._used += size
            length -= size
            if self._used == len(view):
                self._at += 1
                self._used = 0
        return taken


def _read_all(descriptor: int, views: Sequence[memoryview], offset: int) -> None:
    for batch, length in _batches(views):
        done = 0
        while done < length:
            count = os.preadv(descriptor, _rest(batch, done), offset + done)
            if not count:
                raise EOFError(f"it is shorter than the torrent says (ends before byte {offset + length})")
            done += count
        offset += length


def _write_all(descriptor: int, views: Sequence[memoryview], offset: int) -> None:
    for batch, length in _batches(views):
        done = 0
        while done < length:
            done += os.pwritev(descriptor, _rest(batch, done), offset + done)
        offset += length


def _batches(views: Sequence[memoryview]) -> Iterator[tuple[Sequence[memoryview], int]]:
    for at in range(0, len(views), _VECTORS_MAX):
        batch = views[at : at + _VECTORS_MAX]
        yield batch, sum(map(len, batch))


def _rest(views: Sequence[memoryview], done: int) -> Sequence[memoryview]:
    """What is left of `views` after `done` bytes."""
    if not done:
        return views
    rest = []
    for view in views:
        if done >= len(view):
            done -= len(view)
            continue
        rest.append(view[done:] if done else view)
        done = 0
    return rest


def data_regions(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a sparse file between `start` and `end` that hold data."""
    size = os.fstat(descriptor).st_size
    end = min(end, size)
    while start < end:
        try:
            data = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole is left
            yield start, end  # a file system that does not tell: all of it may be data
            return
        if data >= end:
            return
        hole = min(os.lseek(descriptor, data, os.SEEK_HOLE), end)
        yield data, hole
        start = hole
