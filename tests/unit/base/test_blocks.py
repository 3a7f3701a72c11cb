"""Sums on pieces, blocks and masks, against the plain way of counting them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import BLOCK_BYTES, Geometry, lowest_blocks, mask_runs, run_mask

masks = st.integers(0, 2**40 - 1)


def bits(mask: int) -> list[int]:
    return [at for at in range(mask.bit_length()) if mask >> at & 1]


class TestGeometry:
    def test_last_piece_and_last_block_are_short(self) -> None:
        geometry = Geometry(3 * 40_000 + 20_000, 40_000)
        assert (geometry.piece_count, geometry.blocks_per_piece) == (4, 3)
        assert [geometry.piece_bytes(piece) for piece in range(4)] == [40_000, 40_000, 40_000, 20_000]
        assert [geometry.block_count(piece) for piece in range(4)] == [3, 3, 3, 2]
        assert geometry.piece_offset(3) == 120_000
        assert geometry.run_bytes(0, 1, 2) == 40_000 - BLOCK_BYTES
        assert geometry.run_bytes(3, 1, 1) == 20_000 - BLOCK_BYTES

    def test_content_of_one_byte_is_one_block(self) -> None:
        geometry = Geometry(1, 1 << 20)
        assert (geometry.piece_count, geometry.piece_bytes(0), geometry.block_count(0)) == (1, 1, 1)

    def test_empty_content_has_no_piece(self) -> None:
        assert Geometry(0, 1 << 20).piece_count == 0

    @pytest.mark.parametrize(("total", "length"), [(-1, 1), (1, 0), (1, -5)])
    def test_impossible_sizes_are_refused(self, total: int, length: int) -> None:
        with pytest.raises(ValueError, match="impossible geometry"):
            Geometry(total, length)

    @pytest.mark.parametrize(
        ("piece", "begin", "length", "is_inside"),
        [
            (0, 0, 40_000, True),
            (0, 0, 40_001, False),
            (0, 39_999, 1, True),
            (0, 40_000, 1, False),
            (3, 0, 20_000, True),
            (3, 0, 20_001, False),
            (4, 0, 1, False),
            (-1, 0, 1, False),
            (0, -1, 2, False),
            (0, 0, 0, False),
            (0, 2**32 - 1, 32, False),
        ],
    )
    def test_contains_only_what_lies_within_one_piece(
        self, piece: int, begin: int, length: int, is_inside: bool
    ) -> None:
        assert Geometry(140_000, 40_000).contains(piece, begin, length) is is_inside

    @given(st.integers(0, 500_000), st.integers(1000, 100_000))
    def test_pieces_and_blocks_add_up_to_the_content(self, total: int, piece_length: int) -> None:
        geometry = Geometry(total, piece_length)
        pieces = range(geometry.piece_count)
        assert sum(map(geometry.piece_bytes, pieces)) == total
        assert geometry.pieces_bytes(Bitfield(len(pieces), is_full=True)) == total
        for piece in [*pieces[:2], *pieces[-2:]]:
            count = geometry.block_count(piece)
            assert sum(geometry.run_bytes(piece, at, 1) for at in range(count)) == geometry.piece_bytes(piece)
            assert geometry.mask_bytes(piece, geometry.full_mask(piece)) == geometry.piece_bytes(piece)

    @given(st.data())
    def test_bytes_of_a_mask_are_those_of_its_blocks(self, data: st.DataObject) -> None:
        geometry = Geometry(data.draw(st.integers(1, 300_000)), 100_000)
        piece = data.draw(st.integers(0, geometry.piece_count - 1))
        mask = data.draw(st.integers(0, geometry.full_mask(piece)))
        assert geometry.mask_bytes(piece, mask) == sum(geometry.run_bytes(piece, at, 1) for at in bits(mask))


class TestMasks:
    @given(masks)
    def test_runs_are_the_mask_again_lowest_first_and_apart(self, mask: int) -> None:
        runs = list(mask_runs(mask))
        assert sum(run_mask(first, count) for first, count in runs) == mask
        for (first, count), (after, _) in pairwise(runs):
            assert first + count < after

    @given(masks, st.integers(0, 50))
    def test_lowest_blocks_are_the_first_bits(self, mask: int, count: int) -> None:
        assert bits(lowest_blocks(mask, count)) == bits(mask)[:count]
