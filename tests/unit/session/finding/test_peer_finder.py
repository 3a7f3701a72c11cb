"""What the torrents of a session share to find peers: begun when wanted, said once, let go at the end."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.ids import InfoHash, PeerId
from swarm.net import names, outlet
from swarm.session.connections.links import Links
from swarm.session.finding import network_watch
from swarm.session.finding.discovery import Discovery
from swarm.session.finding.peer_finder import PeerFinder
from swarm.session.finding.sources import Totals
from swarm.session.settings import SessionSettings
from swarm.tracker.server import TrackerServer
from swarm.wire import krpc
from swarm.wire.tracker.announce import ScrapeEntry
from tests.e2e.transfers import settings_of, until

FIRST, SECOND = InfoHash(b"1" * 20), InfoHash(b"2" * 20)


class World:
    """A session's peer finder on loopback, and all that it said."""

    def __init__(self, settings: SessionSettings, bind: str, listen_on: str | None) -> None:
        self.notices: list[tuple[str, str]] = []
        self.peers: list[tuple[Endpoint, str]] = []
        self.left_bytes = 9
        self.links = Links(
            settings, lambda info_hash: None, self.noticed, lambda news: None, port=0, bind=listen_on
        )
        self.finder = PeerFinder(
            settings,
            self.links,
            PeerId(b"-SW0100-ourselves..."),
            random.Random(1),
            bind=bind,
            on_notice=self.noticed,
            on_own_address=lambda host, source: None,
        )

    def noticed(self, level: str, text: str) -> None:
        self.notices.append((level, text))

    def found(self, peers: Sequence[Endpoint], source: str) -> None:
        self.peers += [(peer, source) for peer in peers]

    def begin(self, info_hash: InfoHash, *urls: str, is_private: bool | None = False) -> Discovery | None:
        return self.finder.begin(
            info_hash,
            [(url,) for url in urls],
            is_private=is_private,
            totals=lambda: Totals(0, 0, self.left_bytes, is_complete=not self.left_bytes),
            on_peers=self.found,
            on_notice=self.noticed,
            on_own_address=lambda host, source: None,
        )


@asynccontextmanager
async def world_of(
    folder: Path,
    *,
    is_dht_enabled: bool = True,
    routers: tuple[tuple[str, int], ...] = (),
    bind: str = "127.0.0.1",
    listen_on: str | None = "127.0.0.1",
    stop_s: float = 20.0,
) -> AsyncIterator[World]:
    """By default with a DHT that knows no way in."""
    settings = settings_of(folder / "state", is_dht_enabled=is_dht_enabled)
    world = World(replace(settings, stop_timeout_s=stop_s, dht_routers=routers), bind, listen_on)
    await world.links.open()
    world.finder.open()
    try:
        yield world
    finally:
        await world.links.close()
        await world.finder.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(tmp_path) as running:
        yield running


@pytest.fixture
async def tracker() -> AsyncIterator[TrackerServer]:
    async with TrackerServer("127.0.0.1", 0) as running:
        yield running


async def test_who_has_neither_tracker_nor_source_is_not_looked_for(world: World) -> None:
    assert world.begin(FIRST) is None
    assert world.finder.of(FIRST) is None
    world.finder.seek(FIRST)
    world.finder.completed(FIRST)
    world.finder.leave(FIRST)
    await world.finder.stop(FIRST)
    assert world.notices == []


async def test_two_torrents_of_one_tracker_come_and_go_each_for_itself(
    world: World, tracker: TrackerServer
) -> None:
    (url,) = tracker.urls
    assert world.begin(FIRST, url) is world.finder.of(FIRST)
    assert world.begin(SECOND, url) is world.finder.of(SECOND)
    await until(lambda: tracker.store.peer_count == 2)
    await world.finder.stop(FIRST)
    assert world.finder.of(FIRST) is None
    assert tracker.store.peer_count == 1
    await world.finder.stop(SECOND)
    assert tracker.store.peer_count == 0


@pytest.fixture
def both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name has an address of each."""

    async def look_up(name: str) -> list[str]:
        return ["::1", "127.0.0.1"]

    monkeypatch.setattr(names, "look_up", look_up)


@pytest.mark.usefixtures("both_families")
@pytest.mark.parametrize("scheme", ["http", "udp"])
async def test_a_tracker_knows_us_under_both_our_addresses(tmp_path: Path, scheme: str) -> None:
    async with TrackerServer("0.0.0.0", 0, udp=("0.0.0.0", 0)) as tracker:
        port = tracker.port if scheme == "http" else tracker.udp_port
        async with world_of(tmp_path, listen_on=None) as world:
            assert sorted(world.links.families) == [False, True]
            discovery = world.begin(FIRST, f"{scheme}://localhost:{port}/announce")
            assert discovery is not None
            await until(lambda: tracker.store.peer_count == 2)
            world.left_bytes = 0
            discovery.completed()
            await until(lambda: tracker.store.counts(FIRST) == ScrapeEntry(1, 0, 1, 0))
            await world.finder.stop(FIRST)
            assert tracker.store.peer_count == 0
            assert world.peers == [] and world.notices == []


@pytest.mark.usefixtures("both_families")
@pytest.mark.parametrize("scheme", ["http", "udp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_family_over_which_a_tracker_is_not_reached_does_not_make_it_fail(
    tmp_path: Path, scheme: str, host: str
) -> None:
    async with TrackerServer(host, 0, udp=(host, 0)) as tracker:
        port = tracker.port if scheme == "http" else tracker.udp_port
        async with world_of(tmp_path, listen_on=None) as world:
            discovery = world.begin(FIRST, f"{scheme}://localhost:{port}/announce")
            assert discovery is not None
            await until(lambda: [status.state for status in discovery.status()] == ["working"])
            assert discovery.status()[0].error == ""
            await world.finder.stop(FIRST)
            assert tracker.store.peer_count == 0
            assert world.notices == []


@pytest.mark.usefixtures("both_families")
async def test_who_listens_over_one_family_announces_over_it_alone(tmp_path: Path) -> None:
    async with TrackerServer("0.0.0.0", 0) as tracker, world_of(tmp_path) as world:
        discovery = world.begin(FIRST, f"http://localhost:{tracker.port}/announce")
        assert discovery is not None
        await until(lambda: [status.state for status in discovery.status()] == ["working"])
        assert tracker.store.peer_count == 1
        await world.finder.stop(FIRST)


async def test_the_tracker_hears_that_a_torrent_is_complete(world: World, tracker: TrackerServer) -> None:
    world.begin(FIRST, *tracker.urls)
    await until(lambda: tracker.store.peer_count == 1)
    world.left_bytes = 0
    world.finder.completed(FIRST)
    await until(lambda: tracker.store.seed_count == 1)
    await world.finder.stop(FIRST)


async def test_who_leaves_is_gone_from_the_tracker_though_nobody_waits(
    world: World, tracker: TrackerServer
) -> None:
    world.begin(FIRST, *tracker.urls)
    await until(lambda: tracker.store.peer_count == 1)
    world.finder.leave(FIRST)
    assert world.finder.of(FIRST) is not None
    await until(lambda: tracker.store.peer_count == 0)
    await world.finder.stop(FIRST)
    assert world.finder.of(FIRST) is None


async def test_who_ends_while_it_leaves_is_gone_from_the_tracker_first(
    world: World, tracker: TrackerServer
) -> None:
    """A torrent fails, and the program ends by that."""
    world.begin(FIRST, *tracker.urls)
    await until(lambda: tracker.store.peer_count == 1)
    world.finder.leave(FIRST)
    await asyncio.sleep(0)
    await world.finder.stop(FIRST)
    assert tracker.store.peer_count == 0


async def test_in_another_network_everything_is_asked_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Discovery] = []
    hosts: tuple[str, ...] = ("10.0.0.2",)
    monkeypatch.setattr(network_watch, "LOOK_S", 0.01)
    monkeypatch.setattr(network_watch, "ways_out", lambda outlet: hosts)
    monkeypatch.setattr(Discovery, "network_changed", lambda discovery, _: asked.append(discovery))
    async with TrackerServer("127.0.0.1", 0, udp=("127.0.0.1", 0)) as tracker:
        found = [world.begin(one, f"udp://127.0.0.1:{tracker.udp_port}") for one in (FIRST, SECOND)]
        dht = world.finder.join_dht()
        assert dht is not None
        await until(lambda: tracker.store.peer_count == 2)
        client = world.finder._tracker_client
        assert client is not None and client._udp._connections
        hosts = ("10.0.0.3", "2001:db8::3")
        await until(lambda: asked == found)
        assert not client._udp._connections
        assert ("detail", "the network has changed, we leave by 10.0.0.3 and 2001:db8::3: asking anew") in (
            world.notices
        )
        for one in (FIRST, SECOND):
            await world.finder.stop(one)


@pytest.mark.usefixtures("both_families")
async def test_a_family_that_the_bound_interface_gets_later_is_used_like_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    v6: list[str] = []
    monkeypatch.setattr(outlet, "_interface_v6", lambda name: v6)
    monkeypatch.setattr(network_watch, "LOOK_S", 0.01)
    async with (
        TrackerServer("0.0.0.0", 0) as tracker,
        world_of(tmp_path, bind="lo", listen_on="lo") as world,
    ):
        dht = world.finder.join_dht()
        assert dht is not None
        await dht.opened()
        world.begin(FIRST, f"http://localhost:{tracker.port}/announce")
        await until(lambda: tracker.store.peer_count == 1)
        v6.append("::1")
        await until(lambda: tracker.store.peer_count == 2)
        assert world.links.families == [False, True]
        assert len(dht.stats()) == 2
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
            asking.bind(("::1", 0))
            asking.setblocking(False)
            asking.sendto(krpc.encode_query(krpc.Query(b"aa", b"i" * 20, krpc.Ping())), ("::1", dht.port))
            async with asyncio.timeout(20):
                answer = krpc.decode(await asyncio.get_running_loop().sock_recv(asking, 2048))
        assert isinstance(answer, krpc.Response)
        await world.finder.stop(FIRST)


async def test_closing_waits_for_no_farewell_that_is_not_answered(tmp_path: Path) -> None:
    farewell = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if b"event=stopped" in asked:
            farewell.set()
            await reader.read()
        else:
            writer.write(b"HTTP/1.0 200 OK\r\n\r\nd8:intervali900e5:peers0:e")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with world_of(tmp_path, stop_s=3600.0) as world:
            discovery = world.begin(FIRST, f"http://127.0.0.1:{port}/announce")
            assert discovery is not None
            await until(lambda: discovery.status()[0].state == "working")
            world.finder.leave(FIRST)
            await farewell.wait()


async def test_the_dht_is_begun_when_it_is_first_asked_for_and_once(world: World) -> None:
    assert world.finder.dht is None
    assert world.finder.own_addresses() == []
    dht = world.finder.join_dht()
    assert dht is not None
    assert world.finder.join_dht() is world.finder.dht is dht


async def test_who_wants_no_dht_gets_none(tmp_path: Path) -> None:
    async with world_of(tmp_path, is_dht_enabled=False) as world:
        assert world.finder.join_dht() is None
        assert not world.finder.has_dht
        assert world.begin(FIRST) is None


async def test_a_dht_that_gets_no_port_is_off_and_said_once(tmp_path: Path) -> None:
    # An address of nobody's (RFC 5737).
    async with world_of(tmp_path, routers=(("router", 1),), bind="192.0.2.1") as world:
        assert world.finder.has_dht
        assert world.finder.join_dht() is None
        assert world.finder.join_dht() is None
        assert not world.finder.has_dht
    ((level, text),) = world.notices
    assert level == "warning"
    assert text.startswith("dht: off: cannot use UDP on 192.0.2.1")


async def test_a_private_torrent_asks_its_trackers_alone(world: World, tracker: TrackerServer) -> None:
    world.finder.join_dht()
    assert world.begin(FIRST, is_private=True) is None
    private = world.begin(FIRST, *tracker.urls, is_private=True)
    # Nobody knows yet whether a magnet link's torrent is.
    unknown = world.begin(SECOND, *tracker.urls, is_private=None)
    assert private is not None
    assert unknown is not None
    assert [source.kind for source in private.status()] == ["tracker"]
    assert [source.kind for source in unknown.status()] == ["tracker", "dht"]
    await world.finder.stop(FIRST)
    await world.finder.stop(SECOND)


async def test_what_two_torrents_notice_of_one_source_is_said_once(tmp_path: Path) -> None:
    async with world_of(tmp_path, routers=(("no name at all", 1),)) as world:
        world.finder.join_dht()
        found = [world.begin(FIRST), world.begin(SECOND)]
        await until(lambda: all(one is not None and one.status()[0].error for one in found))
        await world.finder.stop(FIRST)
        await world.finder.stop(SECOND)
    said = [text for level, text in world.notices if "cannot be looked up" in text]
    assert len(said) == 1


async def test_a_node_that_a_peer_names_is_asked_once_there_is_a_dht(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
        node.bind(("127.0.0.1", 0))
        node.setblocking(False)
        named = Endpoint("127.0.0.1", node.getsockname()[1])
        world.finder.node_found(named)
        world.finder.join_dht()
        world.finder.node_found(named)
        async with asyncio.timeout(20):
            question = krpc.decode(await asyncio.get_running_loop().sock_recv(node, 2048))
        assert isinstance(question, krpc.Query)


async def test_closing_gives_back_the_port_of_the_dht(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        dht = world.finder.join_dht()
        assert dht is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", dht.port))
    assert asyncio.all_tasks() == {asyncio.current_task()}
