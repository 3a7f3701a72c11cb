"""What a session tells others of its torrents; transfers are in tests/e2e."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.base.errors import SettingsError, SwarmError
from swarm.dht.settings import DhtSettings
from swarm.engine.events import Event, OwnAddressSeen
from swarm.metainfo.torrent import Metainfo
from swarm.net import udp
from swarm.net.trackers import TrackerClient
from swarm.net.udp import UdpSocket, open_sockets
from swarm.session import bugs, torrent_source
from swarm.session.finding.dht import Dht
from swarm.session.notices import Notice
from swarm.session.runner import Runner
from swarm.session.selection import Selection
from swarm.session.session import Session
from swarm.session.torrent import Torrent
from swarm.storage import descriptors
from swarm.wire.tracker.announce import AnnounceRequest, AnnounceResponse
from tests.e2e.transfers import offer_file, offer_folder, open_session, seed, settings_of, until, within


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[AnnounceRequest]:
    """What trackers are told; they answer that nobody is there."""
    heard: list[AnnounceRequest] = []

    async def announce(
        self: TrackerClient, url: str, request: AnnounceRequest, timeout_s: float | None = None, **_: object
    ) -> AnnounceResponse:
        heard.append(request)
        return AnnounceResponse(interval_s=1800)

    monkeypatch.setattr(TrackerClient, "announce", announce)
    return heard


async def test_tracker_hears_at_the_end_that_a_seed_leaves(
    tmp_path: Path, heard: list[AnnounceRequest]
) -> None:
    offer = offer_file(tmp_path, 100_000, 16384)
    async with open_session(settings_of(tmp_path / "state")) as session:
        await session.add(
            offer.raw, content=offer.path, is_seeding_only=True, trackers=["http://tracker.invalid/announce"]
        )
        await until(lambda: heard)
    assert [(request.event, request.left_bytes) for request in heard] == [("started", 0), ("stopped", 0)]


async def test_download_of_some_files_is_no_seed_to_trackers_when_it_has_them(
    tmp_path: Path, heard: list[AnnounceRequest]
) -> None:
    offer = offer_folder(tmp_path, {"a": 16384, "b": 3 * 16384}, 16384)
    trackers = ["http://tracker.invalid/announce"]
    async with (
        open_session(settings_of(tmp_path / "seed")) as seeder,
        open_session(settings_of(tmp_path / "leech")) as leecher,
    ):
        await seed(seeder, offer)
        peers = [("127.0.0.1", seeder.port)]
        torrent = await leecher.add(
            offer.raw, save_to=tmp_path / "here", peers=peers, trackers=trackers, files=[0]
        )
        await within(torrent.completed())
        await until(lambda: heard)
        await leecher.remove(torrent)
        again = await leecher.add(offer.raw, save_to=tmp_path / "here", trackers=trackers, files=[0])
        await within(again.completed())
        await until(lambda: len(heard) == 3)
    assert [request.event for request in heard] == ["started", "stopped", "paused", "stopped"]
    assert heard[0].left_bytes >= 3 * 16384
    assert {request.left_bytes for request in heard[1:]} == {3 * 16384}


async def test_all_torrents_learn_our_address_from_the_dht(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: dict[Runner, list[OwnAddressSeen]] = {}
    tell = Runner.tell

    def told(runner: Runner, event: Event) -> None:
        if isinstance(event, OwnAddressSeen):
            learnt.setdefault(runner, []).append(event)
        tell(runner, event)

    monkeypatch.setattr(Runner, "tell", told)
    first, later = (offer_file(tmp_path / str(seed), 100_000, 16384, seed=seed) for seed in (1, 2))
    async with contextlib.AsyncExitStack() as nodes:
        # As many as must agree.
        routers = []
        for _ in range(DhtSettings().votes_needed):
            (socket,) = open_sockets(["127.0.0.1"], 0)
            nodes.callback(socket.close)
            await nodes.enter_async_context(Dht([socket]))
            routers.append(("127.0.0.1", socket.port))
        settings = replace(settings_of(tmp_path / "state", is_dht_enabled=True), dht_routers=tuple(routers))
        async with open_session(settings) as session:
            early = await session.add(first.raw, content=first.path, is_seeding_only=True)
            await until(lambda: session.dht is not None and session.dht.own_addresses())
            late = await session.add(later.raw, content=later.path, is_seeding_only=True)
            await until(lambda: late.runner in learnt)
            seen = OwnAddressSeen("127.0.0.1", "dht IPv4")
            assert early.runner is not None and late.runner is not None
            assert learnt == {early.runner: [seen], late.runner: [seen]}


async def test_what_all_torrents_notice_of_the_dht_is_said_once(tmp_path: Path) -> None:
    offers = [offer_file(tmp_path / str(seed), 100_000, 16384, seed=seed) for seed in (1, 2)]
    (silent,) = open_sockets(["127.0.0.1"], 0)
    silent.close()
    settings = settings_of(tmp_path / "state", is_dht_enabled=True)
    settings = replace(settings, dht_routers=(("127.0.0.1", silent.port),))
    async with open_session(settings) as session:
        torrents = [
            await session.add(offer.raw, content=offer.path, is_seeding_only=True) for offer in offers
        ]
        await until(lambda: all(error_of(torrent) for torrent in torrents))
        warning = Notice("warning", "dht: no router answers, and no other nodes are known")
        assert session.notices() == [warning]
        assert session.notices() == []
        assert all(notice.text != warning.text for torrent in torrents for notice in torrent.notices())


def error_of(torrent: Torrent) -> str:
    """Why the DHT finds no peers for it."""
    return "".join(source.error for source in torrent.sources())


async def test_dht_that_cannot_be_is_said_by_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[UdpSocket]:
        raise SwarmError("no datagrams today")

    monkeypatch.setattr(udp, "open_sockets", refuse)
    offer = offer_file(tmp_path, 100_000, 16384)
    async with open_session(settings_of(tmp_path / "state", is_dht_enabled=True)) as session:
        torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=True)
        await torrent.completed()
        await until(lambda: torrent.state == "seeding")
        assert session.notices() == [Notice("warning", "dht: off: no datagrams today")]


async def test_torrents_that_are_idle_leave_descriptors_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors, "OPEN_FILES_MAX", 3)
    offers = [offer_file(tmp_path / str(number), 30_000, 16384, seed=number) for number in range(8)]
    async with open_session(settings_of(tmp_path / "state")) as session:
        for offer in offers:
            await seed(session, offer)
        opened = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
        assert sum(str(offer.path) in opened for offer in offers) == 3


@pytest.mark.parametrize("port", [-1, 65_536])
def test_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(SettingsError, match="0 to 65535"):
        Session(port=port)


async def test_torrent_of_many_files_is_understood_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    parse, paths = Metainfo.parse, Selection.paths

    def parse_somewhere(raw: bytes) -> Metainfo:
        threads.append(threading.current_thread())
        return parse(raw)

    def paths_somewhere(selection: Selection, metainfo: Metainfo) -> frozenset[tuple[str, ...]]:
        threads.append(threading.current_thread())
        return paths(selection, metainfo)

    offer = offer_file(tmp_path, 100_000, 16384)
    monkeypatch.setattr(Metainfo, "parse", parse_somewhere)
    monkeypatch.setattr(Selection, "paths", paths_somewhere)
    monkeypatch.setattr(torrent_source, "_READ_BESIDE_BYTES", 0)
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await session.add(offer.raw, save_to=tmp_path / "here")
        await until(lambda: torrent.state == "downloading")
    assert len(threads) == 2 and threading.current_thread() not in threads


async def test_who_is_cancelled_while_the_session_closes_finds_it_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = offer_file(tmp_path / "seed", 100_000, 16_384)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def download() -> None:
        async with open_session(settings_of(tmp_path / "state")) as session:
            await session.add(offer.raw, save_to=tmp_path / "here")
            close = session._close

            async def slowly() -> None:
                begun.set()
                await may_end.wait()
                await close()

            monkeypatch.setattr(session, "_close", slowly)

    task = asyncio.create_task(download())
    await begun.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Its files are free.
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await session.add(offer.raw, save_to=tmp_path / "here")
        await until(lambda: torrent.state != "checking")
        assert torrent.error is None


async def test_who_is_cancelled_while_a_disk_hangs_is_let_go_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bugs, "OUTLAST_MAX_S", 0.0)

    async def hang() -> None:
        await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    leaving = asyncio.create_task(bugs.outlast(hanging))
    await asyncio.sleep(0)
    leaving.cancel()
    await within(asyncio.wait([leaving]))
    assert leaving.cancelled() and not hanging.done()
    hanging.cancel()
