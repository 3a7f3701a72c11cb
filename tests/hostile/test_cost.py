"""What an attacker costs before he is gone: counted, not timed.

The promise is a bounded share of the processor for each hostile peer. A clock cannot show that in a suite:
what else runs on the machine is louder than what is measured, and a bound wide enough to be quiet says
nothing. So the work is counted: every bytecode that runs in `swarm/` while the bytes of a flood go through
the decoder into the engine, up to the moment at which the peer is dropped or banned. The unit is the same
count for honest work, a MiB downloaded through the same two doors, so that the figures hold on every machine
and, nearly, for every version of the interpreter. A change that makes a message of an attacker cost a walk
over all peers, pieces or candidates shows at once; the world is large, so that such walks are long: 54 other
peers, 2,000 pieces, 2,000 addresses that wait.

What it cannot see are loops in C (a bitfield is counted in two of them; tools/bench/engine times those) and
the sockets; `tools/torture/hostile` measures all of it together, in seconds.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.endpoint import Endpoint
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.commands import Command, DropPeer, SendMessages
from swarm.engine.conduct import CANCEL_COST
from swarm.engine.events import CandidatesFound, Event, MessagesReceived, PeerConnected, PeerLost
from swarm.engine.settings import EngineSettings
from swarm.engine.torrent import TorrentEngine
from swarm.wire.peer.messages import BitfieldMessage, Interested, Request, Unchoke
from swarm.wire.peer.protocol import Decoder
from tests.e2e.scripted_peer import (
    BITFIELD,
    CANCEL,
    HAVE,
    HAVE_ALL,
    INTERESTED,
    NOT_INTERESTED,
    UNCHOKE,
    block,
    frame,
    request,
)
from tests.hostile.attacks import CHOKE, FLOODS, PORT, extended

PIECES = 2_000
PIECE_LENGTH = 4 * BLOCK_BYTES
GEOMETRY = Geometry(PIECES * PIECE_LENGTH, PIECE_LENGTH)
ATTACKER = 1_000
#: What each flood may cost until its address is banned, in MiB of honest download: half as much again as when
#: this was written. A walk over all pieces for each message would be 300 MiB more, over all peers 10 to 30.
UNTIL_BANNED_MIB = {
    "keep_alives": 5,
    "unknown_messages": 16,
    "haves": 27,
    "interested_flips": 59,
    "chokes": 25,
    "cancels": 9,
    "bitfields": 2,
    "suggestions": 26,
    "ports": 24,
    "extensions": 27,
    "handshakes": 6,
    "scraps": 33,
    "requests": 78,
    "pex": 2,
    "metadata_requests": 11,
    "metadata_lies": 88,
    "full_pex": 4,
}
#: The same for messages that are right, each of 2,000.
RIGHT_MIB = {"haves_of_all": 30, "requests_served": 60}
#: A second, for as long as it sends no more than is borne (0.8; a core downloads hundreds).
BORNE_MIB_PER_S = 1.2
#: For each time that one comes and goes (0.1).
VISIT_MIB = 0.2


class Meter:
    """Counts the bytecodes that run in `swarm/` while it is `running`."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        if "/swarm/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._within

    def _within(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.count += event == "opcode"
        return self._within


class Busy:
    """An engine in the middle of a large download from many, and the bytes that one more peer sends it."""

    def __init__(self, *, connections_max: int = 55) -> None:
        rng = random.Random(1)
        self.now = 1000.0
        #: The numbers of those that the engine has dropped.
        self.dropped: set[int] = set()
        self.meter = Meter()
        have = Bitfield(PIECES)
        for piece in rng.sample(range(PIECES), PIECES // 2):
            have.add(piece)
        self.engine = TorrentEngine(
            GEOMETRY,
            InfoHash(bytes(20)),
            PeerId(b"-SW0100-ourselves..."),
            have,
            b"\x01" * PIECES,
            settings=EngineSettings(connections_max=connections_max),
            rng=rng,
            now=self.now,
            info=bytes(40_000),
        )
        self.engine.handle(
            CandidatesFound([Endpoint(f"20.{n >> 8}.{n & 255}.1", 6881) for n in range(2_100)], "tracker"),
            self.now,
        )
        for number in range(54):
            self.connect(number)
            theirs = Bitfield(PIECES)
            for piece in rng.sample(range(PIECES), PIECES // 2):
                theirs.add(piece)
            self.tell(MessagesReceived(number, (BitfieldMessage(theirs.to_bytes()), Interested(), Unchoke())))
        self._decoder = Decoder(GEOMETRY, has_fast=True)

    def tell(self, event: Event) -> list[Command]:
        """Let it happen, as a host does: every event is followed by the question when to wake up."""
        commands = self.engine.handle(event, self.now)
        self.engine.next_wakeup(self.now)
        self.dropped |= {command.peer for command in commands if isinstance(command, DropPeer)}
        return commands

    def connect(self, number: int) -> list[Command]:
        endpoint = Endpoint(f"30.{number >> 8}.{number & 255}.1", 6881)
        peer_id = PeerId(b"-XX0001-" + number.to_bytes(12, "big"))
        return self.tell(PeerConnected(number, endpoint, peer_id, False, has_fast=True, has_extended=True))

    def sends(self, data: bytes, number: int = ATTACKER) -> list[Command]:
        """Let the attacker's bytes come, as they would out of a socket."""
        messages, used = self._decoder.decode(memoryview(data), len(data))
        assert used == len(data)
        return self.tell(MessagesReceived(number, messages))

    @property
    def is_attacker_gone(self) -> bool:
        return ATTACKER in self.dropped


def honest_work() -> float:
    """Bytecodes for a MiB that an honest seed sends, as it is asked for."""
    busy = Busy()
    busy.connect(ATTACKER)
    block_count = 0
    with busy.meter.running():
        commands = busy.sends(frame(HAVE_ALL) + frame(UNCHOKE))
        while block_count < 256:
            data = b"".join(
                block(one.piece, begin, bytes(BLOCK_BYTES))
                for one in asked_of_attacker(commands)
                for begin in range(one.begin, one.begin + one.length, BLOCK_BYTES)
            )
            assert data, "nothing was asked for"
            block_count += len(data) // BLOCK_BYTES
            commands = busy.sends(data)
    return busy.meter.count / (block_count * BLOCK_BYTES) * (1 << 20)


def asked_of_attacker(commands: list[Command]) -> list[Request]:
    sent = [one for one in commands if isinstance(one, SendMessages) and one.peer == ATTACKER]
    return [message for one in sent for message in one.messages if isinstance(message, Request)]


@pytest.fixture(scope="module")
def mib() -> float:
    """The unit: bytecodes of a MiB downloaded."""
    return honest_work()


def chunk_of(name: str) -> bytes:
    """What is sent without end, for a torrent of this size."""
    match name:
        case "bitfields":
            return frame(BITFIELD, b"\x55" * (PIECES // 8)) * 50
        case "full_pex":
            contacts = random.Random(1).randbytes(6 * 50)
            return extended(2, b"d5:added300:" + contacts + b"e") * 20
        case "haves_of_all":
            return b"".join(frame(HAVE, struct.pack(">I", piece)) for piece in range(PIECES))
        case "requests_served":
            return frame(INTERESTED) + b"".join(request(piece, 0) for piece in range(PIECES))
        case _:
            return FLOODS[name][0]


def test_count_is_the_same_each_time(mib: float) -> None:
    # But for what is made when it is needed for the first time.
    assert honest_work() == pytest.approx(mib, rel=0.02)


def test_every_flood_has_its_bound() -> None:
    assert UNTIL_BANNED_MIB.keys() == {*FLOODS, "full_pex"}


@pytest.mark.parametrize("name", UNTIL_BANNED_MIB)
def test_flood_costs_less_than_so_many_megabytes_until_its_address_is_banned(name: str, mib: float) -> None:
    busy = Busy()
    busy.connect(ATTACKER)
    chunk = chunk_of(name)
    sent_bytes = 0
    with busy.meter.running():
        while not busy.is_attacker_gone:
            busy.sends(chunk)
            sent_bytes += len(chunk)
            assert sent_bytes < 1 << 20, "it is borne"
    assert busy.meter.count < UNTIL_BANNED_MIB[name] * mib


@pytest.mark.parametrize("name", RIGHT_MIB)
def test_messages_that_are_right_and_very_many_cost_little_each(name: str, mib: float) -> None:
    # 2,000 pieces that it tells us of; 2,000 requests, of which a queue keeps what it may.
    busy = Busy()
    busy.connect(ATTACKER)
    with busy.meter.running():
        busy.sends(chunk_of(name))
    assert not busy.is_attacker_gone
    assert busy.meter.count < RIGHT_MIB[name] * mib


#: What may be sent without any use -> for how many it counts (conduct).
BORNE = {
    "keep_alives": (bytes(4), 1),
    "haves": (frame(HAVE, bytes(4)), 1),
    "interested_flips": (frame(INTERESTED) + frame(NOT_INTERESTED), 2),
    "chokes": (frame(UNCHOKE) + frame(CHOKE), 2),
    "cancels": (frame(CANCEL, struct.pack(">III", 0, 0, BLOCK_BYTES)), CANCEL_COST),
    "ports": (frame(PORT, b"\x1a\xe1"), 1),
}


@pytest.mark.parametrize("name", BORNE)
def test_as_much_as_is_borne_costs_less_than_so_many_megabytes_a_second(name: str, mib: float) -> None:
    message, cost = BORNE[name]
    seconds = 120
    count = round(1 / EngineSettings().useless_refill_s / cost)
    # The engine looks after 55 peers meanwhile: that is not the attacker's.
    attacked, alone = Busy(), Busy()
    for busy, said in ((attacked, message * count), (alone, bytes(4))):
        busy.connect(ATTACKER)
        with busy.meter.running():
            for _ in range(seconds):
                busy.now += 1.0
                busy.sends(said)
        assert not busy.is_attacker_gone, "it is not borne"
    assert (attacked.meter.count - alone.meter.count) / seconds < BORNE_MIB_PER_S * mib


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("says", [b"", frame(BITFIELD, b"\x55" * (PIECES // 8))], ids=["nothing", "bitfield"])
def test_visit_costs_less_than_a_fifth_of_a_megabyte(is_full: bool, says: bytes, mib: float) -> None:
    busy = Busy(connections_max=54 if is_full else 55)
    visits = 100
    with busy.meter.running():
        for number in range(visits):
            busy.connect(ATTACKER + number)
            if not is_full:
                busy.sends(says, ATTACKER + number)
                busy.tell(PeerLost(ATTACKER + number, "it left"))
    assert len(busy.dropped) == (visits if is_full else 0)
    assert busy.meter.count / visits < VISIT_MIB * mib
