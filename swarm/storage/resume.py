"""What of a download is known to be good: written so that a crash at any moment loses no more than seconds.

A record is trusted as far as the world still fits it: files with the recorded size and time (or, after
a crash, written no later than the record could have missed), and, after a reboot, only pieces that had
been synced. Whatever is not trusted is hashed again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from swarm.base import bencode
from swarm.base.bitfield import Bitfield
from swarm.base.dataclass import dataclass
from swarm.base.errors import BencodeError, StorageError
from swarm.base.ids import InfoHash
from swarm.storage import sealed

_MAGIC = b"swarm resume 1\n"
#: A crash may have lost the last record: files may be this much newer than it (saves are 5 s apart at most).
_CRASH_SLACK_NS = 15 * 10**9
#: Two million pieces and a million files fit; more is not ours.
_RECORD_BYTES_MAX = 64 << 20


@dataclass(slots=True)
class ResumeRecord:
    """What was known when the record was written.

    Args:
        verified: pieces that were hashed good and written.
        synced: those of them that the disk had confirmed; a reboot loses no more than the others.
        partials: piece -> mask of blocks that an orderly stop has written into place.
        signature: (size, mtime in ns) of each file, see `ContentFiles.signature`.
        is_clean: written by an orderly stop; we wrote nothing to the files after it.
        saved_at_ns: wall clock, to be compared with file times.
        boot_id: of the running system then; empty where there is none.
        is_unsure: pieces that are not verified may be there all the same.
    """

    info_hash: bytes
    content_path: str
    verified: Bitfield
    synced: Bitfield
    signature: list[tuple[int, int]]
    is_clean: bool
    saved_at_ns: int
    boot_id: bytes
    downloaded_bytes: int = 0
    uploaded_bytes: int = 0
    partials: dict[int, int] = field(default_factory=dict)
    is_unsure: bool = False

    def encode(self) -> bytes:
        body = bencode.encode(
            {
                b"boot": self.boot_id,
                b"clean": int(self.is_clean),
                b"content": os.fsencode(self.content_path),
                b"downloaded": self.downloaded_bytes,
                b"files": [list(pair) for pair in self.signature],
                b"infohash": self.info_hash,
                b"partials": {b"%d" % piece: b"%x" % mask for piece, mask in self.partials.items()},
                b"pieces": len(self.verified),
                b"saved": self.saved_at_ns,
                b"synced": self.synced.to_bytes(),
                b"unsure": int(self.is_unsure),
                b"uploaded": self.uploaded_bytes,
                b"verified": self.verified.to_bytes(),
            }
        )
        return sealed.seal(_MAGIC, body)

    @classmethod
    def decode(cls, raw: bytes) -> ResumeRecord:
        """Read what `encode` wrote.

        Raises:
            StorageError: it is damaged, or not ours.
        """
        body = sealed.unseal(_MAGIC, raw)
        if body is None:
            raise StorageError("the resume data is damaged")
        try:
            fields: Any = bencode.decode(body, max_bytes=_RECORD_BYTES_MAX)
            piece_count = _count(fields[b"pieces"])
            return cls(
                info_hash=InfoHash(_bytes(fields[b"infohash"])),
                content_path=os.fsdecode(_bytes(fields[b"content"])),
                verified=Bitfield.from_bytes(_bytes(fields[b"verified"]), piece_count),
                synced=Bitfield.from_bytes(_bytes(fields[b"synced"]), piece_count),
                signature=[(_integer(size), _integer(time_ns)) for size, time_ns in fields[b"files"]],
                is_clean=bool(fields[b"clean"]),
                saved_at_ns=_integer(fields[b"saved"]),
                boot_id=_bytes(fields[b"boot"]),
                downloaded_bytes=_count(fields[b"downloaded"]),
                uploaded_bytes=_count(fields[b"uploaded"]),
                partials={int(piece): int(mask, 16) for piece, mask in fields[b"partials"].items()},
                # Older records do not say.
                is_unsure=bool(fields.get(b"unsure", 0)),
            )
        except (BencodeError, KeyError, TypeError, ValueError, AttributeError):
            raise StorageError("the resume data is not understood") from None


# The checksum says that the record is as it was written, not that it was us who wrote it.


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("not a string")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value


def _count(value: object) -> int:
    number = _integer(value)
    if number < 0:
        raise ValueError("a count below zero")
    return number


@dataclass(slots=True)
class Trust:
    """What may be believed without hashing, and what should be looked at.

    Args:
        verified: pieces known to be good.
        synced: those of them that the disk had confirmed.
        is_content_unchanged: nothing was written since: pieces that are not verified are missing, but for
            the blocks of `partials` (piece -> mask).
    """

    verified: Bitfield
    synced: Bitfield
    is_content_unchanged: bool
    partials: dict[int, int] = field(default_factory=dict)

    @classmethod
    def nothing(cls, piece_count: int) -> Trust:
        return cls(Bitfield(piece_count), Bitfield(piece_count), is_content_unchanged=False)


def weigh(
    record: ResumeRecord,
    signature: Sequence[tuple[int, int]],
    pieces_of_file: Sequence[range],
    boot_id: bytes,
    reach: Callable[[int, int], int],
) -> Trust:
    """Decide what of `record` still holds for files that now look like `signature`.

    Args:
        pieces_of_file: by file, the pieces that hold bytes of it.
        reach: (file, piece) -> how long what was signed must be to hold all of the piece.
    """
    if len(signature) != len(record.signature):
        return Trust.nothing(len(record.verified))
    is_same_boot = bool(boot_id) and boot_id == record.boot_id
    # An orderly stop does not wait for the disk either: a power cut after it may have lost the rest.
    verified = (record.verified if is_same_boot else record.synced).copy()
    newest_ns = record.saved_at_ns + (0 if record.is_clean else _CRASH_SLACK_NS)
    is_unchanged = record.is_clean and not record.is_unsure and verified.count == record.verified.count
    for index, (now, then) in enumerate(zip(signature, record.signature, strict=True)):
        if now == then:
            continue
        is_unchanged = False
        # After a crash our own last writes are younger than the record. A file that became older while the
        # system ran is another one, a copy put back; or the clock was set back, and nobody can tell.
        may_be_ours = not record.is_clean and now[1] <= newest_ns and not (is_same_boot and now[1] < then[1])
        # While a system runs files only grow; a power cut takes back what was not synced, and no more.
        if may_be_ours and now[0] >= then[0]:
            continue
        for piece in pieces_of_file[index]:
            if not may_be_ours or is_same_boot or reach(index, piece) > now[0]:
                verified.discard(piece)
    synced = Bitfield(len(verified))
    for piece in verified:
        if record.synced.flags[piece]:
            synced.add(piece)
    # Blocks have no hash of their own: only where nothing can have happened to them are they worth keeping.
    partials = dict(record.partials) if is_unchanged and is_same_boot else {}
    return Trust(verified, synced, is_unchanged, partials)


def boot_id() -> bytes:
    """What names the running system until it is started anew; empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""


async def load(path: Path) -> ResumeRecord | None:
    """The record at `path`; None where there is none.

    Raises:
        StorageError: it is damaged; it was set aside as `NAME.broken-DATE`.
    """
    raw = await sealed.read(path, _RECORD_BYTES_MAX)
    if raw is None:
        return None
    try:
        # Of 100,000 files it takes more than a second, as `encode` does: in a thread others have their turn.
        return await asyncio.to_thread(ResumeRecord.decode, raw)
    except StorageError as error:
        raise await sealed.set_aside(path, error.reason) from None


async def save(path: Path, record: ResumeRecord) -> None:
    """Replace the record at `path`, whole; nobody may change it meanwhile.

    Raises:
        StorageError: it could not be written; the old one is still there.
    """
    await asyncio.to_thread(lambda: sealed.replace_now(path, record.encode()))
