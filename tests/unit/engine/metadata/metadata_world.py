"""A metadata engine among fakes: peers that have the info dictionary, lie about it, refuse or are silent."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from swarm.base.endpoint import Endpoint
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.commands import BanHost, Dial, DropPeer, NodeFound, SeekPeers, SendMessages
from swarm.engine.events import MessagesReceived, PeerConnected, PeerLost, WokenUp
from swarm.engine.metadata.engine import MetadataCommand, MetadataCompleted, MetadataEngine, MetadataEvent
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import HANDSHAKE_ID, LOCAL_IDS, ExtendedHandshake, encode_extended_handshake
from swarm.wire.peer.messages import Extended, Message
from swarm.wire.peer.metadata import (
    MetadataData,
    MetadataMessage,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
    encode_metadata,
)

OWN_ID = PeerId(b"-SW0100-ourselves...")
KIB16 = 16384
#: What fake peers want their extension called.
THEIR_ID = 9


def info_of(total_bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(total_bytes)


def liar(info: bytes, *wrong_pieces: int) -> bytes:
    """`info` with a byte flipped in each of these pieces."""
    wrong = bytearray(info)
    for piece in wrong_pieces:
        wrong[piece * KIB16] ^= 1
    return bytes(wrong)


@dataclass
class FakeHelper:
    """The far end of a link.

    Args:
        info: what it gives, right or wrong; None where it has none.

    Attributes:
        asked: pieces that it was asked for and has not answered, in order.
        heard: all else that it got.
    """

    world: MetadataWorld = field(repr=False)
    number: int
    endpoint: Endpoint
    peer_id: PeerId
    info: bytes | None = field(repr=False)
    asked: list[int] = field(default_factory=list)
    heard: list[Message] = field(default_factory=list, repr=False)
    answers: list[MetadataMessage] = field(default_factory=list)
    drop_reason: str | None = None

    def says(self, *messages: Message) -> None:
        self.world.tell(MessagesReceived(self.number, messages))

    def introduces(self, total_bytes: int | None = None) -> None:
        """Send its extension handshake; it claims the size that it has, or another."""
        size = total_bytes if total_bytes is not None or self.info is None else len(self.info)
        handshake = ExtendedHandshake(extensions={"ut_metadata": THEIR_ID}, metadata_bytes=size)
        self.says(Extended(HANDSHAKE_ID, encode_extended_handshake(handshake)))

    def sends(self, *messages: MetadataMessage) -> None:
        self.says(*(Extended(LOCAL_IDS["ut_metadata"], encode_metadata(one)) for one in messages))

    def answer(self, piece: int) -> None:
        """Give one piece that it was asked for."""
        assert self.info is not None
        self.asked.remove(piece)
        self.sends(MetadataData(piece, len(self.info), self.info[piece * KIB16 : (piece + 1) * KIB16]))

    def rejects(self) -> None:
        """Refuse all that it was asked for."""
        asked, self.asked = self.asked, []
        for piece in asked:
            self.sends(MetadataReject(piece))

    def leaves(self) -> None:
        self.world.helpers.pop(self.number)
        self.world.tell(PeerLost(self.number, "it left"))


class MetadataWorld:
    """The engine, a clock, and its peers."""

    def __init__(self, info: bytes, *, settings: EngineSettings | None = None, seed: int = 1) -> None:
        self.right = info
        self.now = 1000.0
        self.settings = settings or EngineSettings()
        self.rng = random.Random(seed)
        self.engine = MetadataEngine(
            InfoHash(hashlib.sha1(info).digest()),
            OWN_ID,
            settings=self.settings,
            rng=self.rng,
            now=self.now,
            listen_port=6881,
        )
        self.helpers: dict[int, FakeHelper] = {}
        self.dialled: list[Endpoint] = []
        self.banned: list[Endpoint] = []
        self.completed: list[bytes] = []
        self.seek_count = 0
        self._next_number = 0

    def connect(
        self,
        info: bytes | None = None,
        *,
        is_introduced: bool = True,
        is_outgoing: bool = False,
        has_extended: bool = True,
        has_fast: bool = True,
        endpoint: Endpoint | None = None,
        peer_id: PeerId | None = None,
    ) -> FakeHelper:
        """Open a link to a peer that has `info`, if any."""
        self._next_number += 1
        number = self._next_number
        helper = FakeHelper(
            self,
            number,
            endpoint or Endpoint(f"10.0.0.{number}", 6881),
            peer_id or PeerId(f"-XX1230-{number:012}".encode()),
            info,
        )
        self.helpers[number] = helper
        self.tell(PeerConnected(number, helper.endpoint, helper.peer_id, is_outgoing, has_fast, has_extended))
        if is_introduced and helper.drop_reason is None:
            helper.introduces()
        return helper

    def tell(self, event: MetadataEvent) -> list[MetadataCommand]:
        commands = self.engine.handle(event, self.now)
        for command in commands:
            self._do(command)
        return commands

    def _do(self, command: MetadataCommand) -> None:
        match command:
            case SendMessages(number, messages):
                for message in messages:
                    self._hear(self.helpers[number], message)
            case DropPeer(number, reason):
                self.helpers.pop(number).drop_reason = reason
            case Dial(endpoint):
                self.dialled.append(endpoint)
            case BanHost(endpoint, _):
                self.banned.append(endpoint)
            case MetadataCompleted(info):
                assert info == self.right, "wrong metadata was believed"
                self.completed.append(info)
            case SeekPeers():
                self.seek_count += 1
            case NodeFound():
                pass
            case _:
                assert_never(command)

    def _hear(self, helper: FakeHelper, message: Message) -> None:
        if isinstance(message, Extended) and message.extended_id == THEIR_ID:
            decoded = decode_metadata(message.payload)
            if isinstance(decoded, MetadataRequest):
                # After a rest it may be asked for the same again.
                if decoded.piece not in helper.asked:
                    helper.asked.append(decoded.piece)
            else:
                assert decoded is not None
                helper.answers.append(decoded)
        else:
            helper.heard.append(message)

    def pass_time(self, seconds: float) -> None:
        """Let the clock run, and wake the engine whenever it wishes to be."""
        end = self.now + seconds
        rounds = 0
        while (at := self.engine.next_wakeup(self.now)) is not None and at <= end:
            rounds = rounds + 1 if at <= self.now else 0
            assert rounds < 10, "it wants to be woken again and again at one instant"
            self.now = max(self.now, at)
            self.tell(WokenUp())
        self.now = end

    def settle(self, choose: Callable[[list[FakeHelper]], FakeHelper] | None = None) -> None:
        """Let all who have something answer, one piece at a time, until nobody is asked any more."""
        while busy := [one for one in self.helpers.values() if one.asked and one.info is not None]:
            helper = busy[0] if choose is None else choose(busy)
            helper.answer(helper.asked[0])
