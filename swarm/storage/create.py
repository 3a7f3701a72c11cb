"""Makes a .torrent of a file or folder: one walk, one read pass, all cores hashing."""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from swarm.base.blocks import Geometry
from swarm.base.errors import StorageError
from swarm.metainfo.builder import (
    NamedLength,
    TorrentOptions,
    auto_piece_length,
    build_info,
    build_metainfo,
    check_piece_length,
)
from swarm.metainfo.files import FileEntry, Layout
from swarm.metainfo.paths import decode_name, unportable_names
from swarm.metainfo.torrent import MAX_FILES

#: What a thread reads and hashes at a time: fits the second-level cache of any core of today.
BUFFER_BYTES = 1024 * 1024
#: Most threads: beyond, the disk is the limit.
MAX_THREADS = 64
#: From so many files a batch on, opening them is what takes time: see `_Hasher._work`.
_MANY_FILES = 8
#: How often the caller hears of progress, in seconds.
_PROGRESS_INTERVAL_S = 0.1

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
    listed = [NamedLength(file.name, file.length) for file in files]
    info = build_info(name, listed, piece_length, hashes, options)
    return Created(
        raw=build_metainfo(info, options),
        info_bytes=info,
        name=decode_name(name),
        geometry=Geometry(total, piece_length),
        file_count=len(files),
        warnings=_name_warnings([name, *names] if names[0] else [name]),
    )


def _name_warnings(names: Sequence[bytes]) -> list[str]:
    """Names that another machine, or we ourselves, would write otherwise."""
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
    stripped = target.rstrip(b"/") or b"/"
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
        self.files = files
        self.piece_length = piece_length
        offsets = itertools.accumulate((file.length for file in files), initial=0)
        self.layout = Layout(
            [FileEntry((), file.length, at) for file, at in zip(files, offsets, strict=False)]
        )
        self.total = self.layout.end_offset
        piece_count = -(-self.total // piece_length)
        self.hashes = bytearray(20 * piece_count)
        # A batch is whole pieces: as many as fill the buffer, or one piece read in parts.
        self.batch_bytes = max(BUFFER_BYTES // piece_length, 1) * piece_length
        self.batch_count = -(-self.total // self.batch_bytes)
        # `next` of a count is one step of the interpreter: no two threads get the same batch.
        self.batches = itertools.count()
        self.thread_count = max(min(threads, MAX_THREADS, self.batch_count), 1)
        self.done = [0] * self.thread_count
        self.failure: BaseException | None = None
        self.is_stopped = False
        self.opening = threading.Lock()

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
        return bytes(self.hashes)

    def _thread(self, index: int) -> None:
        reader = _Reader(self.files)
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
        view = memoryview(bytearray(min(BUFFER_BYTES, max(self.total, 1))))
        while not self.is_stopped:
            start = next(self.batches) * self.batch_bytes
            if start >= self.total:
                return
            end = min(start + self.batch_bytes, self.total)
            if self.piece_length <= BUFFER_BYTES:
                self._read(reader, start, view[: end - start])
                self._hash_pieces(start, view[: end - start])
            else:
                self._hash_long_piece(reader, start, end, view)
            self.done[index] += end - start

    def _read(self, reader: _Reader, start: int, view: memoryview) -> None:
        ranges = self.layout.ranges(start, len(view))
        if len(ranges) < _MANY_FILES:
            reader.read(ranges, view)
            return
        # Opening small files holds the interpreter's lock nearly all the time. Two threads at it only wake
        # each other up; one reads while the others hash.
        with self.opening:
            reader.read(ranges, view)

    def _hash_pieces(self, start: int, view: memoryview) -> None:
        sha1 = hashlib.sha1
        at = start // self.piece_length * 20
        for offset in range(0, len(view), self.piece_length):
            self.hashes[at : at + 20] = sha1(view[offset : offset + self.piece_length]).digest()
            at += 20

    def _hash_long_piece(self, reader: _Reader, start: int, end: int, view: memoryview) -> None:
        digest = hashlib.sha1()
        for offset in range(start, end, BUFFER_BYTES):
            if self.is_stopped:
                return
            part = view[: min(BUFFER_BYTES, end - offset)]
            self._read(reader, offset, part)
            digest.update(part)
        at = start // self.piece_length * 20
        self.hashes[at : at + 20] = digest.digest()


class _Reader:
    """One thread's open file; checks that every file is still what it was when found."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self.files = files
        self.index = -1
        self.descriptor = -1

    def read(self, ranges: Iterable[tuple[int, int, int]], view: memoryview) -> None:
        """Fill `view` from the file ranges; StorageError names a file that vanished or changed."""
        at = 0
        for index, offset, length in ranges:
            file = self.files[index]
            try:
                if index != self.index:
                    self._open(index)
                while length:
                    count = os.preadv(self.descriptor, [view[at : at + length]], offset)
                    if not count:
                        raise StorageError("became shorter while it was hashed", path=os.fsdecode(file.path))
                    at += count
                    offset += count
                    length -= count
            except OSError as error:
                if isinstance(error, FileNotFoundError):
                    raise StorageError(
                        "vanished while the torrent was made",
                        path=os.fsdecode(file.path),
                        error_number=error.errno or 0,
                    ) from None
                raise _storage_error(error, file.path) from None

    def _open(self, index: int) -> None:
        self.close()
        self.descriptor = os.open(self.files[index].path, os.O_RDONLY | os.O_CLOEXEC)
        self.index = index

    def close(self) -> None:
        """Close the open file; StorageError where it changed since it was found."""
        if self.descriptor < 0:
            return
        descriptor, self.descriptor = self.descriptor, -1
        file = self.files[self.index]
        self.index = -1
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if status.st_size != file.length or status.st_mtime_ns != file.modified_ns:
            raise StorageError("changed while it was hashed", path=os.fsdecode(file.path))
        if not status.st_nlink:
            raise StorageError("vanished while the torrent was made", path=os.fsdecode(file.path))
