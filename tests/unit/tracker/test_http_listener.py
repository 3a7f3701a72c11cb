"""Connections that are answered as they are accepted, and those that are handed to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import resource
import socket
from collections.abc import AsyncIterator

import pytest

from swarm.tracker.http_connection import HttpConnection
from swarm.tracker.http_listener import PAUSE_S, listen
from swarm.tracker.server import TrackerServer
from swarm.wire.tracker.http import decode_announce

ANNOUNCE = b"GET /announce?info_hash=%s&peer_id=%s&port=6881&left=0" % (b"a" * 20, b"b" * 20)
CLOSE = b" HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
KEEP = b" HTTP/1.1\r\nHost: t\r\n\r\n"


@pytest.fixture
async def server() -> AsyncIterator[TrackerServer]:
    async with TrackerServer("127.0.0.1", 0, rng=random.Random(1)) as made:
        yield made


async def dial(server: TrackerServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_request_that_is_there_is_answered_without_the_loop(
    server: TrackerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(HttpConnection, "connection_made")
    reader, writer = await dial(server)
    writer.write(ANNOUNCE + CLOSE)
    raw = await asyncio.wait_for(reader.read(), 30)
    assert decode_announce(raw.partition(b"\r\n\r\n")[2]).seeds == 1
    assert not server.frontend.connections
    writer.close()


async def test_one_that_stays_is_handed_on_and_asked_again(server: TrackerServer) -> None:
    reader, writer = await dial(server)
    for _ in range(3):
        writer.write(ANNOUNCE + KEEP)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"5:peers0:e")
        assert len(server.frontend.connections) == 1
    writer.close()


async def test_the_rest_of_a_request_may_come_later(server: TrackerServer) -> None:
    reader, writer = await dial(server)
    writer.write(ANNOUNCE)
    while not server.frontend.connections:  # noqa: ASYNC110
        await asyncio.sleep(0)
    writer.write(CLOSE)
    assert b"5:peers0:e" in await asyncio.wait_for(reader.read(), 30)
    writer.close()


async def test_who_says_nothing_and_goes_leaves_nothing_behind(server: TrackerServer) -> None:
    _, writer = await dial(server)
    writer.write_eof()
    # Its end is as good as data: the kernel wakes the tracker for it.
    reader, other = await dial(server)
    other.write(ANNOUNCE + CLOSE)
    await asyncio.wait_for(reader.read(), 30)
    assert not server.frontend.connections
    writer.close()
    other.close()


async def test_a_long_answer_goes_on_when_there_is_room(server: TrackerServer) -> None:
    for number in range(5000):
        server.store.join(b"a" * 20, number.to_bytes(6, "big"), b"p" * 20, False, int(server.clock()), 0)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", server.port))
        count = 90
        await loop.sock_sendall(client, (ANNOUNCE + b"&numwant=200" + KEEP) * (count - 1))
        await loop.sock_sendall(client, ANNOUNCE + b"&numwant=200" + CLOSE)
        got = b""
        while part := await asyncio.wait_for(loop.sock_recv(client, 65536), 30):
            got += part
    assert got.count(b"5:peers1200:") == count


async def test_without_descriptors_it_waits_and_goes_on(
    server: TrackerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await dial(server)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        with pytest.raises(OSError) as raised:
            os.dup(0)
        assert raised.value.errno == errno.EMFILE
        writer.write(ANNOUNCE + CLOSE)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert b"5:peers0:e" in await asyncio.wait_for(reader.read(), 30 + PAUSE_S)
    writer.close()


async def test_a_name_means_all_of_its_addresses_at_one_port(server: TrackerServer) -> None:
    listeners = await listen(server.frontend, "localhost", 0)
    assert len({listener.port for listener in listeners}) == 1
    assert {listener.host for listener in listeners} <= {"127.0.0.1", "::1"}
    for listener in listeners:
        listener.close()
