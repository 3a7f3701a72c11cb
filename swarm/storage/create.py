"""Makes a .torrent of a file or folder: one walk, one read pass, all cores hashing."""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import mmap
import os
import stat
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from swarm.base.blocks import Geometry
from swarm.base.errors import StorageError
from swarm.metainfo.builder import (
    TorrentOptions,
    are_plain,
    auto_piece_length,
    build_info,
    build_metainfo,
    check_piece_length,
)
from swarm.metainfo.limits import HASH_BYTES, MAX_FILES

#: What a thread reads and hashes at a time: fits the second-level cache of any core of today.
BUFFER_BYTES = 1024 * 1024
#: Most threads: beyond, the disk is the limit.
MAX_THREADS = 64
#: How often the caller hears of progress, in seconds.
_PROGRESS_INTERVAL_S = 0.1

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC

#: Called with the bytes hashed so far and in all; what it raises ends the work and reaches the caller.
Progress = Callable[[int, int], None]


class SourceFile(NamedTuple):
    """A file that goes into the torrent, as it was when found.

    `path` is where to open it, `name` its path within the torrent ("/" between parts, b"" for a single file).
    """

    path: bytes
    name: bytes
    length: int
    modified_ns: int


class Created(NamedTuple):
    """A torrent just made; `warnings` are lines for the user."""

    raw: bytes
    info_bytes: bytes
    name: str
    geometry: Geometry
    file_count: int
    warnings: list[str]


def create_torrent(
    path: str | bytes | os.PathLike[str],
    options: TorrentOptions,
    *,
    exclude: Sequence[str] = (),
    omit: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Hash a file or folder and return its .torrent: `create` for those who want the bytes only."""
    return create(path, options, exclude=exclude, omit=omit, threads=threads, progress=progress).raw


def create(
    path: str | bytes | os.PathLike[str],
    options: TorrentOptions,
    *,
    exclude: Sequence[str] = (),
    omit: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Created:
    """Hash a file or folder and make its torrent. Blocks; uses every core unless told otherwise.

    Args:
        exclude: globs; files and folders whose name or path matches are left out.
        omit: the path of a file to leave out: the output, where it lies in the folder.
        threads: hashing threads, None or 0 for one a core.
        progress: called about ten times a second, in this thread.

    Raises:
        StorageError: a file cannot be read, vanished or changed meanwhile; it names the file.
        MetainfoError: nothing to share, or more than a torrent holds.
    """
    root = os.fsencode(path)
    files = find_files(root, exclude=exclude, omit=omit)
    total = sum([file.length for file in files])
    piece_length = options.piece_length or auto_piece_length(total)
    check_piece_length(piece_length, total)
    hashes = _Hasher(files, piece_length, threads or os.cpu_count() or 1).run(progress)
    name = os.fsencode(options.name) if options.name else own_name(root)
    names = [file.name for file in files]
    listed = list(zip(names, [file.length for file in files], strict=True))
    info = build_info(name, listed, piece_length, hashes, options)
    return Created(
        raw=build_metainfo(info, options),
        info_bytes=info,
        name=name.decode(errors="replace"),
        geometry=Geometry(total, piece_length),
        file_count=len(files),
        warnings=_name_warnings([name, *names] if names[0] else [name]),
    )


def _name_warnings(names: Sequence[bytes]) -> list[str]:
    """Names that another machine, or we ourselves, would write otherwise."""
    if are_plain(names):
        return []
    # Only here: nearly all names are plain, and the import costs.
    from swarm.metainfo.paths import unportable_names

    changed = unportable_names(names)
    if not changed:
        return []
    count = "a name" if len(changed) == 1 else f"{len(changed)} names"
    first = os.fsdecode(changed[0])
    return [f"{count} will be another after a download, and here a seeder looks for that one: {first!r}"]


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
                status = entry.stat()
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
    return StorageError(error.strerror or str(error), path=os.fsdecode(path), error_number=error.errno or 0)


class _Hasher:
    """Hashes the pieces of files laid end to end, in threads that take batches of pieces in turn."""

    def __init__(self, files: Sequence[SourceFile], piece_length: int, threads: int) -> None:
        # Empty files have no byte in any piece; without them each offset stands for one file.
        self.files = [file for file in files if file.length]
        self.starts = list(itertools.accumulate([file.length for file in self.files], initial=0))
        self.total = self.starts[-1]
        self.piece_length = piece_length
        self.hashes = bytearray(HASH_BYTES * -(-self.total // piece_length))
        # A batch is whole pieces: as many as fill the buffer, or one piece read in parts.
        self.batch_bytes = max(BUFFER_BYTES // piece_length, 1) * piece_length
        batch_count = -(-self.total // self.batch_bytes)
        # `next` of a count is one step of the interpreter: no two threads get the same batch.
        self.batches = itertools.count()
        self.thread_count = max(min(threads, MAX_THREADS, batch_count), 1)
        self.done = [0] * self.thread_count
        self.failure: BaseException | None = None
        self.is_stopped = False

    def run(self, progress: Progress | None) -> bytes:
        """All hashes, 20 bytes a piece."""
        workers = [
            threading.Thread(target=self._thread, args=(index,), name=f"hash-{index}", daemon=True)
            for index in range(self.thread_count)
        ]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():
                    worker.join(_PROGRESS_INTERVAL_S)
                    if progress is not None:
                        progress(sum(self.done), self.total)
        finally:
            self.is_stopped = True
            for worker in workers:
                if worker.ident is not None:
                    worker.join()
        if self.failure is not None:
            raise self.failure
        if progress is not None:
            progress(self.total, self.total)
        return bytes(self.hashes)

    def _thread(self, index: int) -> None:
        reader = _Reader(self.files, self.starts)
        try:
            try:
                self._work(index, reader)
            finally:
                reader.close()
        except BaseException as error:
            self.is_stopped = True
            if self.failure is None:
                self.failure = error

    def _work(self, index: int, reader: _Reader) -> None:
        # Memory of our own (no file is mapped), because it begins with a page: the kernel copies a tenth
        # faster into that than into what a bytearray gets.
        view = memoryview(mmap.mmap(-1, BUFFER_BYTES))
        while not self.is_stopped:
            start = next(self.batches) * self.batch_bytes
            if start >= self.total:
                return
            end = min(start + self.batch_bytes, self.total)
            if self.piece_length <= BUFFER_BYTES:
                part = view[: end - start]
                reader.fill(start, part)
                self._hash_pieces(start, part)
            else:
                self._hash_long_piece(reader, start, end, view)
            self.done[index] += end - start

    def _hash_pieces(self, start: int, view: memoryview) -> None:
        at = start // self.piece_length * HASH_BYTES
        for offset in range(0, len(view), self.piece_length):
            digest = hashlib.sha1(view[offset : offset + self.piece_length]).digest()
            self.hashes[at : at + HASH_BYTES] = digest
            at += HASH_BYTES

    def _hash_long_piece(self, reader: _Reader, start: int, end: int, view: memoryview) -> None:
        digest = hashlib.sha1()
        for offset in range(start, end, BUFFER_BYTES):
            if self.is_stopped:
                return
            part = view[: min(BUFFER_BYTES, end - offset)]
            reader.fill(offset, part)
            digest.update(part)
        at = start // self.piece_length * HASH_BYTES
        self.hashes[at : at + HASH_BYTES] = digest.digest()


class _Reader:
    """One thread's reading: checks that every file is still what it was when found."""

    def __init__(self, files: Sequence[SourceFile], starts: Sequence[int]) -> None:
        self.files = files
        self.starts = starts
        self.spare = bytearray(1)
        # The file left open because the next batch probably goes on in it.
        self.index = -1
        self.descriptor = -1

    def fill(self, start: int, view: memoryview) -> None:
        """Read the content from `start` on into all of `view`.

        Raises:
            StorageError: a file vanished, changed or cannot be read; it is named.
        """
        index = bisect_right(self.starts, start) - 1
        offset = start - self.starts[index]
        at = 0
        size = len(view)
        try:
            while at < size:
                length = min(self.files[index].length - offset, size - at)
                if offset or index == self.index or length < self.files[index].length:
                    self._read_part(index, offset, view[at : at + length])
                    offset = 0
                else:
                    self._read_whole(index, view[at : at + length])
                at += length
                index += 1
        except FileNotFoundError as error:
            raise self._failure(index, "vanished while the torrent was made", error) from None
        except OSError as error:
            raise self._failure(index, error.strerror or str(error), error) from None

    def _read_whole(self, index: int, view: memoryview) -> None:
        """A small file in one go: with one byte too much asked for, its length is checked by the way."""
        descriptor = os.open(self.files[index].path, _OPEN_FLAGS)
        try:
            count = os.readv(descriptor, (view, self.spare))
            if count != len(view):
                # Some file systems give less at a time; the slow way tells that from a change.
                self._keep_open(index, os.dup(descriptor))
                self._read_part(index, 0, view)
                self.close()
        finally:
            os.close(descriptor)

    def _read_part(self, index: int, offset: int, view: memoryview) -> None:
        if index != self.index:
            self._keep_open(index, os.open(self.files[index].path, _OPEN_FLAGS))
        while view:
            count = os.preadv(self.descriptor, (view,), offset)
            if not count:
                raise self._failure(index, "became shorter while it was hashed")
            view = view[count:]
            offset += count

    def _keep_open(self, index: int, descriptor: int) -> None:
        try:
            self.close()
        except BaseException:
            os.close(descriptor)
            raise
        self.index, self.descriptor = index, descriptor

    def close(self) -> None:
        """Close the file left open; StorageError where it changed since it was found."""
        if self.descriptor < 0:
            return
        index, descriptor = self.index, self.descriptor
        self.index = self.descriptor = -1
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        file = self.files[index]
        if status.st_size != file.length or status.st_mtime_ns != file.modified_ns:
            raise self._failure(index, "changed while it was hashed")
        if not status.st_nlink:
            raise self._failure(index, "vanished while the torrent was made")

    def _failure(self, index: int, reason: str, error: OSError | None = None) -> StorageError:
        number = error.errno if error is not None else 0
        return StorageError(reason, path=os.fsdecode(self.files[index].path), error_number=number or 0)
