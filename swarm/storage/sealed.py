"""Small files of our own: replaced whole, and sealed with a checksum, so that damage is noticed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import aiofiles
import aiofiles.os

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
    try:
        async with aiofiles.open(path, "rb") as file:
            return await file.read(bytes_max + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path) from None


async def set_aside(path: Path, reason: str) -> StorageError:
    """Rename a broken file to `NAME.broken`; returns the error that says so."""
    aside = path.with_name(path.name + ".broken")
    with contextlib.suppress(OSError):
        await aiofiles.os.replace(path, aside)
    return StorageError(f"{reason}; it was set aside as {aside.name}", path=str(path))


async def replace(path: Path, raw: bytes) -> None:
    """Write a file so that at every moment the old or the new one is there whole.

    Raises:
        StorageError: it could not be written; the old one is still there.
    """
    scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        await aiofiles.os.makedirs(path.parent, exist_ok=True)
        async with aiofiles.open(scratch, "wb") as file:
            await file.write(raw)
            await file.flush()
            os_fsync = aiofiles.os.wrap(os.fsync)
            await os_fsync(file.fileno())
        await aiofiles.os.replace(scratch, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            await aiofiles.os.remove(scratch)
        raise storage_error(error, path) from None
