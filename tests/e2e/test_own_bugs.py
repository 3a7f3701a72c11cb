"""Code of ours that breaks where nobody looks: that torrent fails with a line, the others go on."""

from __future__ import annotations

import asyncio
import errno
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarm import Session, SwarmError, Torrent
from swarm.base.endpoint import Endpoint
from swarm.base.errors import StorageError
from swarm.engine.commands import HashPiece
from swarm.engine.events import CandidatesFound, Event, MessagesReceived, PeerConnected, WokenUp
from swarm.engine.metadata.engine import MetadataCompleted, MetadataEngine
from swarm.engine.settings import EngineSettings
from swarm.engine.torrent import TorrentEngine
from swarm.metainfo import magnet
from swarm.session.keeping.partial_blocks import PartialBlocks
from swarm.session.runner import Runner
from swarm.storage.files import ContentFiles
from swarm.storage.pieces import PieceStore
from tests.e2e.transfers import Offer, assert_same, offer_file, open_session, seed, settings_of, until, within

PIECE = 16384
LENGTH = 20 * PIECE


class Bug(ValueError):
    """What no code of ours raises on purpose."""


class World:
    """A seeder and a leecher of two torrents, in one of which something of ours breaks."""

    def __init__(self, folder: Path, seeder: Session, leecher: Session) -> None:
        self.folder = folder
        self.seeder = seeder
        self.leecher = leecher
        self.broken = offer_file(folder / "offers", LENGTH, PIECE, seed=1, name="broken")
        self.other = offer_file(folder / "offers", LENGTH, PIECE, seed=2, name="other")
        self.reported: list[BaseException] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.reported.append(context["exception"]))

    async def leech(self, offer: Offer) -> Torrent:
        return await self.leecher.add(
            offer.raw, save_to=self.folder / "here", peers=[("127.0.0.1", self.seeder.port)]
        )

    async def check(self, torrent: Torrent) -> None:
        """It ended with the line for bugs, with a traceback for us; the other torrent is as good as ever."""
        with pytest.raises(SwarmError, match="internal error, please report it: Bug\\('unthought of'\\)"):
            await within(torrent.completed())
        await until(lambda: torrent.state == "failed")
        assert any(isinstance(error, Bug) and error.__traceback__ for error in self.reported)
        fine = await self.leech(self.other)
        await within(fine.completed())
        assert_same(self.folder / "here/other", self.other.path)


@asynccontextmanager
async def world_in(folder: Path) -> AsyncIterator[World]:
    settings = replace(
        settings_of(folder / "state", engine=EngineSettings(redial_s=0.05), resume_save_s=0.0, sync_s=0.0),
        room_probe_s=0.01,
        state_dir=folder / "leech",
    )
    async with open_session(settings_of(folder / "seed")) as seeder, open_session(settings) as leecher:
        world = World(folder, seeder, leecher)
        await seed(seeder, world.broken)
        await seed(seeder, world.other)
        yield world


def breaks(monkeypatch: pytest.MonkeyPatch, owner: type[Any], name: str, is_hit: Callable[..., bool]) -> None:
    """Have the method `name` of `owner` raise a bug where `is_hit` says so."""
    whole = getattr(owner, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        if is_hit(*args, **kwargs):
            raise Bug("unthought of")
        return whole(*args, **kwargs)

    monkeypatch.setattr(owner, name, method)


def is_broken(files: ContentFiles, *_: object) -> bool:
    return files.root.parts[-2:] == ("here", "broken")


async def test_bug_in_a_hashing_thread_fails_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(
        monkeypatch, PieceStore, "_hash_one", lambda store, piece, *_: is_broken(store._files) and piece == 7
    )
    async with world_in(tmp_path) as world:
        await world.check(await world.leech(world.broken))


async def test_bug_in_what_becomes_of_a_hashed_piece_fails_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, PieceStore, "_answer", lambda store, *_: is_broken(store._files))
    async with world_in(tmp_path) as world:
        await world.check(await world.leech(world.broken))


async def test_bug_when_the_engine_is_woken_fails_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world_in(tmp_path) as world:
        await world.seeder.remove(world.seeder.torrents[0])
        torrent = await world.leech(world.broken)
        await until(lambda: torrent.runner and torrent.runner.engine)
        assert torrent.runner is not None
        engine = torrent.runner.engine

        def is_its_waking(one: TorrentEngine, event: Event, now: float) -> bool:
            return one is engine and isinstance(event, WokenUp)

        breaks(monkeypatch, TorrentEngine, "handle", is_its_waking)
        # Whoever refuses the connection is dialled again after a while.
        await world.check(torrent)


@pytest.mark.parametrize("kind", [PeerConnected, MessagesReceived, CandidatesFound])
async def test_bug_in_what_strangers_say_costs_their_link_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Event]
) -> None:
    async with world_in(tmp_path) as world:
        seeding = world.seeder.torrents[0]
        assert seeding.runner is not None
        engine, hits = seeding.runner.engine, itertools.count()

        def is_its_first(one: TorrentEngine, event: Event, now: float) -> bool:
            return one is engine and isinstance(event, kind) and next(hits) < 3

        breaks(monkeypatch, TorrentEngine, "handle", is_its_first)
        seeding.runner.candidates_found([Endpoint("127.0.0.1", 1)], "tracker")
        torrent = await world.leech(world.broken)
        await within(torrent.completed())
        assert any(isinstance(error, Bug) for error in world.reported)
        assert seeding.state == "seeding"


async def test_bug_in_what_a_magnet_links_peers_said_costs_their_link_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = itertools.count()

    def is_its_first(engine: TorrentEngine, event: Event, now: float) -> bool:
        return not engine.have.count and isinstance(event, MessagesReceived) and next(hits) < 1

    breaks(monkeypatch, TorrentEngine, "handle", is_its_first)
    async with world_in(tmp_path) as world:
        link = magnet.make(world.broken.metainfo.info_hash, peers=[("127.0.0.1", world.seeder.port)])
        torrent = await world.leecher.add(link, save_to=tmp_path / "here")
        await within(torrent.completed())
        assert any(isinstance(error, Bug) for error in world.reported)


def breaks_before(monkeypatch: pytest.MonkeyPatch, mind: type[Any], wanted: type[Any]) -> list[Any]:
    """Have `mind` give one command that no host knows, before the first `wanted` that a message brings about.

    Returns:
        The commands that came with it, once there are any.
    """
    handle = mind.handle
    hit: list[Any] = []

    def handle_with_bug(self: Any, event: Event, now: float) -> list[Any]:
        commands = handle(self, event, now)
        if hit or not isinstance(event, MessagesReceived) or not any(isinstance(x, wanted) for x in commands):
            return list(commands)
        hit.extend(commands)
        return ["a bug", *commands]

    monkeypatch.setattr(mind, "handle", handle_with_bug)
    return hit


async def test_bug_at_one_command_leaves_none_of_the_others_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hit = breaks_before(monkeypatch, TorrentEngine, HashPiece)
    async with world_in(tmp_path) as world:
        torrent = await world.leech(world.broken)
        await within(torrent.completed())
        assert hit and any("a bug" in str(error) for error in world.reported)


async def test_bug_at_one_command_keeps_no_magnet_link_from_being_told_of_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hit = breaks_before(monkeypatch, MetadataEngine, MetadataCompleted)
    async with world_in(tmp_path) as world:
        link = magnet.make(world.broken.metainfo.info_hash, peers=[("127.0.0.1", world.seeder.port)])
        adding = asyncio.create_task(world.leecher.add(link, save_to=tmp_path / "here"))
        await within(adding)
        await within(adding.result().completed())
        assert hit and any("a bug" in str(error) for error in world.reported)


async def test_bug_while_the_disk_syncs_fails_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, ContentFiles, "sync", is_broken)
    async with world_in(tmp_path) as world:
        torrent = await world.leech(world.broken)
        # It may have completed before.
        await until(lambda: torrent.state == "failed")
        assert "unthought of" in str(torrent.error)


async def test_bug_in_the_last_look_at_the_files_fails_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, ContentFiles, "gone", is_broken)
    async with world_in(tmp_path) as world:
        await world.check(await world.leech(world.broken))


async def test_bug_while_the_disk_is_full_fails_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = PieceStore._write

    def find_no_room(store: PieceStore, piece: int, buffer: memoryview) -> StorageError | None:
        if is_broken(store._files):
            return StorageError("the disk is full", error_number=errno.ENOSPC)
        return write(store, piece, buffer)

    monkeypatch.setattr(PieceStore, "_write", find_no_room)
    breaks(monkeypatch, PieceStore, "write_kept", lambda store: is_broken(store._files))
    async with world_in(tmp_path) as world:
        await world.check(await world.leech(world.broken))


async def test_bug_in_the_look_at_a_changed_file_fails_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world_in(tmp_path) as world:
        first, other = world.seeder.torrents
        breaks(monkeypatch, ContentFiles, "settle", lambda files, *_: files is first.files)
        world.broken.path.write_bytes(bytes(LENGTH))
        await world.leech(world.broken)
        await until(lambda: first.state == "failed")
        assert "unthought of" in str(first.error)
        fine = await world.leech(world.other)
        await within(fine.completed())
        assert other.state == "seeding"


async def test_bug_in_the_saving_of_one_torrent_keeps_no_other_from_being_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, PartialBlocks, "keep", lambda *_: True)
    async with world_in(tmp_path) as world:
        monkeypatch.setattr(Runner, "candidates_found", lambda *_: None)
        torrents = [await world.leech(offer) for offer in (world.broken, world.other)]
        await until(lambda: all(torrent.runner for torrent in torrents))
        await world.leecher.close()
        assert [torrent.state for torrent in torrents] == ["failed", "failed"]
        assert not world.leecher.torrents
        assert list((tmp_path / "leech").rglob("*.lock")) == []
