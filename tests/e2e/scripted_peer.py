"""A peer made of raw sockets, that says exactly what a test tells it to: right, wrong or nothing.

It shares no code with the library, so that both cannot be wrong in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from swarm import Metainfo

CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL = range(9)
HAVE_ALL, HAVE_NONE = 0x0E, 0x0F
PROTOCOL = b"\x13BitTorrent protocol"
BLOCK = 16384
#: The reserved bytes of who speaks BEP 6.
FAST = bytes(7) + b"\x04"


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">IB", 1 + len(payload), kind) + payload


def request(piece: int, begin: int, length: int = BLOCK) -> bytes:
    return frame(REQUEST, struct.pack(">III", piece, begin, length))


def block(piece: int, begin: int, data: bytes) -> bytes:
    return frame(PIECE, struct.pack(">II", piece, begin) + data)


def full_bitfield(metainfo: Metainfo) -> bytes:
    count = metainfo.geometry.piece_count
    number = ((1 << count) - 1) << (-count % 8)
    return frame(BITFIELD, number.to_bytes((count + 7) // 8, "big"))


class Line:
    """One connection of a scripted peer."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, metainfo: Metainfo
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.metainfo = metainfo

    def send(self, *chunks: bytes) -> None:
        self.writer.write(b"".join(chunks))

    async def shake(
        self,
        *,
        info_hash: bytes | None = None,
        peer_id: bytes = b"-XX0001-scriptedpeer",
        reserved: bytes = bytes(8),
    ) -> bytes:
        """Exchange handshakes; returns the other's."""
        self.send(PROTOCOL, reserved, info_hash or self.metainfo.info_hash, peer_id)
        return await self.reader.readexactly(68)

    async def receive(self) -> tuple[int, bytes]:
        """The next message that is not a keep-alive: (kind, payload)."""
        while True:
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            if length:
                body = await self.reader.readexactly(length)
                return body[0], body[1:]

    async def until_closed(self) -> None:
        """Read and forget what comes, until the other has closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass

    async def serve(self, answer: Callable[[int, int, int], bytes | None]) -> None:
        """Offer everything, and answer each request (piece, begin, length) with the bytes of `answer`."""
        self.send(full_bitfield(self.metainfo), frame(UNCHOKE))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                kind, payload = await self.receive()
                if kind == REQUEST:
                    piece, begin, length = struct.unpack(">III", payload)
                    data = answer(piece, begin, length)
                    if data is not None:
                        self.send(block(piece, begin, data))
                        await self.writer.drain()


Behaviour = Callable[[Line], Awaitable[None]]


class ScriptedPeer:
    """Waits for connections and plays its behaviour on each.

    Attributes:
        met: connections so far; ended: those whose behaviour is over.
        failure: what a behaviour raised, for the test to see.
    """

    def __init__(self, metainfo: Metainfo, behaviour: Behaviour) -> None:
        self.port = 0
        self.met = 0
        self.ended = 0
        self.failure: BaseException | None = None
        self._metainfo = metainfo
        self._behaviour = behaviour

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        try:
            await self._behaviour(Line(reader, writer, self._metainfo))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as error:
            self.failure = error
        finally:
            self.ended += 1
            writer.transport.abort()


@asynccontextmanager
async def scripted_peer(
    metainfo: Metainfo, behaviour: Behaviour, *, host: str = "127.0.0.1"
) -> AsyncIterator[ScriptedPeer]:
    """A listening peer on loopback; what its behaviour raised is raised at the end."""
    peer = ScriptedPeer(metainfo, behaviour)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(peer.meet(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(accept, host, 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
    if peer.failure is not None:
        raise peer.failure


@asynccontextmanager
async def dialled(port: int, metainfo: Metainfo, *, host: str = "127.0.0.1") -> AsyncIterator[Line]:
    """A scripted peer that dials instead, from `host`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
    try:
        yield Line(reader, writer, metainfo)
    finally:
        writer.transport.abort()
        # One round of the loop, so that the transport is gone when the test is.
        await asyncio.sleep(0)
