"""Compares content on disk with the hashes of its pieces, on all cores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha1

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry, piece_hash
from swarm.base.errors import StorageError
from swarm.storage.disk import Disk
from swarm.storage.faults import ContentChangedError, is_shortage
from swarm.storage.files import ContentFiles

#: What one read brings; larger pieces are hashed in steps, so that a piece of any size fits.
_STEP_BYTES = 1 << 20
#: Pieces are handed to the threads in batches of about this size.
_BATCH_BYTES = 8 << 20
#: So often a piece is read again whose file somebody changes meanwhile.
_LOOKS_MAX = 5
#: Batches under way: more than threads, so that none waits for the loop.
_BATCHES_AHEAD = 4


def pieces_with_data(geometry: Geometry, data_ranges: Sequence[tuple[int, int]]) -> list[int]:
    """The pieces that lie in `data_ranges` (sorted, of the content) from their first byte to their last."""
    found: list[int] = []
    merged: list[list[int]] = []
    for start, end in data_ranges:
        if merged and merged[-1][1] == start:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    for start, end in merged:
        first = -(-start // geometry.piece_length)
        last = end // geometry.piece_length if end < geometry.total_bytes else geometry.piece_count
        found += range(first, last)
    return found


async def check_pieces(
    files: ContentFiles,
    geometry: Geometry,
    piece_hashes: bytes,
    disk: Disk,
    pieces: Iterable[int],
    *,
    progress: Callable[[int, Sequence[int]], None] | None = None,
) -> Bitfield:
    """Hash `pieces`; the answer has those that match.

    Args:
        progress: called on the loop with the bytes just hashed, and the pieces that match.

    A piece that cannot be read counts as one that does not match: what is missing will be fetched.

    Raises:
        StorageError: for want of descriptors nothing can be said.
    """
    have = Bitfield(geometry.piece_count)
    waiting = list(pieces)
    per_batch = max(1, _BATCH_BYTES // geometry.piece_length)
    batches = [waiting[at : at + per_batch] for at in range(0, len(waiting), per_batch)]

    todo = iter(batches)
    shortage: BaseException | None = None

    async def worker() -> None:
        buffer = memoryview(bytearray(min(_STEP_BYTES, geometry.piece_length)))
        for batch in todo:
            matching = await disk.run(partial(_matching, files, geometry, piece_hashes, batch, buffer))
            for piece in matching:
                have.add(piece)
            if progress is not None:
                progress(sum(map(geometry.piece_bytes, batch)), matching)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_BATCHES_AHEAD):
                group.create_task(worker())
    except* StorageError as errors:
        shortage = errors.exceptions[0]
    if shortage is not None:
        raise shortage
    return have


def _matching(
    files: ContentFiles, geometry: Geometry, piece_hashes: bytes, pieces: Sequence[int], buffer: memoryview
) -> list[int]:
    return [piece for piece in pieces if _matches(files, geometry, piece_hashes, piece, buffer)]


def _matches(
    files: ContentFiles, geometry: Geometry, piece_hashes: bytes, piece: int, buffer: memoryview
) -> bool:
    offset, length = geometry.piece_offset(piece), geometry.piece_bytes(piece)
    for _ in range(_LOOKS_MAX):
        try:
            digest = _digest(files, offset, length, buffer)
        except ContentChangedError:
            # It may have been touched only. Whoever wants to know of changes has been told.
            files.settle_range(offset, length)
        except StorageError as error:
            if is_shortage(error):
                raise
            return False
        else:
            return digest == piece_hash(piece_hashes, piece)
    return False


def _digest(files: ContentFiles, offset: int, length: int, buffer: memoryview) -> bytes:
    digest = sha1()
    end = offset + length
    while offset < end:
        view = buffer[: min(len(buffer), end - offset)]
        files.read(offset, [view])
        digest.update(view)
        offset += len(view)
    return digest.digest()
