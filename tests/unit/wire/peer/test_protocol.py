"""Frames and messages: known bytes, runs, and what no honest peer sends."""

from __future__ import annotations

import pytest

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.errors import PeerError
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
from swarm.wire.peer.protocol import (
    EXTENDED_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    SERVED_BLOCK_MAX,
    Decoder,
    encode,
    encode_block_head,
)

#: 40 pieces of 1 MiB and a last one of 20,000 bytes: bitfields have six bytes.
GEOMETRY = Geometry((40 << 20) + 20_000, 1 << 20)
#: The four pieces of the vectors: a bitfield of one byte.
SMALL = Geometry(4 * 4 * BLOCK_BYTES, 4 * BLOCK_BYTES)


def decode(raw: bytes, *, geometry: Geometry = GEOMETRY, has_fast: bool = True) -> list[Message]:
    messages, used = Decoder(geometry, has_fast=has_fast).decode(memoryview(raw), len(raw))
    assert used == len(raw), "something was left over"
    return messages


def block(piece: int, begin: int, length: int, filler: int = 0x78) -> bytes:
    head = bytearray(13)
    encode_block_head(head, 0, piece, begin, length)
    return bytes(head) + bytes([filler]) * length


class TestKnownBytes:
    """Vectors of BEP 3, 5, 6 and 10 and of other clients' tests; read, and written again."""

    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            ("0000000100", Choke()),
            ("0000000101", Unchoke()),
            ("0000000102", Interested()),
            ("0000000103", NotInterested()),
            ("000000050400000007", Have(7)),
            ("0000000705800000000080", BitfieldMessage(bytes.fromhex("800000000080"))),
            ("0000000d060000000a0000002b0000002c", Request(10, 43, 44, 44)),
            ("0000000d08000000010000400000004000", Cancel(1, 16384, 16384)),
            ("00000003091ae1", Port(6881)),
            ("000000050d00000003", Suggest(3)),
            ("000000010e", HaveAll()),
            ("000000010f", HaveNone()),
            ("0000000d10000000010000000000004000", Reject(1, 0, 16384)),
            ("000000051100000007", AllowedFast(7)),
            ("0000000414006465", Extended(0, b"de")),
            ("00000002 1405", Extended(5, b"")),
        ],
    )
    def test_message_is_read_and_written(self, raw: str, message: Message) -> None:
        frame = bytes.fromhex(raw)
        assert decode(frame) == [message]
        assert encode([message]) == frame

    def test_block_is_read_without_a_copy(self) -> None:
        raw = bytes.fromhex("0000000c07 0000000a 0000002b 0d0e0f".replace(" ", ""))
        assert decode(raw) == [Piece(10, 43, 3, [memoryview(b"\r\x0e\x0f")])]
        (piece,) = decode(raw)
        assert isinstance(piece, Piece) and piece.parts[0].obj is raw

    def test_keep_alives_are_read_as_one_that_counts_them(self) -> None:
        assert encode([KeepAlive()]) == bytes(4)
        assert decode(bytes(4) * 100) == [KeepAlive(100)]

    @pytest.mark.parametrize(
        "raw",
        [
            # hash request, hash reject, hashes of BEP 52; 99 and 255 are nobody's
            "0000003115" + "72" * 32 + "00000000000000000000020000000003",
            "0000003117" + "72" * 32 + "00000000000000000000020000000003",
            "0000009116" + "72" * 32 + "00000000000000000000000200000001" + "68" * 96,
            "0000000463616263",
            "00000001ff",
        ],
    )
    def test_unknown_message_is_no_more_than_a_sign_of_life(self, raw: str) -> None:
        assert decode(bytes.fromhex(raw) + encode([Choke()])) == [Choke(), KeepAlive()]

    @pytest.mark.parametrize("kind", [0x0D, 0x11])
    @pytest.mark.parametrize("piece", [41, 2**32 - 1])
    def test_hint_past_the_end_is_no_more_than_a_sign_of_life(self, kind: int, piece: int) -> None:
        assert decode(b"\0\0\0\5" + bytes([kind]) + piece.to_bytes(4, "big")) == [KeepAlive()]


class TestWrongBytes:
    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param("ffffffff070000000000000000", id="length of 2^32-1"),
            pytest.param("80000000070000000000000000", id="length of 2^31"),
            pytest.param("06400000070000000000000000", id="block of 100 MiB"),
            pytest.param("ffffffff", id="length of 2^32-1, nothing more yet"),
            pytest.param("00000009070000000000000000", id="block of no bytes"),
            pytest.param("0000000507000000", id="block without a head"),
            pytest.param("0000000404000000", id="have of 4 bytes"),
            pytest.param("00000005047fffffff", id="have past the end"),
            pytest.param("0000000504ffffffff", id="have of piece -1"),
            pytest.param("00000005040000000400", id="have of the piece after the last"),
            pytest.param("0000000705000000000000", id="bitfield too long"),
            pytest.param("0000000105", id="bitfield too short"),
            pytest.param("00030d4105", id="bitfield of 200,000 bytes"),
            pytest.param("0000000d06000000000000000000000000", id="request of no bytes"),
            pytest.param("0000000d06000000000000000080000000", id="request of 2^31 bytes"),
            pytest.param("0000000d06000000000000000000100000", id="request of 1 MiB"),
            pytest.param("0000000d0600000000fffffff000000020", id="request that overflows"),
            pytest.param("0000000d060001869f0000000000004000", id="request past the last piece"),
            pytest.param("0000000d06000000000000fa0000004000", id="request past the end of its piece"),
            pytest.param("0000000c060000000000000000000040", id="request too short"),
            pytest.param("0000000d08000000040000000000004000", id="cancel past the last piece"),
            pytest.param("0000000d10000000040000000000004000", id="reject past the last piece"),
            pytest.param("0000000109", id="port of no bytes"),
            pytest.param("000000020000", id="choke with something more"),
            pytest.param("0000000114", id="extension message without an id"),
        ],
    )
    def test_no_honest_peer_sends_that(self, raw: str) -> None:
        with pytest.raises(PeerError):
            decode(bytes.fromhex(raw), geometry=SMALL)

    @pytest.mark.parametrize("kind", [5, 7, 20, 99])
    def test_announced_length_is_refused_before_its_bytes_come(self, kind: int) -> None:
        with pytest.raises(PeerError, match="length"):
            decode((1 << 20).to_bytes(4, "big") + bytes([kind]))

    def test_longest_messages_are_waited_for(self) -> None:
        decoder = Decoder(Geometry(2**21, 1), has_fast=True)
        for kind, length in (
            (5, MESSAGE_BYTES_MAX),
            (7, SERVED_BLOCK_MAX + 9),
            (20, EXTENDED_BYTES_MAX),
            (99, EXTENDED_BYTES_MAX),
        ):
            head = length.to_bytes(4, "big") + bytes([kind])
            assert decoder.decode(memoryview(head), 5) == ([], 0)

    @pytest.mark.parametrize(
        "message", [Suggest(1), HaveAll(), HaveNone(), Reject(0, 0, BLOCK_BYTES), AllowedFast(1)]
    )
    def test_fast_messages_need_the_fast_extension(self, message: Message) -> None:
        with pytest.raises(PeerError, match="without the fast extension"):
            decode(encode([message]), has_fast=False)

    def test_overlong_block_is_refused_behind_a_good_one_too(self) -> None:
        raw = block(0, 0, BLOCK_BYTES) + block(0, BLOCK_BYTES, SERVED_BLOCK_MAX + 1)
        with pytest.raises(PeerError, match="length"):
            decode(raw)

    def test_block_beyond_its_piece_is_refused_within_a_run_too(self) -> None:
        raw = block(40, 0, BLOCK_BYTES) + block(40, BLOCK_BYTES, BLOCK_BYTES)
        with pytest.raises(PeerError, match="outside the torrent"):
            decode(raw)


class TestRuns:
    def test_neighbouring_blocks_become_one_run(self) -> None:
        raw = b"".join(block(3, at * BLOCK_BYTES, BLOCK_BYTES, at) for at in range(64))
        (run,) = decode(raw)
        assert isinstance(run, Piece)
        assert (run.piece, run.begin, run.length, len(run.parts)) == (3, 0, 1 << 20, 64)
        assert [part[0] for part in run.parts] == list(range(64))

    def test_short_block_is_the_last_of_its_run(self) -> None:
        raw = block(40, 0, BLOCK_BYTES) + block(40, BLOCK_BYTES, 20_000 - BLOCK_BYTES)
        (run,) = decode(raw)
        assert isinstance(run, Piece) and run.length == 20_000

    @pytest.mark.parametrize(
        ("second", "why"),
        [
            ((3, 2 * BLOCK_BYTES), "a gap"),
            ((3, 0), "the same again"),
            ((4, BLOCK_BYTES), "another piece"),
        ],
    )
    def test_run_ends_where_the_next_block_is_no_neighbour(self, second: tuple[int, int], why: str) -> None:
        raw = block(3, 0, BLOCK_BYTES) + block(*second, BLOCK_BYTES)
        assert [type(run) for run in decode(raw)] == [Piece, Piece], why

    def test_run_ends_where_another_message_stands(self) -> None:
        raw = block(3, 0, BLOCK_BYTES) + encode([Have(1)]) + block(3, BLOCK_BYTES, BLOCK_BYTES)
        assert [type(message) for message in decode(raw)] == [Piece, Have, Piece]

    def test_blocks_of_odd_size_stand_alone(self) -> None:
        sizes = [SERVED_BLOCK_MAX, 100, 7, 16384]
        begins = [0, SERVED_BLOCK_MAX, SERVED_BLOCK_MAX + 100, SERVED_BLOCK_MAX + 107]
        raw = b"".join(block(0, begin, size) for begin, size in zip(begins, sizes, strict=True))
        assert [run.length for run in decode(raw) if isinstance(run, Piece)] == sizes

    @pytest.mark.parametrize("kind", [Request, Cancel, Reject])
    @pytest.mark.parametrize(
        ("piece", "begin", "length", "block_bytes", "frames"),
        [
            (0, 0, 1 << 20, BLOCK_BYTES, 64),
            (40, 0, 20_000, BLOCK_BYTES, 2),
            (1, 16384, 16384, BLOCK_BYTES, 1),
            (1, 5, 1000, 1000, 1),
            (0, 0, 1 << 20, SERVED_BLOCK_MAX, 8),
            (0, 0, 1000, 300, 4),
        ],
    )
    def test_run_is_a_frame_a_block_on_the_wire(
        self,
        kind: type[Request] | type[Cancel] | type[Reject],
        piece: int,
        begin: int,
        length: int,
        block_bytes: int,
        frames: int,
    ) -> None:
        run = kind(piece, begin, length, block_bytes)
        raw = encode([run])
        assert len(raw) == 17 * frames
        assert decode(raw) == [run]

    def test_requests_that_are_no_neighbours_are_runs_of_their_own(self) -> None:
        runs: list[Message] = [
            Request(0, 0, 3 * BLOCK_BYTES),
            Request(0, 4 * BLOCK_BYTES, BLOCK_BYTES),
            Request(1, 5 * BLOCK_BYTES, BLOCK_BYTES),
            Cancel(1, 6 * BLOCK_BYTES, BLOCK_BYTES),
            # a longer block does not go on from a shorter one
            Request(2, 0, 100, 100),
            Request(2, 100, 200, 200),
        ]
        assert decode(encode(runs)) == runs

    def test_request_behind_a_short_one_starts_a_run(self) -> None:
        runs: list[Message] = [Request(0, 0, 20_000), Request(0, 20_000, 100, 100)]
        assert decode(encode(runs)) == runs


class TestLeftovers:
    @pytest.mark.parametrize("cut", range(1, 17))
    def test_incomplete_frame_stays(self, cut: int) -> None:
        raw = encode([Choke(), Request(0, 0, BLOCK_BYTES)])
        messages, used = Decoder(GEOMETRY, has_fast=True).decode(memoryview(raw), 5 + cut)
        assert messages == [Choke()] and used == 5

    def test_nothing_behind_the_end_is_read(self) -> None:
        raw = block(0, 0, BLOCK_BYTES) + encode([Choke()])
        messages, used = Decoder(GEOMETRY, has_fast=True).decode(memoryview(raw), len(raw) - 5)
        assert len(messages) == 1 and used == len(raw) - 5

    def test_blocks_are_not_written_this_way(self) -> None:
        with pytest.raises(ValueError, match="Piece"):
            encode([Piece(0, 0, 1)])
