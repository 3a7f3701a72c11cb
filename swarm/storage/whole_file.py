"""Reads small files that users name: whole, and through a pipe as well, unless nobody writes to it."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from swarm.base.errors import StorageError
from swarm.storage.faults import storage_error

#: Whoever writes into a named pipe may be begun beside us, and come a moment later.
WRITER_S = 2.0
_LOOK_S = 0.02
_STEP_BYTES = 1 << 20


def read_whole(path: Path | str, bytes_max: int) -> tuple[bytes, os.stat_result]:
    """What is in the file, one byte more than `bytes_max` at most, and its status before; blocking.

    Raises:
        StorageError: it cannot be read, is neither a file nor a pipe, or a pipe that nobody writes to.
    """
    try:
        # Not blocking: to open a pipe is to wait for its other end, for ever if need be.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            first = b""
            if stat.S_ISFIFO(status.st_mode):
                first = _first_byte(descriptor, path)
                os.set_blocking(descriptor, True)
            elif not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise StorageError("neither a file nor a pipe", path=str(path))
            return first + _rest(descriptor, bytes_max + 1 - len(first)), status
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(error, path) from None


def _first_byte(descriptor: int, path: Path | str) -> bytes:
    """The first byte of a pipe; nothing where somebody has its other end and has not written yet.

    Raises:
        StorageError: nobody has.
    """
    ends_at = time.monotonic() + WRITER_S
    while True:
        try:
            first = os.read(descriptor, 1)
        except BlockingIOError:
            return b""
        if first:
            return first
        if time.monotonic() >= ends_at:
            raise StorageError("a pipe that nobody writes to", path=str(path))
        time.sleep(_LOOK_S)


def _rest(descriptor: int, length: int) -> bytes:
    parts = []
    while length > 0:
        part = os.read(descriptor, min(length, _STEP_BYTES))
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
