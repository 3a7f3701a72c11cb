"""What a tracker in memory knows, in a file between two runs.

A header, swarms one after the other, and a checksum over everything: a file that is cut off or damaged is
found out before any of it is believed.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from swarm.base.endpoint import COMPACT_V4_BYTES, COMPACT_V6_BYTES
from swarm.base.errors import StorageError, TrackerError
from swarm.storage.faults import storage_error
from swarm.tracker.memory_store import Kept, KeptRow, MemoryStore
from swarm.tracker.rows import PEER_ID_BYTES

_MAGIC = b"swarm tracker 2\n"
#: Of files that know of no partial seeds.
_MAGIC_1 = b"swarm tracker 1\n"
#: When it was written, in seconds since 1970: ages go on while nobody runs.
_HEADER = struct.Struct("<q")
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


def save(store: MemoryStore, path: Path, now: float, wall_now: float) -> None:
    """Write everything to `path`, whole or not at all.

    It is written beside it first: a process that is ended meanwhile leaves what was there before, and a
    scratch file that the next one takes.

    Args:
        now: of the store's clock. wall_now: seconds since 1970.

    Raises:
        StorageError: it could not be written; what was there is still there.
    """
    scratch = path.with_name(f".{path.name}.new")
    try:
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb", buffering=_READ_BYTES) as file:
                _write(store, file, now, wall_now)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException:
            with contextlib.suppress(OSError):
                scratch.unlink()
            raise
    except OSError as error:
        reason = storage_error(error, path).reason
        raise StorageError(
            f"could not be saved: {reason}", path=str(path), error_number=error.errno or 0
        ) from None


def patience_s(store: MemoryStore) -> float:
    """How long `save` may take where nothing is wrong with the disk, in seconds."""
    return store.swarm_count / _SWARMS_PER_S + store.peer_count / _PEERS_PER_S


def _write(store: MemoryStore, file: BinaryIO, now: float, wall_now: float) -> None:
    crc = 0
    for part in _parts(store, now, wall_now):
        crc = zlib.crc32(part, crc)
        file.write(part)
    file.write(_CRC.pack(crc))


def _parts(store: MemoryStore, now: float, wall_now: float) -> Iterator[bytes]:
    yield _MAGIC + _HEADER.pack(int(wall_now))
    for kept in store.keep(now):
        parts = [_SWARM.pack(kept.info_hash, kept.downloads, len(kept.rows))]
        for row in kept.rows:
            parts += [
                _ROW.pack(row.width, len(row.ages), row.seed_count, row.done_count),
                row.addresses,
                row.peer_ids,
                array("I", row.ages).tobytes(),
            ]
        yield b"".join(parts)


def load(store: MemoryStore, path: Path, now: float, wall_now: float) -> bool:
    """Take in what `save` wrote, if there is anything; returns whether there was.

    Swarms beyond the store's limits are left out, quietly: they would not have been taken either.

    Raises:
        StorageError: the file cannot be read, or is none of ours, or is damaged.
    """
    try:
        with open(path, "rb", opener=_open_regular) as file:
            is_old = _check(file, path)
            file.seek(len(_MAGIC))
            (written_at,) = _HEADER.unpack(file.read(_HEADER.size))
            # A clock set back must not make anybody younger than just seen.
            elapsed = max(0, int(wall_now) - written_at)
            end = path.stat().st_size - _CRC.size
            while file.tell() < end:
                _take(store, _read_swarm(file, elapsed, is_old=is_old), now)
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


def _check(file: BinaryIO, path: Path) -> bool:
    """Is it of the old form? ValueError unless the file is whole and ours."""
    magic = file.read(len(_MAGIC))
    if magic not in (_MAGIC, _MAGIC_1):
        raise ValueError("no snapshot")
    crc = zlib.crc32(magic)
    left = path.stat().st_size - len(_MAGIC) - _CRC.size
    if left < _HEADER.size:
        raise ValueError("too short")
    while left:
        part = file.read(min(left, _READ_BYTES))
        if not part:
            raise EOFError
        crc = zlib.crc32(part, crc)
        left -= len(part)
    if file.read() != _CRC.pack(crc):
        raise ValueError("checksum")
    return magic == _MAGIC_1


def _read_swarm(file: BinaryIO, elapsed: int, *, is_old: bool) -> Kept:
    info_hash, downloads, row_count = _SWARM.unpack(_exactly(file, _SWARM.size))
    rows = []
    head = _ROW_1 if is_old else _ROW
    for _ in range(row_count):
        width, count, seed_count, *more = head.unpack(_exactly(file, head.size))
        done_count = more[0] if more else seed_count
        is_known = width in (COMPACT_V4_BYTES, COMPACT_V6_BYTES)
        if not is_known or not seed_count <= done_count <= count <= _ROW_MAX:
            raise ValueError("no row")
        addresses, peer_ids = _exactly(file, count * width), _exactly(file, count * PEER_ID_BYTES)
        ages = array("I", _exactly(file, count * 4))
        now_ages = [age + elapsed for age in ages]
        rows.append(KeptRow(width, seed_count, done_count, addresses, peer_ids, now_ages))
    return Kept(info_hash, downloads, rows)


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise EOFError
    return found
