"""Blocks gathered, hashed and written; chunks read for serving, in wire form, from a small cache."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.errors import StorageError
from swarm.storage import pieces
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles
from swarm.storage.pieces import Chunk, ChunkReader, PieceHashed, PieceStore
from tests.unit.storage.layouts import content_of, files_of, hashes_of, layout_of, write_pieces

PIECE = 4 * BLOCK_BYTES
LAYOUT = layout_of(("a", 3 * PIECE), ("b", PIECE + 100))
CONTENT = content_of(LAYOUT)
GEOMETRY = Geometry(len(CONTENT), PIECE)
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


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk(asyncio.get_running_loop(), thread_count=2)
    yield disk
    await disk.close()


@pytest.fixture
def files(tmp_path: Path) -> ContentFiles:
    return files_of(tmp_path, LAYOUT)


class Store:
    """A `PieceStore` and what it reported."""

    def __init__(
        self,
        files: ContentFiles,
        disk: Disk,
        on_short: Callable[[StorageError], None] | None = None,
    ) -> None:
        self.results: list[PieceHashed] = []
        self.bugs: list[BaseException] = []
        self.pieces = PieceStore(
            files,
            GEOMETRY,
            hashes_of(CONTENT, GEOMETRY),
            disk,
            lambda results: self.results.extend(results),
            self.bugs.append,
            on_short,
        )

    def fill(self, piece: int, content: bytes = CONTENT) -> None:
        """All blocks of a piece, in two runs, the later one first."""
        data = memoryview(content)[piece * PIECE : piece * PIECE + GEOMETRY.piece_bytes(piece)]
        parts = [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
        self.pieces.store(piece, BLOCK_BYTES, parts[1:], (1 << len(parts)) - 1)
        self.pieces.store(piece, 0, parts[:1], 1)


async def test_good_pieces_are_written_and_reported_together(files: ContentFiles, disk: Disk) -> None:
    store = Store(files, disk)
    for piece in (0, 4):
        store.fill(piece)
    store.pieces.hash_and_write([(0, False), (4, False)])
    await disk.drained()
    assert store.results == [PieceHashed(0, True), PieceHashed(4, True)]
    assert files.path_of(0).read_bytes() == CONTENT[:PIECE]
    files.close()


async def test_work_on_pieces_is_told_apart_into_hashing_and_writing(files: ContentFiles, disk: Disk) -> None:
    store = Store(files, disk)
    assert store.pieces.hashing_share is None
    store.fill(0)
    store.pieces.hash_and_write([(0, False)])
    await disk.drained()
    share = store.pieces.hashing_share
    assert share is not None and 0 < share < 1
    files.close()


async def test_bad_piece_is_not_written_and_its_blocks_are_named(files: ContentFiles, disk: Disk) -> None:
    store = Store(files, disk)
    store.fill(1, bytes(len(CONTENT)))
    store.pieces.hash_and_write([(1, False)])
    await disk.drained()
    (result,) = store.results
    assert not result.is_good
    assert len(result.block_digests) == 4
    assert not files.path_of(0).exists()
    assert store.pieces.gathered == []
    files.close()


async def test_blocks_that_are_not_wanted_are_not_copied(files: ContentFiles, disk: Disk) -> None:
    store = Store(files, disk)
    store.fill(0)
    wrong = memoryview(bytes(2 * BLOCK_BYTES))
    store.pieces.store(0, BLOCK_BYTES, [wrong[:BLOCK_BYTES], wrong[BLOCK_BYTES:]], 0b00)
    store.pieces.hash_and_write([(0, True)])
    await disk.drained()
    assert store.results[0].is_good
    files.close()


async def test_forgotten_piece_starts_anew(files: ContentFiles, disk: Disk) -> None:
    store = Store(files, disk)
    store.fill(2)
    assert store.pieces.gathered == [2]
    store.pieces.forget(2)
    store.pieces.forget(2)
    assert store.pieces.gathered == []
    files.close()


async def test_good_piece_that_cannot_be_written_comes_back_with_the_error(
    tmp_path: Path, files: ContentFiles, disk: Disk
) -> None:
    (tmp_path / "content").write_text("in the way")
    store = Store(files, disk)
    store.fill(0)
    store.pieces.hash_and_write([(0, False)])
    await disk.drained()
    (result,) = store.results
    assert result.is_good and result.error is not None
    assert result.error.path == str(tmp_path / "content/a")
    files.close()


async def test_pieces_that_found_no_room_are_reported_even_if_who_had_them_written_is_cancelled(
    files: ContentFiles, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortages: list[StorageError] = []
    store = Store(files, disk, shortages.append)
    write = files.write
    is_full, may_go_on = True, threading.Event()

    def write_slowly(offset: int, views: Sequence[memoryview]) -> None:
        if is_full:
            raise StorageError("the disk is full", error_number=errno.ENOSPC)
        may_go_on.wait(20)
        write(offset, views)

    monkeypatch.setattr(files, "write", write_slowly)
    store.fill(0)
    store.pieces.hash_and_write([(0, False)])
    await disk.drained()
    assert len(shortages) == 1 and not store.results
    is_full = False
    writing = asyncio.create_task(store.pieces.write_kept())
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    # Who comes next waits for it, and finds nothing left to be done.
    again = asyncio.create_task(store.pieces.write_kept())
    may_go_on.set()
    assert await again
    assert [(result.piece, result.error) for result in store.results] == [(0, None)]


async def test_blocks_of_an_incomplete_piece_survive_a_stop(files: ContentFiles, disk: Disk) -> None:
    store = Store(files, disk)
    store.fill(3)
    store.pieces.write_blocks(3, [(0, BLOCK_BYTES), (2 * BLOCK_BYTES, BLOCK_BYTES)])
    again = Store(files, disk)
    again.pieces.load_blocks(3, [(0, BLOCK_BYTES), (2 * BLOCK_BYTES, BLOCK_BYTES)])
    data = memoryview(CONTENT)[3 * PIECE : 4 * PIECE]
    again.pieces.store(3, BLOCK_BYTES, [data[BLOCK_BYTES : 2 * BLOCK_BYTES]], 1)
    again.pieces.store(3, 3 * BLOCK_BYTES, [data[3 * BLOCK_BYTES :]], 1)
    again.pieces.hash_and_write([(3, False)])
    await disk.drained()
    assert again.results == [PieceHashed(3, True)]
    files.close()


# -- serving --------------------------------------------------------------------------------------


class Reader:
    """A `ChunkReader` over content that is there, and what came of it."""

    def __init__(self, files: ContentFiles, disk: Disk) -> None:
        self.got: list[Chunk | None] = []
        self.errors: list[BaseException | None] = []
        self.chunks = ChunkReader(files, GEOMETRY, disk, HEAD_BYTES, write_head)

    def done(self, chunk: Chunk | None, error: BaseException | None) -> None:
        self.got.append(chunk)
        self.errors.append(error)


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
    (chunk,) = reader.got
    assert chunk is not None
    assert bytes(reader.chunks.run_of(chunk, 0, PIECE)) == on_wire(1, 0, PIECE)
    reader.chunks.unpin(chunk)


async def test_where_very_much_is_read_the_loop_leaves_it_to_the_threads(
    reader: Reader, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[int] = []
    preadv = os.preadv

    def note(descriptor: int, views: Sequence[memoryview], offset: int, flags: int = 0) -> int:
        at_once.append(flags)
        return preadv(descriptor, views, offset)

    monkeypatch.setattr(os, "preadv", note)
    monkeypatch.setattr(pieces, "READ_AT_ONCE_BYTES", 0)
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
    (chunk,) = reader.got
    assert chunk is not None
    assert bytes(reader.chunks.run_of(chunk, 0, PIECE)) == on_wire(1, 0, PIECE)
    reader.chunks.unpin(chunk)


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
    (chunk,) = reader.got
    assert chunk is not None
    assert bytes(reader.chunks.run_of(chunk, 0, PIECE)) == on_wire(1, 0, PIECE)
    reader.chunks.unpin(chunk)


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
