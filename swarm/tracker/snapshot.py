"""What a tracker in memory knows, in a file between two runs.

A header, swarms one after the other, and a checksum over everything: a file that is cut off or damaged is
found out before any of it is believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from swarm.base.endpoint import COMPACT_V4_BYTES, COMPACT_V6_BYTES
from swarm.base.errors import StorageError, TrackerError
from swarm.storage.faults import storage_error
from swarm.tracker.memory_store import Kept, KeptRow, MemoryStore
from swarm.tracker.rows import PEER_ID_BYTES

T = TypeVar("T")

_MAGIC = b"swarm tracker 3\n"
#: Of files that have ages in seconds, not times of the clock.
_MAGIC_2 = b"swarm tracker 2\n"
#: Of files that know of no partial seeds either.
_MAGIC_1 = b"swarm tracker 1\n"
#: When it was written, in seconds since 1970 (ages go on while nobody runs) and, which `_HEADER_2` lacks, of
#: the clock by which peers were seen.
_HEADER, _HEADER_2 = struct.Struct("<qq"), struct.Struct("<q")
_SWARM = struct.Struct("<20sQB")
#: Bytes of an address; peers; of these seeds; and seeds and partial seeds, which `_ROW_1` lacks.
_ROW, _ROW_1 = struct.Struct("<BIII"), struct.Struct("<BII")
_CRC = struct.Struct("<I")
#: It writes some 180,000 swarms, or 4 million peers of large ones, a second; slow disks an eighth of that.
_SWARMS_PER_S = 20_000
_PEERS_PER_S = 500_000
#: Peers of one row that are believed: more than any store takes.
_ROW_MAX = 50_000_000
_READ_BYTES = 1 << 20
#: Written in one step of `save_beside`, which takes some 3 milliseconds of the loop's time ...
STEP_SWARMS = 400
STEP_BYTES = 4 << 20
#: ... and the pause after it: a million swarms take two minutes so, and 6 % of a core.
STEP_PAUSE_S = 0.05


class _Writing:
    """A snapshot on its way to the disk: beside `path` until it is whole. Every call may block.

    A process that is ended meanwhile leaves what was there before, and a scratch file that the next one
    takes.

    Raises:
        StorageError: from every call; then `drop` is due, and what was there is still there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scratch = path.with_name(f".{path.name}.new")
        self._file: BinaryIO | None = None
        self._crc = 0

    def write(self, part: bytes) -> None:
        self._crc = zlib.crc32(part, self._crc)
        with self._named_errors():
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(self._scratch, flags, 0o600)
                self._file = os.fdopen(descriptor, "wb", buffering=_READ_BYTES)
            self._file.write(part)

    def finish(self) -> None:
        """Put it in its place."""
        self.write(_CRC.pack(self._crc))
        with self._named_errors():
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                os.replace(self._scratch, self._path)

    def drop(self) -> None:
        """Leave what was there before. Never raises."""
        if self._file is not None:
            # Closing writes what is left in the buffer, which a full disk refuses once more.
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._scratch.unlink()

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = storage_error(error, self._path).reason
            raise StorageError(
                f"could not be saved: {reason}", path=str(self._path), error_number=error.errno or 0
            ) from None


def save(store: MemoryStore, path: Path, now: float, wall_now: float) -> None:
    """Write everything to `path`, whole or not at all.

    Args:
        now: of the store's clock. wall_now: seconds since 1970.

    Raises:
        StorageError: it could not be written; what was there is still there.
    """
    writing = _Writing(path)
    try:
        for step in _steps(store, now, wall_now):
            writing.write(step)
        writing.finish()
    except BaseException:
        writing.drop()
        raise


async def save_beside(store: MemoryStore, path: Path, now: float, wall_now: float) -> None:
    """As `save`, in small steps on the loop that the store is used on; the disk is a thread's.

    Each swarm is as it was when it was its turn.
    """
    writing = _Writing(path)
    try:
        for step in _steps(store, now, wall_now):
            await _in_thread(partial(writing.write, step))
            await asyncio.sleep(STEP_PAUSE_S)
        await _in_thread(writing.finish)
    except BaseException:
        writing.drop()
        raise


async def _in_thread(call: Callable[[], T]) -> T:
    """As `asyncio.to_thread`, but who is cancelled waits for the thread: it has the file in its hands."""
    done = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise


def patience_s(store: MemoryStore) -> float:
    """How long `save` may take where nothing is wrong with the disk, in seconds."""
    return store.swarm_count / _SWARMS_PER_S + store.peer_count / _PEERS_PER_S


def _steps(store: MemoryStore, now: float, wall_now: float) -> Iterator[bytes]:
    """Yield the file but for its checksum, in parts of bounded work."""
    parts = [_MAGIC + _HEADER.pack(int(wall_now), int(now))]
    swarm_count = byte_count = 0
    for kept in store.keep():
        parts.append(_SWARM.pack(kept.info_hash, kept.downloads, len(kept.rows)))
        for row in kept.rows:
            parts.append(_ROW.pack(row.width, len(row.seen_at), row.seed_count, row.done_count))
            columns = row.addresses, row.peer_ids, array("i", row.seen_at).tobytes()
            if len(row.peer_ids) < STEP_BYTES:
                parts += columns
                byte_count += sum(map(len, columns))
            else:
                # Not copied once more.
                yield b"".join(parts)
                yield from columns
                parts = []
        swarm_count += 1
        if swarm_count >= STEP_SWARMS or byte_count >= STEP_BYTES:
            yield b"".join(parts)
            parts = []
            swarm_count = byte_count = 0
    yield b"".join(parts)


def load(store: MemoryStore, path: Path, now: float, wall_now: float) -> bool:
    """Take in what `save` wrote, if there is anything; returns whether there was.

    Swarms beyond the store's limits are left out, quietly: they would not have been taken either.

    Raises:
        StorageError: the file cannot be read, or is none of ours, or is damaged.
    """
    try:
        with open(path, "rb", opener=_open_regular) as file:
            magic = _check(file, path)
            file.seek(len(_MAGIC))
            if magic == _MAGIC:
                written_at, clock_at = _HEADER.unpack(_exactly(file, _HEADER.size))
            else:
                (written_at,), clock_at = _HEADER_2.unpack(_exactly(file, _HEADER_2.size)), None
            # A clock set back must not make anybody younger than just seen.
            written_at = int(now) - max(0, int(wall_now) - written_at)
            end = path.stat().st_size - _CRC.size
            while file.tell() < end:
                _take(store, _read_swarm(file, magic, clock_at, written_at), now)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(error, path) from None
    except (EOFError, ValueError):
        raise StorageError("is damaged", path=str(path)) from None
    return True


def _open_regular(path: str, flags: int) -> int:
    """An `opener` that waits for no pipe's other end: a snapshot is read twice, and replaced by the next."""
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StorageError("is no regular file", path=path)
    return descriptor


def _take(store: MemoryStore, kept: Kept, now: float) -> None:
    with contextlib.suppress(TrackerError):
        store.restore(kept, now)


def _check(file: BinaryIO, path: Path) -> bytes:
    """Of which form it is, by its first bytes; ValueError unless the file is whole and ours."""
    magic = file.read(len(_MAGIC))
    if magic not in (_MAGIC, _MAGIC_2, _MAGIC_1):
        raise ValueError("no snapshot")
    crc = zlib.crc32(magic)
    left = path.stat().st_size - len(_MAGIC) - _CRC.size
    if left < _HEADER_2.size:
        raise ValueError("too short")
    while left:
        part = file.read(min(left, _READ_BYTES))
        if not part:
            raise EOFError
        crc = zlib.crc32(part, crc)
        left -= len(part)
    if file.read() != _CRC.pack(crc):
        raise ValueError("checksum")
    return magic


def _read_swarm(file: BinaryIO, magic: bytes, clock_at: int | None, written_at: int) -> Kept:
    """The next swarm.

    Args:
        clock_at: when the file was written, of the clock of then; None where it has ages.
        written_at: the same instant, of the clock of now.
    """
    info_hash, downloads, row_count = _SWARM.unpack(_exactly(file, _SWARM.size))
    rows = []
    head = _ROW_1 if magic == _MAGIC_1 else _ROW
    for _ in range(row_count):
        width, count, seed_count, *more = head.unpack(_exactly(file, head.size))
        done_count = more[0] if more else seed_count
        is_known = width in (COMPACT_V4_BYTES, COMPACT_V6_BYTES)
        if not is_known or not seed_count <= done_count <= count <= _ROW_MAX:
            raise ValueError("no row")
        addresses, peer_ids = _exactly(file, count * width), _exactly(file, count * PEER_ID_BYTES)
        times = _exactly(file, count * 4)
        if clock_at is None:
            seen_at = [written_at - age for age in array("I", times)]
        else:
            seen_at = [seen + written_at - clock_at for seen in array("i", times)]
        rows.append(KeptRow(width, seed_count, done_count, addresses, peer_ids, seen_at))
    return Kept(info_hash, downloads, rows)


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise EOFError
    return found
