"""A bitfield, or a "have all", that comes later is many `have`s in one: aria2 sends them so."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.endpoint import Endpoint
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.commands import Command, DropPeer, SendMessages
from swarm.engine.events import MessagesReceived, PeerConnected
from swarm.engine.settings import EngineSettings
from swarm.engine.torrent import TorrentEngine
from swarm.wire.peer.messages import BitfieldMessage, Have, HaveAll, HaveNone, Interested, Message

PEER = 1


def made(*, is_seed: bool = False) -> TorrentEngine:
    engine = TorrentEngine(
        Geometry(8 * 16384, 16384),
        InfoHash(bytes(20)),
        PeerId(b"-SW0001-000000000000"),
        Bitfield(8, is_full=is_seed),
        bytes([1]) * 8,
        settings=EngineSettings(),
        rng=random.Random(1),
        now=0.0,
    )
    peer_id = PeerId(b"A2-1-36-0-0123456789")
    engine.handle(PeerConnected(PEER, Endpoint("127.0.0.1", 4000), peer_id, False, True, False), 0.0)
    return engine


@pytest.fixture
def engine() -> TorrentEngine:
    return made()


def says(engine: TorrentEngine, *messages: Message) -> list[Command]:
    commands = engine.handle(MessagesReceived(PEER, messages), 1.0)
    engine.check()
    return commands


def is_dropped(commands: list[Command]) -> bool:
    return any(isinstance(command, DropPeer) for command in commands)


def test_bitfield_after_have_none_tells_what_the_peer_has_got_since(engine: TorrentEngine) -> None:
    commands = says(engine, HaveNone(), BitfieldMessage(b"\x0f"))
    sent = [
        message for command in commands if isinstance(command, SendMessages) for message in command.messages
    ]
    assert Interested() in sent
    assert not is_dropped(commands)


def test_later_bitfield_takes_nothing_back(engine: TorrentEngine) -> None:
    assert not is_dropped(says(engine, BitfieldMessage(b"\x01"), Have(0), BitfieldMessage(b"\x02")))
    assert not is_dropped(says(engine, BitfieldMessage(b"\xff"), BitfieldMessage(b"\xff")))


@given(
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.booleans(),
)
def test_later_bitfield_is_as_many_haves(first: list[bool], later: list[bool], is_seed: bool) -> None:
    raws = [
        sum(flag << (7 - piece) for piece, flag in enumerate(flags)).to_bytes(1, "big")
        for flags in (first, later)
    ]
    haves = [Have(piece) for piece, flag in enumerate(later) if flag]
    heard = []
    for messages in ([BitfieldMessage(raws[1])], haves):
        engine = made(is_seed=is_seed)
        says(engine, BitfieldMessage(raws[0]))
        commands = says(engine, *messages)
        peer = engine._peers.get(PEER)
        heard.append(
            (
                is_dropped(commands),
                peer and (list(peer.have), peer.interesting, peer.am_interested),
                list(engine._availability.counts),
                engine._availability.seed_count,
            )
        )
    assert heard[0] == heard[1]


def test_later_bitfield_of_the_wrong_size_drops_the_peer(engine: TorrentEngine) -> None:
    assert is_dropped(says(engine, HaveNone(), BitfieldMessage(b"\xff\x00")))


@pytest.mark.parametrize("first", [HaveNone(), BitfieldMessage(b"\x0f"), HaveAll()])
def test_have_all_that_comes_later_makes_the_peer_a_seed(engine: TorrentEngine, first: Message) -> None:
    """aria2 says so when its last twenty pieces came at once; perhaps for the second time."""
    assert not is_dropped(says(engine, first, HaveAll()))
    assert engine._peers[PEER].have.is_full and engine._peers[PEER].am_interested
    assert engine._availability.seed_count == 1


def test_peer_that_becomes_a_seed_by_have_all_leaves_a_seed() -> None:
    engine = made(is_seed=True)
    assert not is_dropped(says(engine, HaveNone()))
    drops = [command for command in says(engine, HaveAll()) if isinstance(command, DropPeer)]
    assert [drop.reason for drop in drops] == ["both of us have everything"]


@pytest.mark.parametrize("first", [HaveNone(), BitfieldMessage(b"\x01"), HaveAll()])
def test_have_none_that_comes_later_drops_the_peer(engine: TorrentEngine, first: Message) -> None:
    assert is_dropped(says(engine, first, HaveNone()))
