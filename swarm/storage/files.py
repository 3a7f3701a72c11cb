"""The content of one torrent on disk: positional reads and writes over many files.

No mmap: a file truncated under us must give an error, not SIGBUS. All methods may be called from
several threads at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from swarm.base.errors import StorageError
from swarm.metainfo.files import FileRange, Layout
from swarm.storage.descriptors import Descriptors, OpenFiles, open_below
from swarm.storage.faults import ContentChangedError, name_error, storage_error
from swarm.storage.unsynced import Unsynced
from swarm.storage.vectors import Cursor, data_regions, read_all, read_cached, write_all
from swarm.storage.watch import Watch

#: What `ContentFiles.signature` has for a file that is not there, or that somebody else has changed.
ABSENT = (-1, 0)


class ContentFiles:
    """Reads and writes ranges of a torrent's content.

    Args:
        root: the file itself (single-file torrent) or the folder that holds the files.
        layout: where each file lies in the content.
        unwanted: indices of files that were not selected: they are never created; bytes of theirs that
            share a piece with a selected file go to `part_path`, a sparse file laid out like the content.
        is_reading_only: content that belongs to the user, to be seeded: links in it are followed.
        is_allocating: reserve the whole length of each file when it is first written.
        open_files: those that all torrents of a session have open; None for a torrent by itself.
        on_changed: called, in any thread, with the index of a file that somebody else has changed.
    """

    #: The part file's place among the file indices.
    PART = -1

    def __init__(
        self,
        root: Path,
        layout: Layout,
        *,
        part_path: Path,
        unwanted: frozenset[int] = frozenset(),
        is_reading_only: bool = False,
        is_allocating: bool = False,
        open_files: OpenFiles | None = None,
        on_changed: Callable[[int], None] | None = None,
    ) -> None:
        if sys.getfilesystemencoding() != "utf-8":
            _check_names(root, layout)
        self.root = root
        self.layout = layout
        self._part_path = part_path
        self._unwanted = unwanted
        self._is_reading_only = is_reading_only
        self._is_allocating = is_allocating
        self._open_files = OpenFiles() if open_files is None else open_files
        self._descriptors = Descriptors(self._open, self._open_files)
        self._watch = Watch(on_changed)
        self._unsynced = Unsynced(
            partial(self._opened, is_writable=False),
            self.path_of,
            self._folders_of,
            is_reading_only=is_reading_only,
        )
        #: False once a file system has said that it cannot answer at once.
        self._can_read_at_once = True
        self._allocated: set[int] = set()

    def path_of(self, index: int) -> Path:
        """Where a file lies; of `PART` the part file."""
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

    def read_at_once(self, offset: int, views: Sequence[memoryview]) -> bool:
        """As `read`, of what is in memory, and does not wait for the disk; False: call `read` in a thread.

        To hand a small read to a thread and its answer back costs more than the read.
        """
        if not self._can_read_at_once:
            return False
        ranges = self.layout.ranges(offset, sum(map(len, views)))
        part = ranges[0]
        index = part.file_index
        if len(ranges) > 1 or self.layout.files[index].is_pad or index in self._unwanted:
            return False
        generation = self._watch.generation(index)
        try:
            with self._descriptors.opened_before(index) as descriptor:
                return (
                    descriptor is not None
                    and read_cached(descriptor, views, part.offset)
                    and self._watch.was_read(index, os.fstat(descriptor), generation)
                )
        except OSError as error:
            # Whatever else is wrong `read` will say.
            if error.errno == errno.EOPNOTSUPP:
                self._can_read_at_once = False
            return False

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
        cursor = Cursor(views)
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
        if self._is_in_part(index):
            index, offset = self.PART, content_offset
        try:
            if is_write:
                self._write_to(index, views, offset)
            else:
                self._read_from(index, views, offset)
        except OSError as error:
            raise storage_error(error, self.path_of(index)) from None
        except EOFError as error:
            raise StorageError(str(error), path=str(self.path_of(index))) from None

    def _read_from(self, index: int, views: Sequence[memoryview], offset: int) -> None:
        generation = self._watch.generation(index)
        with self._opened(index, is_writable=False) as descriptor:
            read_all(descriptor, views, offset)
            is_as_verified = self._watch.was_read(index, os.fstat(descriptor), generation)
        if not is_as_verified:
            raise ContentChangedError("it was changed by somebody else", path=str(self.path_of(index)))

    def _write_to(self, index: int, views: Sequence[memoryview], offset: int) -> None:
        while True:
            generation = self._watch.generation(index)
            with self._opened(index, is_writable=True) as descriptor:
                status = os.fstat(descriptor)
                if self._watch.writing(index, status, generation):
                    end = 0
                    try:
                        # As a part of the write: what it does to size and time nobody else has done.
                        self._allocate(index, descriptor)
                        write_all(descriptor, views, offset)
                        end = offset + sum(map(len, views))
                    finally:
                        self._watch.written(index, status, end)
                    break
            # Deleted, or replaced, while it was open: what we write belongs where the path leads now.
            self._descriptors.evict(index)
        self._unsynced.add((index,))

    def settle(self, index: int) -> None:
        """Take file `index` as it is now: whoever calls has verified its content, or will."""
        self._descriptors.evict(index)
        self._watch.settle(index, _status(self.path_of(index)))

    def settle_range(self, offset: int, length: int) -> None:
        """As `settle`, for all that holds these bytes of the content."""
        for part in self.layout.ranges(offset, length):
            index = part.file_index
            if not self.layout.files[index].is_pad:
                self.settle(self.PART if self._is_in_part(index) else index)

    def settle_all(self) -> None:
        """As `settle`, for every file that is there."""
        for index in range(len(self.layout.files)):
            status = _status(self.path_of(index))
            if status is not None:
                self._watch.settle(index, status)

    def gone(self) -> list[int]:
        """The files that we have written to and that are not where they belong any more, or are cut short."""
        indices = [index for index, file in enumerate(self.layout.files) if file.length and not file.is_pad]
        return [index for index in indices if not self._watch.is_there(index, _status(self.path_of(index)))]

    def _opened(self, index: int, *, is_writable: bool) -> AbstractContextManager[int]:
        try:
            return self._descriptors.opened(index, is_writable=is_writable)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        # Those that are kept open only for later are the first to go.
        self._open_files.release()
        return self._descriptors.opened(index, is_writable=is_writable)

    def note_all_unsynced(self) -> None:
        """An earlier run may have written without syncing: the next `sync` covers every file."""
        files = enumerate(self.layout.files)
        self._unsynced.add(index for index, file in files if file.length and not file.is_pad)
        self._unsynced.add([self.PART])

    def _is_in_part(self, index: int) -> bool:
        """Whether what is known of a file lies in the part file."""
        return index in self._unwanted and not self._exists(index)

    def _exists(self, index: int) -> bool:
        # Of a path that we may not look at nothing is known here; who opens it says why.
        return index in self._descriptors or os.path.exists(self.path_of(index))

    # -- opening --------------------------------------------------------------------------------

    def _open(self, index: int, is_writable: bool) -> int:
        path = self.path_of(index)
        if self._is_reading_only:
            # O_NONBLOCK: a pipe in place of a file must not hang us.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
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
        return open_below(top, parts, is_writable=is_writable)

    def _allocate(self, index: int, descriptor: int) -> None:
        if self._is_allocating and index != self.PART and index not in self._allocated:
            os.posix_fallocate(descriptor, 0, self.layout.files[index].length)
            self._allocated.add(index)

    def free_bytes(self) -> int | None:
        """Room for us where the content lies or will lie; None where the system does not tell."""
        for folder in (self.root, *self.root.parents):
            try:
                status = os.statvfs(folder)
            except FileNotFoundError:
                continue
            except OSError:
                return None
            return status.f_bavail * status.f_frsize
        return None

    # -- around a download ----------------------------------------------------------------------

    def check_readable(self) -> None:
        """Say what may not be read, as this is not to be mistaken for wrong data.

        Raises:
            StorageError: a file is there, but closed to us.
        """
        for index, file in enumerate(self.layout.files):
            path = self.path_of(index)
            if not file.is_pad and not os.access(path, os.R_OK) and os.path.exists(path):
                raise storage_error(OSError(errno.EACCES, "Permission denied"), path)

    def create_empty(self) -> None:
        """Create the wanted files that have no bytes: no piece will ever do it."""
        if self._is_reading_only:
            return
        for index, file in enumerate(self.layout.files):
            if file.length == 0 and not file.is_pad and index not in self._unwanted:
                path = self.path_of(index)
                try:
                    # One that is there already may lie on a disk that is only read.
                    with contextlib.suppress(FileNotFoundError), self._opened(index, is_writable=False):
                        continue
                    with self._opened(index, is_writable=True):
                        pass
                except OSError as error:
                    raise storage_error(error, path) from None

    def take_from_part(self) -> None:
        """Copy bytes of wanted files, which an earlier run put into the part file, to where they belong.

        Raises:
            StorageError: that failed; nothing was taken out of the part file.
        """
        if self._is_reading_only or not os.path.exists(self._part_path):
            return
        for index, file in enumerate(self.layout.files):
            if not file.length or file.is_pad or index in self._unwanted:
                continue
            # The bytes of a file that exists went there and not into the part file. Holes do not tell
            # single bytes apart: copying once more could put a neighbour's zeros over good data.
            if self._exists(index):
                continue
            try:
                with self._descriptors.opened(self.PART, is_writable=False) as source:
                    for start, end in data_regions(source, file.offset, file.offset + file.length):
                        self._copy_from_part(source, index, start, end)
            except OSError as error:
                path = self.path_of(index)
                self._descriptors.evict(index)
                # Where a half of it were left, the next try would find a file that needs nothing. A link that
                # leads nowhere is somebody else's.
                if not path.is_symlink():
                    with contextlib.suppress(OSError):
                        path.unlink()
                raise storage_error(error, path) from None

    def _copy_from_part(self, source: int, index: int, start: int, end: int) -> None:
        while start < end:
            chunk = os.pread(source, min(end - start, 1 << 20), start)
            if not chunk:
                break
            at = start - self.layout.files[index].offset
            with self._descriptors.opened(index, is_writable=True) as target:
                write_all(target, [memoryview(chunk)], at)
            start += len(chunk)
        self._unsynced.add((index,))

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
            source, base = (self.PART, 0) if self._is_in_part(index) else (index, file.offset)
            first = file.offset - base
            try:
                with self._descriptors.opened(source, is_writable=False) as descriptor:
                    for start, end in data_regions(descriptor, first, first + file.length):
                        found.append((start + base, end + base))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise storage_error(error, self.path_of(source)) from None
        return found

    def signature(self) -> list[tuple[int, int]]:
        """(size in bytes, mtime in ns) of each file, `ABSENT` for one that is not there as we left it.

        For a file that is not wanted and not there it is the part file's: what is known of its pieces
        stands and falls with that.
        """
        signed = []
        part = self._sign(self.PART)
        for index, file in enumerate(self.layout.files):
            if file.is_pad:
                signed.append((0, 0))
                continue
            signed.append(part if self._is_in_part(index) else self._sign(index))
        return signed

    def _sign(self, index: int) -> tuple[int, int]:
        generation = self._watch.generation(index)
        status = _status(self.path_of(index))
        if status is None or not self._watch.is_as_left(index, status, generation):
            return ABSENT
        return status.st_size, status.st_mtime_ns

    def signed_length(self, index: int, content_end: int) -> int:
        """How long what `signature` signs for `index` must be to hold its bytes below `content_end`."""
        file = self.layout.files[index]
        end = min(content_end, file.offset + file.length)
        return end if self._is_in_part(index) else end - file.offset

    def sync(self) -> None:
        """Wait until everything written so far has reached the disk, with the names of new files.

        Raises:
            StorageError: the disk failed; what was written since the last `sync` may be lost.
        """
        self._unsynced.sync()

    def _folders_of(self, index: int) -> list[Path]:
        """The folders whose entries lead to the file, up to the one that the user named."""
        if self._is_reading_only:
            # None of the names is ours; should a power cut take one away, the file is seen to be missing.
            return []
        path = self.path_of(index)
        depth = 1 if index == self.PART else len(self.layout.files[index].path) + 1
        return list(path.parents)[:depth]

    def remove_part_file(self) -> None:
        """Delete the part file: nothing unselected shares a piece with the selection any more.

        Raises:
            StorageError: it may not be deleted.
        """
        self._descriptors.evict(self.PART)
        try:
            self._part_path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self._part_path) from None

    def release(self) -> None:
        """Close all descriptors for now; files are opened again when they are needed."""
        self._descriptors.release()

    def close(self) -> None:
        """Close all descriptors, those in use as soon as they are not; nothing is opened any more."""
        self._descriptors.close()


def _check_names(root: Path, layout: Layout) -> None:
    """Find names that cannot be written here before any of the content comes."""
    for file in layout.files:
        path = root.joinpath(*file.path)
        try:
            os.fsencode(path)
        except UnicodeEncodeError as error:
            raise name_error(error, path) from None


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
