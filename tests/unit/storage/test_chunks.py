"""Chunks read for serving, in wire form, from a small cache."""

from __future__ import annotations

import errno
import os
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from swarm.base.blocks import BLOCK_BYTES
from swarm.storage import chunks
from swarm.storage.chunks import Chunk, ChunkReader
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles
from tests.unit.storage.layouts import (
    CONTENT,
    GEOMETRY,
    PIECE,
    write_pieces,
)

HEAD_BYTES = 13


def write_head(buffer: memoryview, at: int, piece: int, begin: int, length: int) -> None:
    struct.pack_into(">IBII", buffer, at, length + 9, 7, piece, begin)


def on_wire(piece: int, begin: int, length: int, block_bytes: int = BLOCK_BYTES) -> bytes:
    """The messages that carry `length` bytes of a piece from `begin` on."""
    frames = []
    for start in range(begin, begin + length, block_bytes):
        size = min(block_bytes, begin + length - start)
        at = piece * PIECE + start
        frames.append(struct.pack(">IBII", size + 9, 7, piece, start) + CONTENT[at : at + size])
    return b"".join(frames)


class Reader:
    """A `ChunkReader` over content that is there, and what came of it."""

    def __init__(self, files: ContentFiles, disk: Disk) -> None:
        self.got: list[Chunk | None] = []
        self.errors: list[BaseException | None] = []
        self.chunks = ChunkReader(files, GEOMETRY, disk, HEAD_BYTES, write_head)

    def done(self, chunk: Chunk | None, error: BaseException | None) -> None:
        self.got.append(chunk)
        self.errors.append(error)

    def check_got(self, piece: int) -> None:
        """All that has come is this piece; it is given back."""
        (chunk,) = self.got
        assert chunk is not None
        assert bytes(self.chunks.run_of(chunk, 0, PIECE)) == on_wire(piece, 0, PIECE)
        self.chunks.unpin(chunk)


@pytest.fixture
def reader(files: ContentFiles, disk: Disk) -> Reader:
    write_pieces(files, CONTENT, list(range(GEOMETRY.piece_count)), PIECE)
    return Reader(files, disk)


@pytest.mark.parametrize(
    ("piece", "begin", "length"),
    [
        (0, 0, PIECE),
        (1, BLOCK_BYTES, 2 * BLOCK_BYTES),
        (2, 3 * BLOCK_BYTES, BLOCK_BYTES),
        (4, 0, 100),
    ],
)
async def test_run_of_a_chunk_is_the_blocks_on_the_wire(
    reader: Reader, disk: Disk, piece: int, begin: int, length: int
) -> None:
    assert reader.chunks.has_heads_for(piece, begin, length, BLOCK_BYTES)
    reader.chunks.get(piece, reader.chunks.chunk_of(begin), reader.done)
    await disk.drained()
    (chunk,) = reader.got
    assert chunk is not None
    assert bytes(reader.chunks.run_of(chunk, begin, length)) == on_wire(piece, begin, length)
    reader.chunks.unpin(chunk)


@pytest.mark.parametrize(
    ("begin", "length", "block_bytes"), [(5, 1000, 1000), (0, 3 * 5000, 5000), (0, 2 * BLOCK_BYTES, 32768)]
)
async def test_odd_requests_are_answered_as_they_were_cut(
    reader: Reader, disk: Disk, begin: int, length: int, block_bytes: int
) -> None:
    assert not reader.chunks.has_heads_for(1, begin, length, block_bytes)
    reader.chunks.get_odd(1, begin, length, block_bytes, reader.done)
    await disk.drained()
    (chunk,) = reader.got
    assert chunk is not None
    assert bytes(chunk.memory) == on_wire(1, begin, length, block_bytes)
    reader.chunks.unpin(chunk)


async def test_chunk_asked_for_by_many_is_read_once(reader: Reader, disk: Disk) -> None:
    for _ in range(3):
        reader.chunks.get(0, 0, reader.done)
    await disk.drained()
    reader.chunks.get(0, 0, reader.done)
    assert len(reader.got) == 4
    assert len(set(map(id, reader.got))) == 1
    chunk = reader.got[0]
    assert chunk is not None and chunk.pins == 4
    for _ in range(4):
        reader.chunks.unpin(chunk)


def fails(error: int) -> Callable[..., int]:
    """A `preadv` that cannot answer at once; without the flag it is the real one."""
    preadv = os.preadv

    def answer(descriptor: int, views: Sequence[memoryview], offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(error, os.strerror(error))
        return preadv(descriptor, views, offset)

    return answer


async def test_chunk_that_is_in_memory_is_there_at_once(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every file system can answer at once: for one that cannot its whole answer stands in."""
    preadv = os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda descriptor, views, offset, flags: preadv(descriptor, views, offset)
    )
    reader.chunks.get(1, 0, reader.done)
    reader.check_got(1)


async def test_where_very_much_is_read_the_loop_leaves_it_to_the_threads(
    reader: Reader, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[int] = []
    preadv = os.preadv

    def note(descriptor: int, views: Sequence[memoryview], offset: int, flags: int = 0) -> int:
        at_once.append(flags)
        return preadv(descriptor, views, offset)

    monkeypatch.setattr(os, "preadv", note)
    monkeypatch.setattr(chunks, "READ_AT_ONCE_BYTES", 0)
    reader.chunks.get(1, 0, reader.done)
    await disk.drained()
    assert at_once == [0]
    (chunk,) = reader.got
    assert chunk is not None
    reader.chunks.unpin(chunk)


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.EOPNOTSUPP])
async def test_chunk_that_the_disk_has_to_fetch_is_read_in_a_thread(
    reader: Reader, disk: Disk, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "preadv", fails(error))
    reader.chunks.get(1, 0, reader.done)
    assert not reader.got
    await disk.drained()
    reader.check_got(1)


async def test_half_of_a_chunk_in_memory_is_not_taken_for_all_of_it(
    reader: Reader, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv = os.preadv

    def half(descriptor: int, views: Sequence[memoryview], offset: int, flags: int = 0) -> int:
        return preadv(descriptor, views[: len(views) // 2] if flags else views, offset)

    monkeypatch.setattr(os, "preadv", half)
    reader.chunks.get(1, 0, reader.done)
    assert not reader.got
    await disk.drained()
    reader.check_got(1)


async def test_memory_of_a_chunk_being_sent_is_not_used_again(reader: Reader, disk: Disk) -> None:
    reader.chunks.get(0, 0, reader.done)
    await disk.drained()
    pinned = reader.got[0]
    assert pinned is not None
    before = bytes(pinned.memory)
    reader.chunks.forget(0)
    for piece in range(1, 5):
        reader.chunks.get(piece, 0, reader.done)
    await disk.drained()
    assert bytes(pinned.memory) == before
    assert all(chunk is not None and chunk.memory is not pinned.memory for chunk in reader.got[1:])
    for chunk in reader.got:
        assert chunk is not None
        reader.chunks.unpin(chunk)


async def test_unreadable_piece_is_an_error_for_all_who_wait(
    files: ContentFiles, reader: Reader, disk: Disk
) -> None:
    files.path_of(0).write_bytes(b"short")
    reader.chunks.get(1, 0, reader.done)
    reader.chunks.get(1, 0, reader.done)
    reader.chunks.get_odd(1, 1, 5, 5, reader.done)
    await disk.drained()
    assert reader.got == [None] * 3
    assert all("shorter than the torrent says" in str(error) for error in reader.errors)


class NotToBeGoneThrough(OrderedDict[Any, Any]):
    def __iter__(self) -> Iterator[Any]:
        pytest.fail("all that is kept was looked at")


async def test_chunks_of_a_piece_are_forgotten_without_a_look_at_all_others(
    reader: Reader, disk: Disk
) -> None:
    for piece in range(2):
        reader.chunks.get(piece, 0, reader.done)
    await disk.drained()
    for chunk in reader.got:
        assert chunk is not None
        reader.chunks.unpin(chunk)
    # Of a file that was touched a hundred thousand pieces are forgotten at once, while a thousand are kept.
    reader.chunks._cache = NotToBeGoneThrough(reader.chunks._cache.items())
    reader.chunks.forget(1)
    assert len(reader.chunks._cache) == 1 and (0, 0) in reader.chunks._cache
