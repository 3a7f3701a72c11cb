"""Peers are told when we want nothing more, and when we want something again."""

from __future__ import annotations

import random
from collections.abc import Sequence

from swarm.engine.download.availability import Availability
from swarm.engine.download.picker import Picker
from swarm.engine.greeting import Greeting
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings
from swarm.engine.upload_only import UploadOnly
from swarm.wire.peer.extended import decode_extended_handshake
from swarm.wire.peer.messages import Extended, Message
from tests.unit.engine.world import INFO_HASH, inside_of, read_drawing


def test_those_who_speak_of_extensions_hear_what_holds_now() -> None:
    ours = read_drawing("** ")
    picker = Picker(ours, b"\1" * 3, Availability(3), random.Random(1))
    greeting = Greeting(
        INFO_HASH, EngineSettings(), client="swarm", listen_port=None, dht_port=None, is_private=False
    )
    heard: list[tuple[int, bool | None]] = []

    def send(peer: Peer, messages: Sequence[Message]) -> None:
        (message,) = messages
        assert isinstance(message, Extended) and message.extended_id == 0
        heard.append((peer.number, decode_extended_handshake(message.payload).is_upload_only))

    peers = {n: inside_of(n, "   ", has_extended=n != 2) for n in (1, 2, 3)}
    desk = UploadOnly(peers, picker, greeting, send)
    desk.tell_all()
    ours.add(2)
    picker.started(2)
    picker.verified(2)
    desk.tell(peers[3])
    desk.tell(peers[2])
    assert heard == [(1, False), (3, False), (3, True)]
