"""A torrent's engine in a world of fakes: peers that say what a test tells them, a disk, a clock.

    world = World(pieces=4, blocks=2)
    peer = world.connect("*** ")      # it has the pieces 0, 1, 2
    peer.says(Unchoke())
    peer.sends()                      # all that it was asked for
    assert world.have == "*** "

Whatever a test does, the world holds the engine to its promises after every event (`World.check`): it
asks no peer for what that peer lacks or refuses, stores a block once, and offers nothing that the
disk has not verified. The engine is seen through its door; only `check` looks behind it, to compare its
books with what the fakes know.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import BLOCK_BYTES, Geometry, mask_runs, run_mask
from swarm.base.endpoint import Endpoint
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.commands import (
    AnnounceCompleted,
    AnnounceReopened,
    BanHost,
    Command,
    Dial,
    DropPeer,
    ForgetBlocks,
    HashPiece,
    NodeFound,
    SeekPeers,
    SendBlocks,
    SendMessages,
    StoreBlocks,
)
from swarm.engine.events import (
    BlocksSent,
    Event,
    HashResult,
    MessagesReceived,
    PeerConnected,
    PeerLost,
    PiecesHashed,
    WokenUp,
)
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings
from swarm.engine.torrent import TorrentEngine
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
    Message,
    NotInterested,
    Piece,
    Reject,
    Request,
    Unchoke,
)

INFO_HASH = InfoHash(b"\xaa" * 20)
OWN_ID = PeerId(b"-SW0100-ourselves...")

#: What a block is filled with: zeros are right, any other byte is wrong data.
RIGHT = 0

_FILLED = [memoryview(bytes([filler]) * BLOCK_BYTES) for filler in range(256)]

#: (piece, block)
Block = tuple[int, int]


def drawn(pieces: Iterable[int], count: int) -> str:
    """`*` for each piece that is there, a blank for each that is not."""
    there = set(pieces)
    return "".join("*" if piece in there else " " for piece in range(count))


def read_drawing(drawing: str) -> Bitfield:
    have = Bitfield(len(drawing))
    for piece, mark in enumerate(drawing):
        if mark != " ":
            have.add(piece)
    return have


def inside_of(
    number: int,
    have: str,
    *,
    endpoint: Endpoint | None = None,
    is_outgoing: bool = False,
    has_extended: bool = False,
    settings: EngineSettings | None = None,
    now: float = 0.0,
) -> Peer:
    """A peer as the engine knows it, for a desk that is looked at alone."""
    event = PeerConnected(
        number,
        endpoint or Endpoint(f"10.0.0.{number}", 6881),
        PeerId(b"%020d" % number),
        is_outgoing,
        has_fast=True,
        has_extended=has_extended,
    )
    made = Peer(event, len(have), settings or EngineSettings(), now)
    made.have = read_drawing(have)
    return made


class FakePeer:
    """The far end of a link: notes what it is told, says what the test wants.

    Attributes:
        have: what it told us that it has.
        asked: blocks that we asked for and neither got nor took back, in order.
        taken_back: blocks that we asked for and cancelled, or that it choked away; it may still send them.
        heard: all messages that it got, in order.
        got: the runs of blocks that it got, as (piece, begin, length).
    """

    def __init__(self, world: World, event: PeerConnected) -> None:
        self.world = world
        self.number = event.peer
        self.endpoint = event.endpoint
        self.peer_id = event.peer_id
        self.has_fast = event.has_fast
        self.have = Bitfield(world.geometry.piece_count)
        self.is_choking = True
        self.allowed_fast: set[int] = set()
        self.asked: dict[Block, None] = {}
        self.taken_back: dict[Block, None] = {}
        self.heard: list[Message] = []
        self.got: list[tuple[int, int, int]] = []
        self.is_reading = True
        self.unread_bytes = 0
        self.is_unchoked = False
        self.is_wanted = False
        self.drop_reason: str | None = None

    def __repr__(self) -> str:
        return f"<FakePeer {self.number} has {drawn(self.have, len(self.have))!r}>"

    # What it does.

    def says(self, *messages: Message) -> list[Command]:
        """Send `messages` in one go."""
        for message in messages:
            self._note_own(message)
        return self.world.tell(MessagesReceived(self.number, messages))

    def sends(self, count: int | None = None, *, filler: int = RIGHT, at_once: bool = True) -> list[Command]:
        """Answer the first `count` blocks that it was asked for (None: go on until nothing is asked)."""
        commands: list[Command] = []
        while self.asked and self.drop_reason is None and (count is None or count > 0):
            blocks = list(self.asked)[:count] if at_once else list(self.asked)[:1]
            commands += self.sends_blocks(blocks, filler=filler)
            count = None if count is None else count - len(blocks)
        return commands

    def sends_blocks(self, blocks: Sequence[Block], *, filler: int = RIGHT) -> list[Command]:
        """Send these blocks, whether they were asked for or not; neighbours travel as one run."""
        runs: list[Piece] = []
        for piece, block in blocks:
            size = self.world.geometry.run_bytes(piece, block, 1)
            part = _FILLED[filler][:size]
            begin = block * BLOCK_BYTES
            last = runs[-1] if runs else None
            if last is not None and last.piece == piece and last.begin + last.length == begin:
                last.parts.append(part)
                last.length += size
            else:
                runs.append(Piece(piece, begin, size, [part]))
        return self.says(*runs)

    def gives_back(self) -> list[Command]:
        """Say that nothing will come of what was cancelled (BEP 6)."""
        blocks = list(self.taken_back)
        size = self.world.geometry.run_bytes
        return self.says(
            *(Reject(piece, block * BLOCK_BYTES, size(piece, block, 1)) for piece, block in blocks)
        )

    def leaves(self, reason: str = "it left") -> list[Command]:
        self.world.peers.pop(self.number, None)
        return self.world.tell(PeerLost(self.number, reason))

    def reads_on(self) -> list[Command]:
        """Take what was held back while `is_reading` was False."""
        self.is_reading = True
        length, self.unread_bytes = self.unread_bytes, 0
        return self.world.tell(BlocksSent(self.number, length)) if length else []

    # What it notes.

    def heard_of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.heard if isinstance(message, kind)]

    def _note_own(self, message: Message) -> None:
        match message:
            case HaveAll():
                self.have = Bitfield(len(self.have), is_full=True)
            case HaveNone():
                self.have = Bitfield(len(self.have))
            case BitfieldMessage(raw):
                with contextlib.suppress(ValueError):
                    self.have = Bitfield.from_bytes(raw, len(self.have))
            case Have(piece):
                self.have.add(piece)
            case Extended(1, payload):
                piece = int.from_bytes(payload, "big")
                if piece < len(self.have) and self.have.discard(piece) and not self.has_fast:
                    # It has no way to say that it will not answer; we take that as said.
                    for block in [block for block in self.asked if block[0] == piece]:
                        self.taken_back[block] = self.asked.pop(block)
            case AllowedFast(piece):
                self.allowed_fast.add(piece)
            case Choke():
                self.is_choking = True
                # BEP 6: with the extension only a reject says that no block will come.
                if not self.has_fast:
                    self.taken_back |= self.asked
                    self.asked.clear()
            case Unchoke():
                self.is_choking = False
            case Piece(piece, begin, length):
                for block in self._blocks(piece, begin, length):
                    if self.asked.pop(block, 0) == 0:
                        self.taken_back.pop(block, None)
            case Reject(piece, begin, length):
                for block in self._blocks(piece, begin, length):
                    if self.asked.pop(block, 0) == 0:
                        self.taken_back.pop(block, None)

    def hears(self, message: Message) -> None:
        """Take one message from the engine; AssertionError where it may not say that."""
        self.heard.append(message)
        verified = self.world.verified
        match message:
            case Request(piece, begin, length):
                assert self.have[piece], f"asked {self.number} for piece {piece}, which it lacks"
                assert not self.is_choking or piece in self.allowed_fast, f"{self.number} is choking us"
                for block in self._blocks(piece, begin, length):
                    assert block not in self.asked, f"asked {self.number} twice for {block}"
                    assert not self.world.is_known(block), f"asked {self.number} for {block}, which is known"
                    self.asked[block] = None
            case Cancel(piece, begin, length):
                for block in self._blocks(piece, begin, length):
                    del self.asked[block]
                    self.taken_back[block] = None
            case Choke():
                assert self.is_unchoked, "choked twice"
                self.is_unchoked = False
            case Unchoke():
                assert not self.is_unchoked, "unchoked twice"
                self.is_unchoked = True
            case Interested():
                assert not self.is_wanted, "interested twice"
                self.is_wanted = True
            case NotInterested():
                assert self.is_wanted, "not interested twice"
                self.is_wanted = False
            case Have(piece) | AllowedFast(piece):
                assert verified[piece], f"offered piece {piece}, which is not verified"
            case BitfieldMessage(raw):
                assert Bitfield.from_bytes(raw, len(verified)) == verified, "offered what is not verified"
            case HaveAll():
                assert verified.is_full, "offered what is not verified"
        if isinstance(message, HaveAll | HaveNone | AllowedFast | Reject):
            assert self.has_fast, f"{type(message).__name__} to a peer without the fast extension"

    def _blocks(self, piece: int, begin: int, length: int) -> list[Block]:
        assert self.world.geometry.contains(piece, begin, length)
        first = begin // BLOCK_BYTES
        return [(piece, first + at) for at in range(-(-length // BLOCK_BYTES))]


class World:
    """One engine and all around it.

    Args:
        pieces, blocks: size of the torrent, in pieces and in blocks a piece.
        have: our verified pieces, drawn; empty for none.
        priorities: a digit a piece; empty for all wanted.
        has_quick_disk: pieces are hashed before anything else happens; otherwise by `hash_next`.
        known: piece -> mask of its blocks that need not come.
        partials: piece -> mask of its blocks that an earlier run has stored.
    """

    def __init__(
        self,
        pieces: int = 4,
        blocks: int = 2,
        *,
        have: str = "",
        priorities: str = "",
        settings: EngineSettings | None = None,
        seed: int = 1,
        has_quick_disk: bool = True,
        is_sequential: bool = False,
        total_bytes: int | None = None,
        is_private: bool = False,
        dht_port: int | None = None,
        info: bytes = b"",
        book: PeerBook | None = None,
        known: Mapping[int, int] | None = None,
        partials: Mapping[int, int] | None = None,
    ) -> None:
        self.known = known or {}
        piece_length = blocks * BLOCK_BYTES
        self.geometry = Geometry(pieces * piece_length if total_bytes is None else total_bytes, piece_length)
        count = self.geometry.piece_count
        #: What the disk has verified.
        self.verified = read_drawing(have) if have else Bitfield(count)
        self.now = 1000.0
        self.settings = settings or EngineSettings()
        self.rng = random.Random(seed)
        self.engine = TorrentEngine(
            self.geometry,
            INFO_HASH,
            OWN_ID,
            self.verified.copy(),
            bytes(map(int, priorities)) if priorities else b"\x01" * count,
            settings=self.settings,
            rng=self.rng,
            now=self.now,
            is_sequential=is_sequential,
            listen_port=6881,
            is_private=is_private,
            dht_port=dht_port,
            info=info,
            book=book,
            known_blocks=None if known is None else lambda piece: self.known.get(piece, 0),
            partials=partials,
        )
        self.has_quick_disk = has_quick_disk
        self.peers: dict[int, FakePeer] = {}
        #: What every block of the pieces in memory is filled with.
        self.memory: dict[int, dict[int, int]] = {
            piece: dict.fromkeys(
                (block for first, count in mask_runs(mask) for block in range(first, first + count)), RIGHT
            )
            for piece, mask in self.engine.partial_blocks().items()
        }
        #: Pieces to be hashed, oldest first, and whether digests of their blocks are wanted.
        self.to_hash: list[tuple[int, bool]] = []
        self.dialled: list[Endpoint] = []
        self.banned: list[Endpoint] = []
        self.completed_count = 0
        self.reopened_count = 0
        self.seek_count = 0
        self.nodes: list[Endpoint] = []
        self._next_number = 0
        self._answers: list[Event] = []

    # What happens.

    def tell(self, event: Event) -> list[Command]:
        """Let `event` happen, and what follows from it at once; returns all commands."""
        commands = self._handle(event)
        while self._answers or (self.has_quick_disk and self.to_hash):
            if self.has_quick_disk and self.to_hash:
                self._answers.append(self._hash())
            commands += self._handle(self._answers.pop(0))
        return commands

    def connect(
        self,
        have: str | None = None,
        *,
        has_fast: bool = True,
        has_extended: bool = False,
        has_dht: bool = False,
        is_outgoing: bool = False,
        endpoint: Endpoint | None = None,
        peer_id: PeerId | None = None,
        is_unchoking: bool = False,
        is_greeted: bool = False,
    ) -> FakePeer:
        """Open a link; the peer then says which pieces it `have`s (drawn; None: it says nothing)."""
        self._next_number += 1
        number = self._next_number
        event = PeerConnected(
            number,
            endpoint or Endpoint(f"10.0.{number >> 8}.{number & 255}", 6881),
            peer_id or PeerId(f"-XX1230-{number:012}".encode()),
            is_outgoing=is_outgoing,
            has_fast=has_fast,
            has_extended=has_extended,
            has_dht=has_dht,
            is_greeted=is_greeted,
        )
        peer = FakePeer(self, event)
        self.peers[number] = peer
        self.tell(event)
        if have is not None and peer.drop_reason is None:
            peer.says(BitfieldMessage(read_drawing(have).to_bytes()), *([Unchoke()] if is_unchoking else []))
        return peer

    def seed(self, **options: bool) -> FakePeer:
        """Connect a peer that has everything and unchokes us."""
        return self.connect("*" * self.geometry.piece_count, is_unchoking=True, **options)  # type: ignore[arg-type]

    def pass_time(self, seconds: float) -> list[Command]:
        """Let the clock run, and wake the engine whenever it wishes to be."""
        end = self.now + seconds
        commands: list[Command] = []
        rounds = 0
        while (at := self.engine.next_wakeup(self.now)) is not None and at <= end:
            rounds = rounds + 1 if at <= self.now else 0
            assert rounds < 10, "it wants to be woken again and again at one instant"
            self.now = max(self.now, at)
            commands += self.tell(WokenUp())
        self.now = end
        return commands

    def hash_next(self, *, is_shuffled: bool = False) -> list[Command]:
        """The disk is done with one piece."""
        if is_shuffled:
            self.rng.shuffle(self.to_hash)
        return self.tell(self._hash())

    def _hash(self) -> PiecesHashed:
        piece, with_digests = self.to_hash.pop(0)
        fillers = self.memory.pop(piece)
        digests = [
            bytes([fillers.get(block, RIGHT)]) * 20 for block in range(self.geometry.block_count(piece))
        ]
        is_good = not any(fillers.values())
        if is_good:
            self.verified.add(piece)
        return PiecesHashed(
            [HashResult(piece, is_good, digests if with_digests or not is_good else ())],
        )

    # What the engine wants done.

    def _handle(self, event: Event) -> list[Command]:
        commands = self.engine.handle(event, self.now)
        for command in commands:
            self._do(command)
        self.check()
        return commands

    def _do(self, command: Command) -> None:
        match command:
            case SendMessages(number, messages):
                assert messages, "an empty batch"
                for message in messages:
                    self.peers[number].hears(message)
            case SendBlocks(number, piece, begin, length):
                assert self.verified[piece], f"serves piece {piece}, which is not verified"
                assert self.geometry.contains(piece, begin, length)
                peer = self.peers[number]
                peer.got.append((piece, begin, length))
                if peer.is_reading:
                    self._answers.append(BlocksSent(number, length))
                else:
                    peer.unread_bytes += length
            case StoreBlocks(run, mask):
                self._store(run, mask)
            case HashPiece(piece, with_digests):
                to_come = self.geometry.full_mask(piece) & ~self.known.get(piece, 0)
                assert sum(run_mask(block, 1) for block in self.memory[piece]) == to_come, (
                    "blocks are missing"
                )
                self.to_hash.append((piece, with_digests))
            case ForgetBlocks(piece):
                del self.memory[piece]
            case DropPeer(number, reason):
                self.peers.pop(number).drop_reason = reason
            case Dial(endpoint):
                self.dialled.append(endpoint)
            case BanHost(endpoint):
                self.banned.append(endpoint)
            case AnnounceCompleted():
                self.completed_count += 1
            case AnnounceReopened():
                self.reopened_count += 1
            case SeekPeers():
                self.seek_count += 1
            case NodeFound(endpoint):
                self.nodes.append(endpoint)
            case _:
                assert_never(command)

    def _store(self, run: Piece, mask: int) -> None:
        first = run.begin // BLOCK_BYTES
        assert mask and mask >> -(-run.length // BLOCK_BYTES) == 0, "a mask beyond the run"
        content = b"".join(run.parts)
        for at in range(mask.bit_length()):
            if mask >> at & 1:
                memory = self.memory.setdefault(run.piece, {})
                assert first + at not in memory, f"stores block {first + at} of piece {run.piece} twice"
                memory[first + at] = content[at * BLOCK_BYTES]

    # What must hold at any time.

    def check(self) -> None:
        """Raise AssertionError where the engine breaks a promise, or its books are not ours."""
        self.engine.check()
        assert self.engine.have == self.verified, "counts what is not verified"
        desk = self.engine._requests
        few = self.settings.in_flight_pieces_min * self.geometry.piece_length
        budget = max(self.settings.in_flight_bytes_max, few)
        # A bad piece is asked for again at once, whatever else is on its way.
        retried = sum(partial.is_solo for partial in desk.partials.values()) * self.geometry.piece_length
        assert desk.memory.used_bytes <= budget + retried, "more in memory than allowed"
        for piece, partial in desk.partials.items():
            # Every block is in exactly one of missing, asked, arrived.
            assert partial.missing | partial.pending | partial.arrived == partial.full
            assert not (partial.missing & partial.pending or partial.pending & partial.arrived)
            stored = sum(run_mask(block, 1) for block in self.memory.get(piece, ()))
            assert partial.arrived == stored, f"piece {piece}: arrived is not what was stored"
        assert self.engine._peers.keys() == self.peers.keys(), "peers differ"
        for number, peer in self.peers.items():
            self._check_peer(number, peer)

    def _check_peer(self, number: int, peer: FakePeer) -> None:
        inside = self.engine._peers[number]
        assert inside.have == peer.have
        assert inside.peer_choking == peer.is_choking
        assert inside.am_choking != peer.is_unchoked
        assert inside.am_interested == peer.is_wanted == (inside.interesting > 0)
        masks: dict[int, int] = {}
        for piece, block in peer.asked:
            masks[piece] = masks.get(piece, 0) | run_mask(block, 1)
        for piece, partial in self.engine._requests.partials.items():
            # Cancelled for a move: it is owed until it was sent or rejected.
            if told := partial.cancelled_at(number):
                masks[piece] = masks.get(piece, 0) | told
        assert inside.asked == masks, f"what {number} owes is not what it was asked for"
        assert inside.sending_bytes == peer.unread_bytes + sum(
            event.length for event in self._answers if isinstance(event, BlocksSent) and event.peer == number
        )

    # What is seen.

    def is_known(self, block: Block) -> bool:
        """It need not come."""
        return bool(self.known.get(block[0], 0) >> block[1] & 1)

    @property
    def have(self) -> str:
        """Our verified pieces, drawn."""
        return drawn(self.engine.have, self.geometry.piece_count)

    def asked_pieces(self, peer: FakePeer) -> list[int]:
        """The pieces of which blocks are asked of `peer`, in the order of the first request."""
        return list(dict.fromkeys(piece for piece, _ in peer.asked))


def sent(commands: Iterable[Command], peer: FakePeer) -> list[Message]:
    """The messages among `commands` for `peer`."""
    return [
        message
        for command in commands
        if isinstance(command, SendMessages) and command.peer == peer.number
        for message in command.messages
    ]
