"""Blocks gathered, hashed and written."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path

import pytest

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.errors import StorageError
from swarm.metainfo.pads import Pads
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles
from swarm.storage.pieces import PieceHashed, PieceStore
from tests.unit.storage.layouts import (
    CONTENT,
    GEOMETRY,
    PIECE,
    content_of,
    files_of,
    hashes_of,
    layout_of,
)


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


async def test_blocks_that_never_come_are_hashed_as_zeros_in_used_memory(tmp_path: Path, disk: Disk) -> None:
    # The file ends within the second block; the last piece is short.
    layout = layout_of(
        ("a", BLOCK_BYTES + 5), (".pad/1", PIECE - BLOCK_BYTES - 5), ("b", 9), (".pad/2", PIECE - 100)
    )
    content = content_of(layout)
    geometry = Geometry(len(content), PIECE)
    files = files_of(tmp_path, layout)
    results: list[PieceHashed] = []
    bugs: list[BaseException] = []
    store = PieceStore(
        files,
        geometry,
        hashes_of(content, geometry),
        disk,
        results.extend,
        bugs.append,
        zero_blocks=Pads(layout.files, geometry).blocks,
    )
    # What is lent next is full of other things.
    for _ in range(2):
        disk.buffers.give_back(memoryview(bytearray(b"?" * PIECE)))
    data = memoryview(content)
    store.store(0, 0, [data[:BLOCK_BYTES], data[BLOCK_BYTES : 2 * BLOCK_BYTES]], 0b11)
    store.store(1, 0, [data[PIECE : PIECE + BLOCK_BYTES]], 0b1)
    store.hash_and_write([(0, True), (1, False)])
    await disk.drained()
    assert bugs == []
    zeros = sha1(bytes(BLOCK_BYTES)).digest()
    assert [(result.piece, result.is_good) for result in results] == [(0, True), (1, True)]
    assert results[0].block_digests[2:] == (zeros, zeros)
    assert files.path_of(0).read_bytes() == content[: BLOCK_BYTES + 5]
    assert files.path_of(2).read_bytes() == content[PIECE : PIECE + 9]
    assert sorted(path.name for path in (tmp_path / "content").rglob("*")) == ["a", "b"]
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
