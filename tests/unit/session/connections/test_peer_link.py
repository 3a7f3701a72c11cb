"""How a link sends blocks under an upload limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.bucket import Bucket
from swarm.base.endpoint import Endpoint
from swarm.session.connections.outbox import WIRE_BLOCK_BYTES
from swarm.session.connections.peer_link import PeerLink
from swarm.session.connections.throttle import Throttle
from swarm.session.settings import SessionSettings
from swarm.storage.chunks import Chunk, ChunkBuffer
from swarm.wire.peer.protocol import BLOCK_HEAD_BYTES


class Written(asyncio.Transport):
    """A transport that notes how much each write was."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 6881)})
        self.writes: list[int] = []
        self.is_broken = False
        self.is_aborted = False
        self.is_lost = False

    def is_closing(self) -> bool:
        return self.is_lost

    def write(self, data: Any) -> None:
        if self.is_broken:
            raise ValueError("a bug")
        self.writes.append(len(data))

    def abort(self) -> None:
        self.is_aborted = True

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        pytest.fail("in many versions of asyncio this takes any amount, and never pauses us")

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class World:
    """A link under an upload limit, and what its owner hears of it."""

    def __init__(self, rate: int) -> None:
        loop = asyncio.get_running_loop()
        self.throttle = Throttle(loop, rate)
        self.reasons: list[str] = []
        self.given_back = 0
        #: Like the engine: whose window has room gets more, as long as it is there.
        self.is_refilling = False
        source = SimpleNamespace(
            settings=SessionSettings(),
            up_throttle=self.throttle,
            down_throttle=self.throttle,
            link_closed=lambda link: None,
        )
        owner = SimpleNamespace(
            up_bucket=Bucket(None, loop.time()),
            link_sent=self._link_sent,
            link_lost=lambda link, reason: self.reasons.append(reason),
        )
        self.transport = Written()
        self.link = PeerLink(cast(Any, source), owner=cast(Any, owner), dialled=Endpoint("127.0.0.1", 6881))
        self.link.connection_made(self.transport)

    def _link_sent(self, link: PeerLink, length: int, chunks: Sequence[Chunk]) -> None:
        self.given_back += length
        if self.is_refilling and not self.reasons:
            self.queue(1)

    def queue(self, runs: int) -> None:
        """So many runs of three blocks each."""
        for _ in range(runs):
            buffer = ChunkBuffer(3, BLOCK_HEAD_BYTES)
            chunk = Chunk(buffer.memory, 0, buffer)
            chunk.pins = 1
            self.link.send_blocks(buffer.memory, chunk, 3 * BLOCK_BYTES)

    def end(self) -> None:
        self.throttle.close()
        self.link.connection_lost(None)


@pytest.mark.parametrize(("rate", "blocks"), [(100 * 1024, 1), (150 * 1024, 1), (400 * 1024, 4)])
async def test_turn_is_one_write_of_the_whole_blocks_that_fit(rate: int, blocks: int) -> None:
    world = World(rate)
    world.queue(3)
    world.throttle.wake()
    assert world.transport.writes == [blocks * WIRE_BLOCK_BYTES]
    world.end()


async def test_nothing_more_is_written_to_a_transport_that_is_lost() -> None:
    world = World(1 << 30)
    world.queue(1)
    world.throttle.wake()
    world.transport.is_lost = True
    world.queue(5)
    assert len(world.transport.writes) == 1
    assert world.given_back == 6 * 3 * BLOCK_BYTES
    world.end()


async def test_bug_in_a_turn_ends_the_link_and_gives_all_blocks_back() -> None:
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    world = World(100 * 1024)
    world.queue(3)
    world.transport.is_broken = True
    world.throttle.wake()
    assert world.transport.is_aborted and reported == ["sending to 127.0.0.1:6881 failed"]
    world.end()
    assert world.given_back == 9 * BLOCK_BYTES
    assert "a bug" in world.reasons[0]


async def test_link_that_is_lost_while_full_gives_all_back_and_waits_for_no_turn() -> None:
    world = World(400 * 1024)
    world.link.pause_writing()
    world.queue(2)
    world.is_refilling = True
    world.link.connection_lost(None)
    assert world.given_back == 6 * BLOCK_BYTES
    # With a link in it that is gone the ring would never stand still.
    assert not world.throttle._ring
    world.throttle.close()
