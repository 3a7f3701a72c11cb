"""Which bytes lie in which file."""

from __future__ import annotations

import pytest

from swarm.base.blocks import Geometry
from swarm.metainfo.files import FileEntry, FileRange, Layout


def layout(*lengths: int) -> Layout:
    files = []
    offset = 0
    for number, length in enumerate(lengths):
        files.append(FileEntry((str(number),), length, offset))
        offset += length
    return Layout(files)


@pytest.mark.parametrize(
    ("offset", "length", "ranges"),
    [
        (0, 10, [(0, 0, 10)]),
        (0, 11, [(0, 0, 10), (2, 0, 1)]),
        (9, 1, [(0, 9, 1)]),
        (10, 5, [(2, 0, 5)]),
        (12, 8, [(2, 2, 3), (4, 0, 5)]),
        (0, 20, [(0, 0, 10), (2, 0, 5), (4, 0, 5)]),
        (20, 0, []),
        (10, 0, []),
        (0, 0, []),
    ],
)
def test_ranges_skip_empty_files(offset: int, length: int, ranges: list[tuple[int, int, int]]) -> None:
    assert layout(10, 0, 5, 0, 5, 0).ranges(offset, length) == [FileRange(*found) for found in ranges]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 21), (20, 1), (0, -1)])
def test_ranges_beyond_the_content_are_the_callers_bug(offset: int, length: int) -> None:
    with pytest.raises(IndexError):
        layout(10, 10).ranges(offset, length)


def test_leading_empty_files_are_skipped_too() -> None:
    assert layout(0, 0, 3).ranges(0, 3) == [FileRange(2, 0, 3)]


def test_pieces_of_a_file_include_those_it_shares() -> None:
    found = layout(10, 0, 16, 6)
    geometry = Geometry(32, 8)
    assert [found.pieces_of(index, geometry) for index in range(4)] == [
        range(2),
        range(0),
        range(1, 4),
        range(3, 4),
    ]


def test_end_is_the_sum_of_lengths() -> None:
    assert layout(10, 0, 5).end_offset == 15
    assert layout(0).end_offset == 0
