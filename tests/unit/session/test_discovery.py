"""Discovery on a real loop, with a tracker client whose faults are arguments."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.announcer import TrackerState
from swarm.net.trackers import TrackerClient
from swarm.session import discovery as module
from swarm.session.discovery import Discovery, Totals
from swarm.tracker.server import TrackerServer
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse

PEER = Endpoint("10.0.0.1", 1)


class FakeClient:
    """Answers with `responses` in turn (the last for ever); "hang" never answers."""

    def __init__(self, *responses: AnnounceResponse | TrackerError | str) -> None:
        self.responses = list(responses)
        self.asked: list[tuple[str, AnnounceRequest]] = []
        self.news = asyncio.Event()

    async def announce(self, url: str, request: AnnounceRequest, timeout_s: float = 15.0) -> AnnounceResponse:
        self.asked.append((url, request))
        self.news.set()
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, str):
            await asyncio.Event().wait()
        if isinstance(response, AnnounceResponse):
            return response
        assert isinstance(response, TrackerError)
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
        self, client: FakeClient | TrackerClient, tiers: Sequence[Sequence[str]], left_bytes: int = 9
    ) -> None:
        self.now = 0.0
        self.left_bytes = left_bytes
        self.peers: list[tuple[tuple[Endpoint, ...], str]] = []
        self.notices: list[tuple[str, str]] = []
        self.has_peers = asyncio.Event()
        self.discovery = Discovery(
            InfoHash(b"t" * 20),
            tiers,
            peer_id=PeerId(b"-SW0100-abcdefghijkl"),
            port=lambda: 6881,
            totals=lambda: Totals(1, 2, self.left_bytes),
            on_peers=self.on_peers,
            on_notice=lambda level, text: self.notices.append((level, text)),
            tracker_client=client,
            rng=random.Random(1),
            clock=lambda: self.now,
        )

    def on_peers(self, peers: Sequence[Endpoint], source: str) -> None:
        self.peers.append((tuple(peers), source))
        self.has_peers.set()


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

    monkeypatch.setattr(module, "look_up", look_up)
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
    assert world.discovery.status() == ()


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
        seeder = World(client, [server.urls], left_bytes=0)
        seeder.discovery._port = lambda: 7001
        seeder.discovery.start()
        while seeder.discovery.status()[0].state is not TrackerState.WORKING:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        leecher = World(client, [server.urls])
        leecher.discovery.start()
        await leecher.has_peers.wait()
        assert server.store.peer_count == 2
        await leecher.discovery.stop()
        await seeder.discovery.stop()
        assert server.store.peer_count == 0
    assert leecher.peers == [((Endpoint("127.0.0.1", 7001),), f"tracker 127.0.0.1:{server.port}")]
