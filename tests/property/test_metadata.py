"""Metadata: any bytes, any order, loss and lie; what comes of it is right or nothing."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.base.blocks import Geometry
from swarm.base.errors import PeerError
from swarm.wire.peer.messages import Extended
from swarm.wire.peer.metadata import (
    METADATA_PIECE_BYTES,
    MetadataData,
    MetadataMessage,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
    encode_metadata,
    metadata_piece_bytes,
    metadata_piece_count,
)
from swarm.wire.peer.protocol import KEPT_BYTES_MAX, Decoder, EarlyDecoder
from tests.unit.engine.metadata.metadata_world import FakeHelper, MetadataWorld, info_of, liar

PIECES = st.integers(0, 2**31 - 1)


@st.composite
def data_messages(draw: st.DrawFn) -> MetadataData:
    total_bytes = draw(st.integers(1, 5 * METADATA_PIECE_BYTES))
    piece = draw(st.integers(0, metadata_piece_count(total_bytes) - 1))
    return MetadataData(piece, total_bytes, bytes(metadata_piece_bytes(total_bytes, piece)))


MESSAGES = st.one_of(st.builds(MetadataRequest, PIECES), st.builds(MetadataReject, PIECES), data_messages())


@given(MESSAGES)
def test_messages_read_back(message: MetadataMessage) -> None:
    assert decode_metadata(encode_metadata(message)) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_one_error(payload: bytes) -> None:
    with contextlib.suppress(PeerError):
        decode_metadata(payload)


@given(MESSAGES, st.data())
def test_changed_messages_are_a_message_or_one_error(message: MetadataMessage, data: st.DataObject) -> None:
    payload = bytearray(encode_metadata(message))
    for _ in range(data.draw(st.integers(1, 4))):
        # Where the dictionary is: changes to the data change nothing.
        payload[data.draw(st.integers(0, min(60, len(payload) - 1)))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PeerError):
        decode_metadata(bytes(payload))


@given(st.binary(max_size=400), st.booleans(), st.integers(0, 400))
def test_any_bytes_are_kept_within_bounds_and_checked_later(raw: bytes, has_fast: bool, cut: int) -> None:
    decoder = EarlyDecoder(has_fast=has_fast, later=frozenset((1,)))
    try:
        _, used = decoder.decode(memoryview(raw), min(cut, len(raw)))
        decoder.decode(memoryview(raw[used:]), len(raw) - used)
    except PeerError:
        return
    assert len(decoder.kept) <= min(len(raw), KEPT_BYTES_MAX)
    with contextlib.suppress(PeerError):
        later = Decoder(Geometry(100, 10), has_fast=has_fast)
        _, end = later.decode(memoryview(decoder.kept), len(decoder.kept))
        assert end == len(decoder.kept)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_peers_do_the_right_metadata_comes_while_one_honest_peer_stays(data: st.DataObject) -> None:
    """Liars, deserters, refusers in any order; the world asserts that no wrong bytes are believed."""
    count = data.draw(st.integers(1, 6))
    world = MetadataWorld(info_of(count * METADATA_PIECE_BYTES - 7), seed=data.draw(st.integers(0, 99)))
    wrong_sets = st.sets(st.integers(0, count - 1), max_size=count)
    honest = world.connect(world.right)
    others = [
        world.connect(liar(world.right, *data.draw(wrong_sets))) for _ in range(data.draw(st.integers(0, 3)))
    ]
    honest_hosts = {honest.endpoint, *(one.endpoint for one in others if one.info == world.right)}
    sizes = [world.connect(info_of(size)) for size in data.draw(st.lists(st.integers(1, 99_999), max_size=3))]
    for _ in range(data.draw(st.integers(0, 40))):
        present = [one for one in (honest, *others, *sizes) if one.number in world.helpers]
        helper: FakeHelper = data.draw(st.sampled_from(present)) if present else honest
        match data.draw(st.sampled_from(["answer", "answer", "answer", "reject", "leave", "wait"])):
            case "answer" if helper.asked and helper.number in world.helpers:
                helper.answer(data.draw(st.sampled_from(helper.asked)))
            case "reject" if helper.number in world.helpers:
                helper.rejects()
            case "leave" if helper is not honest and helper.number in world.helpers:
                helper.leaves()
                helper.asked.clear()
            case "wait":
                world.pass_time(data.draw(st.sampled_from([0.3, 3.0, 12.0])))
    for _ in range(12):
        world.settle()
        if world.completed:
            break
        world.pass_time(world.settings.metadata_rest_s + world.settings.choke_round_s)
        if honest.number in world.helpers:
            honest.says(Extended(99, b""))
    assert world.completed
    assert honest.drop_reason is None
    assert not honest_hosts & set(world.banned)
