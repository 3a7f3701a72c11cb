"""What time alone brings: seen at the engine's door where nobody says anything."""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Interested, KeepAlive, Reject, Request
from tests.unit.engine.world import World

#: Nobody is given slots or pieces ahead of his turn.
SETTINGS = EngineSettings(allowed_fast_count=0, send_stall_s=60.0)


def test_who_reads_what_it_asked_for_is_not_held_for_one_who_does_not() -> None:
    world = World(have="****", settings=SETTINGS)
    slow, stuck = world.connect("    "), world.connect("    ")
    for peer in (slow, stuck):
        peer.is_reading = False
        peer.says(Interested())
    world.pass_time(2 * SETTINGS.choke_round_s)
    for piece, peer in enumerate((slow, stuck)):
        peer.says(Request(piece, 0, 2 * BLOCK_BYTES))
        assert peer.unread_bytes
    world.pass_time(0.9 * SETTINGS.send_stall_s)
    slow.reads_on()
    slow.is_reading = False
    slow.says(Request(2, 0, 2 * BLOCK_BYTES))
    assert slow.unread_bytes
    world.pass_time(0.2 * SETTINGS.send_stall_s + SETTINGS.choke_round_s)
    assert slow.drop_reason is None
    assert stuck.drop_reason == "it does not read what it asked for"


def test_nothing_is_said_to_keep_a_link_alive_on_which_blocks_are_under_way() -> None:
    settings = EngineSettings(allowed_fast_count=0, keep_alive_s=20.0, send_stall_s=1000.0)
    world = World(have="****", settings=settings)
    idle, busy = world.connect("    "), world.connect("    ")
    busy.is_reading = False
    busy.says(Interested(), Request(0, 0, 2 * BLOCK_BYTES))
    world.pass_time(50)
    assert idle.heard_of(KeepAlive) and not busy.heard_of(KeepAlive)


def test_what_a_full_queue_refused_is_asked_for_again_a_round_later() -> None:
    world = World(pieces=1, blocks=2, settings=SETTINGS)
    peer = world.seed()
    asked = list(peer.asked)
    assert asked
    peer.says(*(Reject(piece, block * BLOCK_BYTES, BLOCK_BYTES) for piece, block in asked))
    assert not peer.asked
    world.pass_time(SETTINGS.choke_round_s + 1)
    assert list(peer.asked) == asked
