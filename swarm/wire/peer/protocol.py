"""Frames to messages and back, many at a time (BEP 3).

A *frame* is a message on the wire: its length in 4 bytes, then its type in one, then its payload. One `recv`
may bring 64 blocks of 16 KiB, or a thousand requests: those of neighbouring blocks become one message, a
*run*. The bytes of blocks are not copied here, messages hold views of them (decisions 001, 002).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

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

#: The longest block that may be asked for. Some old clients ask for 128 KiB; BEP 3 names 2^17 as the bound.
SERVED_BLOCK_MAX = 1 << 17
_BLOCK_LENGTH_MAX = SERVED_BLOCK_MAX + 9
#: The longest extension message. Real ones carry 16 KiB of metadata, or 100 peers; libtorrent allows 1 MiB.
EXTENDED_BYTES_MAX = 1 << 17
#: The longest message of all: the bitfield of a torrent of 2^21 pieces, the most that we take.
MESSAGE_BYTES_MAX = (1 << 18) + 1
#: Kept of one peer while the number of pieces is not known: the longest bitfield and 29,000 `have`s.
KEPT_BYTES_MAX = 1 << 19

_CHOKE, _UNCHOKE, _INTERESTED, _NOT_INTERESTED, _HAVE, _BITFIELD, _REQUEST, _PIECE, _CANCEL, _PORT = range(10)
_SUGGEST, _HAVE_ALL, _HAVE_NONE, _REJECT, _ALLOWED_FAST = range(0x0D, 0x12)
_EXTENDED = 20

_LENGTH = struct.Struct(">I")
_FRAME = struct.Struct(">IB")
_BLOCK_HEAD = struct.Struct(">IBII")
#: Bytes before a block on the wire: length, type, piece, begin.
BLOCK_HEAD_BYTES = _BLOCK_HEAD.size
_TRIPLE = struct.Struct(">IBIII")
_TRIPLE_BYTES = 17
_INDEX = struct.Struct(">I")
_NUMBERED = struct.Struct(">IBI")

#: Types of a fixed length (of type and payload).
_FIXED_LENGTH = {
    _CHOKE: 1, _UNCHOKE: 1, _INTERESTED: 1, _NOT_INTERESTED: 1, _HAVE: 5, _REQUEST: 13, _CANCEL: 13, _PORT: 3,
    _SUGGEST: 5, _HAVE_ALL: 1, _HAVE_NONE: 1, _REJECT: 13, _ALLOWED_FAST: 5,
}  # fmt: skip
_BARE: dict[int, Message] = {
    _CHOKE: Choke(),
    _UNCHOKE: Unchoke(),
    _INTERESTED: Interested(),
    _NOT_INTERESTED: NotInterested(),
    _HAVE_ALL: HaveAll(),
    _HAVE_NONE: HaveNone(),
}
_BARE_IDS = {type(message): number for number, message in _BARE.items()}
_FAST_ONLY = frozenset((_SUGGEST, _HAVE_ALL, _HAVE_NONE, _REJECT, _ALLOWED_FAST))
_INDEXED: dict[int, type[Have] | type[Suggest] | type[AllowedFast]] = {
    _HAVE: Have,
    _SUGGEST: Suggest,
    _ALLOWED_FAST: AllowedFast,
}
#: Types that say something of the link's state, which will still hold when the number of pieces is known.
_KEPT = frozenset((_CHOKE, _UNCHOKE, _INTERESTED, _NOT_INTERESTED, _HAVE, _BITFIELD, _PORT, *_FAST_ONLY)) - {
    _REJECT
}
_RUNS: dict[int, type[Request] | type[Cancel] | type[Reject]] = {
    _REQUEST: Request,
    _CANCEL: Cancel,
    _REJECT: Reject,
}


class Decoder:
    """Turns one peer's frames into messages, and checks every number in them.

    Args:
        geometry: of the torrent; an index beyond it is a PeerError.
        has_fast: both sides have agreed on BEP 6; without it, its messages are a PeerError.
    """

    __slots__ = ("_bitfield_length", "_geometry", "_has_fast")

    def __init__(self, geometry: Geometry, *, has_fast: bool) -> None:
        self._geometry = geometry
        self._has_fast = has_fast
        self._bitfield_length = 1 + (geometry.piece_count + 7) // 8

    def decode(self, view: memoryview, end: int) -> tuple[list[Message], int]:
        """Read all whole frames in `view[:end]`.

        Args:
            view: bytes from the link; the blocks in `Piece` messages are slices of it.
            end: how many bytes have come.

        Returns:
            The messages in order, and where the first incomplete frame begins. Keep-alives and messages of
            unknown types are counted by one `KeepAlive` at the end.

        Raises:
            PeerError: a frame that no honest peer sends; nothing after it can be trusted.
        """
        messages: list[Message] = []
        idle_count = 0
        at = 0
        while end - at >= 4:
            (length,) = _LENGTH.unpack_from(view, at)
            if length == 0:
                at += 4
                idle_count += 1
                continue
            stop = _frame_end(view, at, end, length, self._bitfield_length, self._has_fast)
            if stop > end:
                break
            kind = view[at + 4]
            if kind == _PIECE:
                at = self._decode_blocks(view, at, end, messages)
            elif kind in _RUNS:
                at = self._decode_runs(view, at, end, kind, messages)
            else:
                message = self._decode_one(kind, view[at + 5 : stop])
                if message is not None:
                    messages.append(message)
                else:
                    idle_count += 1
                at = stop
        if idle_count:
            messages.append(KeepAlive(idle_count))
        return messages, at

    def _decode_blocks(self, view: memoryview, at: int, end: int, messages: list[Message]) -> int:
        """Read the run of blocks that begins at `at`, the first of which is whole; returns where it ends.

        This loop sees every block of a download, so it does no more than one `unpack_from` and one slice for
        each.
        """
        _, _, run_piece, run_begin = _BLOCK_HEAD.unpack_from(view, at)
        parts: list[memoryview] = []
        next_begin = run_begin
        # Whatever follows is read as the head of a block, and then seen to be one or not.
        while end - at > BLOCK_HEAD_BYTES:
            length, kind, piece, begin = _BLOCK_HEAD.unpack_from(view, at)
            stop = at + 4 + length
            if kind != _PIECE or piece != run_piece or begin != next_begin or stop > end:
                break
            if not 9 < length <= _BLOCK_LENGTH_MAX:
                break
            if length <= BLOCK_BYTES + 9:
                parts.append(view[at + BLOCK_HEAD_BYTES : stop])
            else:
                # A part for each 16 KiB: of these, what another peer has sent meanwhile is not stored again.
                parts += [
                    view[start : min(start + BLOCK_BYTES, stop)]
                    for start in range(at + BLOCK_HEAD_BYTES, stop, BLOCK_BYTES)
                ]
            next_begin += length - 9
            at = stop
            if length != BLOCK_BYTES + 9:
                # A run goes on after blocks of 16 KiB only: a shorter one ends it, a longer one is one by
                # itself.
                break
        length = next_begin - run_begin
        if not self._geometry.contains(run_piece, run_begin, length):
            raise PeerError(f"it sent a block outside the torrent: piece {run_piece}, byte {run_begin}")
        messages.append(Piece(run_piece, run_begin, length, parts))
        return at

    def _decode_runs(self, view: memoryview, at: int, end: int, kind: int, messages: list[Message]) -> int:
        """Read the requests (or cancels, or rejects) that begin at `at` as runs; returns where they end."""
        whole = (end - at) // _TRIPLE_BYTES * _TRIPLE_BYTES
        make = _RUNS[kind]
        first_piece = first_begin = next_begin = -1
        block_bytes = 0

        def flush() -> None:
            if block_bytes:
                if not self._geometry.contains(first_piece, first_begin, next_begin - first_begin):
                    raise PeerError(
                        f"it named a block outside the torrent: piece {first_piece}, byte {first_begin}"
                    )
                messages.append(make(first_piece, first_begin, next_begin - first_begin, block_bytes))

        for length, number, piece, begin, size in _TRIPLE.iter_unpack(view[at : at + whole]):
            if number != kind or length != 13:
                break
            if not 0 < size <= SERVED_BLOCK_MAX:
                raise PeerError(f"it named a block of {size} bytes")
            continues = piece == first_piece and begin == next_begin and size <= block_bytes
            # All blocks of a run have the length of the first; only the last may be shorter.
            if not continues or (next_begin - first_begin) % block_bytes:
                flush()
                first_piece, first_begin, block_bytes = piece, begin, size
            next_begin = begin + size
            at += _TRIPLE_BYTES
        flush()
        return at

    def _decode_one(self, kind: int, payload: memoryview) -> Message | None:
        """Read a message whose length has been checked; None for one of an unknown type."""
        bare = _BARE.get(kind)
        if bare is not None:
            return bare
        if kind == _EXTENDED:
            return Extended(payload[0], bytes(payload[1:]))
        if kind == _BITFIELD:
            return BitfieldMessage(bytes(payload))
        if kind == _PORT:
            return Port(int.from_bytes(payload, "big"))
        if kind not in _INDEXED:
            return None
        (piece,) = _INDEX.unpack(payload)
        if piece >= self._geometry.piece_count:
            if kind == _HAVE:
                raise PeerError(f"it has piece {piece} of {self._geometry.piece_count}")
            # Of suggestions beyond the end BEP 6 says nothing; we ignore them, as libtorrent does.
            return None
        return _INDEXED[kind](piece)


class EarlyDecoder:
    """Reads one peer's frames while the number of pieces is not known: at first, with a magnet link.

    Messages that do not depend on it are returned at once. The other frames are kept as they came, within a
    bound, for the torrent's `Decoder`, which checks them as if they had just arrived.

    Args:
        has_fast: as for `Decoder`.
        later: extended ids of messages that the torrent's `Decoder` is to read as well; it reads the
            extension handshake (id 0) in any case.

    Attributes:
        kept: the frames for later, one after the other.
    """

    __slots__ = ("_has_fast", "_later", "kept")

    def __init__(self, *, has_fast: bool, later: frozenset[int]) -> None:
        self._has_fast = has_fast
        self._later = later
        self.kept = bytearray()

    def decode(self, view: memoryview, end: int) -> tuple[list[Message], int]:
        """As `Decoder.decode`.

        Raises:
            PeerError: a frame that no honest peer sends, or too many frames for later.
        """
        messages: list[Message] = []
        idle_count = 0
        at = 0
        while end - at >= 4:
            (length,) = _LENGTH.unpack_from(view, at)
            if length == 0:
                at += 4
                idle_count += 1
                continue
            stop = _frame_end(view, at, end, length, None, self._has_fast)
            if stop > end:
                break
            if not self._read(view[at + 4], view[at:stop], messages):
                idle_count += 1
            at = stop
        if idle_count:
            messages.append(KeepAlive(idle_count))
        return messages, at

    def _read(self, kind: int, frame: memoryview, messages: list[Message]) -> bool:
        """Read one frame; returns False if it is of no use, now or later."""
        if kind == _PIECE:
            raise PeerError("it sent a block that nobody can have asked for")
        is_kept = kind in _KEPT
        if kind == _EXTENDED:
            is_kept = frame[5] == 0 or frame[5] in self._later
            messages.append(Extended(frame[5], bytes(frame[6:])))
        elif kind == _PORT:
            messages.append(Port(int.from_bytes(frame[5:], "big")))
        if is_kept:
            if len(self.kept) + len(frame) > KEPT_BYTES_MAX:
                raise PeerError("it sends too much that cannot be understood yet")
            self.kept += frame
        return is_kept or kind in (_EXTENDED, _PORT)


def _frame_end(
    view: memoryview, at: int, end: int, length: int, bitfield_length: int | None, has_fast: bool
) -> int:
    """Where the frame that begins at `at` ends, which may be beyond `end`, up to which bytes have come.

    Args:
        length: as the frame gives it, > 0.
        bitfield_length: what it must be for a bitfield; None while that is not known.

    Raises:
        PeerError: its type, if that has come, cannot have that length, or is of BEP 6 without `has_fast`.
    """
    stop = at + 4 + length
    if end - at < 5:
        if length > MESSAGE_BYTES_MAX:
            raise PeerError(f"it announced a message of {length} bytes")
        return stop
    kind = view[at + 4]
    fixed = _FIXED_LENGTH.get(kind)
    if fixed is not None:
        is_right = length == fixed
    elif kind == _PIECE:
        is_right = 9 < length <= _BLOCK_LENGTH_MAX
    elif kind == _BITFIELD:
        is_right = length == bitfield_length or (bitfield_length is None and length <= MESSAGE_BYTES_MAX)
    elif kind == _EXTENDED:
        is_right = 2 <= length <= EXTENDED_BYTES_MAX
    else:
        is_right = length <= EXTENDED_BYTES_MAX
    if not is_right:
        raise PeerError(f"it sent a message of type {kind} with a length of {length} bytes")
    if kind in _FAST_ONLY and not has_fast:
        raise PeerError(f"it sent a message of type {kind} without the fast extension")
    return stop


def encode(messages: Iterable[Message]) -> bytes:
    """The frames of `messages`; ValueError for a `Piece`.

    Blocks are sent from the buffers that they were read into, with heads by `encode_block_head` (decision
    003).
    """
    frames = []
    for message in messages:
        kind = _BARE_IDS.get(type(message))
        if kind is not None:
            frames.append(_FRAME.pack(1, kind))
            continue
        match message:
            case Request():
                frames.append(_encode_run(_REQUEST, message))
            case Have(piece):
                frames.append(_NUMBERED.pack(5, _HAVE, piece))
            case Cancel():
                frames.append(_encode_run(_CANCEL, message))
            case Reject():
                frames.append(_encode_run(_REJECT, message))
            case BitfieldMessage(raw):
                frames.append(_FRAME.pack(1 + len(raw), _BITFIELD) + raw)
            case Extended(extended_id, payload):
                frames.append(_FRAME.pack(2 + len(payload), _EXTENDED) + bytes((extended_id,)) + payload)
            case AllowedFast(piece):
                frames.append(_NUMBERED.pack(5, _ALLOWED_FAST, piece))
            case Suggest(piece):
                frames.append(_NUMBERED.pack(5, _SUGGEST, piece))
            case KeepAlive(count):
                frames.append(bytes(4 * count))
            case Port(port):
                frames.append(_FRAME.pack(3, _PORT) + port.to_bytes(2, "big"))
            case _:
                raise ValueError(f"{type(message).__name__} is not sent this way")
    return b"".join(frames)


def _encode_run(kind: int, run: Request | Cancel | Reject) -> bytes:
    piece, size, end = run.piece, run.block_bytes, run.begin + run.length
    pack = _TRIPLE.pack
    frames = [pack(13, kind, piece, begin, size) for begin in range(run.begin, end - size + 1, size)]
    short = run.length % size
    if short:
        frames.append(pack(13, kind, piece, end - short, short))
    return b"".join(frames)


def encode_block_head(buffer: bytearray | memoryview, at: int, piece: int, begin: int, length: int) -> None:
    """Write the head of a block of `length` bytes, `BLOCK_HEAD_BYTES` long, into `buffer` at `at`."""
    _BLOCK_HEAD.pack_into(buffer, at, length + 9, _PIECE, piece, begin)
