"""Info dictionaries for peers that have come with a magnet link."""

from __future__ import annotations

import pytest

from swarm.base.errors import PeerError
from swarm.engine.metadata.uploads import MetadataUploads
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import HANDSHAKE_ID, LOCAL_IDS, ExtendedHandshake, encode_extended_handshake
from swarm.wire.peer.messages import Extended
from swarm.wire.peer.metadata import (
    MetadataData,
    MetadataMessage,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
    encode_metadata,
)
from tests.unit.engine.world import World

INFO = bytes(range(256)) * 100
SETTINGS = EngineSettings(metadata_served_factor=3, metadata_requests_spare=4)


def ask(desk: MetadataUploads, message: MetadataMessage, peer: int = 1) -> MetadataMessage | None:
    answer = desk.answer(peer, encode_metadata(message))
    return None if answer is None else decode_metadata(answer)


def test_each_piece_is_given_as_the_bep_cuts_it() -> None:
    desk = MetadataUploads(INFO, SETTINGS)
    assert desk.total_bytes == 25_600
    assert ask(desk, MetadataRequest(0)) == MetadataData(0, 25_600, INFO[:16384])
    assert ask(desk, MetadataRequest(1)) == MetadataData(1, 25_600, INFO[16384:])


@pytest.mark.parametrize("piece", [2, 1000, 2**31 - 1])
def test_pieces_past_the_end_are_rejected(piece: int) -> None:
    assert ask(MetadataUploads(INFO, SETTINGS), MetadataRequest(piece)) == MetadataReject(piece)


def test_without_metadata_all_is_rejected_and_nothing_announced() -> None:
    desk = MetadataUploads(b"", SETTINGS)
    assert desk.total_bytes is None
    assert ask(desk, MetadataRequest(0)) == MetadataReject(0)


def test_one_that_asks_again_and_again_is_refused_then_dropped_and_others_are_served() -> None:
    desk = MetadataUploads(INFO, SETTINGS)
    answers = [ask(desk, MetadataRequest(0)) for _ in range(10)]
    assert [type(answer) for answer in answers] == [MetadataData] * 6 + [MetadataReject] * 4
    with pytest.raises(PeerError, match="floods"):
        ask(desk, MetadataRequest(0))
    assert isinstance(ask(desk, MetadataRequest(0), peer=2), MetadataData)
    desk.lost(1)
    assert isinstance(ask(desk, MetadataRequest(0)), MetadataData)


@pytest.mark.parametrize("message", [MetadataData(0, 1, b"x"), MetadataReject(0)])
def test_late_answers_are_no_questions(message: MetadataMessage) -> None:
    assert ask(MetadataUploads(INFO, SETTINGS), message) is None


def test_torrent_tells_the_size_and_answers_by_the_peers_own_number() -> None:
    world = World(info=INFO)
    peer = world.connect(has_extended=True)
    (greeting,) = [one for one in peer.heard if isinstance(one, Extended)]
    assert b"13:metadata_sizei25600e" in greeting.payload and b"11:ut_metadatai3e" in greeting.payload
    peer.heard.clear()
    request = Extended(LOCAL_IDS["ut_metadata"], encode_metadata(MetadataRequest(1)))
    peer.says(request)
    # It has not said by which number it wants to be answered.
    assert peer.heard == []
    handshake = ExtendedHandshake(extensions={"ut_metadata": 77})
    peer.says(Extended(HANDSHAKE_ID, encode_extended_handshake(handshake)), request)
    answer = Extended(77, encode_metadata(MetadataData(1, 25_600, INFO[16384:])))
    assert peer.heard == [answer]


def test_flood_of_requests_costs_a_peer_its_link() -> None:
    world = World(info=INFO, settings=SETTINGS)
    peer = world.connect(has_extended=True)
    peer.says(*[Extended(3, encode_metadata(MetadataRequest(0)))] * 20)
    assert peer.drop_reason == "it floods us with requests for the metadata"
