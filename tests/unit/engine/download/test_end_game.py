"""Who is asked a second time, and for what: each copy costs a block."""

from __future__ import annotations

from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Have, Request
from tests.unit.engine.world import FakePeer, World

SILENCE_S = EngineSettings().end_game_silence_s


def world_with_two(*, has_fast: bool = True) -> tuple[World, FakePeer, FakePeer]:
    """A piece is owed by the first, who has sent one block; the second was quick, and is idle."""
    world = World(pieces=2, blocks=16)
    quick = world.connect("* ", is_unchoking=True)
    slow = world.connect(" *", is_unchoking=True, has_fast=has_fast)
    quick.sends()
    slow.sends(1)
    return world, slow, quick


def test_nothing_is_asked_twice_of_whom_blocks_keep_coming_from() -> None:
    world, slow, quick = world_with_two()
    quick.heard.clear()
    world.pass_time(SILENCE_S / 2)
    quick.says(Have(1))
    assert not quick.heard_of(Request) and not quick.asked
    slow.sends()
    slow.sends_blocks(list(slow.taken_back))
    assert world.have == "**" and world.engine.stats(world.now).wasted_bytes == 0


def test_what_a_silent_one_owes_is_asked_of_an_idle_one_too() -> None:
    world, _, quick = world_with_two()
    world.pass_time(2 * SILENCE_S)
    quick.says(Have(1))
    assert len(quick.asked) == 15
    quick.sends()
    assert world.have == "**"


def test_idle_peer_is_asked_once_the_silence_is_long_enough_though_nobody_says_anything() -> None:
    world, _, quick = world_with_two()
    quick.says(Have(1))
    assert not quick.asked
    world.pass_time(1.01 * SILENCE_S)
    assert quick.asked
    quick.sends()
    assert world.have == "**"


def test_without_fast_extension_a_slow_one_is_not_waited_for() -> None:
    _, _, quick = world_with_two(has_fast=False)
    quick.says(Have(1))
    assert quick.asked
