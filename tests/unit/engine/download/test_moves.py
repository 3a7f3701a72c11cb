"""What an idle peer sends in place of a busy one; a suggestion (BEP 6) says: my line stands still."""

from __future__ import annotations

from dataclasses import replace

from swarm.engine.download.moves import MOVES_MAX
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Cancel, Choke, Request, Suggest
from tests.unit.engine.world import FakePeer, World, sent

NO_END_GAME = EngineSettings(end_game_advantage=1e9)


def cancelled(peer: FakePeer) -> list[int]:
    return [message.piece for message in peer.heard_of(Cancel) if isinstance(message, Cancel)]


def test_idle_peer_gets_a_piece_that_another_has_not_begun() -> None:
    world = World(pieces=2, blocks=4, settings=NO_END_GAME)
    busy = world.seed()
    idle = world.connect("**", is_unchoking=True)
    (last,) = cancelled(busy)
    assert len(world.asked_pieces(busy)) == 1
    # Not before it is known that nothing of it is under way.
    assert not idle.asked
    busy.gives_back()
    assert world.asked_pieces(idle) == [last]
    assert last not in world.asked_pieces(busy)


def test_what_was_under_way_comes_and_is_no_waste() -> None:
    world = World(pieces=2, blocks=4, settings=NO_END_GAME)
    busy = world.seed()
    idle = world.connect("**", is_unchoking=True)
    busy.sends_blocks(list(busy.taken_back))
    busy.sends()
    assert world.have == "**"
    assert not idle.heard_of(Request)
    assert world.engine.stats(world.now).wasted_bytes == 0


def test_a_piece_is_not_cancelled_again_before_the_answer() -> None:
    world = World(pieces=2, blocks=4, settings=NO_END_GAME)
    busy = world.seed()
    idle, other = (world.connect("**", is_unchoking=True) for _ in range(2))
    idle.says(Suggest(0))
    first = cancelled(busy)
    other.says(Suggest(0))
    assert cancelled(busy)[len(first) :] != first


def test_one_who_has_gone_meanwhile_is_not_asked() -> None:
    world = World(pieces=2, blocks=4, settings=NO_END_GAME)
    busy = world.seed()
    idle = world.connect("**", is_unchoking=True)
    idle.leaves()
    busy.gives_back()
    busy.sends()
    assert world.have.count("*") >= 1 and not idle.asked


def test_one_who_chokes_meanwhile_is_not_asked() -> None:
    world = World(pieces=2, blocks=4, settings=NO_END_GAME)
    busy = world.seed()
    idle = world.connect("**", is_unchoking=True)
    idle.says(Choke())
    busy.gives_back()
    assert not idle.asked
    # It is free again for whoever may be asked, the first one too.
    assert len(world.asked_pieces(busy)) == 2


def test_the_only_piece_is_taken_from_one_who_has_let_us_wait() -> None:
    world = World(pieces=1, blocks=4, settings=NO_END_GAME)
    busy, idle = world.seed(), world.connect("*", is_unchoking=True)
    idle.says(Suggest(0))
    assert not cancelled(busy)
    world.pass_time(2 * EngineSettings().give_up_s)
    idle.says(Suggest(0))
    busy.gives_back()
    assert len(idle.asked) == 4 and not busy.asked


def test_a_piece_does_not_go_to_and_fro_for_ever() -> None:
    world = World(pieces=1, blocks=4, settings=NO_END_GAME)
    one, other = world.seed(), world.connect("*", is_unchoking=True)
    for _ in range(2 * MOVES_MAX):
        # After a while the idle one is thought of without a word of its own.
        world.pass_time(1.0)
        (one if one.taken_back else other).gives_back()
    assert len(cancelled(one)) + len(cancelled(other)) == MOVES_MAX


def test_in_mid_game_a_suggestion_moves_a_piece() -> None:
    world = World(pieces=3, blocks=4, settings=replace(NO_END_GAME, random_first_pieces=0))
    busy, idle = world.connect("** ", is_unchoking=True), world.connect("** ", is_unchoking=True)
    # Somebody has the third, but does not serve us: there is something to start yet, and no end game.
    world.connect("  *")
    assert not cancelled(busy)
    idle.says(Suggest(0))
    assert len(cancelled(busy)) == 1


def test_of_a_piece_that_was_begun_the_later_half_goes() -> None:
    world = World(pieces=1, blocks=8, settings=NO_END_GAME)
    busy, idle = world.seed(), world.connect("*", is_unchoking=True)
    busy.sends(2)
    idle.says(Suggest(0))
    busy.gives_back()
    assert list(busy.asked) == [(0, 2), (0, 3), (0, 4)]
    assert list(idle.asked) == [(0, 5), (0, 6), (0, 7)]


def test_the_end_of_a_piece_stays() -> None:
    world = World(pieces=1, blocks=4, settings=NO_END_GAME)
    busy, idle = world.seed(), world.connect("*", is_unchoking=True)
    busy.sends(1)
    world.pass_time(1.0)
    idle.says(Suggest(0))
    assert len(busy.asked) == 3 and not cancelled(busy)


def test_what_arrives_from_a_third_is_not_cancelled_twice() -> None:
    world = World(pieces=1, blocks=4)
    slow = world.seed()
    world.pass_time(1.0)
    slow.sends(1)
    idle = world.connect("*", is_unchoking=True)
    idle.sends()
    # FakePeer.hears fails at a second cancel of the same block.
    idle.says(Suggest(0))
    idle.sends()


def test_without_fast_extension_nothing_is_taken_back() -> None:
    world = World(pieces=2, blocks=4, settings=NO_END_GAME)
    busy = world.connect("**", is_unchoking=True, has_fast=False)
    idle = world.connect("**", is_unchoking=True)
    world.pass_time(1.0)
    idle.says(Suggest(0))
    assert not idle.asked and not cancelled(busy)


def test_suggestion_of_one_who_chokes_or_has_nothing_changes_nothing() -> None:
    world = World(pieces=2, blocks=4, settings=NO_END_GAME)
    busy = world.seed()
    for peer in (world.connect("**"), world.connect("  ", is_unchoking=True)):
        world.pass_time(1.0)
        assert not sent(peer.says(Suggest(1)), busy)
    assert len(busy.asked) == 8
