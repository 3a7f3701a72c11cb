"""Small files of our own: replaced whole, and sealed with a checksum, so that damage is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import time
from pathlib import Path

from swarm.base.errors import StorageError
from swarm.storage.faults import storage_error

_DIGEST_BYTES = 32


def seal(magic: bytes, body: bytes) -> bytes:
    """`body` as it goes into a file: what it is, its checksum, itself."""
    return magic + hashlib.sha256(body).digest() + body


def unseal(magic: bytes, raw: bytes) -> bytes | None:
    """The body of what `seal` made with the same `magic`; None for anything else."""
    head = len(magic) + _DIGEST_BYTES
    body = raw[head:]
    is_whole = raw[: len(magic)] == magic and hashlib.sha256(body).digest() == raw[len(magic) : head]
    return body if is_whole else None


async def read(path: Path, bytes_max: int) -> bytes | None:
    """The file's bytes, one more than `bytes_max` at most; None where there is none.

    Raises:
        StorageError: it cannot be read.
    """

    def read_now() -> bytes:
        with open(path, "rb") as file:
            return file.read(bytes_max + 1)

    try:
        return await asyncio.to_thread(read_now)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path) from None


async def set_aside(path: Path, reason: str) -> StorageError:
    """Rename a broken file to `NAME.broken-DATE`, so that nothing is lost of it; the error says if it was.

    What was set aside before stays: DATE is in UTC to the second, and numbered where that is taken.
    """

    def rename() -> Path:
        stem = f"{path.name}.broken-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        aside = path.with_name(stem)
        number = 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{stem}-{number}")
        os.replace(path, aside)
        return aside

    try:
        aside = await asyncio.to_thread(rename)
    except OSError as error:
        why_not = storage_error(error, path).reason
        return StorageError(f"{reason}, and cannot be set aside: {why_not}", path=str(path))
    return StorageError(f"{reason}; it was set aside as {aside.name}", path=str(path))


async def replace(path: Path, raw: bytes) -> None:
    """Write a file so that at every moment, also after a power cut, the old or the new one is there whole.

    When it returns the new one is on the disk.

    Raises:
        StorageError: it could not be written; the old one is still there.
    """
    await asyncio.to_thread(replace_now, path, raw)


def replace_now(path: Path, raw: bytes) -> None:
    """As `replace`, blocking."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(scratch, "wb") as file:
            file.write(raw)
            file.flush()
            # Before the rename: else the new name could outlive a power cut without its bytes.
            os.fsync(file.fileno())
        os.replace(scratch, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise storage_error(error, path) from None


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk: a file's own sync does not cover its name.

    Raises:
        OSError: the disk failed. File systems that cannot sync folders are no error.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
