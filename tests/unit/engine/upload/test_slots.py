"""When slots change hands, and how long they were not used: seen through the engine's door."""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.events import UploadLimited
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Interested, KeepAlive, NotInterested, Request
from tests.unit.engine.world import FakePeer, World

TWO = EngineSettings(unchoke_slots=2, slots_at_once=2)


def seed(settings: EngineSettings = TWO) -> World:
    return World(have="****", settings=settings)


def interested(world: World) -> FakePeer:
    peer = world.connect("    ")
    peer.says(Interested())
    return peer


def test_slot_of_one_who_wants_nothing_any_more_goes_to_one_who_waits_at_once() -> None:
    world = seed()
    first, second, third = (interested(world) for _ in range(3))
    assert [peer.is_unchoked for peer in (first, second, third)] == [True, True, False]
    first.says(NotInterested())
    assert [peer.is_unchoked for peer in (first, second, third)] == [False, True, True]


def test_slot_of_one_who_leaves_goes_to_one_who_waits_at_once() -> None:
    world = seed()
    first, _, third = (interested(world) for _ in range(3))
    first.leaves()
    assert third.is_unchoked


def test_one_who_asks_between_two_rounds_gets_a_free_slot_in_a_moment() -> None:
    world = seed(EngineSettings(unchoke_slots=2))
    interested(world)
    second = interested(world)
    assert not second.is_unchoked
    world.pass_time(world.settings.slot_delay_s)
    assert second.is_unchoked


def test_line_that_is_asked_for_more_at_once_does_not_wake_the_engine_for_having_stood_still() -> None:
    world = seed()
    world.tell(UploadLimited(1e6))
    peer = interested(world)
    peer.is_reading = False
    peer.says(Request(0, 0, BLOCK_BYTES))
    peer.reads_on()
    moment_at = world.now + world.settings.slot_delay_s
    assert world.engine.next_wakeup(world.now) == moment_at
    peer.is_reading = False
    peer.says(Request(1, 0, BLOCK_BYTES), Request(2, 0, BLOCK_BYTES), Request(3, 0, BLOCK_BYTES))
    at = world.engine.next_wakeup(world.now)
    assert at is not None and at > moment_at


def test_slots_go_round_among_those_who_take_nothing() -> None:
    world = seed()
    peers = [interested(world) for _ in range(6)]
    turns = [0] * len(peers)
    for _ in range(18):
        world.pass_time(world.settings.choke_round_s)
        for at, peer in enumerate(peers):
            turns[at] += peer.is_unchoked
            peer.says(KeepAlive())
    assert all(turns), turns


def test_time_that_a_slot_is_held_without_taking_anything_is_summed_over_turns() -> None:
    world = seed()
    peer = interested(world)
    desk = world.engine._peers[peer.number]
    for spent_s in (3.0, 8.0):
        world.pass_time(spent_s)
        peer.says(NotInterested())
        world.pass_time(100.0)
        peer.says(Interested())
    assert abs(desk.unused_slot_s - 11.0) < 0.1


def test_who_takes_something_begins_anew() -> None:
    world = seed()
    peer = interested(world)
    desk = world.engine._peers[peer.number]
    world.pass_time(8.0)
    peer.says(NotInterested())
    assert desk.unused_slot_s > 7.0
    peer.says(Interested())
    peer.says(Request(0, 0, BLOCK_BYTES))
    assert desk.unused_slot_s == 0.0
    world.pass_time(2.0)
    peer.says(NotInterested())
    assert 1.9 < desk.unused_slot_s < 2.1
