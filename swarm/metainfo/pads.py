"""Which blocks of a torrent's pieces are padding: zeros that nobody needs to send (BEP 47)."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import compress

from swarm.base.blocks import BLOCK_BYTES, Geometry, run_mask
from swarm.metainfo.files import FileEntry


class Pads:
    """Finds the blocks that lie wholly in pad files.

    A torrent may have a pad file behind each of 100,000 others: only where they lie is kept, 16 bytes for
    each. Those too short to hold a block are not, so that a piece costs no more than it has blocks.

    Args:
        files: in the torrent's order, each starting where the one before ended.
    """

    __slots__ = ("_ends", "_geometry", "_starts")

    def __init__(self, files: Iterable[FileEntry], geometry: Geometry) -> None:
        self._geometry = geometry
        starts, ends = array("q"), array("q")
        for _, length, offset, is_pad in files:
            if not is_pad:
                continue
            if ends and ends[-1] == offset:
                ends[-1] += length
            else:
                starts.append(offset)
                ends.append(offset + length)
        kept = [self._has_block(start, end) for start, end in zip(starts, ends, strict=True)]
        #: Of the padding, neighbouring files as one, in the content.
        self._starts = array("q", compress(starts, kept))
        self._ends = array("q", compress(ends, kept))

    def _has_block(self, start: int, end: int) -> bool:
        """Whether a block may lie in these bytes."""
        if end - start >= BLOCK_BYTES:
            return True
        # The last block of a piece may be short.
        piece_length = self._geometry.piece_length
        return start < end and (
            start // piece_length < end // piece_length or end == self._geometry.total_bytes
        )

    def __bool__(self) -> bool:
        return bool(self._starts)

    def blocks(self, piece: int) -> int:
        """The mask of the blocks of `piece` that are padding; none where all of them are.

        Such a piece has nothing to fetch: it is right as soon as the content is checked. Where it is not, its
        hash is not that of zeros, and it is a piece like any other.
        """
        geometry = self._geometry
        begin, length = geometry.piece_offset(piece), geometry.piece_bytes(piece)
        mask = 0
        first_run, end_run = bisect_right(self._ends, begin), bisect_left(self._starts, begin + length)
        for start, end in zip(self._starts[first_run:end_run], self._ends[first_run:end_run], strict=True):
            first = -(-max(start - begin, 0) // BLOCK_BYTES)
            # The last block ends with the piece.
            past = (end - begin) // BLOCK_BYTES if end - begin < length else geometry.block_count(piece)
            if first < past:
                mask |= run_mask(first, past - first)
        return mask if mask != geometry.full_mask(piece) else 0
