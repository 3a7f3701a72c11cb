"""Whole pieces on their way to the disk: gather, hash, write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from hashlib import sha1

from swarm.base.blocks import BLOCK_BYTES, Geometry, mask_runs, piece_hash
from swarm.base.dataclass import dataclass
from swarm.base.errors import StorageError
from swarm.storage.disk import Disk
from swarm.storage.faults import is_shortage
from swarm.storage.files import ContentFiles


@dataclass(slots=True, frozen=True)
class PieceHashed:
    """One piece went through hashing.

    Args:
        block_digests: SHA-1 of each block, where the piece was bad or they were asked for.
        error: why a good piece could not be written.
        hash_s, write_s: how long a thread was busy with it, the time on a full disk left out.
    """

    piece: int
    is_good: bool
    block_digests: tuple[bytes, ...] = ()
    error: StorageError | None = None
    hash_s: float = field(default=0.0, compare=False)
    write_s: float = field(default=0.0, compare=False)


class PieceStore:
    """Gathers the blocks of incoming pieces in memory; a complete piece is hashed and written in one go.

    Args:
        piece_hashes: `HASH_BYTES` a piece.
        zero_blocks: the mask of a piece's blocks that never come: they are hashed as zeros. None: all come.
        on_hashed: called on the loop with all pieces of one batch.
        on_short: called when the disk had no room for a good piece. The piece stays in memory, and is
            reported when `write_kept` has written it. None: it is reported at once, with its error.
        on_bug: called with any other exception than a `StorageError`; the pieces of that batch are then never
            reported.
    """

    def __init__(
        self,
        files: ContentFiles,
        geometry: Geometry,
        piece_hashes: bytes,
        disk: Disk,
        on_hashed: Callable[[list[PieceHashed]], None],
        on_bug: Callable[[BaseException], None],
        on_short: Callable[[StorageError], None] | None = None,
        *,
        zero_blocks: Callable[[int], int] | None = None,
    ) -> None:
        self._files = files
        self._geometry = geometry
        self._piece_hashes = piece_hashes
        self._disk = disk
        self._on_hashed = on_hashed
        self._on_bug = on_bug
        self._on_short = on_short
        self._zero_blocks = zero_blocks
        self._hash_s = self._write_s = 0.0
        #: Good pieces that the disk had no room for.
        self._kept: dict[int, tuple[memoryview, PieceHashed]] = {}
        self._writing_kept = asyncio.Lock()
        self._buffers = disk.buffers
        self._gathering: dict[int, memoryview] = {}

    def store(self, piece: int, begin: int, parts: Sequence[memoryview], mask: int) -> None:
        """Copy blocks into the buffer of `piece`; bit i of `mask` says whether `parts[i]` is wanted."""
        buffer = self._gathering.get(piece)
        if buffer is None:
            buffer = self._gathering[piece] = self._buffers.lend(self._geometry.piece_length)
        for index, part in enumerate(parts):
            end = begin + len(part)
            if mask >> index & 1:
                buffer[begin:end] = part
            begin = end

    def forget(self, piece: int) -> None:
        """Drop what was gathered of `piece`."""
        buffer = self._gathering.pop(piece, None)
        if buffer is not None:
            self._buffers.give_back(buffer)

    def hash_and_write(self, pieces: Sequence[tuple[int, bool]]) -> None:
        """Hash complete pieces in a thread, write the good ones, then report them together.

        Args:
            pieces: (piece, whether its block digests are wanted even if it is good).
        """
        work = [(piece, is_digested, self._gathering.pop(piece)) for piece, is_digested in pieces]

        def job() -> list[PieceHashed]:
            return [self._hash_one(piece, is_digested, buffer) for piece, is_digested, buffer in work]

        def done(results: list[PieceHashed] | None, error: BaseException | None) -> None:
            if error is not None:
                self._on_bug(error)
                return
            assert results is not None
            buffers = [buffer for _, _, buffer in work]
            try:
                self._answer(results, buffers)
            except Exception as bug:
                self._on_bug(bug)

        self._disk.submit(job, done)

    def _answer(self, results: Sequence[PieceHashed], buffers: Sequence[memoryview]) -> None:
        """Report `results`, but keep the pieces for which there was no room."""
        shortage: StorageError | None = None
        reported = []
        for result, buffer in zip(results, buffers, strict=True):
            self._hash_s += result.hash_s
            self._write_s += result.write_s
            if self._on_short is not None and result.error is not None and is_shortage(result.error):
                shortage = result.error
                self._kept[result.piece] = (buffer, replace(result, error=None, hash_s=0.0, write_s=0.0))
            else:
                self._buffers.give_back(buffer)
                reported.append(result)
        if reported:
            self._on_hashed(reported)
        if shortage is not None and self._on_short is not None:
            self._on_short(shortage)

    async def write_kept(self) -> bool:
        """Try again to write what was kept, and report it; False where there is still no room.

        Who is cancelled waits no longer, but what was begun goes on, and the next call waits for its end.
        """
        # Else what a thread was just writing would neither be reported nor be kept any more.
        trying = asyncio.get_running_loop().create_task(self._write_kept(), name="writing what found no room")
        return await asyncio.shield(trying)

    async def _write_kept(self) -> bool:
        async with self._writing_kept:
            kept, self._kept = self._kept, {}
            if not kept:
                return True

            def job() -> list[PieceHashed]:
                results: list[PieceHashed] = []
                error: StorageError | None = None
                for piece, (buffer, result) in kept.items():
                    # Without room for one there is none for the next; each try costs a write.
                    error = error or self._write(piece, buffer)
                    results.append(replace(result, error=error))
                return results

            results = await self._disk.run(job)
            self._answer(results, [buffer for buffer, _ in kept.values()])
            # Not only these: what was being written meanwhile may have found no room either.
            return not self._kept

    def _write(self, piece: int, buffer: memoryview) -> StorageError | None:
        try:
            view = buffer[: self._geometry.piece_bytes(piece)]
            self._files.write(self._geometry.piece_offset(piece), [view])
        except StorageError as error:
            return error
        return None

    def _hash_one(self, piece: int, is_digested: bool, buffer: memoryview) -> PieceHashed:
        begun_at = time.perf_counter()
        view = buffer[: self._geometry.piece_bytes(piece)]
        if self._zero_blocks is not None:
            self._clear(piece, self._zero_blocks(piece), view)
        is_good = sha1(view).digest() == piece_hash(self._piece_hashes, piece)
        digests: tuple[bytes, ...] = ()
        if is_digested or not is_good:
            digests = tuple(
                sha1(view[at : at + BLOCK_BYTES]).digest() for at in range(0, len(view), BLOCK_BYTES)
            )
        hashed_at = time.perf_counter()
        error = self._write(piece, buffer) if is_good else None
        write_s = time.perf_counter() - hashed_at
        return PieceHashed(piece, is_good, digests, error, hashed_at - begun_at, write_s)

    def _clear(self, piece: int, mask: int, view: memoryview) -> None:
        """Put zeros where blocks do not come: another piece's may lie there, as the memory is used again."""
        for first, count in mask_runs(mask):
            begin, length = first * BLOCK_BYTES, self._geometry.run_bytes(piece, first, count)
            view[begin : begin + length] = bytes(length)

    @property
    def hashing_share(self) -> float | None:
        """The part of the threads' work that is hashing, not writing; None before the first piece."""
        busy_s = self._hash_s + self._write_s
        return self._hash_s / busy_s if busy_s else None

    @property
    def gathered(self) -> list[int]:
        """Pieces of which some blocks are in memory."""
        return list(self._gathering)

    def write_blocks(self, piece: int, runs: Sequence[tuple[int, int]]) -> None:
        """Write (begin, length) runs of an incomplete piece where they belong; blocking, for a shutdown."""
        buffer = self._gathering[piece]
        for begin, length in runs:
            self._files.write(self._geometry.piece_offset(piece) + begin, [buffer[begin : begin + length]])

    def load_blocks(self, piece: int, runs: Sequence[tuple[int, int]]) -> None:
        """Read such runs into memory again, when the download goes on; blocking."""
        buffer = self._buffers.lend(self._geometry.piece_length)
        for begin, length in runs:
            self._files.read(self._geometry.piece_offset(piece) + begin, [buffer[begin : begin + length]])
        self._gathering[piece] = buffer
