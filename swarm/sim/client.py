"""The other host: carries out the engine's commands in the virtual world, as `session/runner` in ours."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import assert_never

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import BLOCK_BYTES, Geometry, run_mask
from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
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
    CandidatesFound,
    DialFailed,
    Event,
    HashResult,
    MessagesReceived,
    PeerConnected,
    PeerLost,
    PieceNotWritten,
    PiecesHashed,
    PieceUnreadable,
    UploadLimited,
    WokenUp,
)
from swarm.engine.settings import EngineSettings
from swarm.engine.torrent import TorrentEngine
from swarm.sim.behaviors import Behavior
from swarm.sim.checks import BrokenPromiseError, check_engine
from swarm.sim.disk import Disk
from swarm.sim.network import End, Line, Network, Run, Uplink
from swarm.sim.trace import Trace
from swarm.sim.tracker import Discovery, Member, Tracker
from swarm.sim.world import World
from swarm.wire.peer.messages import Have, Message

_GOOD_DIGEST, _WRONG_DIGEST = b"good", b"wrong"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all clients of a world share.

    Args:
        verified: told of each piece that an honest client has verified for the first time.
        banned: told of each client that was banned.
        take_away: have a client lose this piece, unless it would be lost for all; says whether it has.
    """

    world: World
    network: Network
    tracker: Tracker
    trace: Trace
    geometry: Geometry
    settings: EngineSettings
    quantum_blocks: int
    verified: Callable[[Client, int], None]
    banned: Callable[[Client, Endpoint], None]
    take_away: Callable[[int], bool]


class Client:
    """One member of the swarm: an engine, its line, its disk, its way to (mis)behave.

    Args:
        have: what is on its disk when it joins for the first time.

    Attributes:
        verified: one flag a piece, set by the disk alone: the truth that the engine is held to.
        finished_at: when everything was verified here; None before.
    """

    __slots__ = (
        "_around",
        "_discovery",
        "_ends",
        "_geometry",
        "_is_frank",
        "_life",
        "_network",
        "_next_number",
        "_trace",
        "_wakeup_at",
        "_world",
        "_wrong",
        "arrived_at",
        "behavior",
        "disk",
        "down_free_at",
        "downloaded_bytes",
        "endpoint",
        "engine",
        "finished_at",
        "has_fast",
        "is_online",
        "is_seed_from_start",
        "line",
        "number",
        "peer_id",
        "rng",
        "role",
        "uplink",
        "verified",
        "wasted_bytes",
    )

    def __init__(
        self,
        number: int,
        around: Surroundings,
        line: Line,
        disk: Disk,
        behavior: Behavior,
        have: Bitfield,
        role: str,
        *,
        has_fast: bool = True,
    ) -> None:
        self.number = number
        self.role = role
        self.has_fast = has_fast
        self.line = line
        self.behavior = behavior
        #: It says what its engine says; of a thousand nearly all do.
        self._is_frank = type(behavior).said is Behavior.said
        self.endpoint = Endpoint(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 6881)
        self.rng = around.world.rng(f"client {number}")
        self.peer_id = PeerId.generate(self.rng)
        self.verified = bytearray(have.flags)
        self.is_seed_from_start = have.is_full
        self.is_online = False
        self.arrived_at: float | None = None
        self.finished_at: float | None = None
        self.wasted_bytes = 0
        self.downloaded_bytes = 0
        self.down_free_at = 0.0
        self.uplink = Uplink(around.world, line.up_bytes_per_s, around.quantum_blocks)
        self.disk = disk
        self.engine: TorrentEngine | None = None
        self._around = around
        self._world = around.world
        self._network = around.network
        self._trace = around.trace
        self._geometry = around.geometry
        self._discovery: Discovery | None = None
        self._ends: dict[int, End] = {}
        self._next_number = 0
        #: piece -> mask of the blocks in memory that are wrong.
        self._wrong: dict[int, int] = {}
        self._wakeup_at = float("inf")
        self._life = 0

    # -- coming and going -----------------------------------------------------------------------

    def join(self) -> None:
        """Come online with what the disk has; the engine is a new one each time, as after a restart."""
        if self.is_online:
            return
        world = self._world
        self.is_online = True
        self._life += 1
        if self.arrived_at is None:
            self.arrived_at = world.now
        else:
            self.peer_id = PeerId.generate(self.rng)
        have = Bitfield(len(self.verified))
        have.flags = bytearray(self.verified)
        if self.behavior.claims_all:
            have = Bitfield(len(self.verified), is_full=True)
        have.count = have.flags.count(1)
        # As the session does: who only seeds wants nothing.
        priority = b"\x00" if self.is_seed_from_start or self.behavior.claims_all else b"\x01"
        self.engine = TorrentEngine(
            self._geometry,
            self._around.tracker.info_hash,
            self.peer_id,
            have,
            priority * len(have),
            settings=self._around.settings,
            rng=random.Random(self.rng.getrandbits(64)),
            now=world.now,
            listen_port=self.endpoint.port,
        )
        # As with `--up`: users of short lines set it, and the host knows what it was set to.
        self.tell(UploadLimited(self.line.up_bytes_per_s))
        self._discovery = Discovery(
            world,
            self._around.tracker,
            Member(self.endpoint, self.peer_id, self._left_bytes),
            self.rng,
            self._candidates_found,
        )

    def _left_bytes(self) -> int:
        engine = self.engine
        assert engine is not None
        return self._geometry.total_bytes - self._geometry.pieces_bytes(engine.have)

    def leave(self) -> None:
        """Go offline: all links end; what is verified stays on the disk."""
        if not self.is_online:
            return
        self._count_waste()
        assert self._discovery is not None
        self._discovery.stop()
        self._discovery = None
        self.is_online = False
        self.engine = None
        for end in list(self._ends.values()):
            self._network.close(end, "it left")
        self._ends.clear()
        self._wrong.clear()
        self._wakeup_at = float("inf")

    def _count_waste(self) -> None:
        if self.engine is not None:
            stats = self.engine.stats(self._world.now)
            self.wasted_bytes += stats.wasted_bytes
            self.downloaded_bytes += stats.downloaded_bytes

    def totals(self) -> tuple[int, int]:
        """(downloaded, wasted) bytes over all its lives."""
        if self.engine is None:
            return self.downloaded_bytes, self.wasted_bytes
        stats = self.engine.stats(self._world.now)
        return self.downloaded_bytes + stats.downloaded_bytes, self.wasted_bytes + stats.wasted_bytes

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None or self.is_seed_from_start

    def check(self) -> None:
        """Hold the engine to its promises.

        Raises:
            BrokenPromiseError
        """
        if self.engine is not None and self.behavior.is_honest:
            try:
                check_engine(self.engine, self.verified, self._around.settings, self._world.now)
            except BrokenPromiseError as error:
                raise self._broken(error.promise) from error

    def _broken(self, promise: str) -> BrokenPromiseError:
        return BrokenPromiseError(f"{self} at {self._world.now:.3f} s: {promise}")

    # -- the engine's door ----------------------------------------------------------------------

    def tell(self, event: Event, peer: int = 0) -> None:
        """Give the engine an event and carry out what follows."""
        engine = self.engine
        if engine is None:
            return
        now = self._world.now
        commands = engine.handle(event, now)
        self._trace.note(now, self.number, type(event), peer, len(commands))
        if commands:
            self._carry_out(commands)
        self._plan_wakeup(engine, now)

    def _plan_wakeup(self, engine: TorrentEngine, now: float) -> None:
        wakeup_at = engine.next_wakeup(now)
        if wakeup_at is not None and wakeup_at < self._wakeup_at:
            self._wakeup_at = wakeup_at
            self._world.at(wakeup_at, self._wake, wakeup_at, self._life)

    def _wake(self, planned_at: float, life: int) -> None:
        if planned_at != self._wakeup_at or life != self._life:
            return  # an earlier one has taken its place
        self._wakeup_at = float("inf")
        self.tell(WokenUp())

    def _carry_out(self, commands: Sequence[Command]) -> None:
        #: span to arrival -> far end -> messages: what one instant says to one peer arrives as one.
        mail: dict[float, dict[End, Sequence[Message]]] = {}
        for command in commands:
            match command:
                # The commonest by far: to take its fields apart here would cost more than all the rest.
                case SendMessages():
                    self._post(command, mail)
                case SendBlocks():
                    self._send_blocks(command)
                case StoreBlocks():
                    self._store(command)
                case HashPiece(piece, with_block_digests):
                    length = self._geometry.piece_bytes(piece)
                    self.disk.write(length, self._hashed, piece, with_block_digests, self._life)
                case ForgetBlocks(piece):
                    self._wrong.pop(piece, None)
                case Dial(endpoint):
                    self._network.dial(self, endpoint)
                case DropPeer(number, reason):
                    end = self._ends.pop(number, None)
                    if end is not None:
                        self._flush(mail)
                        self._network.close(end, reason)
                case BanHost(endpoint, _):
                    self._around.banned(self, endpoint)
                case AnnounceCompleted():
                    assert self._discovery is not None
                    self._discovery.completed()
                case AnnounceReopened():
                    assert self._discovery is not None
                    self._discovery.reopened()
                case SeekPeers():
                    assert self._discovery is not None
                    self._discovery.need_peers()
                case NodeFound():
                    pass  # There is no DHT in this world.
                case _:
                    assert_never(command)
        self._flush(mail)

    def _post(self, command: SendMessages, mail: dict[float, dict[End, Sequence[Message]]]) -> None:
        end = self._ends.get(command.peer)
        if end is None:
            return
        messages = command.messages
        if not self._is_frank:
            messages = self.behavior.said(messages)
            if not messages:
                return
        far = end.far
        letters = mail.get(end.latency_s)
        if letters is None:
            letters = mail[end.latency_s] = {}
        before = letters.get(far)
        letters[far] = messages if before is None else [*before, *messages]

    def _flush(self, mail: dict[float, dict[End, Sequence[Message]]]) -> None:
        for latency_s, letters in mail.items():
            self._world.after(latency_s, _deliver, letters)
        mail.clear()

    # -- links ----------------------------------------------------------------------------------

    def link_opened(self, end: End, *, is_outgoing: bool) -> None:
        if not self.is_online:
            self._network.close(end, "it left")
            return
        end.number = self._next_number
        self._next_number += 1
        self._ends[end.number] = end
        far = end.far.host
        self.tell(
            PeerConnected(
                end.number,
                end.endpoint,
                far.peer_id,
                is_outgoing,
                has_fast=self.has_fast and far.has_fast,
                has_extended=True,
            )
        )

    def link_received(self, end: End, messages: Sequence[Message]) -> None:
        engine = self.engine
        if engine is None:
            return
        now = self._world.now
        commands = engine.handle(MessagesReceived(end.number, messages), now)
        self._trace.note(now, self.number, MessagesReceived, end.number, len(commands))
        if commands:
            self._carry_out(commands)
        elif len(messages) == 1 and type(messages[0]) is Have:
            # By far the most common thing of all; it plans nothing.
            return
        self._plan_wakeup(engine, now)

    def link_sent(self, end: End, length: int) -> None:
        self.tell(BlocksSent(end.number, length), end.number)

    def link_lost(self, end: End, reason: str) -> None:
        if end.number < 0:
            self.tell(DialFailed(end.endpoint, reason))
        elif self._ends.pop(end.number, None) is not None:
            self.tell(PeerLost(end.number, reason))

    def dial_failed(self, endpoint: Endpoint) -> None:
        self.tell(DialFailed(endpoint, "nobody answers"))

    def _candidates_found(self, endpoints: Sequence[Endpoint]) -> None:
        self.tell(CandidatesFound(endpoints, "tracker"))

    # -- blocks out -----------------------------------------------------------------------------

    def is_spoiling(self) -> bool:
        return self.behavior.is_spoiling(self.rng)

    def _send_blocks(self, command: SendBlocks) -> None:
        end = self._ends.get(command.peer)
        if end is None or not self.behavior.is_serving():
            return
        if not self.verified[command.piece] and not self.behavior.claims_all:
            raise self._broken(f"piece {command.piece} is served, but was never verified")
        if self.disk.is_reading_free and not self.disk.fault_share:
            self._queue(end, command)
        else:
            self.disk.read(command.length, self._read, end, command, self._life)

    def _read(self, end: End, command: SendBlocks, life: int) -> None:
        if life != self._life or not end.is_open:
            return
        piece = command.piece
        if not self.verified[piece] and not self.behavior.claims_all:
            # It was lost to an earlier read.
            self.tell(BlocksSent(end.number, command.length))
            return
        is_lost = not self.is_seed_from_start and self.disk.has_fault() and self._around.take_away(piece)
        if is_lost:
            self.tell(BlocksSent(end.number, command.length))
            self.verified[piece] = 0
            self.finished_at = None
            self.tell(PieceUnreadable(piece, end.number, command.begin, command.length, command.block_bytes))
            return
        self._queue(end, command)

    def _queue(self, end: End, command: SendBlocks) -> None:
        end.queue.append(
            Run(command.piece, command.begin, command.begin + command.length, command.block_bytes)
        )
        self.uplink.offer(end)

    # -- pieces in ------------------------------------------------------------------------------

    def _store(self, command: StoreBlocks) -> None:
        run = command.run
        blocks = command.mask << run.begin // BLOCK_BYTES
        if run.parts:
            self._wrong[run.piece] = self._wrong.get(run.piece, 0) | blocks
        elif run.piece in self._wrong:
            self._wrong[run.piece] &= ~blocks

    def _hashed(self, piece: int, with_block_digests: bool, life: int) -> None:
        if life != self._life:
            return
        wrong = self._wrong.pop(piece, 0)
        if not wrong and self.disk.has_fault():
            self.tell(PieceNotWritten(piece))
            return
        digests: Sequence[bytes] = ()
        if wrong or with_block_digests:
            digests = [
                _WRONG_DIGEST if wrong & run_mask(block, 1) else _GOOD_DIGEST
                for block in range(self._geometry.block_count(piece))
            ]
        if not wrong:
            self.verified[piece] = 1
            if self.finished_at is None and self.verified.count(1) == len(self.verified):
                self.finished_at = self._world.now
            self._around.verified(self, piece)
        self.tell(PiecesHashed([HashResult(piece, not wrong, digests)]))

    def __repr__(self) -> str:
        return f"{self.role} {self.number}"


def _deliver(letters: dict[End, Sequence[Message]]) -> None:
    for end, messages in letters.items():
        if end.is_open:
            end.host.link_received(end, messages)
