"""Who is idle is asked as soon as there is something to ask for, whoever the event was about."""

from __future__ import annotations

import pytest

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.events import PieceNotWritten, PieceUnreadable
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Choke, Extended, Have, Reject, Request
from tests.unit.engine.world import FakePeer, World

#: Nothing is asked of two, or moved before somebody has waited for long.
NO_END_GAME = EngineSettings(end_game_advantage=1e9, give_up_s=1e9)


def rejects(peer: FakePeer) -> list[Reject]:
    return [Reject(piece, block * BLOCK_BYTES, BLOCK_BYTES) for piece, block in peer.asked]


def one_busy_and_one_idle(**options: bool) -> tuple[World, FakePeer, FakePeer]:
    world = World(pieces=1, settings=NO_END_GAME)
    busy, idle = world.seed(**options), world.seed()
    assert len(busy.asked) == 2 and not idle.asked
    return world, busy, idle


def test_what_one_rejects_is_asked_of_another_at_once() -> None:
    _, busy, idle = one_busy_and_one_idle()
    busy.says(*rejects(busy))
    assert len(idle.asked) == 2


def test_what_one_rejects_as_it_chokes_is_asked_of_another_at_once() -> None:
    _, busy, idle = one_busy_and_one_idle()
    busy.says(Choke(), *rejects(busy))
    assert len(idle.asked) == 2


def test_what_one_has_lost_is_asked_of_another_at_once() -> None:
    _, busy, idle = one_busy_and_one_idle(has_fast=False)
    busy.says(Extended(1, bytes(4)))
    assert len(idle.asked) == 2


def test_piece_that_was_not_written_is_asked_for_at_once() -> None:
    world = World(pieces=2, has_quick_disk=False)
    seed = world.connect("* ", is_unchoking=True)
    seed.sends()
    world.to_hash.clear()
    world.memory.clear()
    world.tell(PieceNotWritten(0))
    assert len(seed.asked) == 2


def test_pieces_that_were_not_written_make_room_for_others() -> None:
    chosen = EngineSettings(in_flight_bytes_max=4 * 2 * BLOCK_BYTES)
    world = World(pieces=8, blocks=2, settings=chosen, has_quick_disk=False)
    seed = world.seed()
    seed.sends()
    assert len(world.to_hash) == 4 and not seed.asked
    for piece, _ in list(world.to_hash):
        world.to_hash.pop(0)
        del world.memory[piece]
        world.tell(PieceNotWritten(piece))
    world.has_quick_disk = True
    seed.sends()
    assert world.have == "********"


def test_who_has_fallen_silent_does_not_fill_the_memory_until_the_timeout() -> None:
    chosen = EngineSettings(in_flight_bytes_max=4 * 2 * BLOCK_BYTES)
    world = World(pieces=20, blocks=2, settings=chosen)
    idle = world.connect("*" + " " * 19, is_unchoking=True)
    idle.sends()
    silent = world.seed()
    assert len(silent.asked) == 8
    idle.says(*map(Have, range(1, 20)))
    assert not idle.asked
    world.pass_time(10)
    assert idle.asked and world.settings.request_timeout_s > 10


def memory_full_of_stuck_pieces(blocks_come: int) -> tuple[World, FakePeer]:
    """Four pieces fit; who has them has sent some blocks of each and is gone. The peer has others."""
    chosen = EngineSettings(in_flight_bytes_max=4 * 3 * BLOCK_BYTES, request_depth_start=12)
    world = World(pieces=12, blocks=3, settings=chosen)
    gone = world.connect("******      ", is_unchoking=True)
    started = world.asked_pieces(gone)
    assert len(started) == 4
    if blocks_come:
        gone.sends_blocks([(piece, block) for piece in started for block in range(blocks_come)])
    gone.leaves()
    return world, world.connect("      ******", is_unchoking=True)


@pytest.mark.parametrize("blocks_come", [0, 2])
def test_pieces_that_nobody_sends_the_rest_of_do_not_fill_the_memory_for_ever(blocks_come: int) -> None:
    world, peer = memory_full_of_stuck_pieces(blocks_come)
    assert not peer.asked
    world.pass_time(world.settings.choke_round_s)
    peer.sends()
    assert world.have == "      ******"
    assert world.engine.stats(world.now).wasted_bytes == blocks_come * BLOCK_BYTES
    world.seed().sends()
    assert world.have == "************"


def test_pieces_that_somebody_may_yet_send_stay_in_memory() -> None:
    world, peer = memory_full_of_stuck_pieces(2)
    silent = world.seed()
    assert len(silent.asked) == 4
    world.pass_time(world.settings.choke_round_s)
    assert not peer.asked and world.engine.stats(world.now).wasted_bytes == 0
    silent.sends()
    assert world.have.count("*") >= 4 and world.engine.stats(world.now).wasted_bytes == 0


def test_piece_that_we_have_lost_is_asked_for_at_once() -> None:
    world = World(pieces=2, have="* ")
    peer = world.connect("* ", is_unchoking=True)
    world.verified.discard(0)
    world.tell(PieceUnreadable(0))
    assert len(peer.asked) == 2


def test_who_is_spared_blocks_that_came_from_another_is_asked_for_more_at_once() -> None:
    chosen = EngineSettings(request_depth_start=2, request_depth_unknown=2, in_flight_bytes_max=1)
    world = World(pieces=6, blocks=2, settings=chosen)
    silent = world.seed(has_fast=False)
    first = list(silent.asked)
    silent.says(Choke())
    other = world.seed(has_fast=False)
    assert list(other.asked) == first
    asked = len(other.heard_of(Request))
    # It comes after all.
    silent.sends_blocks(first)
    assert len(other.heard_of(Request)) > asked
