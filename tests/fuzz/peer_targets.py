"""What a peer sends, from its first byte on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError
from swarm.base.ids import InfoHash, PeerId
from swarm.wire.lsd import GROUP_V4, INFO_HASHES_MAX, LocalAnnounce
from swarm.wire.lsd import decode_announce as decode_local
from swarm.wire.lsd import encode_announce as encode_local
from swarm.wire.peer.extended import (
    EXTENSION_NAMES_MAX,
    LOCAL_IDS,
    ExtendedHandshake,
    decode_dont_have,
    decode_extended_handshake,
    encode_dont_have,
    encode_extended_handshake,
)
from swarm.wire.peer.handshake import HANDSHAKE_BYTES, Handshake, decode_handshake, encode_handshake
from swarm.wire.peer.holepunch import Holepunch, HolepunchKind, decode_holepunch, encode_holepunch
from swarm.wire.peer.messages import AllowedFast, Cancel, Extended, Have, Piece, Reject, Request, Suggest
from swarm.wire.peer.metadata import (
    METADATA_BYTES_MAX,
    MetadataData,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
    encode_metadata,
)
from swarm.wire.peer.pex import (
    CONTACTS_READ_MAX,
    Contact,
    ContactFlags,
    PeerExchange,
    decode_peer_exchange,
    encode_peer_exchange,
)
from swarm.wire.peer.protocol import KEPT_BYTES_MAX, Decoder, EarlyDecoder, encode
from tests.fuzz.target import Target, parts_of, settles
from tests.property.test_peer_wire import GEOMETRY, decode_in_parts, flat, gathered

#: Small blocks, so that a fuzzer's short inputs hold whole ones.
_SMALL = Geometry(100, 40)
_CONTACT_V4 = Endpoint("1.2.3.4", 6881)
_CONTACT_V6 = Endpoint("2001:db8::1", 6881)


def _handshake(raw: bytes) -> None:
    try:
        handshake = decode_handshake(raw)
    except PeerError:
        return
    assert (handshake is None) == (len(raw) < HANDSHAKE_BYTES)
    if handshake is not None:
        assert decode_handshake(encode_handshake(handshake)) == handshake


def _messages(raw: bytes) -> None:
    """The same messages, or the same refusal, however the stream is cut."""
    for has_fast in (True, False):
        heard: list[list[object] | None] = []
        for cuts in ([], list(range(1, len(raw), 1 + len(raw) // 5)), list(raw[-4:])):
            try:
                heard.append(decode_in_parts(raw, cuts, has_fast=has_fast))
            except PeerError:
                heard.append(None)
        assert heard[0] == heard[1] == heard[2]
        _whole(raw, GEOMETRY, has_fast)
        _whole(raw, _SMALL, has_fast)


def _whole(raw: bytes, geometry: Geometry, has_fast: bool) -> None:
    try:
        messages, used = Decoder(geometry, has_fast=has_fast).decode(memoryview(raw), len(raw))
    except PeerError:
        return
    assert 0 <= used <= len(raw) and len(messages) <= len(raw)
    for message in messages:
        match message:
            case Piece(piece, begin, length) | Request(piece, begin, length):
                assert geometry.contains(piece, begin, length)
            case Cancel(piece, begin, length) | Reject(piece, begin, length):
                assert geometry.contains(piece, begin, length)
            case Have(piece) | Suggest(piece) | AllowedFast(piece):
                assert piece < geometry.piece_count
    said = [message for message in messages if not isinstance(message, Piece)]
    again = encode(said)
    read, used = Decoder(geometry, has_fast=has_fast).decode(memoryview(again), len(again))
    # Runs that a block or a message of no meaning lay between are one now.
    assert used == len(again) and list(flat(read)) == list(flat(said))


def _messages_early(raw: bytes) -> None:
    """Before the number of pieces is known; then what was kept is read for good."""
    for has_fast in (True, False):
        outcomes: list[tuple[list[object], bytes, bytes] | None] = []
        for parts in ([raw], parts_of(raw)):
            decoder = EarlyDecoder(has_fast=has_fast, later=frozenset((1, 2)))
            messages: list[object] = []
            rest = b""
            try:
                for part in parts:
                    rest += part
                    found, used = decoder.decode(memoryview(rest), len(rest))
                    messages += found
                    rest = rest[used:]
            except PeerError:
                outcomes.append(None)
                continue
            assert len(decoder.kept) <= min(len(raw), KEPT_BYTES_MAX)
            outcomes.append((gathered(messages), bytes(decoder.kept), rest))
            with contextlib.suppress(PeerError):
                kept = decoder.kept
                _, end = Decoder(_SMALL, has_fast=has_fast).decode(memoryview(kept), len(kept))
                assert end == len(kept)
        assert outcomes[0] == outcomes[1]


def _extended_handshake(raw: bytes) -> None:
    found = settles(raw, decode_extended_handshake, encode_extended_handshake, PeerError)
    if found is not None:
        assert len(found.extensions) <= EXTENSION_NAMES_MAX
        assert all(0 <= number < 256 for number in found.extensions.values())
    settles(raw, decode_dont_have, encode_dont_have, PeerError)


def _peer_exchange(raw: bytes) -> None:
    try:
        found = decode_peer_exchange(raw)
    except PeerError:
        return
    assert len(found.added) <= 2 * CONTACTS_READ_MAX and len(found.dropped) <= 2 * CONTACTS_READ_MAX
    assert not {contact.endpoint for contact in found.added} & set(found.dropped)
    again = decode_peer_exchange(encode_peer_exchange(found))
    # In another order where IPv4 came as IPv4 in IPv6, behind true IPv6.
    assert sorted(again.added) == sorted(found.added) and sorted(again.dropped) == sorted(found.dropped)
    assert not again.is_cut


def _metadata(raw: bytes) -> None:
    try:
        message = decode_metadata(raw)
    except PeerError:
        return
    if message is None:
        return
    assert decode_metadata(encode_metadata(message)) == message
    if isinstance(message, MetadataData):
        assert message.total_bytes <= METADATA_BYTES_MAX and len(message.data) <= len(raw)


def _holepunch(raw: bytes) -> None:
    settles(raw, decode_holepunch, encode_holepunch, PeerError)


def _local_announce(raw: bytes) -> None:
    try:
        found = decode_local(raw)
    except PeerError:
        return
    assert 0 < found.port < 65536
    if len(found.info_hashes) <= INFO_HASHES_MAX:
        assert decode_local(encode_local(found, GROUP_V4)) == found


def _frame(kind: int, body: bytes = b"") -> bytes:
    return (1 + len(body)).to_bytes(4, "big") + bytes((kind,)) + body


_numbers: Callable[..., bytes] = lambda *numbers: b"".join(n.to_bytes(4, "big") for n in numbers)  # noqa: E731

_HANDSHAKE = encode_handshake(Handshake(InfoHash(b"h" * 20), PeerId(b"-SW0100-abcdefghijkl"), has_dht=True))
_EXTENDED = encode_extended_handshake(
    ExtendedHandshake(
        dict(LOCAL_IDS), 6881, "swarm 0.1", 250, True, 20_000, bytes((1, 2, 3, 4)), prefers_encryption=True
    )
)
_STREAM = encode(
    [Request(0, 0, 3 * BLOCK_BYTES), Have(1), Suggest(0), Extended(0, _EXTENDED), Reject(1, 0, 9)]
)
_BLOCKS = _frame(7, _numbers(0, 0) + b"x" * 16) + _frame(7, _numbers(0, 16) + b"y" * 8) + b"\0\0\0\0"
_FEW = b"".join(
    (_frame(1), _frame(14), _frame(5, b"\xe0"), _frame(9, b"\x1a\xe1"), _frame(6, _numbers(0, 0, 20)))
) + _frame(17, _numbers(2))

PEER_TARGETS = (
    Target("handshake", _handshake, (_HANDSHAKE, _HANDSHAKE[:30]), max_bytes=100),
    Target("messages", _messages, (_STREAM, _BLOCKS, _FEW), max_bytes=1024),
    Target("messages-early", _messages_early, (_STREAM, _FEW), max_bytes=1024),
    Target("extended-handshake", _extended_handshake, (_EXTENDED, b"\0\0\0\1"), max_bytes=512),
    Target(
        "peer-exchange",
        _peer_exchange,
        (
            encode_peer_exchange(
                PeerExchange(
                    [Contact(_CONTACT_V4, ContactFlags(0x12)), Contact(_CONTACT_V6)],
                    [Endpoint("5.6.7.8", 1), Endpoint("::1", 2)],
                )
            ),
        ),
        max_bytes=2048,
    ),
    Target(
        "metadata",
        _metadata,
        (
            encode_metadata(MetadataRequest(1)),
            encode_metadata(MetadataReject(2)),
            encode_metadata(MetadataData(0, 30, b"x" * 30)),
        ),
        max_bytes=512,
    ),
    Target(
        "holepunch",
        _holepunch,
        (
            encode_holepunch(Holepunch(HolepunchKind.RENDEZVOUS, _CONTACT_V4)),
            encode_holepunch(Holepunch(HolepunchKind.ERROR, _CONTACT_V6, 3)),
        ),
        max_bytes=64,
    ),
    Target(
        "local-announce",
        _local_announce,
        (encode_local(LocalAnnounce(6881, (InfoHash(b"h" * 20), InfoHash(b"i" * 20)), "cookie"), GROUP_V4),),
        max_bytes=1500,
    ),
)
