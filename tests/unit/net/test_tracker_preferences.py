"""BEP 34 with a real DNS server, which this test runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.net import names
from swarm.net.dns_records import text_records
from swarm.net.tracker_preferences import TrackerPreferences
from swarm.net.trackers import TrackerClient
from swarm.wire.tracker.announce import AnnounceRequest
from swarm.wire.tracker.preferences import Service
from tests.unit.net.dns_server import DnsServer, dns_server
from tests.unit.net.udp_tracker import udp_tracker

REQUEST = AnnounceRequest(InfoHash(b"t" * 20), PeerId(b"-SW0100-abcdefghijkl"), 6881, 0, 0, 9)
PEER = Endpoint("10.0.0.1", 1)
PATIENCE_S = 30.0


def preferences(server: DnsServer, timeout_s: float = PATIENCE_S) -> TrackerPreferences:
    return TrackerPreferences(partial(text_records, server=server.endpoint), timeout_s=timeout_s)


class TestAnswers:
    async def test_are_read_in_the_host_s_order_and_remembered(self) -> None:
        async with dns_server({"t.example.org": ['"v=spf1 -all"', '"BITTORRENT " "UDP:5 TCP:6"']}) as server:
            asking = preferences(server)
            found = await asyncio.gather(*(asking.services("T.example.org.") for _ in range(5)))
            assert found == [(Service("udp", 5), Service("tcp", 6))] * 5
            assert await asking.services("t.example.org") == found[0]
            assert server.asked == ["t.example.org"]

    @pytest.mark.parametrize("host", ["nowhere.example.org", "other.example.org", "empty.example.org"])
    async def test_without_a_word_on_trackers_allow_everything(self, host: str) -> None:
        records = {"other.example.org": ['"v=spf1 -all"'], "empty.example.org": []}
        async with dns_server(records) as server:
            asking = preferences(server)
            assert await asking.services(host) is None
            assert await asking.services(host) is None
            assert server.asked == [host]

    async def test_that_do_not_come_allow_everything_for_a_while(self) -> None:
        async with dns_server({}, is_silent=True) as server:
            asking = preferences(server, timeout_s=0.05)
            assert await asking.services("t.example.org") is None
            count = len(server.asked)
            assert await asking.services("t.example.org") is None
            assert len(server.asked) == count

    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "::1", "fe80::1%lo", "localhost", "a.localhost", "nas.local", "tracker", "x.onion", ""],
    )
    async def test_are_not_asked_for_where_there_are_none(self, host: str) -> None:
        async with dns_server({}) as server:
            assert await preferences(server).services(host) is None
            assert server.asked == []

    async def test_close_ends_the_wait(self) -> None:
        async with dns_server({}, is_silent=True) as server:
            asking = preferences(server)
            waiting = asyncio.create_task(asking.services("t.example.org"))
            while not server.asked:  # noqa: ASYNC110  # a fake has no event for that
                await asyncio.sleep(0.001)
            await asking.close()
            assert await waiting is None
        assert asyncio.all_tasks() == {asyncio.current_task()}


class TestFamilies:
    """`--bind` gives us one local address of each family, or of one alone."""

    @pytest.mark.parametrize(("host", "source"), [("127.0.0.1", "127.0.0.2"), ("::1", "::1")])
    async def test_a_server_is_asked_from_our_address_of_its_family(self, host: str, source: str) -> None:
        async with dns_server({"t.example.org": ['"BITTORRENT UDP:5"']}, host=host) as server:
            sources = {False: "127.0.0.2", True: "::1"}
            found = await text_records("t.example.org", PATIENCE_S, server.endpoint, sources=sources)
            assert found == ["BITTORRENT UDP:5"]
            assert server.askers == [source]

    @pytest.mark.parametrize(("host", "is_v6"), [("127.0.0.1", True), ("::1", False)])
    async def test_a_server_of_the_family_that_we_do_not_use_is_not_asked(
        self, host: str, is_v6: bool
    ) -> None:
        async with dns_server({"t.example.org": []}, host=host) as server:
            with pytest.raises(OSError, match="nameservers"):
                await text_records(
                    "t.example.org",
                    PATIENCE_S,
                    server.endpoint,
                    sources={is_v6: "::1" if is_v6 else "127.0.0.1"},
                )
            assert server.asked == []

    async def test_who_is_bound_to_nothing_asks_from_anywhere(self) -> None:
        async with dns_server({"t.example.org": []}, host="::1") as server:
            assert await text_records("t.example.org", PATIENCE_S, server.endpoint, sources={}) == []


class TestAnnounces:
    @pytest.fixture(autouse=True)
    def every_name_is_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def look_up(name: str) -> list[str]:
            return ["127.0.0.1"]

        monkeypatch.setattr(names, "look_up", look_up)

    async def test_to_a_host_that_runs_no_tracker_are_not_made(self) -> None:
        async with (
            dns_server({"t.example.org": ['"BITTORRENT DENY ALL"']}) as server,
            udp_tracker() as tracker,
        ):
            client = TrackerClient(preferences=preferences(server))
            with pytest.raises(TrackerError, match="runs no tracker") as raised:
                await client.announce(f"udp://t.example.org:{tracker.endpoint.port}/announce", REQUEST)
            assert raised.value.retry_in_s == 3600
            assert tracker.queries == []
            await client.close()

    async def test_go_to_the_tracker_that_the_host_names(self) -> None:
        async with udp_tracker(peers=[PEER]) as tracker:
            port = tracker.endpoint.port
            async with dns_server({"t.example.org": [f'"BITTORRENT TCP:1 UDP:{port}"']}) as server:
                client = TrackerClient(preferences=preferences(server))
                response = await client.announce("http://t.example.org/announce?key=1", REQUEST)
                assert response.peers == (PEER,)
                assert tracker.queries[-1].url_data == b"/announce?key=1"
                await client.close()

    async def test_stay_with_a_url_that_the_host_confirms(self) -> None:
        async with udp_tracker(peers=[PEER]) as tracker:
            port = tracker.endpoint.port
            async with dns_server({"t.example.org": [f'"BITTORRENT TCP:1 UDP:{port}"']}) as server:
                client = TrackerClient(preferences=preferences(server))
                request = replace(REQUEST, event="started")
                assert (await client.announce(f"udp://t.example.org:{port}", request)).peers == (PEER,)
                await client.close()
