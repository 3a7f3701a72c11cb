"""Discovery on a real loop, with a tracker client whose faults are arguments."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError, TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.finding.pace import SourceState
from swarm.net import names
from swarm.net.trackers import TrackerClient
from swarm.session.finding import tracker_announces
from swarm.session.finding.discovery import Discovery
from swarm.session.finding.sources import Membership, PeerSource, Totals
from swarm.tracker.server import TrackerServer
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse

PEER = Endpoint("10.0.0.1", 1)


class FakeClient:
    """Answers with `responses` in turn (the last for ever); "hang" never answers.

    Args:
        over_v6: who answers over IPv6; None: it does so itself.
    """

    def __init__(
        self, *responses: AnnounceResponse | Exception | str, over_v6: FakeClient | None = None
    ) -> None:
        self.responses = list(responses)
        self.over_v6 = over_v6
        self.asked: list[tuple[str, AnnounceRequest]] = []
        self.news = asyncio.Event()

    async def announce(
        self,
        url: str,
        request: AnnounceRequest,
        timeout_s: float | None = None,
        *,
        is_v6: bool | None = None,
    ) -> AnnounceResponse:
        if is_v6 and self.over_v6 is not None:
            return await self.over_v6.announce(url, request, timeout_s)
        self.asked.append((url, request))
        self.news.set()
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, str):
            await asyncio.Event().wait()
        if isinstance(response, AnnounceResponse):
            return response
        assert isinstance(response, Exception)
        raise response

    async def until_asked(self, count: int) -> None:
        while len(self.asked) < count:
            self.news.clear()
            await self.news.wait()

    @property
    def events(self) -> list[str | None]:
        return [request.event for _, request in self.asked]


class World:
    """One torrent's discovery and all that it said."""

    def __init__(
        self,
        client: FakeClient | TrackerClient,
        tiers: Sequence[Sequence[str]],
        left_bytes: int = 9,
        *,
        sources: Sequence[PeerSource] = (),
        is_private: bool | None = False,
        port: int = 6881,
        families: Sequence[bool] = (False,),
    ) -> None:
        self.now = 0.0
        self.client = client
        self.left_bytes = left_bytes
        self.is_partial = False
        self.peers: list[tuple[tuple[Endpoint, ...], str]] = []
        self.notices: list[tuple[str, str]] = []
        self.own_addresses: list[tuple[str, str]] = []
        self.has_peers = asyncio.Event()
        self.discovery = Discovery(
            InfoHash(b"t" * 20),
            tiers,
            peer_id=PeerId(b"-SW0100-abcdefghijkl"),
            port=lambda: port,
            totals=lambda: Totals(1, 2, self.left_bytes, self.is_partial or not self.left_bytes),
            on_peers=self.on_peers,
            on_notice=lambda level, text: self.notices.append((level, text)),
            tracker_client=client,
            rng=random.Random(1),
            families=families,
            sources=sources,
            is_private=is_private,
            clock=lambda: self.now,
            on_own_address=lambda host, source: self.own_addresses.append((host, source)),
        )

    def on_peers(self, peers: Sequence[Endpoint], source: str) -> None:
        self.peers.append((tuple(peers), source))
        self.has_peers.set()


async def test_our_address_as_a_tracker_sees_it_is_passed_on() -> None:
    client = FakeClient(AnnounceResponse(peers=(PEER,), external_ip="20.1.1.1"))
    world = World(client, [["http://t.example:6969/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    await world.discovery.stop()
    assert world.own_addresses == [("20.1.1.1", "tracker t.example:6969")]


async def test_peers_of_an_answer_are_passed_on_with_their_source() -> None:
    client = FakeClient(AnnounceResponse(peers=(PEER,)))
    world = World(client, [["http://t.example:6969/secret/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    await world.discovery.stop()
    assert world.peers == [((PEER,), "tracker t.example:6969")]
    request = client.asked[0][1]
    assert (request.port, request.uploaded_bytes, request.downloaded_bytes, request.left_bytes) == (
        6881,
        1,
        2,
        9,
    )
    assert client.events == ["started", "stopped"]
    assert client.asked[0][1].key == client.asked[1][1].key


async def test_named_peers_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(name: str) -> list[str]:
        if name == "nobody":
            raise OSError("no such host")
        return ["10.0.0.7"]

    monkeypatch.setattr(names, "look_up", look_up)
    client = FakeClient(AnnounceResponse(named_peers=(("nobody", 1), ("somebody", 2))))
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    await world.discovery.stop()
    assert world.peers[0][0] == (Endpoint("10.0.0.7", 2),)


async def test_a_failing_tracker_is_said_once_without_its_passkey_and_the_next_tier_asked() -> None:
    client = FakeClient(TrackerError("connection refused"), AnnounceResponse(peers=(PEER,)))
    world = World(client, [["http://down.example/passkey/announce"], ["http://up/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    await world.discovery.stop()
    ((level, text),) = world.notices
    assert level == "warning"
    assert text.startswith("tracker down.example: connection refused; next try in 0:")
    assert "passkey" not in text
    assert [url for url, _ in client.asked] == [
        "http://down.example/passkey/announce",
        "http://up/announce",
        "http://up/announce",
    ]


async def test_a_bug_of_ours_at_one_tracker_is_reported_and_the_next_tier_asked() -> None:
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    bug = ValueError("a URL that nobody thought of")
    client = FakeClient(AnnounceResponse(peers=(PEER,)), bug, AnnounceResponse(peers=(PEER,)))
    world = World(client, [["http://a/announce"], ["http://b/announce"]])
    world.discovery.start()
    await client.until_asked(1)
    await world.has_peers.wait()
    # It lists us by now, and is the only one that is asked as long as it works.
    world.now = 100
    world.discovery.need_peers()
    async with asyncio.timeout(20):
        await client.until_asked(3)
    await world.discovery.stop()
    assert [url for url, _ in client.asked[:3]] == [
        "http://a/announce",
        "http://a/announce",
        "http://b/announce",
    ]
    assert reported == [bug]


async def test_need_wakes_a_sleeping_discovery() -> None:
    client = FakeClient(AnnounceResponse(interval_s=1800, peers=(PEER,)))
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    world.now = 61
    world.discovery.need_peers()
    await client.until_asked(2)
    await world.discovery.stop()
    assert client.events == ["started", None, "stopped"]


async def test_a_network_that_is_back_has_all_asked_at_once() -> None:
    client = FakeClient(TrackerError("no route to the server", lacks="route"))
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await client.until_asked(1)
    for count in range(2, 8):
        world.now += 3600
        world.discovery.network_changed((False,))
        world.discovery.need_peers()
        await client.until_asked(count)
    # Far from the next try.
    world.now += 60
    client.responses = [AnnounceResponse(peers=(PEER,))]
    world.discovery.network_changed((False,))
    await world.has_peers.wait()
    await world.discovery.stop()


async def test_completed_is_told_at_once() -> None:
    client = FakeClient(AnnounceResponse(peers=(PEER,)))
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    world.left_bytes = 0
    world.discovery.completed()
    await client.until_asked(2)
    await world.discovery.stop()
    assert client.events == ["started", "completed", "stopped"]
    assert client.asked[1][1].left_bytes == 0


async def test_who_lost_a_piece_tells_trackers_and_sources_that_it_is_no_seed_any_more() -> None:
    client, source = FakeClient(AnnounceResponse(peers=(PEER,))), FakeSource([PEER])
    world = World(client, [["http://t/announce"]], left_bytes=0, sources=[source])
    world.discovery.start()
    await client.until_asked(1)
    await source.until_called(2)
    await world.has_peers.wait()
    world.now = 61.0
    world.left_bytes = 5
    world.discovery.reopened()
    await client.until_asked(2)
    await source.until_called(3)
    await world.discovery.stop()
    assert [(request.event, request.left_bytes) for _, request in client.asked[:2]] == [
        ("started", 0),
        (None, 5),
    ]
    assert source.calls[1:3] == ["round of a seed on 6881", "round of a leecher on 6881"]


async def test_partial_seed_says_paused_and_never_completed_until_it_has_everything() -> None:
    """BEP 21."""
    client = FakeClient(AnnounceResponse(peers=(PEER,)))
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    world.is_partial = True
    world.discovery.completed()
    for count in (2, 3):
        world.now += 100
        world.discovery.need_peers()
        await client.until_asked(count)
        await asyncio.sleep(0)
    world.left_bytes = 0
    world.discovery.completed()
    await client.until_asked(4)
    await world.discovery.stop()
    assert client.events == ["started", "paused", "paused", "completed", "stopped"]
    assert [request.left_bytes for _, request in client.asked] == [9, 9, 9, 0, 0]


async def test_partial_seed_says_so_in_its_first_announce_and_leaves_like_others() -> None:
    client = FakeClient(AnnounceResponse(peers=(PEER,)))
    world = World(client, [["http://t/announce"]])
    world.is_partial = True
    world.discovery.start()
    await world.has_peers.wait()
    await world.discovery.stop()
    assert client.events == ["paused", "stopped"]


async def test_tracker_that_does_not_take_paused_is_told_nothing_of_it_the_next_time() -> None:
    client = FakeClient(TrackerError("unknown event"), AnnounceResponse(peers=(PEER,)))
    world = World(client, [["http://t/announce"]])
    world.is_partial = True
    world.discovery.start()
    await client.until_asked(1)
    await asyncio.sleep(0)
    assert world.notices
    world.now = 10_000
    world.discovery.need_peers()
    await world.has_peers.wait()
    await world.discovery.stop()
    assert client.events == ["paused", "started", "stopped"]


async def test_partial_seed_says_so_over_one_family_where_the_tracker_has_no_address_of_the_other() -> None:
    over_v6 = FakeClient(TrackerError("the server has no IPv6 address", lacks="address"))
    client = FakeClient(AnnounceResponse(peers=(PEER,)), over_v6=over_v6)
    world = World(client, [["http://t/announce"]], families=(True, False))
    world.is_partial = True
    world.discovery.start()
    await world.has_peers.wait()
    world.now += 10_000
    world.discovery.need_peers()
    await client.until_asked(2)
    await world.discovery.stop()
    assert client.events == ["paused", "paused", "stopped"]


async def test_one_that_was_complete_from_the_start_never_says_completed() -> None:
    client = FakeClient(AnnounceResponse(peers=(PEER,)))
    world = World(client, [["http://t/announce"]], left_bytes=0)
    world.discovery.start()
    await world.has_peers.wait()
    world.discovery.completed()
    await world.discovery.stop()
    assert client.events == ["started", "stopped"]


async def test_stop_does_not_wait_for_a_tracker_that_hangs() -> None:
    client = FakeClient(AnnounceResponse(peers=(PEER,)), "hang")
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    await world.discovery.stop(timeout_s=0.01)
    assert client.events == ["started", "stopped"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_stop_interrupts_an_announce_on_its_way() -> None:
    client = FakeClient("hang")
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await client.until_asked(1)
    await world.discovery.stop(timeout_s=0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_stop_waits_for_the_family_that_answered_and_not_for_the_one_that_hangs() -> None:
    over_v6 = FakeClient("hang")
    client = FakeClient(AnnounceResponse(peers=(PEER,)), over_v6=over_v6)
    world = World(client, [["http://t/announce"]], families=(False, True))
    world.discovery.start()
    await client.until_asked(1)
    await over_v6.until_asked(1)
    async with asyncio.timeout(10):
        await world.discovery.stop(timeout_s=60)
    # The one that hangs is told too: it may list us all the same.
    assert sorted(map(str, [*client.events, *over_v6.events])) == ["started", "started", "stopped", "stopped"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_stop_hardly_waits_where_no_tracker_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_announces, "UNHEARD_TIMEOUT_S", 0.01)
    client = FakeClient("hang")
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await client.until_asked(1)
    async with asyncio.timeout(10):
        await world.discovery.stop(timeout_s=60)
    assert client.events == ["started", "stopped"]


async def test_stop_survives_trackers_that_fail_and_comes_twice_or_without_start() -> None:
    client = FakeClient(AnnounceResponse(peers=(PEER,)), TrackerError("down"))
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    await world.discovery.stop()
    await world.discovery.stop()
    assert client.events == ["started", "stopped"]
    idle = World(FakeClient("hang"), [["http://t/announce"]])
    await idle.discovery.stop()
    idle.discovery.start()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_without_trackers_there_is_nothing_to_do() -> None:
    world = World(FakeClient("hang"), [])
    world.discovery.start()
    world.discovery.need_peers()
    world.discovery.completed()
    await world.discovery.stop()
    assert world.discovery.status() == []


async def test_a_warning_is_passed_on_once_and_recovery_is_good_news() -> None:
    client = FakeClient(AnnounceResponse(peers=(PEER,), warning="soon down"), AnnounceResponse(peers=(PEER,)))
    world = World(client, [["http://t/announce"]])
    world.discovery.start()
    await world.has_peers.wait()
    world.has_peers.clear()
    world.now = 61
    world.discovery.need_peers()
    await world.has_peers.wait()
    await world.discovery.stop()
    assert world.notices == [("warning", "tracker t: soon down"), ("info", "tracker t: works again")]


async def test_two_of_us_find_each_other_through_our_tracker_and_leave_it() -> None:
    client = TrackerClient()
    async with TrackerServer("127.0.0.1", 0) as server:
        seeder = World(client, [server.urls], left_bytes=0, port=7001)
        seeder.discovery.start()
        while seeder.discovery.status()[0].state is not SourceState.WORKING:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        leecher = World(client, [server.urls])
        leecher.discovery.start()
        await leecher.has_peers.wait()
        assert server.store.peer_count == 2
        await leecher.discovery.stop()
        await seeder.discovery.stop()
        assert server.store.peer_count == 0
    assert leecher.peers == [((Endpoint("127.0.0.1", 7001),), f"tracker 127.0.0.1:{server.port}")]


class FakeSource:
    """Finds `peers` in each round; "hang" never ends, an error fails it."""

    kind = "dht"
    interval_s = 900.0

    def __init__(self, *rounds: Sequence[Endpoint] | SwarmError | str) -> None:
        self.rounds = list(rounds)
        self.calls: list[str] = []
        self.news = asyncio.Event()
        self.membership: Membership | None = None

    def join(self, swarm: Membership) -> None:
        self.calls.append("join")
        self.membership = swarm

    async def go_round(self, swarm: Membership) -> int:
        self.calls.append(f"round of a {'seed' if swarm.is_seed() else 'leecher'} on {swarm.port()}")
        self.news.set()
        found = self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]
        if isinstance(found, str):
            await asyncio.Event().wait()
        if isinstance(found, SwarmError):
            raise found
        swarm.found([peer for peer in found if isinstance(peer, Endpoint)], "dht")
        return len(found)

    def leave(self, swarm: Membership) -> None:
        assert swarm is self.membership
        self.calls.append("leave")

    async def until_called(self, count: int) -> None:
        while len(self.calls) < count:
            self.news.clear()
            await self.news.wait()


class TestSources:
    async def test_joined_asked_at_once_and_left(self) -> None:
        source = FakeSource([PEER])
        world = World(FakeClient("hang"), [], sources=[source])
        world.discovery.start()
        await world.has_peers.wait()
        await world.discovery.stop()
        assert source.calls == ["join", "round of a leecher on 6881", "leave"]
        assert world.peers == [((PEER,), "dht")]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_a_dead_tracker_does_not_hold_up_the_others(self) -> None:
        source = FakeSource([PEER])
        world = World(FakeClient("hang"), [["http://t/announce"]], sources=[source])
        world.discovery.start()
        await world.has_peers.wait()
        shown = [(status.kind, status.name) for status in world.discovery.status()]
        assert shown == [("tracker", "http://t/announce"), ("dht", "dht")]
        await world.discovery.stop(timeout_s=0.01)

    async def test_need_and_completion_bring_the_next_round_forward(self) -> None:
        source = FakeSource([PEER])
        world = World(FakeClient("hang"), [], sources=[source])
        world.discovery.start()
        await world.has_peers.wait()
        world.now = 61.0
        world.discovery.need_peers()
        await source.until_called(3)
        await asyncio.sleep(0)
        world.now = 122.0
        world.left_bytes = 0
        world.discovery.completed()
        await source.until_called(4)
        await world.discovery.stop()
        assert source.calls[-2:] == ["round of a seed on 6881", "leave"]

    async def test_a_failure_is_said_once_and_the_end_of_it_too(self) -> None:
        source = FakeSource(SwarmError("no nodes"), SwarmError("no nodes"), [PEER])
        world = World(FakeClient("hang"), [], sources=[source])
        world.discovery.start()
        for count in (2, 3, 4):
            await source.until_called(count)
            await asyncio.sleep(0)
            (status,) = world.discovery.status()
            assert (status.error, status.peers) == (("no nodes", None) if count < 4 else ("", 1))
            assert status.next_s is not None
            world.now += status.next_s
            world.discovery.need_peers()
        await world.discovery.stop()
        assert world.notices == [("warning", "dht: no nodes"), ("info", "dht: works again")]

    async def test_stop_interrupts_a_round(self) -> None:
        source = FakeSource("hang")
        world = World(FakeClient("hang"), [], sources=[source])
        world.discovery.start()
        await source.until_called(2)
        await world.discovery.stop()
        assert source.calls[-1] == "leave"
        source.membership.found([PEER], "dht")  # type: ignore[union-attr]  # it was joined
        assert world.peers == []

    async def test_private_torrents_have_trackers_alone(self) -> None:
        source = FakeSource([PEER])
        world = World(FakeClient("hang"), [["http://t/announce"]], sources=[source], is_private=True)
        world.discovery.start()
        world.discovery.need_peers()
        world.discovery.completed()
        assert [status.kind for status in world.discovery.status()] == ["tracker"]
        await world.discovery.stop(timeout_s=0.01)
        assert source.calls == []


class TestHandOver:
    async def found_by_both(self) -> tuple[World, FakeSource]:
        """A magnet whose tracker names one peer and whose source two."""
        source = FakeSource([PEER, Endpoint("10.0.0.2", 2)])
        client = FakeClient(AnnounceResponse(peers=(PEER,)))
        world = World(client, [["http://t/announce"]], sources=[source], is_private=None)
        world.discovery.start()
        while len(world.peers) < 2:
            world.has_peers.clear()
            await world.has_peers.wait()
        world.peers.clear()
        return world, source

    async def hand_over(self, world: World, *, is_private: bool, left_bytes: int = 9) -> None:
        await world.discovery.hand_over(
            totals=lambda: Totals(0, 0, left_bytes, is_complete=not left_bytes),
            on_peers=world.on_peers,
            on_notice=lambda *_: None,
            is_private=is_private,
        )

    async def test_gives_the_torrent_what_was_found_for_the_magnet(self) -> None:
        world, source = await self.found_by_both()
        await self.hand_over(world, is_private=False)
        assert sorted(world.peers) == [((PEER,), "tracker t"), ((Endpoint("10.0.0.2", 2),), "dht")]
        await world.discovery.stop()
        assert source.calls[-1] == "leave"

    async def test_of_a_private_torrent_ends_the_sources_and_forgets_their_peers(self) -> None:
        world, source = await self.found_by_both()
        await self.hand_over(world, is_private=True)
        assert source.calls[-1] == "leave"
        assert world.peers == [((PEER,), "tracker t")]
        assert [status.kind for status in world.discovery.status()] == ["tracker"]
        await world.discovery.stop()

    async def test_announces_go_on_with_the_torrent_s_totals(self) -> None:
        world, source = await self.found_by_both()
        await self.hand_over(world, is_private=False, left_bytes=0)
        client = world.client
        assert isinstance(client, FakeClient)
        await client.until_asked(2)
        await world.discovery.stop()
        assert client.events == ["started", "completed", "stopped"]
        assert client.asked[1][1].left_bytes == 0
        assert source.calls.count("join") == 1
