"""Any messages come back; any split gives the same; any bytes are messages or a PeerError."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.errors import PeerError
from swarm.wire.peer.extended import decode_dont_have, decode_extended_handshake
from swarm.wire.peer.messages import (
    AllowedFast,
    BitfieldMessage,
    Cancel,
    Choke,
    Extended,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    KeepAlive,
    Message,
    NotInterested,
    Piece,
    Port,
    Reject,
    Request,
    Suggest,
    Unchoke,
)
from swarm.wire.peer.protocol import Decoder, encode, encode_block_head

#: Two pieces of three blocks and a last one of 5,000 bytes.
GEOMETRY = Geometry(2 * 3 * BLOCK_BYTES + 5000, 3 * BLOCK_BYTES)

indices = st.integers(0, GEOMETRY.piece_count - 1)


@st.composite
def runs(draw: st.DrawFn) -> Message:
    piece = draw(indices)
    size = GEOMETRY.piece_bytes(piece)
    begin = draw(st.integers(0, size - 1) | st.sampled_from(range(0, size, BLOCK_BYTES)))
    length = draw(st.integers(1, size - begin) | st.just(min(BLOCK_BYTES, size - begin)))
    block_bytes = draw(st.integers(max(1, length // 5), length) | st.just(BLOCK_BYTES))
    kinds: list[type[Request] | type[Cancel] | type[Reject]] = [Request, Cancel, Reject]
    return draw(st.sampled_from(kinds))(piece, begin, length, min(block_bytes, length))


@st.composite
def blocks(draw: st.DrawFn) -> Piece:
    piece = draw(indices)
    size = GEOMETRY.piece_bytes(piece)
    begin = draw(st.sampled_from(range(0, size, BLOCK_BYTES)))
    length = draw(st.just(min(BLOCK_BYTES, size - begin)) | st.integers(1, min(BLOCK_BYTES, size - begin)))
    return Piece(piece, begin, length, [memoryview(bytes([draw(st.integers(0, 255))]) * length)])


messages: st.SearchStrategy[Message] = st.one_of(
    st.sampled_from([Choke(), Unchoke(), Interested(), NotInterested(), HaveAll(), HaveNone()]),
    st.builds(KeepAlive, st.integers(1, 5)),
    st.builds(Have, indices),
    st.builds(Suggest, indices),
    st.builds(AllowedFast, indices),
    st.builds(Port, st.integers(0, 65535)),
    st.builds(Extended, st.integers(0, 255), st.binary(max_size=40)),
    st.builds(BitfieldMessage, st.binary(min_size=1, max_size=1)),
    runs(),
    blocks(),
)


def to_bytes(said: Iterable[Message]) -> bytes:
    frames = []
    for message in said:
        if isinstance(message, Piece):
            head = bytearray(13)
            encode_block_head(head, 0, message.piece, message.begin, message.length)
            frames.append(bytes(head) + b"".join(message.parts))
        else:
            frames.append(encode([message]))
    return b"".join(frames)


def flat(heard: Iterable[Message]) -> Iterator[object]:
    """The messages with all runs cut into their blocks."""
    for message in heard:
        if isinstance(message, Piece):
            begin = message.begin
            for part in message.parts:
                yield Piece, message.piece, begin, bytes(part)
                begin += len(part)
            assert begin == message.begin + message.length
        elif isinstance(message, Request | Cancel | Reject):
            end = message.begin + message.length
            for begin in range(message.begin, end, message.block_bytes):
                yield type(message), message.piece, begin, min(message.block_bytes, end - begin)
        else:
            yield message


def gathered(heard: Sequence[object]) -> list[object]:
    """Keep-alives come out behind what came with them, so where depends on the cuts; here: at the end."""
    others = [message for message in heard if not isinstance(message, KeepAlive)]
    count = sum(message.count for message in heard if isinstance(message, KeepAlive))
    return [*others, KeepAlive(count)] if count else others


def decode_in_parts(raw: bytes, cuts: Iterable[int], *, has_fast: bool = True) -> list[object]:
    """What a link decodes when `raw` comes in parts; like a link, it keeps only the leftover."""
    decoder = Decoder(GEOMETRY, has_fast=has_fast)
    heard: list[object] = []
    leftover = b""
    start = 0
    for stop in [*sorted(cut for cut in cuts if cut < len(raw)), len(raw)]:
        view = memoryview(leftover + raw[start:stop])
        found, used = decoder.decode(view, len(view))
        assert 0 <= used <= len(view)
        heard += flat(found)
        leftover = bytes(view[used:])
        start = stop
    return gathered(heard)


@given(st.lists(messages, max_size=12))
def test_decode_gives_back_what_was_encoded(said: list[Message]) -> None:
    assert decode_in_parts(to_bytes(said), []) == gathered(list(flat(said)))


@given(st.lists(messages, max_size=8), st.lists(st.integers(0, 100_000), max_size=12))
def test_any_split_gives_the_same_messages(said: list[Message], cuts: list[int]) -> None:
    raw = to_bytes(said)
    cuts = [cut % (len(raw) + 1) for cut in cuts]
    assert decode_in_parts(raw, cuts) == gathered(list(flat(said)))


@given(
    st.lists(st.one_of(st.binary(max_size=30), st.lists(messages, max_size=3).map(to_bytes)), max_size=6),
    st.lists(st.integers(0, 2000), max_size=6),
    st.booleans(),
)
@settings(max_examples=300)
def test_any_bytes_are_messages_or_an_error_however_they_are_split(
    parts: list[bytes], cuts: list[int], has_fast: bool
) -> None:
    raw = b"".join(parts)
    outcomes: list[list[object] | None] = []
    for split in ([], cuts):
        try:
            outcomes.append(decode_in_parts(raw, split, has_fast=has_fast))
        except PeerError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


@given(st.lists(st.tuples(st.integers(0, 25), st.binary(max_size=20)), max_size=8), st.booleans())
@settings(max_examples=300)
def test_any_frames_are_messages_within_the_torrent_or_an_error(
    frames: list[tuple[int, bytes]], has_fast: bool
) -> None:
    raw = b"".join((len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body for kind, body in frames)
    try:
        heard, used = Decoder(GEOMETRY, has_fast=has_fast).decode(memoryview(raw), len(raw))
    except PeerError:
        return
    assert used == len(raw) and len(heard) <= len(frames)
    for message in heard:
        if isinstance(message, Piece | Request | Cancel | Reject):
            assert GEOMETRY.contains(message.piece, message.begin, message.length)
        elif isinstance(message, Have | Suggest | AllowedFast):
            assert message.piece < GEOMETRY.piece_count


@given(st.binary(max_size=200))
def test_any_extension_payload_is_read_or_an_error(payload: bytes) -> None:
    for reader in (decode_extended_handshake, decode_dont_have):
        for raw in (payload, b"d1:m" + payload, b"d1:md" + payload + b"ee"):
            try:
                reader(raw)
            except PeerError:
                continue
