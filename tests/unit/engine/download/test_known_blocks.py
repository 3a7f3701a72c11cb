"""Blocks that the host knows beforehand are never asked for, and a piece is complete without them."""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.events import PieceNotWritten, PieceUnreadable
from tests.unit.engine.world import World


def test_known_blocks_are_not_asked_for_and_the_piece_is_complete_without_them() -> None:
    world = World(pieces=2, blocks=4, known={0: 0b1010, 1: 0b1110})
    seed = world.seed()
    assert sorted(seed.asked) == [(0, 0), (0, 2), (1, 0)]
    seed.sends()
    assert world.have == "**"
    stats = world.engine.stats(world.now)
    assert stats.downloaded_bytes == 3 * BLOCK_BYTES
    assert stats.wasted_bytes == stats.missing_bytes == 0
    assert stats.done_bytes == 8 * BLOCK_BYTES


def test_known_blocks_are_no_blocks_to_store_again() -> None:
    world = World(pieces=1, blocks=4, known={0: 0b0110})
    world.seed().sends(1)
    assert world.engine.partial_blocks() == {0: 0b0001}


def test_piece_of_which_only_known_blocks_are_here_has_nothing_to_forget() -> None:
    world = World(pieces=1, blocks=4, known={0: 0b0110})
    world.seed()
    assert world.engine.partial_blocks() == {}


def test_blocks_of_an_earlier_run_are_taken_up_beside_known_ones() -> None:
    # Of the second piece it has stored what was not known to be known then; the third lacks nothing.
    stored = {0: 0b0001, 1: 0b0111, 2: 0b1110, 3: 0b0110}
    world = World(pieces=4, blocks=4, known=dict.fromkeys(range(4), 0b0110), partials=stored)
    assert world.engine.partial_blocks() == {0: 0b0001, 1: 0b0001, 2: 0b1000}
    seed = world.seed()
    assert {block for block in seed.asked if block[0] < 3} == {(0, 3), (1, 3), (2, 0)}
    seed.sends()
    assert world.have == "****"


def test_known_block_that_somebody_sends_was_not_asked_for() -> None:
    world = World(pieces=1, blocks=4, known={0: 0b0110})
    seed = world.seed()
    seed.sends_blocks([(0, 1)], filler=7)
    assert world.engine.partial_blocks() == {}
    assert world.engine.stats(world.now).wasted_bytes == BLOCK_BYTES
    seed.sends()
    assert world.have == "*" and not world.banned


def test_sole_sender_of_wrong_data_beside_known_blocks_is_the_liar() -> None:
    world = World(pieces=1, blocks=4, known={0: 0b0110})
    liar = world.seed()
    liar.sends(filler=9)
    assert world.banned == [liar.endpoint]
    world.seed().sends()
    assert world.have == "*"


def test_only_the_liar_of_two_is_found() -> None:
    world = World(pieces=1, blocks=4, known={0: 0b0110})
    liar = world.seed()
    liar.sends(1, filler=9)
    honest = world.seed()
    liar.leaves()
    honest.sends(1)
    assert not world.banned and world.have == " "
    honest.sends()
    assert world.have == "*" and world.banned == [liar.endpoint]


def test_lost_and_unwritten_pieces_are_fetched_again_without_known_blocks() -> None:
    world = World(pieces=1, blocks=4, known={0: 0b0110}, has_quick_disk=False)
    seed = world.seed()
    seed.sends()
    world.to_hash.clear()
    world.memory.clear()
    world.tell(PieceNotWritten(0))
    seed.sends()
    world.hash_next()
    assert world.have == "*"
    world.verified.discard(0)
    world.tell(PieceUnreadable(0))
    assert sorted(world.seed().asked) == [(0, 0), (0, 3)]
