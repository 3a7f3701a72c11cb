"""What peers send without any use: an honest measure of it is borne, a flood is the end of the address."""

from __future__ import annotations

import pytest

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.engine.conduct import Conduct
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import (
    LOCAL_IDS,
    ExtendedHandshake,
    encode_dont_have,
    encode_extended_handshake,
)
from swarm.wire.peer.messages import (
    AllowedFast,
    BitfieldMessage,
    Cancel,
    Choke,
    Extended,
    Have,
    Interested,
    KeepAlive,
    Message,
    NotInterested,
    Port,
    Request,
    Suggest,
    Unchoke,
)
from tests.unit.engine.world import FakePeer, World

SETTINGS = EngineSettings(useless_burst=100)
HANDSHAKE = Extended(0, encode_extended_handshake(ExtendedHandshake({"ut_pex": 1})))
LOST = Extended(LOCAL_IDS["lt_donthave"], encode_dont_have(1))

#: What is sent again and again -> what the flood is called.
FLOODS: list[tuple[list[Message], str]] = [
    ([KeepAlive()], "keep-alives"),
    ([KeepAlive(50_000)], "keep-alives"),
    ([Have(0)], "pieces that it has told us of"),
    ([Interested(), NotInterested()], "changes of interest"),
    ([Interested()], "changes of interest"),
    ([Choke(), Unchoke()], "chokes"),
    ([Unchoke()], "unchokes"),
    ([Cancel(0, 0, BLOCK_BYTES)], "cancels of nothing"),
    ([BitfieldMessage(b"\xf0")], "bitfields"),
    ([Suggest(0)], "suggestions"),
    ([AllowedFast(number % 4) for number in range(200)], "pieces that we may ask for"),
    ([Port(6881)], "ports of its DHT node"),
    ([Extended(77, b"")], "messages of extensions that we do not speak"),
    ([HANDSHAKE], "extension handshakes"),
    ([Have(1), LOST], "pieces that it has lost"),
    ([Request(0, 1, 1, 1)], "requests for scraps"),
    ([Request(0, 0, BLOCK_BYTES, 1)], "requests for scraps"),
]


def seed_of(world: World) -> FakePeer:
    """A peer that has everything, to one that has nothing but piece 0."""
    return world.connect("****", has_extended=True)


@pytest.mark.parametrize(("messages", "what"), FLOODS)
def test_flood_of_what_changes_nothing_bans_the_address(messages: list[Message], what: str) -> None:
    world = World(pieces=4, settings=EngineSettings(useless_burst=100, allowed_fast_count=0))
    peer = seed_of(world)
    for _ in range(110):
        if peer.drop_reason is None:
            peer.says(*messages)
    assert peer.drop_reason == f"it floods us with {what}"
    assert world.banned == [peer.endpoint]


@pytest.mark.parametrize(
    "messages", [one for one, _ in FLOODS if len(one) < 3 and one[0] != KeepAlive(50_000)]
)
def test_as_much_once_a_minute_is_borne(messages: list[Message]) -> None:
    if isinstance(messages[0], Request) and messages[0].begin == 0:
        messages = [Request(0, 0, 16, 1)]
    world = World(pieces=4, settings=SETTINGS)
    peer = seed_of(world)
    for _ in range(60):
        peer.says(*messages)
        world.pass_time(60)
        # It answers, so that nothing else is held against it.
        peer.sends()
    assert world.banned == []


def test_interest_may_change_with_every_piece_that_we_get() -> None:
    world = World(pieces=300, settings=EngineSettings(useless_burst=10))
    seed = world.seed()
    other = world.connect(" " * 300)
    told = 0
    while (count := world.engine.have.count) < 300:
        if count > told:
            other.says(Interested() if count % 2 else NotInterested())
        told = count
        seed.sends(1)
    assert other.drop_reason is None


def test_names_of_extensions_do_not_pile_up_over_many_handshakes() -> None:
    world = World(pieces=4)
    peer = seed_of(world)
    for number in range(30):
        names = {f"x{number}_{at}": 1 for at in range(60)}
        if peer.drop_reason is None:
            peer.says(Extended(0, encode_extended_handshake(ExtendedHandshake(names))))
    assert peer.drop_reason is not None and peer.drop_reason.endswith("extensions")


def test_end_of_a_piece_may_be_asked_for_in_what_is_left_of_it() -> None:
    geometry = Geometry(3 * BLOCK_BYTES + 100, 2 * BLOCK_BYTES)
    conduct = Conduct(geometry, EngineSettings(useless_burst=1))
    world = World(pieces=4, settings=EngineSettings(useless_burst=1))
    peer = world.engine._peers[seed_of(world).number]
    for _ in range(5):
        conduct.requested(peer, Request(1, BLOCK_BYTES, 100, 100), world.now)
        conduct.requested(peer, Request(0, 0, 2 * BLOCK_BYTES), world.now)


def test_fake_seed_that_answers_nothing_gives_up_its_place() -> None:
    world = World(pieces=4, settings=EngineSettings(fake_seed_s=50))
    fake = world.connect("****", is_unchoking=True)
    world.pass_time(45)
    assert fake.drop_reason is None
    world.pass_time(10)
    assert fake.drop_reason == "it answers none of our requests"
    assert world.banned == [], "it may only be slow"
