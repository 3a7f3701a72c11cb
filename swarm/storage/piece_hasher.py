"""The hashes of the pieces of files laid end to end: one read pass, all cores hashing."""

from __future__ import annotations

import hashlib
import itertools
import mmap
import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence

from swarm.base.blocks import HASH_BYTES
from swarm.base.errors import StorageError
from swarm.storage.faults import storage_error
from swarm.storage.source_files import SourceFile

#: What a thread reads and hashes at a time: fits the second-level cache of any core of today.
BUFFER_BYTES = 1024 * 1024
#: Most threads: beyond, the disk is the limit.
MAX_THREADS = 64
#: How often the caller hears of progress, in seconds.
_PROGRESS_INTERVAL_S = 0.1

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC

#: Called with the bytes hashed so far and in all; what it raises ends the work and reaches the caller.
Progress = Callable[[int, int], None]


class PieceHasher:
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
        reader = SourceReader(self.files, self.starts)
        try:
            try:
                self._work(index, reader)
            finally:
                reader.close()
        except BaseException as error:
            self.is_stopped = True
            if self.failure is None:
                self.failure = error

    def _work(self, index: int, reader: SourceReader) -> None:
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

    def _hash_long_piece(self, reader: SourceReader, start: int, end: int, view: memoryview) -> None:
        digest = hashlib.sha1()
        for offset in range(start, end, BUFFER_BYTES):
            if self.is_stopped:
                return
            part = view[: min(BUFFER_BYTES, end - offset)]
            reader.fill(offset, part)
            digest.update(part)
        at = start // self.piece_length * HASH_BYTES
        self.hashes[at : at + HASH_BYTES] = digest.digest()


class SourceReader:
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
            raise storage_error(error, os.fsdecode(self.files[index].path)) from None

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
