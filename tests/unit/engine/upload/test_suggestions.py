"""Those who may ask and do not hear that our line stands still."""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.events import UploadLimited
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Interested, Request, Suggest
from tests.unit.engine.world import FakePeer, World

BLOCKS = 4
PAUSE_S = EngineSettings().suggest_pause_s


def limited_world(*, have: str = "*** ") -> World:
    world = World(pieces=4, blocks=BLOCKS, have=have, settings=EngineSettings(allowed_fast_count=0))
    world.tell(UploadLimited(1e6))
    return world


def taker(world: World, have: str = "    ", *, has_fast: bool = True) -> FakePeer:
    peer = world.connect(have, has_fast=has_fast)
    peer.says(Interested())
    world.pass_time(2.0)
    assert peer.is_unchoked
    return peer


def suggested(peer: FakePeer) -> list[int]:
    return [message.piece for message in peer.heard if isinstance(message, Suggest)]


def asks(peer: FakePeer, piece: int) -> None:
    peer.says(Request(piece, 0, BLOCKS * BLOCK_BYTES))


def test_idle_line_is_told_to_those_who_lack_something() -> None:
    world = limited_world()
    asking, waiting = taker(world), taker(world, "*   ")
    asks(asking, 0)
    world.pass_time(PAUSE_S)
    assert suggested(waiting)[-1:] == [1]


def test_nobody_is_told_who_has_all_that_we_have() -> None:
    world = limited_world()
    asking, waiting = taker(world), taker(world, "*** ")
    asks(asking, 0)
    world.pass_time(PAUSE_S)
    assert not suggested(waiting)


def test_peer_without_fast_extension_is_told_nothing() -> None:
    world = limited_world()
    asking, waiting = taker(world), taker(world, has_fast=False)
    asks(asking, 0)
    world.pass_time(PAUSE_S)
    assert not suggested(waiting)


def test_one_peer_is_told_so_often_and_no_more() -> None:
    world = limited_world()
    asking, waiting = taker(world), taker(world)
    told = len(suggested(waiting))
    for _ in range(10):
        asks(asking, 0)
        world.pass_time(PAUSE_S / 10)
    assert len(suggested(waiting)) <= told + 2


def test_without_a_limit_nothing_is_said() -> None:
    world = World(pieces=4, blocks=BLOCKS, have="*** ", settings=EngineSettings(allowed_fast_count=0))
    asking, waiting = taker(world), taker(world)
    asks(asking, 0)
    world.pass_time(1.0)
    assert not suggested(waiting)
