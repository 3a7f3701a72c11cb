"""A tracker's two front ends together, through real sockets on loopback."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import ssl
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from swarm.base.errors import TrackerError
from swarm.tracker.http_connection import HttpService, Request
from swarm.tracker.memory_store import MemoryStore
from swarm.tracker.server import TrackerServer
from swarm.tracker.snapshot import load
from swarm.tracker.stats import StatsService
from swarm.wire.tracker.udp_server import CONNECT_MAGIC


async def ask(port: int, datagram: bytes, host: str = "127.0.0.1") -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((host, port))
        await loop.sock_sendall(client, datagram)
        return await asyncio.wait_for(loop.sock_recv(client, 2048), 30)


async def announce(server: TrackerServer, peer_port: int, left: int, host: str = "127.0.0.1") -> bytes:
    assert server.udp_port is not None
    connection = (await ask(server.udp_port, CONNECT_MAGIC + bytes(8), host))[8:]
    head = connection + b"\0\0\0\1tran" + b"t" * 20 + b"p" * 20
    return await ask(
        server.udp_port, head + struct.pack(">QQQIIIiH", 0, left, 0, 2, 0, 0, -1, peer_port), host
    )


async def test_http_and_udp_share_swarms_and_the_port() -> None:
    async with TrackerServer("127.0.0.1", 0, udp=("127.0.0.1", 0), rng=random.Random(1)) as server:
        assert server.udp_port is not None
        assert server.udp_urls == [f"udp://127.0.0.1:{server.udp_port}/announce"]
        await announce(server, 1001, left=0)
        body = server.frontend.respond(
            Request(
                b"GET",
                b"/announce?info_hash=" + b"t" * 20 + b"&peer_id=" + b"p" * 20 + b"&port=1002&left=5",
                bytes([127, 0, 0, 1]),
                {},
            ),
            is_last=True,
        )
        assert b"8:completei1e" in body and bytes([127, 0, 0, 1, 1001 >> 8, 1001 & 255]) in body
        found = await announce(server, 1003, left=5)
        assert len(found) == 20 + 2 * 6


async def test_a_crash_costs_what_came_since_the_state_was_last_written(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with TrackerServer(
        "127.0.0.1", 0, udp=("127.0.0.1", 0), state=state, save_s=0.01, rng=random.Random(1)
    ) as server:
        await announce(server, 1001, left=0)
        while not state.exists():  # noqa: ASYNC110  # a file sets no event
            await asyncio.sleep(0.01)
        # Now it is killed; all that another one finds is the file.
        found = MemoryStore(3600, random.Random(1))
        assert load(found, state, 0, time.time())
        assert (found.swarm_count, found.peer_count) == (1, 1)


async def test_a_tracker_that_nobody_asks_lets_the_disk_sleep(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with TrackerServer("127.0.0.1", 0, state=state, save_s=0) as _:
        for _ in range(100):
            await asyncio.sleep(0)
        assert not state.exists()


async def test_a_state_that_cannot_be_written_is_said_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with TrackerServer(
        "127.0.0.1", 0, udp=("127.0.0.1", 0), state=folder / "state", save_s=0.01, rng=random.Random(1)
    ) as server:
        shutil.rmtree(folder)
        await announce(server, 1001, left=0)
        while server.unsaved is None:  # noqa: ASYNC110  # as the command looks at it
            await asyncio.sleep(0.01)
        assert server.unsaved == f"{folder / 'state'}: could not be saved: no such file or folder"
        folder.mkdir()
        while server.unsaved is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (folder / "state").exists()


async def test_all_addresses_mean_both_families_over_udp() -> None:
    async with TrackerServer("0.0.0.0", 0, udp=("0.0.0.0", 0)) as server:
        await announce(server, 1001, left=0)
        if len(server.udp_urls) == 1:
            pytest.skip("no IPv6 on this machine")
        await announce(server, 1002, left=0, host="::1")
        answer = await announce(server, 1003, left=5, host="::1")
        assert answer[20:] == bytes(15) + b"\1" + (1002).to_bytes(2, "big")


async def test_a_name_means_all_of_its_addresses_over_udp_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(_host: str, port: int, **_more: Any) -> list[Any]:
        v4 = (socket.AF_INET, 0, 0, "", ("127.0.0.1", port))
        return [v4, v4, (socket.AF_INET6, 0, 0, "", ("::1", port, 0, 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    try:
        server = await TrackerServer("tracker.local", 0, udp=("tracker.local", 0)).__aenter__()
    except TrackerError:
        pytest.skip("no IPv6 on this machine")
    try:
        assert len(server.urls) == 2
        for host in ("127.0.0.1", "::1"):
            assert (await announce(server, 7, 0, host))[:4] == b"\0\0\0\1"
    finally:
        await server.__aexit__(None, None, None)


async def test_addresses_of_a_name_that_the_machine_lacks_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`localhost` is ::1 as well, for most resolvers, where there is no IPv6."""
    absent = "192.0.2.1"  # an address for documentation (RFC 5737): nobody has it
    names = {"both": ["127.0.0.1", absent], "other": [absent, "127.0.0.1"], "none": [absent]}

    async def getaddrinfo(host: str, port: int, **_more: Any) -> list[Any]:
        return [(socket.AF_INET, 0, 0, "", (address, port)) for address in names[host]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    def stats(server: TrackerServer) -> HttpService:
        return StatsService(server)

    for host in ("both", "other"):
        at, tls = (host, 0), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pages = [(at, "--stats", stats)]
        async with TrackerServer(host, 0, udp=at, https=at, tls=tls, services=pages) as server:
            assert [url.split(":")[1] for url in [*server.urls, *server.udp_urls]] == ["//127.0.0.1"] * 2
            assert server.https_url is not None and server.https_url.startswith("https://127.0.0.1:")
            assert server.services[0][1].startswith("http://127.0.0.1:")
    with pytest.raises(TrackerError, match=r"cannot listen on none:0: this machine does not have"):
        await TrackerServer("none", 0).__aenter__()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="the system counts no sleep")
async def test_the_sleep_of_the_machine_is_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep_s = 0
    read = time.clock_gettime

    def clock_gettime(clock: int) -> float:
        return read(clock) + asleep_s * (clock == time.CLOCK_BOOTTIME)

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    async with TrackerServer("127.0.0.1", 0, udp=("127.0.0.1", 0)) as server:
        await announce(server, 7, left=0)
        asleep_s = round(server.settings.peer_life_s) + 1
        server.rules.expire(server.clock())
        assert server.store.peer_count == 0


async def test_a_udp_port_in_use_is_one_clear_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(TrackerError, match="the port is in use; give another one with --udp"):
            async with TrackerServer("127.0.0.1", 0, udp=("127.0.0.1", port)):
                pass


async def test_a_bug_in_what_nobody_waits_for_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    report: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: report.set_result(context))

    def break_down(now: float) -> int:
        raise ZeroDivisionError("unthought of")

    async with TrackerServer("127.0.0.1", 0) as server:
        # Without it nobody would ever be forgotten again.
        monkeypatch.setattr(server.rules, "expire", break_down)
        async with asyncio.timeout(30):
            told = await report
    assert told["message"] == "tracker beat has ended" and isinstance(told["exception"], ZeroDivisionError)
