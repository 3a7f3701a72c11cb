"""Whole pieces between memory and disk: gather, hash, write; read ahead for serving."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from hashlib import sha1

from swarm.base.blocks import BLOCK_BYTES, Geometry, piece_hash
from swarm.base.dataclass import dataclass
from swarm.base.errors import StorageError
from swarm.storage.buffers import BufferPool
from swarm.storage.disk import Disk
from swarm.storage.faults import is_shortage
from swarm.storage.files import ContentFiles

#: What is read at a time for serving: 64 blocks.
CHUNK_BLOCKS = 64
#: Chunks kept for the next peer that asks for the same.
CHUNK_CACHE_BYTES = 16 << 20
#: What may be read on the loop in a second, if it is in memory. To hand a small read to a thread and its
#: answer back costs more than the read; where there are thousands of them the loop has no time for them.
READ_AT_ONCE_BYTES = 16 << 20


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
    ) -> None:
        self._files = files
        self._geometry = geometry
        self._piece_hashes = piece_hashes
        self._disk = disk
        self._on_hashed = on_hashed
        self._on_bug = on_bug
        self._on_short = on_short
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
            return await self._write_kept_alone()

    async def _write_kept_alone(self) -> bool:
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


class ChunkBuffer:
    """Memory for up to `block_count` blocks, each behind room for its head.

    `blocks` are the places of the blocks alone: slicing 64 of them costs more than filling them in.
    """

    __slots__ = ("blocks", "memory")

    def __init__(self, block_count: int, head_bytes: int) -> None:
        stride = BLOCK_BYTES + head_bytes
        self.memory = memoryview(bytearray(block_count * stride))
        self.blocks = [
            self.memory[start : start + BLOCK_BYTES]
            for start in range(head_bytes, block_count * stride, stride)
        ]


class Chunk:
    """Up to 64 blocks of one piece as they go over the wire, each behind its 13-byte head.

    `pins` counts the links that still send from it; only an unpinned chunk's memory is used again.

    Args:
        source: where the memory goes back to; None for memory that is used once.
    """

    __slots__ = ("first_block", "is_cached", "memory", "pins", "source")

    def __init__(self, memory: memoryview, first_block: int, source: ChunkBuffer | None) -> None:
        self.memory = memory
        self.first_block = first_block
        self.source = source
        self.pins = 0
        self.is_cached = False


#: Called with a pinned chunk, or with what went wrong.
ChunkDone = Callable[[Chunk | None, BaseException | None], None]
#: Writes the head of a block into a buffer: (buffer, at, piece, begin, length).
WriteHead = Callable[[memoryview, int, int, int, int], None]


class ChunkReader:
    """Reads content for serving, in wire form: one `preadv` scatters 64 blocks between their heads.

    So a run of blocks leaves as one slice of one buffer, whatever its length.

    Args:
        head_bytes, write_head: the wire's form of a block's head.
    """

    def __init__(
        self, files: ContentFiles, geometry: Geometry, disk: Disk, head_bytes: int, write_head: WriteHead
    ) -> None:
        self._files = files
        self._geometry = geometry
        self._disk = disk
        self._head_bytes = head_bytes
        self._write_head = write_head
        blocks = min(CHUNK_BLOCKS, geometry.blocks_per_piece)
        kept_max = max(2, CHUNK_CACHE_BYTES // (blocks * BLOCK_BYTES))
        self._pool = BufferPool(lambda: ChunkBuffer(blocks, head_bytes), kept_max)
        self._cache: OrderedDict[tuple[int, int], Chunk] = OrderedDict()
        self._cached_max = kept_max
        self._reading: dict[tuple[int, int], list[ChunkDone]] = {}
        #: Since when, and how much, was read or tried to be read on the loop.
        self._at_once_at = float("-inf")
        self._at_once_bytes = 0

    @staticmethod
    def chunk_of(begin: int) -> int:
        """The number, within its piece, of the chunk that holds byte `begin`."""
        return begin // (CHUNK_BLOCKS * BLOCK_BYTES)

    @staticmethod
    def end_of(number: int) -> int:
        """Where that chunk ends, within its piece (the piece may end before)."""
        return (number + 1) * CHUNK_BLOCKS * BLOCK_BYTES

    def has_heads_for(self, piece: int, begin: int, length: int, block_bytes: int) -> bool:
        """Are these the blocks that everybody asks for, whose heads stand in the chunks?"""
        end = begin + length
        is_cut_as_ours = block_bytes == BLOCK_BYTES or length <= min(block_bytes, BLOCK_BYTES)
        return (
            is_cut_as_ours
            and begin % BLOCK_BYTES == 0
            and (end % BLOCK_BYTES == 0 or end == self._geometry.piece_bytes(piece))
        )

    def get_odd(self, piece: int, begin: int, length: int, block_bytes: int, done: ChunkDone) -> None:
        """As `get`, for a run cut in another way; `chunk.memory` is all of its wire form."""

        def job() -> Chunk:
            sizes = [min(block_bytes, length - at) for at in range(0, length, block_bytes)]
            buffer = memoryview(bytearray(length + self._head_bytes * len(sizes)))
            views = []
            at, start = 0, begin
            for size in sizes:
                self._write_head(buffer, at, piece, start, size)
                views.append(buffer[at + self._head_bytes : at + self._head_bytes + size])
                at += self._head_bytes + size
                start += size
            self._files.read(self._geometry.piece_offset(piece) + begin, views)
            chunk = Chunk(buffer, 0, None)
            chunk.pins = 1
            return chunk

        self._disk.submit(job, done)

    def get(self, piece: int, number: int, done: ChunkDone) -> None:
        """Call `done(chunk, error)` with a pinned chunk: at once if it is in memory, else when it is read."""
        key = (piece, number)
        chunk = self._cache.get(key)
        if chunk is not None:
            self._cache.move_to_end(key)
            chunk.pins += 1
            done(chunk, None)
            return
        waiting = self._reading.get(key)
        if waiting is not None:
            waiting.append(done)
            return
        self._reading[key] = [done]
        buffer = self._pool.lend()
        chunk = Chunk(buffer.memory, number * CHUNK_BLOCKS, buffer)
        offset, views = self._lay_out(piece, number, buffer)
        if self._may_read_at_once(len(buffer.memory)) and self._files.read_at_once(offset, views):
            self._was_read(key, buffer, chunk, None)
            return

        def job() -> Chunk:
            self._files.read(offset, views)
            return chunk

        self._disk.submit(job, lambda chunk, error: self._was_read(key, buffer, chunk, error))

    def _may_read_at_once(self, size_bytes: int) -> bool:
        now = time.monotonic()
        if now - self._at_once_at >= 1.0:
            self._at_once_at, self._at_once_bytes = now, 0
        self._at_once_bytes += size_bytes
        return self._at_once_bytes <= READ_AT_ONCE_BYTES

    def _lay_out(self, piece: int, number: int, buffer: ChunkBuffer) -> tuple[int, Sequence[memoryview]]:
        """Write the heads of a chunk's blocks; returns where its content begins, and where it goes."""
        first = number * CHUNK_BLOCKS * BLOCK_BYTES
        length = min(CHUNK_BLOCKS * BLOCK_BYTES, self._geometry.piece_bytes(piece) - first)
        stride = BLOCK_BYTES + self._head_bytes
        at = 0
        for begin in range(first, first + length, BLOCK_BYTES):
            self._write_head(buffer.memory, at, piece, begin, min(BLOCK_BYTES, first + length - begin))
            at += stride
        views = buffer.blocks[: -(-length // BLOCK_BYTES)]
        if length % BLOCK_BYTES:
            views[-1] = views[-1][: length % BLOCK_BYTES]
        return self._geometry.piece_offset(piece) + first, views

    def _was_read(
        self, key: tuple[int, int], buffer: ChunkBuffer, chunk: Chunk | None, error: BaseException | None
    ) -> None:
        waiting = self._reading.pop(key)
        if chunk is None:
            self._pool.give_back(buffer)
        else:
            chunk.pins = len(waiting)
            chunk.is_cached = True
            self._cache[key] = chunk
            while len(self._cache) > self._cached_max:
                _, oldest = self._cache.popitem(last=False)
                oldest.is_cached = False
                self._reuse(oldest)
        for done in waiting:
            done(chunk, error)

    def unpin(self, chunk: Chunk) -> None:
        """One link is done with `chunk`."""
        chunk.pins -= 1
        self._reuse(chunk)

    def _reuse(self, chunk: Chunk) -> None:
        if not chunk.pins and not chunk.is_cached and chunk.source is not None:
            self._pool.give_back(chunk.source)

    def forget(self, piece: int) -> None:
        """`piece` has changed on disk or may not be served any more."""
        # Of small pieces a thousand are kept, and a file that was touched may have a hundred thousand.
        for number in range(self.chunk_of(self._geometry.piece_length - 1) + 1):
            chunk = self._cache.pop((piece, number), None)
            if chunk is not None:
                chunk.is_cached = False
                self._reuse(chunk)

    def run_of(self, chunk: Chunk, begin: int, length: int) -> memoryview:
        """The wire bytes of the blocks from `begin` on, `length` bytes of content, all within `chunk`."""
        stride = BLOCK_BYTES + self._head_bytes
        first = begin // BLOCK_BYTES - chunk.first_block
        blocks = -(-length // BLOCK_BYTES)
        start = first * stride
        return chunk.memory[start : start + length + blocks * self._head_bytes]

    def shrink(self) -> None:
        """Let go of what is cached: nothing is being served."""
        for chunk in self._cache.values():
            chunk.is_cached = False
        self._cache.clear()
        self._pool.shrink()
