"""Extended messages find their desk, and answers go out under the ids that the peer has chosen."""

from __future__ import annotations

import pytest

from swarm.engine.commands import DropPeer
from swarm.wire.peer.extended import LOCAL_IDS, ExtendedHandshake, encode_extended_handshake
from swarm.wire.peer.messages import BitfieldMessage, Extended, Unchoke
from swarm.wire.peer.metadata import MetadataRequest, encode_metadata
from tests.unit.engine.world import World, sent


def handshake(extensions: dict[str, int] | None = None, **said: object) -> Extended:
    return Extended(0, encode_extended_handshake(ExtendedHandshake(extensions or {}, **said)))  # type: ignore[arg-type]


ASKS = Extended(LOCAL_IDS["ut_metadata"], encode_metadata(MetadataRequest(0)))


@pytest.mark.parametrize(
    ("extensions", "ids"), [({"ut_metadata": 77}, [77]), ({}, []), ({"ut_metadata": 0}, [])]
)
def test_metadata_is_answered_under_the_id_that_the_peer_named(
    extensions: dict[str, int], ids: list[int]
) -> None:
    world = World(info=b"i" * 100)
    peer = world.connect(has_extended=True)
    peer.says(handshake(extensions))
    commands = peer.says(ASKS)
    answers = [message for message in sent(commands, peer) if isinstance(message, Extended)]
    assert [answer.extended_id for answer in answers] == ids
    assert not any(isinstance(command, DropPeer) for command in commands)


def test_second_handshake_takes_nothing_back_that_it_does_not_mention() -> None:
    world = World()
    peer = world.connect(has_extended=True)
    peer.says(handshake({"ut_pex": 5}, client="Some 1.0"))
    peer.says(handshake({"lt_donthave": 6}))
    inside = world.engine._peers[peer.number]
    assert inside.client == "Some 1.0"
    assert inside.extensions == {"ut_pex": 5, "lt_donthave": 6}


def test_no_more_is_asked_than_the_peer_s_queue_holds() -> None:
    world = World(pieces=8, blocks=8)
    peer = world.connect(has_extended=True)
    peer.says(handshake(request_queue=3))
    peer.says(BitfieldMessage(b"\xff"), Unchoke())
    assert 0 < len(peer.asked) <= 3
