"""Blocks of incomplete pieces, from one run to the next."""

from __future__ import annotations

from typing import cast

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.errors import StorageError
from swarm.session.keeping.partial_blocks import PartialBlocks
from swarm.storage.pieces import PieceStore

#: Three pieces of four blocks; the last has one and a half.
GEOMETRY = Geometry(9 * BLOCK_BYTES + BLOCK_BYTES // 2, 4 * BLOCK_BYTES)


class FakeStore:
    """Notes what it is given; the pieces in `bad` fail."""

    def __init__(self, bad: set[int] | None = None) -> None:
        self.bad = bad or set()
        self.runs: dict[int, list[tuple[int, int]]] = {}

    def write_blocks(self, piece: int, runs: list[tuple[int, int]]) -> None:
        if piece in self.bad:
            raise StorageError("the disk is full", path="file.bin")
        self.runs[piece] = runs

    load_blocks = write_blocks

    @property
    def as_store(self) -> PieceStore:
        return cast(PieceStore, self)


def believing(masks: dict[int, int], have: str = "000") -> PartialBlocks:
    partials = PartialBlocks(GEOMETRY)
    verified = Bitfield(3)
    for piece, flag in enumerate(have):
        if flag == "1":
            verified.add(piece)
    partials.believe(masks, verified)
    return partials


def test_what_cannot_be_is_not_believed() -> None:
    saved = {-1: 1, 0: 0b0110, 1: 0b1111, 2: 0b01, 3: 1}
    assert believing(saved).masks == {0: 0b0110, 2: 0b01}
    assert believing({0: 0, 2: 0b11, 1: 0b10000}).masks == {}


def test_pieces_that_are_verified_have_no_partial_blocks() -> None:
    assert believing({0: 1, 1: 1}, have="100").masks == {1: 1}


def test_loaded_blocks_are_taken_once() -> None:
    partials = believing({0: 0b1011, 2: 0b10})
    store = FakeStore()
    partials.load(store.as_store)
    assert store.runs == {
        0: [(0, 2 * BLOCK_BYTES), (3 * BLOCK_BYTES, BLOCK_BYTES)],
        2: [(BLOCK_BYTES, BLOCK_BYTES // 2)],
    }
    assert partials.take() == {0: 0b1011, 2: 0b10}
    assert partials.take() == {}


def test_what_cannot_be_read_is_fetched_again() -> None:
    partials = believing({0: 1, 1: 1})
    partials.load(FakeStore(bad={0}).as_store)
    assert partials.take() == {1: 1}


def test_only_what_was_written_counts_as_kept_and_the_user_hears_of_the_rest() -> None:
    partials, notices = PartialBlocks(GEOMETRY), []
    partials.keep({0: 1, 1: 1, 2: 1}, FakeStore(bad={1}).as_store, lambda *notice: notices.append(notice))
    assert partials.masks == {0: 1}
    ((level, text),) = notices
    assert level == "warning" and "could not be kept" in text
