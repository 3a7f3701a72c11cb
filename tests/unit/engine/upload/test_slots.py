"""When slots change hands between two rounds, seen at the engine's door."""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Have, Interested, Request
from tests.unit.engine.world import World

BLOCKS = 3


def test_slot_of_one_who_passes_nothing_on_goes_to_one_who_waits() -> None:
    """It is told no whenever it asks an only seed; it must not sit in a slot meanwhile."""
    settings = EngineSettings(unchoke_slots=2, miser_pieces=2, allowed_fast_count=0)
    world = World(pieces=6, blocks=BLOCKS, have="******", settings=settings)
    miser, other, waiting = (world.connect("      ") for _ in range(3))
    for peer in (miser, other, waiting):
        peer.says(Interested())
    world.pass_time(0.1)
    assert [peer.is_unchoked for peer in (miser, other, waiting)] == [True, True, False]
    for piece in (0, 1):
        miser.says(Request(piece, 0, BLOCKS * BLOCK_BYTES))
        miser.says(Have(piece))
    world.pass_time(0.1)
    assert [peer.is_unchoked for peer in (miser, other, waiting)] == [False, True, True]
