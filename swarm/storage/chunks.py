"""Content on its way to peers: read by the chunk, in the form of the wire, and kept for the next who asks."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.storage.buffers import BufferPool
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles

#: What is read at a time for serving: 64 blocks.
CHUNK_BLOCKS = 64
#: Chunks kept for the next peer that asks for the same.
CHUNK_CACHE_BYTES = 16 << 20
#: What may be read on the loop in a second, if it is in memory. To hand a small read to a thread and its
#: answer back costs more than the read; where there are thousands of them the loop has no time for them.
READ_AT_ONCE_BYTES = 16 << 20


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
