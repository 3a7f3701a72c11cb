"""Who is idle is asked as soon as there is something to ask for, whoever the event was about."""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.events import PieceNotWritten, PieceUnreadable
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Choke, Extended, Reject, Request
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
