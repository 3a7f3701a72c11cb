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


class Opening:
    """How `open` opens it, as its `opener`: without waiting for ever for a pipe's other end.

    Attributes:
        first: what was read to see whether anybody writes; it comes before the rest.
        status: the file's, as it was opened.
    """

    def __init__(self) -> None:
        self.first = b""
        self.status: os.stat_result | None = None

    def __call__(self, path: str, flags: int) -> int:
        """Raises OSError, as `open` does, or StorageError where it has no end to be read to."""
        # Not blocking: to open a pipe is to wait for its other end, for ever if need be.
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.status = os.fstat(descriptor)
            mode = self.status.st_mode
            if stat.S_ISFIFO(mode):
                self.first = _first_byte(descriptor, path)
                os.set_blocking(descriptor, True)
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise StorageError("neither a file nor a pipe", path=path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def read_whole(path: Path | str, bytes_max: int) -> tuple[bytes, os.stat_result]:
    """What is in the file, one byte more than `bytes_max` at most, and its status before; blocking.

    Raises:
        StorageError: it cannot be read, is neither a file nor a pipe, or a pipe that nobody writes to.
    """
    opening = Opening()
    try:
        with open(os.fspath(path), "rb", opener=opening) as file:
            raw = file.read(bytes_max + 1 - len(opening.first))
    except OSError as error:
        raise storage_error(error, path) from None
    assert opening.status is not None
    return opening.first + raw, opening.status


async def read_whole_beside(path: str, bytes_max: int) -> bytes:
    """`read_whole` for a loop that goes on meanwhile."""
    # Here: it brings tempfile, shutil and three compressors, which a magnet link can do without.
    import aiofiles

    opening = Opening()
    try:
        async with aiofiles.open(path, "rb", opener=opening) as file:
            raw = await file.read(bytes_max + 1 - len(opening.first))
    except OSError as error:
        raise storage_error(error, path) from None
    return opening.first + raw


def _first_byte(descriptor: int, path: str) -> bytes:
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
            raise StorageError("a pipe that nobody writes to", path=path)
        time.sleep(_LOOK_S)
