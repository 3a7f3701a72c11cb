"""All arithmetic on pieces, blocks and bytes: nobody else divides by a piece length.

A set of blocks within one piece is a *mask*: an int whose bit *i* stands for block *i*. A run of neighbouring
blocks is then one shift and one subtraction, a union is `|`, and a count is `int.bit_count()`: the cost of a
run does not depend on its length (decision 001).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from swarm.base.bitfield import Bitfield
from swarm.base.dataclass import dataclass

#: The length of a request of every client (BEP 3: "all current implementations use 2^14").
BLOCK_BYTES = 16384
#: The length of a piece's SHA-1.
HASH_BYTES = 20


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the content of a torrent is cut into pieces, and pieces into blocks.

    Piece indices that are passed are below `piece_count`, block indices below `block_count(piece)`; only
    `contains` takes any numbers.

    Args:
        total_bytes: length of the content, >= 0.
        piece_length: bytes of every piece but the last, > 0.

    Raises:
        ValueError: they are not.
    """

    total_bytes: int
    piece_length: int
    piece_count: int = field(init=False)
    blocks_per_piece: int = field(init=False)

    def __post_init__(self) -> None:
        if self.total_bytes < 0 or self.piece_length <= 0:
            raise ValueError(
                f"impossible geometry: {self.total_bytes} bytes in pieces of {self.piece_length}"
            )
        object.__setattr__(self, "piece_count", -(-self.total_bytes // self.piece_length))
        object.__setattr__(self, "blocks_per_piece", -(-self.piece_length // BLOCK_BYTES))

    def piece_offset(self, piece: int) -> int:
        """Where `piece` begins in the content, in bytes."""
        return piece * self.piece_length

    def piece_bytes(self, piece: int) -> int:
        """The length of `piece` in bytes: the last one may be shorter."""
        if piece == self.piece_count - 1:
            return self.total_bytes - piece * self.piece_length
        return self.piece_length

    def pieces_bytes(self, pieces: Bitfield) -> int:
        """The length of all `pieces` together, in bytes."""
        total = pieces.count * self.piece_length
        if self.piece_count and pieces.flags[-1]:
            total -= self.piece_length - self.piece_bytes(self.piece_count - 1)
        return total

    def block_count(self, piece: int) -> int:
        """How many blocks `piece` has."""
        if piece == self.piece_count - 1:
            return -(-self.piece_bytes(piece) // BLOCK_BYTES)
        return self.blocks_per_piece

    def full_mask(self, piece: int) -> int:
        """The mask of all blocks of `piece`."""
        return (1 << self.block_count(piece)) - 1

    def run_bytes(self, piece: int, first: int, count: int) -> int:
        """The bytes of `count` blocks of `piece` from block `first` on; the last block may be shorter."""
        end = min((first + count) * BLOCK_BYTES, self.piece_bytes(piece))
        return end - first * BLOCK_BYTES

    def mask_bytes(self, piece: int, mask: int) -> int:
        """The length of the blocks in `mask`, in bytes."""
        total = mask.bit_count() * BLOCK_BYTES
        last = self.block_count(piece) - 1
        if mask >> last & 1:
            total -= (last + 1) * BLOCK_BYTES - self.piece_bytes(piece)
        return total

    def contains(self, piece: int, begin: int, length: int) -> bool:
        """Do the `length` bytes from `begin` on lie within `piece`? For any numbers, such as a peer sends."""
        return (
            0 <= piece < self.piece_count
            and begin >= 0
            and length > 0
            and begin + length <= self.piece_bytes(piece)
        )


def run_mask(first: int, count: int) -> int:
    """The mask of `count` blocks from block `first` on."""
    return ((1 << count) - 1) << first


def mask_runs(mask: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of `mask` as (first, count), lowest first."""
    at = 0
    while mask:
        gap = (mask & -mask).bit_length() - 1
        mask >>= gap
        at += gap
        count = (~mask & (mask + 1)).bit_length() - 1
        yield at, count
        mask >>= count
        at += count


def lowest_blocks(mask: int, count: int) -> int:
    """The mask of the `count` lowest blocks of `mask` (all of it where it has fewer)."""
    if mask.bit_count() <= count:
        return mask
    taken = 0
    for first, length in mask_runs(mask):
        if length >= count:
            return taken | run_mask(first, count)
        taken |= run_mask(first, length)
        count -= length
    return taken


def piece_hash(piece_hashes: bytes, piece: int) -> bytes:
    """The SHA-1 that `piece` must have, out of those of all pieces, one after the other."""
    return piece_hashes[piece * HASH_BYTES : (piece + 1) * HASH_BYTES]
