"""The tracker client against trackers that answer, refuse, or are none."""

from __future__ import annotations

import asyncio
import zlib

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.finding.tracker_ways import Tracker
from swarm.net import http, names
from swarm.net.http import HttpAnswer, HttpError
from swarm.net.outlet import Outlet
from swarm.net.tracker_preferences import TrackerPreferences
from swarm.net.trackers import TrackerClient
from swarm.tracker.server import TrackerServer
from swarm.wire.tracker.announce import PEERS_MAX, AnnounceRequest, ScrapeEntry
from swarm.wire.tracker.http import ANSWER_MAX_BYTES
from tests.unit.net.udp_tracker import udp_tracker

TORRENT = InfoHash(b"t" * 20)
REQUEST = AnnounceRequest(TORRENT, PeerId(b"-SW0100-abcdefghijkl"), 6881, 0, 0, 9)


async def _no_records(_name: str, _timeout_s: float) -> list[str]:
    return []


NO_PREFERENCES = TrackerPreferences(_no_records)


class FakeHttp:
    """In the place of `http.get`: one canned answer, and what was asked."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, body: bytes = b"", status: int = 200, error: str = ""
    ) -> None:
        self.answer = HttpAnswer(status, body, "")
        self.error = error
        self.asked: list[tuple[str, bool]] = []
        monkeypatch.setattr(http, "get", self.get)

    async def get(
        self,
        url: str,
        *,
        max_bytes: int,
        timeout_s: float,
        may_be_loopback: bool,
        outlet: Outlet,
        is_v6: bool | None,
        resolve: http.Resolve,
    ) -> HttpAnswer:
        assert max_bytes == ANSWER_MAX_BYTES and timeout_s > 0
        self.asked.append((url, may_be_loopback))
        if self.error:
            raise HttpError(self.error)
        return self.answer


class TestOnOurTracker:
    async def test_announce_and_scrape(self) -> None:
        client = TrackerClient()
        async with TrackerServer("127.0.0.1", 0) as server:
            (url,) = server.urls
            seed = AnnounceRequest(TORRENT, PeerId(b"-SW0100-seedseedseed"), 7000, 0, 0, 0, "started")
            await client.announce(url, seed)
            response = await client.announce(url, REQUEST)
            others = [InfoHash(bytes([number]) * 20) for number in range(120)]
            found = await client.scrape(url, [*others, TORRENT])
        assert response.peers == (Endpoint("127.0.0.1", 7000),)
        assert found == {TORRENT: ScrapeEntry(1, 1, 0, 1)}
        await client.close()

    async def test_is_told_of_us_over_each_family_for_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hosts = ["127.0.0.1", "::1"]

        async def look_up(name: str) -> list[str]:
            assert name == "tracker.test"
            return hosts

        monkeypatch.setattr(names, "look_up", look_up)
        client = TrackerClient(preferences=NO_PREFERENCES)
        async with TrackerServer("0.0.0.0", 0) as server:
            url = f"http://tracker.test:{server.port}/announce"
            over_v4 = await client.announce(url, REQUEST, is_v6=False)
            over_v6 = await client.announce(url, REQUEST, is_v6=True)
            assert (over_v4.external_ip, over_v6.external_ip) == ("127.0.0.1", "::1")
            # The tracker does not name us to ourselves.
            assert (over_v4.peers, over_v6.peers) == ((), ())
            assert server.store.peer_count == 2
        await client.close()
        hosts.remove("::1")
        client = TrackerClient(preferences=NO_PREFERENCES)
        with pytest.raises(TrackerError, match=r"^the server has no IPv6 address$") as raised:
            await client.announce(url, REQUEST, is_v6=True)
        assert raised.value.lacks == "address"
        await client.close()

    @pytest.mark.parametrize("scheme", ["http", "udp"])
    async def test_an_ipv4_address_mapped_into_ipv6_is_asked_over_ipv4(self, scheme: str) -> None:
        async with TrackerServer("127.0.0.1", 0, udp=("127.0.0.1", 0)) as server:
            port = server.port if scheme == "http" else server.udp_port
            url = f"{scheme}://[::ffff:127.0.0.1]:{port}/announce"
            client = TrackerClient()
            # The families over which an announcer asks it.
            for way in Tracker(url, 0, (False, True)).ways:
                await client.announce(url, REQUEST, is_v6=way.is_v6)
            assert server.store.peer_count == 1
            await client.close()

    async def test_a_tracker_on_this_machine_must_look_like_one(self) -> None:
        client = TrackerClient()
        async with TrackerServer("127.0.0.1", 0) as server:
            for host in ("127.0.0.1", "localhost"):
                with pytest.raises(TrackerError, match="is this machine"):
                    await client.announce(f"http://{host}:{server.port}/shutdown?", REQUEST)


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "status", "message"),
        [
            (b"<html>not found</html>", 404, "HTML instead of bencode (HTTP 404)"),
            (b"<!DOCTYPE html>", 200, "HTML instead of bencode"),
            (b"", 500, "an empty answer (HTTP 500)"),
            (b"d14:failure reason6:bannede", 403, "banned (HTTP 403)"),
            (b"d14:failure reason4:\x1b[2Je", 200, "\\x1b[2J"),
            (b"d6:peers619:" + bytes(19) + b"e", 200, "peers6 of 19 bytes are no list of addresses"),
        ],
    )
    async def test_that_are_failures(
        self, monkeypatch: pytest.MonkeyPatch, body: bytes, status: int, message: str
    ) -> None:
        FakeHttp(monkeypatch, body, status)
        with pytest.raises(TrackerError) as raised:
            await TrackerClient().announce("http://t/announce", REQUEST)
        assert str(raised.value) == message

    async def test_a_status_does_not_spoil_a_good_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        FakeHttp(monkeypatch, b"d8:intervali1800e5:peers0:e", 203)
        assert (await TrackerClient().announce("http://t/announce", REQUEST)).interval_s == 1800

    async def test_retry_in_survives_a_status(self, monkeypatch: pytest.MonkeyPatch) -> None:
        FakeHttp(monkeypatch, b"d14:failure reason4:full8:retry ini5ee", 503)
        with pytest.raises(TrackerError) as raised:
            await TrackerClient().announce("http://t/announce", REQUEST)
        assert raised.value.retry_in_s == 300

    async def test_a_million_peers_are_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        FakeHttp(monkeypatch, b"d5:peers600000:" + b"\x08\x08\x08\x08\x1a\xe1" * 100_000 + b"e")
        response = await TrackerClient().announce("http://t/announce", REQUEST)
        assert len(response.peers) == PEERS_MAX

    async def test_errors_on_the_way_are_the_tracker_s(self, monkeypatch: pytest.MonkeyPatch) -> None:
        FakeHttp(monkeypatch, error="connection refused")
        with pytest.raises(TrackerError, match=r"^connection refused$"):
            await TrackerClient().announce("http://t/announce", REQUEST)


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "udp://",
            "udp://t/announce",
            "udp://t:x",
            "http://t:99999/announce",
            "wss://t",
            "",
            "http://[::1",
            "file:///announce",
        ],
    )
    async def test_of_other_kinds_are_never_tried_again(self, url: str) -> None:
        with pytest.raises(TrackerError) as raised:
            await TrackerClient().announce(url, REQUEST)
        assert raised.value.is_final

    @pytest.mark.parametrize(
        ("url", "may_be_loopback"),
        [
            ("http://t/announce", True),
            ("http://t/passkey/announce.php?x=1", True),
            ("http://t/scrape", True),
            ("http://t/admin?/announce", False),
            ("http://t/", False),
        ],
    )
    async def test_only_those_of_trackers_may_lead_to_this_machine(
        self, monkeypatch: pytest.MonkeyPatch, url: str, may_be_loopback: bool
    ) -> None:
        fake = FakeHttp(monkeypatch, b"de")
        await TrackerClient().announce(url, REQUEST)
        assert fake.asked[0][1] == may_be_loopback

    async def test_a_tracker_without_the_convention_cannot_be_scraped(self) -> None:
        with pytest.raises(TrackerError, match="cannot be scraped"):
            await TrackerClient().scrape("http://t/a", [TORRENT])

    async def test_many_torrents_are_scraped_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = FakeHttp(monkeypatch, b"d5:filesdee")
        assert await TrackerClient().scrape("http://t/announce", [TORRENT] * 101) == {}
        assert [url.count("info_hash=") for url, _ in fake.asked] == [50, 50, 1]
        assert max(len(url) for url, _ in fake.asked) < 4096


class TestUdp:
    async def test_is_asked_where_the_url_says_so(self) -> None:
        client = TrackerClient()
        many = [InfoHash(bytes([number]) * 20) for number in range(100)]
        async with udp_tracker(peers=[Endpoint("10.0.0.1", 1)]) as tracker:
            response = await client.announce(tracker.url, REQUEST)
            found = await client.scrape(tracker.url, many)
            assert tracker.kinds == "cass"
        assert response.peers == (Endpoint("10.0.0.1", 1),)
        assert list(found) == many
        await client.close()


class TestTurns:
    async def test_requests_to_one_host_are_bounded_for_themselves(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running: list[str] = []
        may_answer = asyncio.Event()

        async def slow(url: str, **_: object) -> HttpAnswer:
            running.append(url.partition("/announce")[0])
            await may_answer.wait()
            return HttpAnswer(200, b"de", url)

        monkeypatch.setattr(http, "get", slow)
        client = TrackerClient(host_concurrent_max=2)
        urls = ["http://a/announce"] * 9 + ["http://b:1/announce"]
        asked = asyncio.gather(*(client.announce(url, REQUEST) for url in urls))
        while len(running) < 3:  # noqa: ASYNC110  # a fake has no event for that
            await asyncio.sleep(0)
        for _turn in range(10):
            await asyncio.sleep(0)
        assert sorted(running) == ["http://a", "http://a", "http://b:1"]
        may_answer.set()
        await asked
        assert not client._turns[None]._held and not client._turns[None]._waiting

    @pytest.mark.parametrize(("at_a_host", "in_all"), [(2, 100), (100, 2)])
    async def test_a_family_that_leads_nowhere_does_not_hold_up_the_other(
        self, monkeypatch: pytest.MonkeyPatch, at_a_host: int, in_all: int
    ) -> None:
        async def only_v4(url: str, *, is_v6: bool | None, **_: object) -> HttpAnswer:
            if is_v6:
                await asyncio.Event().wait()
            return HttpAnswer(200, b"de", url)

        monkeypatch.setattr(http, "get", only_v4)
        client = TrackerClient(
            preferences=NO_PREFERENCES, host_concurrent_max=at_a_host, concurrent_max=in_all
        )
        lost = [
            asyncio.create_task(client.announce("http://t/announce", REQUEST, is_v6=True)) for _ in range(9)
        ]
        await asyncio.sleep(0)
        async with asyncio.timeout(1):
            await client.announce("http://t/announce", REQUEST, is_v6=False)
        for task in lost:
            task.cancel()
        await asyncio.gather(*lost, return_exceptions=True)

    async def test_trackers_that_are_down_do_not_hold_up_the_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def only_good(url: str, **_: object) -> HttpAnswer:
            if url.startswith("http://down"):
                await asyncio.Event().wait()
            return HttpAnswer(200, b"de", url)

        monkeypatch.setattr(http, "get", only_good)
        client = TrackerClient(preferences=NO_PREFERENCES)
        urls = [f"http://down{number % 7}/announce" for number in range(700)]
        lost = [asyncio.create_task(client.announce(url, REQUEST)) for url in urls]
        good = [asyncio.create_task(client.announce("http://good/announce", REQUEST)) for _ in range(1000)]
        for _turn in range(2000):
            await asyncio.sleep(0)
        assert all(task.done() for task in good)
        for task in lost:
            task.cancel()
        await asyncio.gather(*lost, return_exceptions=True)

    async def test_requests_at_a_time_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        running_max = running = 0

        async def slow(url: str, **_: object) -> HttpAnswer:
            nonlocal running, running_max
            running += 1
            running_max = max(running_max, running)
            for _turn in range(5):
                await asyncio.sleep(0)
            running -= 1
            return HttpAnswer(200, b"de", url)

        monkeypatch.setattr(http, "get", slow)
        client = TrackerClient(concurrent_max=3)
        await asyncio.gather(
            *(client.announce(f"http://t{number}/announce", REQUEST) for number in range(20))
        )
        assert running_max == 3

    async def test_nothing_is_asked_after_close(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = FakeHttp(monkeypatch, b"de")
        client = TrackerClient()
        await client.close()
        with pytest.raises(TrackerError, match="closed"):
            await client.announce("http://t/announce", REQUEST)
        assert fake.asked == []


async def test_a_bomb_from_a_tracker_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bomb = zlib.compress(bytes(8 << 20))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(bomb), bomb))
        writer.close()

    server = await asyncio.start_server(body, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TrackerError, match="the answer is longer than"):
            await TrackerClient().announce(f"http://127.0.0.1:{port}/announce", REQUEST)
