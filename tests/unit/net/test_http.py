"""Our requests against servers that do what servers on the internet do."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from swarm.net import http, names
from swarm.net.http import HttpError
from swarm.net.outlet import Outlet

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """A server on loopback; gives its URL without a path."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            try:
                await handler(reader, writer)
            finally:
                writer.close()

    tasks: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(
        lambda reader, writer: tasks.append(asyncio.create_task(guarded(reader, writer))), host, 0
    )
    async with server:
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def answers(body: bytes, status: str = "200 OK", headers: str = "") -> Handler:
    """A server that always says the same."""

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return handler


def raw(answer: bytes) -> Handler:
    """A server that sends these bytes and closes."""

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return handler


def tells_source() -> Handler:
    """A server that says from where it was asked."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers(str(writer.get_extra_info("peername")[0]).encode())(reader, writer)

    return handler


def redirects(location: str) -> Handler:
    return answers(b"", "302 Found", f"Location: {location}\r\n")


async def get(url: str, max_bytes: int = 10_000, timeout_s: float = 20.0) -> http.HttpAnswer:
    return await http.get(url, max_bytes=max_bytes, timeout_s=timeout_s)


class TestAnswers:
    async def test_a_plain_body(self) -> None:
        async with serving(answers(b"hello")) as url:
            answer = await get(f"{url}/x")
        assert (answer.status, answer.body, answer.url) == (200, b"hello", f"{url}/x")

    async def test_an_error_page_is_an_answer_to_get_and_an_error_to_fetch(self) -> None:
        async with serving(answers(b"gone", "404 Not Found")) as url:
            assert (await get(url)).status == 404
            with pytest.raises(HttpError, match="HTTP 404") as raised:
                await http.fetch(url, 100, 20)
        assert raised.value.status == 404

    async def test_fetch_gives_the_body(self) -> None:
        async with serving(answers(b"d4:infodee")) as url:
            assert await http.fetch(f"{url}/x.torrent", 100, 20) == b"d4:infodee"

    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            ("gzip", gzip.compress(b"hello", mtime=0)),
            ("x-gzip", gzip.compress(b"hello", mtime=0)),
            ("deflate", zlib.compress(b"hello")),
            ("GZIP", gzip.compress(b"hello", mtime=0)),
            ("identity", b"hello"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_packed_bodies_are_unpacked(self, coding: str, body: bytes) -> None:
        async with serving(answers(body, headers=f"Content-Encoding: {coding}\r\n")) as url:
            assert (await get(url)).body == b"hello"

    async def test_the_query_reaches_the_server_as_written(self) -> None:
        asked = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        async def remember(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            await handler(reader, writer)
            writer.close()

        server = await asyncio.start_server(remember, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await get(f"http://127.0.0.1:{port}/a?info_hash=%124Vx%9a%7E%2B&x=~+")
        assert asked[0].startswith(b"GET /a?info_hash=%124Vx%9a%7E%2B&x=~+ HTTP/1.1\r\n")
        assert b"User-Agent: swarm/" in asked[0] and b"Cookie" not in asked[0]


class TestHostileServers:
    async def test_one_that_is_down(self) -> None:
        async with serving(answers(b"")) as url:
            pass
        with pytest.raises(HttpError, match=r"^connection refused$"):
            await get(url)

    async def test_one_that_never_answers(self) -> None:
        async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        async with serving(silent) as url:
            with pytest.raises(HttpError, match=r"^no answer in 0\.2 s$"):
                await get(url, timeout_s=0.2)

    async def test_one_that_trickles(self) -> None:
        async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)

        async with serving(trickle) as url:
            with pytest.raises(HttpError, match="no answer in"):
                await get(url, timeout_s=0.3)

    @pytest.mark.parametrize(
        ("head", "piece"),
        [
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        ],
    )
    async def test_one_that_answers_in_crumbs(self, head: bytes, piece: bytes) -> None:
        turns = 0

        async def crumbs(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(head + 20_000 * piece)
            await writer.drain()

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with serving(crumbs) as url:
            beside = asyncio.create_task(others())
            with pytest.raises(HttpError, match="the answer comes in too many pieces"):
                await get(url, max_bytes=1 << 20)
            beside.cancel()
        assert turns > http._PIECES_MAX // http._PIECES_AT_ONCE // 2

    async def test_many_chunks_of_an_honest_size_are_one_answer(self) -> None:
        body = 1500 * (b"200\r\n" + bytes(512) + b"\r\n")
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with serving(raw(head + body + b"0\r\n\r\n")) as url:
            assert (await get(url, max_bytes=1 << 20, timeout_s=20.0)).body == bytes(1500 * 512)

    async def test_one_that_resets(self) -> None:
        async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with serving(reset) as url:
            with pytest.raises(HttpError, match=r"closed the connection|connection reset"):
                await get(url)

    @pytest.mark.parametrize(
        ("sent", "message"),
        [
            (b"", "closed the connection without an answer"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "cut off"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -9\r\n\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not HTTP|cut off|failed"),
        ],
        ids=["nothing", "ssh", "short", "negative length", "long header", "bad chunk"],
    )
    async def test_one_that_speaks_something_else(self, sent: bytes, message: str) -> None:
        async with serving(raw(sent)) as url:
            with pytest.raises(HttpError, match=message):
                await get(url)

    @pytest.mark.parametrize("head", ["Content-Length: 1073741824", "Transfer-Encoding: chunked", "X: y"])
    async def test_one_with_a_gigabyte_of_answer(self, head: str) -> None:
        sent_bytes = 0

        async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent_bytes
            writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
            block = b"x" * 65536
            if "chunked" in head:
                block = b"10000\r\n" + block + b"\r\n"
            for _count in range(16384):
                writer.write(block)
                await writer.drain()
                sent_bytes += len(block)

        async with serving(endless) as url:
            with pytest.raises(HttpError, match="longer than 100,000 bytes"):
                await get(url, max_bytes=100_000)
        # What the sockets' buffers took, and no more.
        assert sent_bytes < 64 << 20

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    async def test_one_with_a_bomb(self, coding: str) -> None:
        packer = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
        assert len(bomb) < 100_000
        async with serving(answers(bomb, headers=f"Content-Encoding: {coding}\r\n")) as url:
            with pytest.raises(HttpError, match="longer than 200,000 bytes"):
                await get(url, max_bytes=200_000)

    @pytest.mark.parametrize(
        ("coding", "body", "message"),
        [
            ("gzip", b"not gzip", "packed badly"),
            ("gzip", gzip.compress(b"hello" * 100, mtime=0)[:-12], "cut off"),
            ("br", b"x", "packed in a way"),
            ("gzip, gzip", gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "packed in a way"),
        ],
        ids=["not gzip", "half", "brotli", "twice"],
    )
    async def test_one_that_packs_badly(self, coding: str, body: bytes, message: str) -> None:
        async with serving(answers(body, headers=f"Content-Encoding: {coding}\r\n")) as url:
            with pytest.raises(HttpError, match=message):
                await get(url)


class TestRedirects:
    async def test_are_followed(self) -> None:
        async with serving(answers(b"here")) as there, serving(redirects(f"{there}/x")) as url:
            answer = await get(url)
        assert (answer.body, answer.url) == (b"here", f"{there}/x")

    async def test_may_be_relative(self) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await redirects("next/x?y=1")(reader, writer)

        async with serving(handler) as url:
            with pytest.raises(HttpError, match="redirected more than 5 times"):
                await get(f"{url}/a/b")

    async def test_that_go_round_end(self) -> None:
        asked_count = 0

        async def loop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked_count
            asked_count += 1
            await redirects("/again")(reader, writer)

        async with serving(loop) as url:
            with pytest.raises(HttpError, match="redirected more than 5 times"):
                await get(url)
        assert asked_count == 6

    @pytest.mark.parametrize(
        "location", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x", "javascript:x"]
    )
    async def test_to_another_scheme_are_refused(self, location: str) -> None:
        async with serving(redirects(location)) as url:
            with pytest.raises(HttpError, match="only http and https"):
                await get(url)

    @pytest.mark.parametrize("location", ["http://[::1", "http:// /", "http://a b/", "http://x:99999/"])
    async def test_to_what_is_no_url_are_refused(self, location: str) -> None:
        async with serving(redirects(location)) as url:
            with pytest.raises(HttpError, match=r"no URL|not a usable URL"):
                await get(url)

    async def test_without_a_location_are_answers(self) -> None:
        async with serving(answers(b"", "302 Found")) as url:
            assert (await get(url)).status == 302

    async def test_from_a_public_host_into_our_network_are_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reached = []

        async def inner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.append(1)
            await answers(b"secret")(reader, writer)

        async with serving(inner) as secret, serving(redirects(f"{secret}/admin")) as url:
            # The one on loopback passes for a public one: only so can a test have both.
            monkeypatch.setattr(http._Reach, "admits", _as_if_first_were_public(http._Reach.admits))
            with pytest.raises(HttpError, match=r"redirected to 127\.0\.0\.1, an address of a private net"):
                await get(url)
        assert reached == []

    async def test_from_a_public_host_to_a_name_of_our_network_are_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with (
            serving(answers(b"secret")) as secret,
            serving(redirects(f"http://intranet:{secret.rpartition(':')[2]}/")) as url,
        ):

            async def look_up(name: str) -> list[str]:
                assert name == "intranet"
                return ["127.0.0.1"]

            monkeypatch.setattr(http, "look_up", look_up)
            monkeypatch.setattr(http._Reach, "admits", _as_if_first_were_public(http._Reach.admits))
            with pytest.raises(HttpError, match="an address of a private network"):
                await get(url)

    async def test_from_https_to_http_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def hop(url: str, *_: object) -> tuple[http.HttpAnswer, str]:
            assert url == "https://a.example/announce"
            return http.HttpAnswer(301, b"", url), "http://a.example/announce"

        monkeypatch.setattr(http, "_hop", hop)
        with pytest.raises(HttpError, match="from https to http"):
            await get("https://a.example/announce")


def _as_if_first_were_public(
    admits: Callable[[http._Reach, str], bool],
) -> Callable[[http._Reach, str], bool]:
    def changed(reach: http._Reach, host: str) -> bool:
        return admits(reach, "203.0.114.1" if reach.is_first else host)

    return changed


class TestReach:
    LOCAL = ("127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.1.1", "::1", "fd00::1", "::ffff:10.0.0.1",
             "0.0.0.0", "::", "100.64.0.1", "fe80::1%eth0")  # fmt: skip

    @pytest.mark.parametrize("host", LOCAL)
    def test_a_public_first_hop_closes_the_way_in(self, host: str) -> None:
        reach = http._Reach(Outlet())
        assert reach.admits("8.8.8.8")
        reach.is_first = False
        assert not reach.admits(host) and reach.refusal
        assert reach.admits("8.8.4.4")

    @pytest.mark.parametrize("host", LOCAL)
    def test_a_local_first_hop_may_go_on_to_local_ones(self, host: str) -> None:
        reach = http._Reach(Outlet())
        assert reach.admits(host)
        reach.is_first = False
        assert reach.admits("10.0.0.1") and reach.admits("8.8.8.8")

    def test_one_public_address_makes_a_name_public(self) -> None:
        reach = http._Reach(Outlet())
        assert reach.admits("127.0.0.1") and reach.admits("8.8.8.8") and reach.admits("10.0.0.1")
        reach.is_first = False
        assert not reach.admits("127.0.0.1")

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"])
    def test_loopback_can_be_closed_from_the_start(self, host: str) -> None:
        assert not http._Reach(Outlet(), may_be_loopback=False).admits(host)
        assert http._Reach(Outlet(), may_be_loopback=False).admits("192.168.1.1")


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "x",
            "http://",
            "http:///announce",
            "http://[::1/",
            "http://a:port/",
            "http://a/\x1b",
            "http://a/ b",
            "ftp://a/",
            "udp://a:1",
            "http://a/" + "x" * 9000,
        ],
        ids=lambda url: ascii(url[:20]),
    )
    async def test_that_cannot_be_asked_are_said_so(self, url: str) -> None:
        with pytest.raises(HttpError, match=r"not a usable URL|only http and https"):
            await get(url)

    async def test_of_hosts_that_do_not_exist_are_said_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def look_up(name: str) -> list[str]:
            raise OSError(-2, "Name or service not known")

        monkeypatch.setattr(http, "look_up", look_up)
        with pytest.raises(HttpError, match=r"^no such host$"):
            await get("http://nowhere.invalid/announce")


class TestNames:
    async def test_localhost_has_an_address(self) -> None:
        assert set(await names.look_up("localhost")) <= {"127.0.0.1", "::1"}

    @pytest.mark.parametrize("name", ["a" * 300, "\udcff", "x..y"], ids=["long", "surrogate", "dots"])
    async def test_what_is_no_name_is_an_os_error(self, name: str) -> None:
        with pytest.raises(OSError):
            await names.look_up(name)


async def test_bound_request_leaves_from_there_on_every_hop() -> None:
    async with serving(tells_source()) as last, serving(redirects(f"{last}/x")) as first:
        for url in (last, first):
            answer = await http.get(url, max_bytes=100, timeout_s=20.0, outlet=Outlet({False: "127.0.0.2"}))
            assert answer.body == b"127.0.0.2"


async def test_bound_request_to_another_family_is_refused() -> None:
    with pytest.raises(HttpError, match="bound interface has no address of that family"):
        await http.get("http://[::1]:9/", max_bytes=100, timeout_s=20.0, outlet=Outlet({False: "127.0.0.2"}))
