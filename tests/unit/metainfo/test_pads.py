"""Which blocks are padding, compared with a look at every byte."""

from __future__ import annotations

import random

import pytest

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.metainfo.files import FileEntry
from swarm.metainfo.pads import Pads

B = BLOCK_BYTES


def files_of(*lengths: int) -> list[FileEntry]:
    """Files of these lengths, end to end; one with a negative length is a pad file."""
    files = []
    offset = 0
    for number, length in enumerate(lengths):
        files.append(FileEntry((str(number),), abs(length), offset, is_pad=length < 0))
        offset += abs(length)
    return files


def masks(piece_length: int, *lengths: int) -> list[int]:
    geometry = Geometry(sum(map(abs, lengths)), piece_length)
    pads = Pads(files_of(*lengths), geometry)
    return [pads.blocks(piece) for piece in range(geometry.piece_count)]


@pytest.mark.parametrize(
    ("piece_length", "lengths", "expected"),
    [
        # A file and what it lacks of a piece.
        (4 * B, (B + 1, -(3 * B - 1), 4 * B), [0b1100, 0]),
        (4 * B, (B, -3 * B, 4 * B), [0b1110, 0]),
        # No whole block.
        (4 * B, (4 * B - 100, -100, 5), [0, 0]),
        # Two pad files, neither with a whole block, and an empty file between them.
        (2 * B, (B - 1, -(B // 2), 0, -(B // 2 + 1)), [0b10]),
        # In the middle of a piece; and a piece that begins with padding.
        (4 * B, (B, -B, 2 * B, -B, 3 * B), [0b0010, 0b0001]),
        # The last block of the content is short.
        (4 * B, (B, -100), [0b10]),
        (4 * B, (B - 100, -100), [0]),
        # Blocks do not lie on multiples of 16 KiB in a torrent whose pieces are no multiple of it.
        (B + 100, (B, -100, B + 50, -50, 7), [0b10, 0, 0]),
        # All of a piece: it is not fetched, but checked.
        (2 * B, (B, -(B + 2 * B), 2 * B), [0b10, 0, 0]),
        (2 * B, (B, -(B + 4 * B), 2 * B, -1), [0b10, 0, 0, 0, 0]),
    ],
)
def test_blocks_of_zeros(piece_length: int, lengths: tuple[int, ...], expected: list[int]) -> None:
    assert masks(piece_length, *lengths) == expected


def test_torrent_without_padding_has_none() -> None:
    for lengths in ((5 * B,), (B, 0, 7), (0,)):
        assert not Pads(files_of(*lengths), Geometry(sum(lengths), 2 * B))


def test_padding_too_short_for_a_block_is_not_kept() -> None:
    lengths = [1, -1] * 1000 + [2 * B]
    assert not Pads(files_of(*lengths), Geometry(sum(map(abs, lengths)), 2 * B))


@pytest.mark.parametrize("seed", range(40))
def test_any_files_agree_with_a_look_at_every_byte(seed: int) -> None:
    rng = random.Random(seed)
    sizes = [0, 1, 100, B - 1, B, B + 1, 2 * B, 3 * B + 5]
    lengths = [rng.choice(sizes) * rng.choice([1, -1]) for _ in range(rng.randint(1, 25))]
    piece_length = rng.choice([B, 2 * B, 4 * B, B // 2, B + 100, 5000])
    content = b"".join((b"p" if length < 0 else b"d") * abs(length) for length in lengths)
    expected = []
    for at in range(0, len(content), piece_length):
        piece = content[at : at + piece_length]
        blocks = [piece[begin : begin + B] for begin in range(0, len(piece), B)]
        mask = sum(1 << index for index, block in enumerate(blocks) if b"d" not in block)
        expected.append(mask if b"d" in piece else 0)
    assert masks(piece_length, *lengths) == expected
