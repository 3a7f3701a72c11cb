"""The tracker's HTTP side under friends and foes, through real sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import cast

import pytest

from swarm.base.errors import TrackerError
from swarm.tracker.http_connection import HttpConnection, HttpLimits
from swarm.tracker.server import TrackerServer
from swarm.wire.tracker.http import decode_announce, decode_scrape

QUERY = "info_hash=" + "a" * 20 + "&peer_id=" + "b" * 20 + "&port=6881&left=0&uploaded=0&downloaded=0"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Transport:
    """The other end takes nothing of what is written until it is drained."""

    FULL_BYTES = 65_536

    def __init__(self) -> None:
        self.connection: HttpConnection
        self.is_read_from = True
        self.count = 0
        self._unsent_bytes = 0

    @property
    def is_full(self) -> bool:
        return self._unsent_bytes > self.FULL_BYTES

    def get_extra_info(self, _name: str) -> tuple[str, int]:
        return "127.0.0.1", 1234

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.count += data.count(b"HTTP/1.1 200 OK")
        self._unsent_bytes += len(data)
        if self.is_full:
            self.connection.pause_writing()

    def drain(self) -> None:
        if self.is_full:
            self._unsent_bytes = 0
            self.connection.resume_writing()

    def pause_reading(self) -> None:
        self.is_read_from = False

    def resume_reading(self) -> None:
        self.is_read_from = True

    def abort(self) -> None:
        self.connection.connection_lost(None)


@contextlib.asynccontextmanager
async def tracker(
    limits: HttpLimits | None = None, host: str = "127.0.0.1", clock: Callable[[], float] | None = None
) -> AsyncIterator[TrackerServer]:
    async with TrackerServer(host, 0, limits=limits, rng=random.Random(1), clock=clock or Clock()) as server:
        yield server


@contextlib.asynccontextmanager
async def connection(
    server: TrackerServer, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something has arrived in this very process."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """(status, head, body) of the next response."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    return int(head.split()[1]), head, await reader.readexactly(int(length[1]))


async def ask(server: TrackerServer, raw: bytes, host: str = "127.0.0.1") -> tuple[int, bytes]:
    async with connection(server, host) as (reader, writer):
        writer.write(raw)
        status, _, body = await read_response(reader)
        return status, body


async def get(server: TrackerServer, url: str, host: str = "127.0.0.1") -> bytes:
    status, body = await ask(server, f"GET {url} HTTP/1.1\r\nHost: t\r\n\r\n".encode("latin-1"), host)
    assert status == 200
    return body


class TestFriends:
    async def test_two_peers_find_each_other(self) -> None:
        async with tracker() as server:
            await get(server, f"/announce?{QUERY}")
            body = await get(server, f"/announce?{QUERY.replace('6881', '6882').replace('left=0', 'left=9')}")
            response = decode_announce(body)
        assert [str(peer) for peer in response.peers] == ["127.0.0.1:6881"]
        assert (response.seeds, response.leechers) == (1, 1)
        assert response.external_ip == "127.0.0.1"

    async def test_dictionaries_with_and_without_peer_ids(self) -> None:
        async with tracker() as server:
            await get(server, f"/announce?{QUERY}")
            other = QUERY.replace("6881", "6882").replace("left=0", "left=9")
            with_ids = await get(server, f"/announce?{other}&compact=0")
            without = await get(server, f"/announce?{other}&compact=0&no_peer_id=1")
        assert b"7:peer id20:" + b"b" * 20 in with_ids and b"peer id" not in without
        assert decode_announce(with_ids).peers == decode_announce(without).peers != ()

    @pytest.mark.parametrize("form", ["compact=1", "compact=0"])
    async def test_a_warning_and_the_own_address_are_told_in_either_form(self, form: str) -> None:
        async with tracker() as server:
            server.rules.warning = b"cut off"
            response = decode_announce(await get(server, f"/announce?{QUERY}&{form}"))
        assert (response.warning, response.external_ip) == ("cut off", "127.0.0.1")

    async def test_peers_over_ipv6_get_peers6(self) -> None:
        if not socket.has_ipv6:
            pytest.skip("no IPv6 on this machine")
        async with tracker(host="::1") as server:
            await get(server, f"/announce?{QUERY}", "::1")
            other = QUERY.replace("6881", "6882").replace("left=0", "left=9")
            response = decode_announce(await get(server, f"/announce?{other}", "::1"))
            assert server.urls == [f"http://[::1]:{server.port}/announce"]
        assert [str(peer) for peer in response.peers] == ["[::1]:6881"]

    async def test_all_addresses_mean_both_families(self) -> None:
        async with tracker(host="0.0.0.0") as server:
            await get(server, f"/announce?{QUERY}")
            if len(server.urls) == 1:
                pytest.skip("no IPv6 on this machine")
            other = QUERY.replace("6881", "6882").replace("left=0", "left=9")
            response = decode_announce(await get(server, f"/announce?{other}", "::1"))
        assert [str(peer) for peer in response.peers] == ["127.0.0.1:6881"]

    async def test_the_address_is_the_socket_s_whatever_the_query_says(self) -> None:
        async with tracker() as server:
            await get(server, f"/announce?{QUERY}&ip=8.8.8.8&ipv4=8.8.8.8&ipv6=2001:db8::1")
            other = QUERY.replace("6881", "6882").replace("left=0", "left=9")
            response = decode_announce(await get(server, f"/announce?{other}"))
        assert [str(peer) for peer in response.peers] == ["127.0.0.1:6881"]

    async def test_scrape(self) -> None:
        async with tracker() as server:
            await get(server, f"/announce?{QUERY}")
            found = decode_scrape(await get(server, f"/scrape?info_hash={'a' * 20}&info_hash={'%7a' * 20}"))
        assert [(bytes(key), entry.seeds) for key, entry in found.items()] == [(b"a" * 20, 1)]

    async def test_says_what_it_is_and_what_it_is_not(self) -> None:
        async with tracker() as server:
            assert b"BitTorrent tracker" in await get(server, "/")
            status, _ = await ask(server, b"GET /etc/passwd HTTP/1.1\r\nHost: t\r\n\r\n")
        assert status == 404


class TestConnections:
    async def test_http_1_1_is_kept_open(self) -> None:
        async with tracker() as server, connection(server) as (reader, writer):
            for _ in range(3):
                writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                status, head, _ = await read_response(reader)
                assert status == 200 and b"Connection: keep-alive" in head

    @pytest.mark.parametrize(
        "request_head", [b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"]
    )
    async def test_is_closed_where_the_client_wants_so(self, request_head: bytes) -> None:
        async with tracker() as server, connection(server) as (reader, writer):
            writer.write(request_head)
            _, head, _ = await read_response(reader)
            assert b"Connection: close" in head
            assert await reader.read() == b""

    async def test_pipelined_requests_are_answered_in_order(self) -> None:
        async with tracker() as server, connection(server) as (reader, writer):
            for number in range(200):
                path = "/" if number % 2 else f"/announce?{QUERY}"
                writer.write(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            for number in range(200):
                _, _, body = await read_response(reader)
                assert (b"tracker" in body) == bool(number % 2)

    async def test_any_split_of_a_request_is_one_request(self) -> None:
        raw = f"GET /announce?{QUERY} HTTP/1.1\r\nHost: t\r\nUser-Agent: x\r\n\r\n".encode()
        async with tracker() as server, connection(server) as (reader, writer):
            for byte in raw:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            status, _, body = await read_response(reader)
        assert status == 200 and decode_announce(body).seeds == 1

    async def test_a_client_that_says_no_more_still_gets_its_answer(self) -> None:
        async with tracker() as server, connection(server) as (reader, writer):
            writer.write(f"GET /announce?{QUERY} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            writer.write_eof()
            status, _, _ = await read_response(reader)
        assert status == 200

    async def test_an_upgrade_is_not_followed(self) -> None:
        async with tracker() as server, connection(server) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            assert (await read_response(reader))[0] == 200
            assert await reader.read() == b""

    async def test_a_full_url_as_proxies_send_it_finds_nothing_but_an_answer(self) -> None:
        async with tracker() as server:
            status, _ = await ask(server, b"GET http://t/announce HTTP/1.1\r\nHost: t\r\n\r\n")
        assert status == 404


class TestFoes:
    @pytest.mark.parametrize(
        "query",
        [
            "",
            "&&&=&=&",
            QUERY.replace("info_hash", "infohash"),
            QUERY.replace("a" * 20, "a" * 19),
            QUERY.replace("a" * 20, "a" * 19 + "%"),
            QUERY.replace("a" * 20, "%zz" * 20),
            QUERY.replace("b" * 20, "b" * 300),
            QUERY + "&info_hash=" + "c" * 20,
            QUERY + "&port=80",
            QUERY.replace("port=6881", "port=0"),
            QUERY.replace("port=6881", "port=-1"),
            QUERY.replace("port=6881", "port=1" + "0" * 30),
            QUERY.replace("port=6881", ""),
            QUERY.replace("peer_id", "peerid"),
            QUERY.replace("a" * 20, "a" * 5000),
            QUERY.replace("a" * 20, "a" * 21),
            QUERY.replace("b" * 20, "%b"),
            QUERY.replace("port=6881", "port=65536"),
            QUERY.replace("port=6881", "port=%36881"),
            QUERY.replace("uploaded=0", "uploaded=1" + "0" * 30),
            QUERY.replace("downloaded=0", "downloaded=-1"),
            QUERY + "&numwant=1" + "0" * 30,
            QUERY + "&event=" + "started" * 500,
            QUERY + "&peer_id=" + "c" * 20,
            QUERY + "&left=0",
            QUERY + "&numwant=1&numwant=2",
            QUERY + "&event=started&event=stopped",
            QUERY + "&compact=1&compact=0",
            QUERY.replace("left=0", "left=-1"),
            QUERY.replace("left=0", "left=1" + "0" * 30),
            QUERY.replace("uploaded=0", "uploaded=%ff"),
            QUERY + "&numwant=-7",
            QUERY + "&event=explode",
        ],
    )
    async def test_a_bad_field_is_a_failure_reason(self, query: str) -> None:
        async with tracker() as server:
            body = await get(server, f"/announce?{query}")
            assert server.store.swarm_count == 0
        assert body.startswith(b"d14:failure reason")
        with pytest.raises(TrackerError):
            decode_announce(body)

    async def test_what_may_be_missing_or_doubled_without_harm_is_served(self) -> None:
        async with tracker() as server:
            for query in (
                QUERY.replace("&left=0", ""),
                QUERY.replace("&uploaded=0", ""),
                QUERY + "&key=1&key=2&corrupt=x&=&&",
                QUERY + "&ip=%zz",
            ):
                decode_announce(await get(server, f"/announce?{query}"))
            assert server.store.peer_count == 1

    async def test_a_flood_of_new_torrents_is_refused_and_the_known_go_on(self) -> None:
        async with tracker() as server:
            store = server.store
            store._swarms_max = 50
            await get(server, f"/announce?{QUERY}")
            async with connection(server) as (reader, writer):
                for number in range(500):
                    query = QUERY.replace("a" * 20, f"{number:020}")
                    writer.write(f"GET /announce?{query} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
                bodies = [(await read_response(reader))[2] for _ in range(500)]
            assert [b"failure" in body for body in bodies] == [False] * 49 + [True] * 451
            assert b"no room" in bodies[-1] and store.swarm_count == 50
            assert decode_announce(await get(server, f"/announce?{QUERY}")).seeds == 1

    @pytest.mark.parametrize("query", ["", "info_hash=abc", "&".join(["info_hash=" + "a" * 20] * 65)])
    async def test_a_bad_scrape_is_a_failure_reason(self, query: str) -> None:
        async with tracker() as server:
            assert (await get(server, f"/scrape?{query}")).startswith(b"d14:failure reason")

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (b"\x13BitTorrent protocol" + bytes(48), 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50), 400),
            (b"GET\r\n\r\n", 400),
            (b"GET / HTTP/9.9\r\n\r\n", 400),
            (b"POST /announce HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc", 405),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414),
        ],
        ids=["peer wire", "tls", "no target", "http 9.9", "post", "long url"],
    )
    async def test_what_is_no_request_of_a_peer_is_refused_and_closed(self, raw: bytes, status: int) -> None:
        async with tracker() as server, connection(server) as (reader, writer):
            writer.write(raw)
            got, head, _ = await read_response(reader)
            assert got == status and b"Connection: close" in head
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""

    @pytest.mark.parametrize(
        "flood", [b"X-Long: " + b"a" * 1_000_000, b"X: y\r\n" * 200_000], ids=["one", "many"]
    )
    async def test_a_megabyte_of_headers_ends_the_connection(self, flood: bytes) -> None:
        async with tracker() as server, connection(server) as (reader, writer):
            with contextlib.suppress(ConnectionError):
                writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n" + flood)
                await writer.drain()
                assert (await reader.read(12)) in (b"HTTP/1.1 431", b"")
                await reader.read()
            await until(lambda: not server.frontend.connections)
            assert await get(server, "/")

    async def test_requests_held_half_open_are_dropped_at_their_deadline(self) -> None:
        clock = Clock()
        async with tracker(clock=clock) as server, contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(connection(server)) for _ in range(20)]
            for _, writer in held:
                writer.write(b"GET /announce?info_hash=")
                await writer.drain()
            await until(lambda: len(server.frontend.connections) == 20)
            clock.now += 9
            for _, writer in held:
                # A byte now and then buys no time.
                writer.write(b"a")
            server.frontend.sweep()
            assert len(server.frontend.connections) == 20
            clock.now += 2
            server.frontend.sweep()
            for reader, _ in held:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""

    async def test_an_idle_connection_is_dropped_later(self) -> None:
        clock = Clock()
        async with tracker(clock=clock) as server, connection(server) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            await read_response(reader)
            clock.now += 59
            server.frontend.sweep()
            assert len(server.frontend.connections) == 1
            clock.now += 2
            server.frontend.sweep()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""

    async def test_connections_are_bounded(self) -> None:
        async with tracker(HttpLimits(connections=2)) as server, contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                reader, writer = await stack.enter_async_context(connection(server))
                writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                await read_response(reader)
            third, _ = await stack.enter_async_context(connection(server))
            with contextlib.suppress(ConnectionError):
                assert await third.read() == b""
            assert len(server.frontend.connections) == 2

    async def test_a_client_that_asks_and_never_reads_is_not_read_from_any_more(self) -> None:
        async with tracker() as server, connection(server) as (_, writer):
            writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            request = f"GET /announce?{QUERY} HTTP/1.1\r\nHost: t\r\n\r\n".encode() * 100
            stuck_count = 0
            while stuck_count < 50:
                # Its requests pile up on its own side once the tracker stops reading.
                if writer.transport.get_write_buffer_size() > 1_000_000:
                    stuck_count += 1
                else:
                    writer.write(request)
                await asyncio.sleep(0)
            answered = server.frontend.announce_count
            assert answered < 200_000
            writer.transport.abort()

    async def test_much_at_once_is_answered_in_turns_and_only_what_is_taken(self) -> None:
        transport = Transport()
        async with tracker() as server:
            taken = transport.connection = server.frontend()
            taken.connection_made(cast(asyncio.Transport, transport))
            request = f"GET /announce?{QUERY} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
            taken.data_received(request * 2000)
            answered = [server.frontend.announce_count]
            while not transport.is_full:
                await asyncio.sleep(0)
                answered.append(server.frontend.announce_count)
            # Some at a time; and when it takes nothing more, none.
            turns = [after - before for before, after in pairwise(answered)]
            assert 0 < answered[0] < 100 and all(turn < 100 for turn in turns)
            for _ in range(10):
                await asyncio.sleep(0)
            assert server.frontend.announce_count == answered[-1] < 1000 and not transport.is_read_from
            while server.frontend.announce_count < 2000:
                transport.drain()
                await asyncio.sleep(0)
            assert transport.is_read_from and transport.count == 2000

    async def test_a_port_in_use_is_one_clear_line(self) -> None:
        async with tracker() as server:
            with pytest.raises(TrackerError, match="the port is in use"):
                async with TrackerServer("127.0.0.1", server.port):
                    pass

    async def test_an_address_of_another_machine_is_one_clear_line(self) -> None:
        with pytest.raises(TrackerError, match="does not have that address"):
            async with TrackerServer("192.0.2.1", 0):
                pass
