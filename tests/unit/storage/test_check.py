"""Comparing content with hashes: only what can be there is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarm.base.blocks import Geometry
from swarm.storage.check import check_pieces, pieces_with_data
from swarm.storage.disk import Disk
from tests.unit.storage.layouts import content_of, files_of, hashes_of, layout_of, write_pieces

PIECE = 16384


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], []),
        ([(0, 100)], [0, 1, 2, 3]),
        ([(0, 29)], []),
        ([(0, 30)], [0]),
        ([(1, 60)], [1]),
        # Two files that meet within a piece: it counts as one range.
        ([(0, 45), (45, 90)], [0, 1, 2]),
        ([(0, 45), (46, 100)], [0, 2, 3]),
        # The last piece is short.
        ([(90, 100)], [3]),
        ([(90, 99)], []),
    ],
)
def test_pieces_count_only_where_data_covers_them(ranges: list[tuple[int, int]], expected: list[int]) -> None:
    assert pieces_with_data(Geometry(100, 30), ranges) == expected


async def test_good_pieces_are_found_and_bad_ones_are_not(tmp_path: Path, disk: Disk) -> None:
    layout = layout_of(("a", 100_000), (".pad/1", 14_688), ("b", 400_001))
    content = content_of(layout)
    geometry = Geometry(len(content), PIECE)
    files = files_of(tmp_path, layout)
    write_pieces(files, content, list(range(geometry.piece_count)), PIECE)
    files.write(5 * PIECE + 77, [memoryview(b"wrong")])
    hashed: list[int] = []
    have = await check_pieces(
        files,
        geometry,
        hashes_of(content, geometry),
        disk,
        range(geometry.piece_count),
        progress=lambda size_bytes, good: hashed.append(size_bytes),
    )
    assert list(have.missing()) == [5]
    assert sum(hashed) == len(content)
    files.close()


async def test_pieces_larger_than_a_read_are_hashed_in_steps(tmp_path: Path, disk: Disk) -> None:
    layout = layout_of(("a", (3 << 20) + 12345))
    content = content_of(layout)
    geometry = Geometry(len(content), 2 << 20)
    files = files_of(tmp_path, layout)
    files.write(0, [memoryview(content)])
    have = await check_pieces(files, geometry, hashes_of(content, geometry), disk, [0, 1])
    assert have.is_full
    files.close()


async def test_piece_that_cannot_be_read_is_missing(tmp_path: Path, disk: Disk) -> None:
    layout = layout_of(("a", PIECE), ("gone", PIECE))
    content = content_of(layout)
    geometry = Geometry(len(content), PIECE)
    files = files_of(tmp_path, layout)
    write_pieces(files, content, [0], PIECE)
    have = await check_pieces(files, geometry, hashes_of(content, geometry), disk, [0, 1])
    assert list(have) == [0]
    files.close()


async def test_file_that_was_touched_meanwhile_is_hashed_as_it_is_now(tmp_path: Path, disk: Disk) -> None:
    layout = layout_of(("a", 4 * PIECE), ("b", 4 * PIECE), ("c", PIECE))
    content = content_of(layout)
    geometry = Geometry(len(content), PIECE)
    files = files_of(tmp_path, layout, unwanted=frozenset({1}))
    write_pieces(files, content, list(range(9)), PIECE)
    hashes = hashes_of(content, geometry)
    assert (await check_pieces(files, geometry, hashes, disk, [0, 4, 8])).count == 3
    for name in ("content/a", ".content.part"):
        os.utime(tmp_path / name, ns=(1, 1))
    (tmp_path / "content/c").write_bytes(b"other" + content[8 * PIECE + 5 :])
    assert list((await check_pieces(files, geometry, hashes, disk, range(9))).missing()) == [8]
    files.close()


async def test_of_a_sparse_download_only_what_was_written_needs_hashing(tmp_path: Path) -> None:
    layout = layout_of(("a", 1 << 20), ("b", 1 << 20))
    content = content_of(layout)
    geometry = Geometry(len(content), PIECE)
    files = files_of(tmp_path, layout)
    write_pieces(files, content, [3, 4, 63, 64, 127], PIECE)
    assert pieces_with_data(geometry, files.data_ranges()) == [3, 4, 63, 64, 127]
    files.close()
