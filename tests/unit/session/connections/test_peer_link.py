"""How a link sends blocks under an upload limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.bucket import Bucket
from swarm.base.endpoint import Endpoint
from swarm.session.connections.peer_link import WIRE_BLOCK_BYTES, PeerLink
from swarm.session.connections.throttle import Throttle
from swarm.session.settings import SessionSettings
from swarm.storage.pieces import Chunk, ChunkBuffer
from swarm.wire.peer.protocol import BLOCK_HEAD_BYTES


class Written(asyncio.Transport):
    """A transport that notes how much each write was."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 6881)})
        self.writes: list[int] = []

    def write(self, data: Any) -> None:
        self.writes.append(len(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        pytest.fail("in many versions of asyncio this takes any amount, and never pauses us")

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


@pytest.mark.parametrize(("rate", "blocks"), [(100 * 1024, 1), (150 * 1024, 1), (400 * 1024, 2)])
async def test_turn_is_one_write_of_the_whole_blocks_that_fit(rate: int, blocks: int) -> None:
    loop = asyncio.get_running_loop()
    throttle = Throttle(loop, rate)
    source = SimpleNamespace(
        settings=SessionSettings(),
        up_throttle=throttle,
        down_throttle=throttle,
        link_closed=lambda link: None,
    )
    owner = SimpleNamespace(
        up_bucket=Bucket(None, loop.time()),
        link_sent=lambda link, length, chunks: None,
        link_lost=lambda link, reason: None,
    )
    transport = Written()
    link = PeerLink(cast(Any, source), owner=cast(Any, owner), dialled=Endpoint("127.0.0.1", 6881))
    link.connection_made(transport)
    # Three runs of three blocks each.
    for _ in range(3):
        buffer = ChunkBuffer(3, BLOCK_HEAD_BYTES)
        chunk = Chunk(buffer.memory, 0, buffer)
        chunk.pins = 1
        link.send_blocks(buffer.memory, chunk, 3 * BLOCK_BYTES)
    throttle.wake()
    assert transport.writes == [blocks * WIRE_BLOCK_BYTES]
    throttle.close()
    link.connection_lost(None)
