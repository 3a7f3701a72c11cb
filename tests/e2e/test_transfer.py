"""Sessions that give content to each other over loopback, on either kind of loop."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import swarm
from swarm import Session, SettingsError, StorageError, SwarmError, Torrent
from swarm.base.endpoint import Endpoint
from swarm.engine.settings import EngineSettings
from swarm.net import names
from swarm.session.progress import Progress
from tests.e2e.transfers import (
    assert_same,
    notices_of,
    offer_file,
    offer_folder,
    open_session,
    seed,
    settings_of,
    until,
    within,
)

KIB = 1024
#: (length, piece length): ends in mid-block, in mid-piece, on a border; less than a piece; one byte.
SIZES = [
    (1, 16 * KIB),
    (16 * KIB, 16 * KIB),
    (1_000_003, 16 * KIB),
    (3_000_000, 64 * KIB),
    (4 * 1024 * KIB, 1024 * KIB),
    (9_999_999, 1024 * KIB),
    (20_000_001, 8 * 1024 * KIB),
]


@pytest.mark.parametrize(("length", "piece_length"), SIZES)
async def test_file_of_any_size_arrives_whole(tmp_path: Path, length: int, piece_length: int) -> None:
    offer = offer_file(tmp_path / "seed", length, piece_length)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
        now = torrent.snapshot()
        assert (now.state, now.done_bytes, now.wanted_bytes) == ("seeding", length, length)
        assert now.downloaded_bytes == length
        assert now.wasted_bytes == now.failed_pieces == 0
    assert torrent.state == "stopped"
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_folder_arrives_with_every_file(tmp_path: Path) -> None:
    files = {"a": 100_000, "empty": 0, "sub/b": 1, "sub/deeper/ü ñ.txt": 333_333, "c": 16_384, "d": 0}
    offer = offer_folder(tmp_path / "seed", files, 32 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
    assert_same(tmp_path / "leech/folder", offer.path)
    assert os.listdir(tmp_path / "leech") == ["folder"]


async def test_several_leechers_get_it_from_several_seeds_and_each_other(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 6_000_001, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with (
        open_session(settings) as seeder_1,
        open_session(settings) as seeder_2,
        open_session(settings) as leecher_1,
        open_session(settings) as leecher_2,
        open_session(settings) as leecher_3,
    ):
        leechers = [leecher_1, leecher_2, leecher_3]
        everybody = [("127.0.0.1", session.port) for session in (seeder_1, seeder_2, *leechers)]
        await seed(seeder_1, offer)
        await seed(seeder_2, offer)
        # Everybody knows everybody, themselves too.
        torrents = [
            await leecher.add(offer.raw, save_to=tmp_path / str(number), peers=everybody)
            for number, leecher in enumerate(leechers)
        ]
        for torrent in torrents:
            await within(torrent.completed())
    for number in range(3):
        assert_same(tmp_path / str(number) / "file.bin", offer.path)


async def test_two_that_dial_each_other_at_once_keep_one_link(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1_000_000, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        giving = await seed(seeder, offer)
        taking = await leecher.add(offer.raw, save_to=tmp_path / "leech")
        await until(lambda: taking.runner is not None)
        assert giving.runner is not None and taking.runner is not None
        # In the same round of the loop, so that the links do cross.
        giving.runner.candidates_found([Endpoint("127.0.0.1", leecher.port)], "user")
        taking.runner.candidates_found([Endpoint("127.0.0.1", seeder.port)], "user")
        await within(taking.completed())
        assert "it is connected already" in notices_of(giving) + notices_of(taking)
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_progress_runs_from_the_first_look_to_the_end(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 2_000_000, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    seen: list[Progress] = []
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])

        async def watch() -> None:
            async for progress in torrent.progress(interval_s=0.01):
                seen.append(progress)

        watching = asyncio.ensure_future(watch())
        await within(torrent.completed())
        await leecher.remove(torrent)
        await within(watching)
    assert seen[0].state == "checking"
    assert seen[-1].state == "stopped"
    done = [progress.done_bytes for progress in seen]
    assert done == sorted(done)
    assert done[-1] == 2_000_000
    assert seen[-1].eta_s == 0.0


async def test_only_selected_files_are_created_and_others_can_follow_later(tmp_path: Path) -> None:
    files = {"a": 50_000, "b": 100_000, "c": 30_000, "d": 200_000}
    offer = offer_folder(tmp_path / "seed", files, 32 * KIB)
    settings = settings_of(tmp_path / "state")
    here = tmp_path / "leech/folder"
    async with open_session(settings) as seeder:
        await seed(seeder, offer)
        peers = [("127.0.0.1", seeder.port)]
        async with open_session(settings) as leecher:
            torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=peers, files=[0, 2])
            await within(torrent.completed())
            first = torrent.snapshot()
            assert first.done_bytes == first.wanted_bytes < first.total_bytes
        assert sorted(path.name for path in here.iterdir()) == ["a", "c"]
        assert (here / "a").read_bytes() == (offer.path / "a").read_bytes()
        assert (here / "c").read_bytes() == (offer.path / "c").read_bytes()
        assert len(list((tmp_path / "leech").glob(".*.part"))) == 1
        async with open_session(settings) as leecher:
            torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=peers)
            await within(torrent.completed())
            # What came for the sake of its neighbours is not fetched again.
            assert torrent.snapshot().downloaded_bytes == first.total_bytes - first.done_bytes
    assert_same(here, offer.path)
    assert os.listdir(tmp_path / "leech") == ["folder"]


async def test_selection_that_names_no_file_is_refused(tmp_path: Path) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 5, "b": 5}, 16 * KIB)
    async with open_session(settings_of(tmp_path / "state")) as session:
        with pytest.raises(SettingsError, match="no file 3: the torrent has 2"):
            await session.add(offer.raw, save_to=tmp_path, files=[2])
        with pytest.raises(SettingsError, match="no file was selected"):
            await session.add(offer.raw, save_to=tmp_path, files=[])
        with pytest.raises(SettingsError, match="allocate"):
            await session.add(offer.raw, save_to=tmp_path, allocate="some")
        assert session.torrents == []


async def test_torrent_is_taken_by_path_and_peers_by_name(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 500_000, 16 * KIB)
    (tmp_path / "the.torrent").write_bytes(offer.raw)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(
            tmp_path / "the.torrent",
            save_to=tmp_path / "leech",
            peers=[("no.such.host.invalid", 1), ("x" * 70, 1), ("localhost", seeder.port)],
        )
        await within(torrent.completed())
        told = notices_of(torrent)
        assert "warning: peer no.such.host.invalid: " in told
        assert f"warning: peer {'x' * 70}: " in told
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_torrent_is_fetched_from_a_url(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 100_000, 16 * KIB)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(offer.raw))
        writer.write(offer.raw)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = settings_of(tmp_path / "state")
    async with server, open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(
            f"http://127.0.0.1:{port}/the.torrent",
            save_to=tmp_path / "leech",
            peers=[("127.0.0.1", seeder.port)],
        )
        await within(torrent.completed())
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_names_that_hang_hold_up_no_peer_given_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(name: str) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(names, "look_up", hang)
    offer = offer_file(tmp_path / "seed", 100_000, 16 * KIB)
    settings = replace(settings_of(tmp_path / "state"), names_timeout_s=3600.0)
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        peers = [("hangs.invalid", 6881), ("127.0.0.1", seeder.port)]
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "torrent", peers=peers)
        await within(torrent.completed())
        await within(leecher.remove(torrent))
        link = f"magnet:?xt=urn:btih:{offer.metainfo.info_hash}"
        torrent = await asyncio.wait_for(leecher.add(link, save_to=tmp_path / "magnet", peers=peers), 30)
        await within(torrent.completed())


async def test_missing_torrent_file_is_named(tmp_path: Path) -> None:
    async with open_session(settings_of(tmp_path / "state")) as session:
        with pytest.raises(swarm.StorageError, match=r"none\.torrent: no such file"):
            await session.add(tmp_path / "none.torrent")
        with pytest.raises(swarm.MetainfoError):
            await session.add(b"hello")


@pytest.mark.parametrize("order", ["is_sequential", "is_ends_first"])
async def test_orders_other_than_rarest_first_bring_it_all(tmp_path: Path, order: str) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 400_000, "b": 300_000}, 16 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(
            offer.raw,
            save_to=tmp_path / "leech",
            peers=[("127.0.0.1", seeder.port)],
            is_sequential=order == "is_sequential",
            is_ends_first=order == "is_ends_first",
        )
        await within(torrent.completed())
    assert_same(tmp_path / "leech/folder", offer.path)


async def test_two_torrents_run_in_one_session(tmp_path: Path) -> None:
    offers = [
        offer_file(tmp_path / "seed", 700_000, 16 * KIB, seed=number, name=f"{number}.bin")
        for number in range(2)
    ]
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        torrents: list[Torrent] = []
        for offer in offers:
            await seed(seeder, offer)
            torrents.append(
                await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
            )
        for torrent in torrents:
            await within(torrent.completed())
        # One can go while the other stays.
        await leecher.remove(torrents[0])
        assert leecher.torrents == [torrents[1]]
        assert torrents[1].state == "seeding"
    for number, offer in enumerate(offers):
        assert_same(tmp_path / f"leech/{number}.bin", offer.path)


async def test_reading_after_the_session_has_ended_is_an_error_and_no_wait(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1000, 16 * KIB)
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await seed(session, offer)
        assert await torrent.read(0, 10) == offer.content()[:10]
    with pytest.raises(StorageError, match="closed"):
        await within(torrent.read(0, 10))


async def test_two_downloads_to_one_file_are_refused(tmp_path: Path) -> None:
    one = offer_folder(tmp_path / "one", {"a": 100, "b": 100}, 16384)
    other = offer_folder(tmp_path / "other", {"b": 100, "c": 100}, 16384, seed=2)
    async with open_session(settings_of(tmp_path / "state")) as session:
        await session.add(one.raw, save_to=tmp_path / "here")
        with pytest.raises(SwarmError, match="folder/b: another torrent"):
            await session.add(other.raw, save_to=tmp_path / "here")
        await session.add(other.raw, save_to=tmp_path / "here", files=[1])
        # Nothing is written to what is only seeded.
        third = offer_folder(tmp_path / "here", {"a": 50}, 16384, seed=3)
        await session.add(third.raw, content=third.path, is_seeding_only=True)


async def test_same_torrent_twice_is_refused(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1000, 16 * KIB)
    async with open_session(settings_of(tmp_path / "state")) as session:
        await seed(session, offer)
        with pytest.raises(SwarmError, match="in this session already"):
            await session.add(offer.raw, save_to=tmp_path / "elsewhere")


async def test_other_sessions_are_kept_off_a_download(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1000, 16 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as first, open_session(settings) as second:
        mine = await first.add(offer.raw, save_to=tmp_path / "leech")
        await until(lambda: mine.state == "downloading")
        theirs = await second.add(offer.raw, save_to=tmp_path / "leech")
        with pytest.raises(SwarmError, match="is being downloaded already"):
            await within(theirs.completed())
        await second.remove(theirs)
        # Elsewhere it may be downloaded, and here once the first has gone.
        other = await second.add(offer.raw, save_to=tmp_path / "other")
        await until(lambda: other.state == "downloading")
        await second.remove(other)
        await first.remove(mine)
        again = await second.add(offer.raw, save_to=tmp_path / "leech")
        await until(lambda: again.state == "downloading")
    assert list((tmp_path / "state").rglob("*.lock")) == []


@pytest.mark.parametrize("is_outer_first", [True, False])
async def test_a_session_downloads_to_a_file_once_whatever_the_folders_are(
    tmp_path: Path, is_outer_first: bool
) -> None:
    one = offer_folder(tmp_path / "one", {"a": 100, "folder/b": 100}, 16384)
    other = offer_folder(tmp_path / "other", {"b": 100, "c": 100}, 16384, seed=2)
    adds = [(one, tmp_path / "here"), (other, tmp_path / "here/folder")]
    (first, its_place), (second, place) = adds if is_outer_first else adds[::-1]
    async with open_session(settings_of(tmp_path / "state")) as session:
        mine = await session.add(first.raw, save_to=its_place)
        with pytest.raises(SwarmError, match=f"here/folder/folder/b: another torrent, {mine.info_hash}, is"):
            await session.add(second.raw, save_to=place)
        await session.remove(mine)
        await session.add(second.raw, save_to=place)


async def test_other_sessions_are_kept_off_the_files_of_another_torrents_download(
    tmp_path: Path,
) -> None:
    one = offer_folder(tmp_path / "one", {"a": 100, "b": 100}, 16384)
    other = offer_folder(tmp_path / "other", {"b": 100, "c": 100}, 16384, seed=2)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as first, open_session(settings) as second:
        mine = await first.add(one.raw, save_to=tmp_path / "here")
        await until(lambda: mine.state == "downloading")
        theirs = await second.add(other.raw, save_to=tmp_path / "here")
        with pytest.raises(
            SwarmError, match=f"folder/b: another torrent, {mine.info_hash}, is downloaded to"
        ):
            await within(theirs.completed())
        await second.remove(theirs)
        # Its other files are nobody's, and that one is free when the first has gone.
        for files, goes in (([1], None), (None, mine)):
            if goes is not None:
                await first.remove(goes)
            theirs = await second.add(other.raw, save_to=tmp_path / "here", files=files)
            await until(lambda: theirs.state == "downloading")  # noqa: B023  # waited for in each round
            await second.remove(theirs)
    assert list((tmp_path / "state").rglob("*.lock")) == []


async def test_other_sessions_are_kept_off_a_single_file(tmp_path: Path) -> None:
    one, other = (offer_file(tmp_path / str(number), 1000, 16384, seed=number) for number in (1, 2))
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as first, open_session(settings) as second:
        mine = await first.add(one.raw, save_to=tmp_path / "here")
        await until(lambda: mine.state == "downloading")
        theirs = await second.add(other.raw, save_to=tmp_path / "here")
        with pytest.raises(SwarmError, match=r"here/file\.bin: another torrent"):
            await within(theirs.completed())


async def test_seeding_content_that_is_not_the_torrents_fails_and_names_the_file(tmp_path: Path) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 50_000, "b": 50_000}, 16 * KIB)
    content = (offer.path / "b").read_bytes()
    (offer.path / "b").write_bytes(content[:40_000] + b"changed" + content[40_007:])
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=True)
        with pytest.raises(swarm.DataMismatchError) as caught:
            await within(torrent.completed())
        assert caught.value.files == [str(offer.path / "b")]
        assert torrent.error is caught.value
        assert torrent.state == "failed"


async def test_stopping_wakes_who_waits_for_completion(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1000, 16 * KIB)
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await session.add(offer.raw, save_to=tmp_path / "leech")
        waiting = asyncio.ensure_future(torrent.completed())
        await until(lambda: torrent.state == "downloading")
    with pytest.raises(SwarmError, match="stopped before it was complete"):
        await within(waiting)


async def test_own_address_is_recognised_and_dropped(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1000, 16 * KIB)
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await session.add(
            offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", session.port)]
        )
        said: list[str] = []

        def is_dropped() -> bool:
            said.append(notices_of(torrent))
            return "".join(said).count("it is ourselves") == 2

        await until(is_dropped)
        assert torrent.peers() == []


async def test_second_connection_to_the_same_peer_is_dropped(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1000, 16 * KIB)
    settings = settings_of(tmp_path / "state", engine=EngineSettings(crossed_dials_s=0))
    async with open_session(settings) as other, Session(port=0, settings=settings) as session:
        (tmp_path / "other").mkdir()
        idle = await other.add(offer.raw, save_to=tmp_path / "other")
        await until(lambda: idle.state == "downloading")
        torrent = await session.add(offer.raw, save_to=tmp_path / "leech")
        await until(lambda: torrent.runner is not None)
        said: list[str] = []

        def has_said(text: str) -> bool:
            said.append(notices_of(torrent))
            return text in "".join(said)

        assert torrent.runner is not None and idle.runner is not None
        torrent.runner.candidates_found([Endpoint("127.0.0.1", other.port)], "user")
        await until(lambda: torrent.peers() and idle.peers())
        # By another of its addresses: where a peer that came to us listens, we know and do not dial.
        idle.runner.candidates_found([Endpoint("127.0.0.2", session.port)], "user")
        await until(lambda: has_said("it is connected already") or "already" in notices_of(idle))
        assert len(torrent.peers()) == len(idle.peers()) == 1


async def test_port_in_use_is_one_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SwarmError, match=f"cannot listen on port {port} of 127.0.0.1: it is in use"):
            async with Session(port=port, bind="127.0.0.1"):
                pass


async def test_port_taken_by_another_is_passed_over_where_none_was_asked_for(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = swarm.SessionSettings(state_dir=tmp_path, first_port=port, ports_tried=50)
        async with Session(bind="127.0.0.1", settings=settings) as session:
            assert port < session.port < port + 50


async def test_bound_session_listens_and_dials_from_that_address_only(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 300_000, 16 * KIB)
    settings = settings_of(tmp_path / "state")
    async with (
        Session(port=0, bind="127.0.0.1", settings=settings) as seeder,
        Session(port=0, bind="127.0.0.2", settings=settings) as leecher,
    ):
        giving = await seed(seeder, offer)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", leecher.port)
        torrent = await leecher.add(
            offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port), ("::1", seeder.port)]
        )
        await within(torrent.completed())
        # Both have everything then: the link is dropped, and that is said of whom.
        await until(lambda: "peer 127.0.0.2:" in notices_of(giving))
        assert "the bound interface has no address of that family" in notices_of(torrent)


async def test_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(SettingsError, match="neither an address nor a network interface"):
        async with Session(port=0, bind="nonsense0"):
            pass
    with pytest.raises(SwarmError, match=r"cannot listen on port 0 of 192\.0\.2\.1"):
        async with Session(port=0, bind="192.0.2.1"):
            pass


async def test_connections_beyond_the_limit_are_closed_at_once(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "state", connections_max=3)
    async with open_session(settings) as session:
        streams = [await asyncio.open_connection("127.0.0.1", session.port) for _ in range(5)]
        for reader, _ in streams[3:]:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await within(reader.readexactly(1))
        assert not any(reader.at_eof() for reader, _ in streams[:3])
        for _, writer in streams:
            writer.close()


async def test_closed_session_leaves_no_task_thread_socket_or_file_open(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 300_000, 16 * KIB)
    settings = settings_of(tmp_path / "state")

    def disk_threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("swarm-disk")]

    def descriptors() -> set[str]:
        found = set()
        for number in os.listdir("/proc/self/fd"):
            try:
                found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
            except OSError:
                continue  # the one that listed them
        return found

    async def transfer(folder: Path) -> None:
        async with open_session(settings) as seeder, open_session(settings) as leecher:
            await seed(seeder, offer)
            torrent = await leecher.add(
                offer.raw, save_to=folder, peers=[("127.0.0.1", seeder.port), ("127.0.0.1", 1)]
            )
            await within(torrent.completed())

    # The first run brings what a loop keeps for good, as the threads that look names up.
    await transfer(tmp_path / "first")
    tasks, files = asyncio.all_tasks(), descriptors()
    await transfer(tmp_path / "second")
    assert asyncio.all_tasks() == tasks
    assert descriptors() == files
    assert disk_threads() == []
    assert sorted(os.listdir(tmp_path / "second")) == ["file.bin"]
    left = [path.name for path in (tmp_path / "state").rglob("*") if path.name != "locks"]
    assert left and all(name.endswith(".resume") for name in left)


async def test_idle_seeding_session_waits_for_nothing(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 300_000, 16 * KIB)
    settings = settings_of(tmp_path / "state", resume_save_s=0.0, sync_s=0.0)
    async with open_session(settings) as session:
        before = asyncio.all_tasks()
        torrent = await seed(session, offer)
        assert torrent.runner is not None and torrent.runner.engine is not None
        # Once the state is saved there is no task left and no timer set: nothing runs until a peer comes.
        await until(lambda: asyncio.all_tasks() == before)
        assert torrent.runner.engine.next_wakeup(asyncio.get_running_loop().time()) is None
        scheduled = getattr(asyncio.get_running_loop(), "_scheduled", [])  # uvloop does not tell
        assert [timer for timer in scheduled if not timer.cancelled()] == []
