"""Torrents that are added, removed and closed while something else is under way with them."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from swarm import Session, SettingsError, SwarmError
from swarm.base.errors import StorageError
from swarm.session import session as session_module
from swarm.session.keeping.state import ResumeKeeper, resume_path
from swarm.storage import resume
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles
from tests.e2e.scripted_peer import BLOCK, Line, scripted_peer
from tests.e2e.transfers import (
    PATIENCE_S,
    assert_same,
    notices_of,
    offer_file,
    open_session,
    seed,
    settings_of,
    until,
    within,
)

PIECE = 4 * BLOCK


async def test_torrent_that_is_removed_twice_at_once_keeps_the_blocks_of_its_incomplete_pieces(
    tmp_path: Path,
) -> None:
    offer = offer_file(tmp_path / "seed", 2 * PIECE, PIECE)
    content = offer.content()

    async def give_one_block(line: Line) -> None:
        await line.shake()
        given: list[int] = []

        def answer(piece: int, begin: int, length: int) -> bytes | None:
            if given:
                return None
            given.append(piece)
            return content[piece * PIECE + begin : piece * PIECE + begin + length]

        await line.serve(answer)

    settings = settings_of(tmp_path / "state")
    async with scripted_peer(offer.metainfo, give_one_block) as peer, open_session(settings) as session:
        torrent = await session.add(offer.raw, save_to=tmp_path / "here", peers=[("127.0.0.1", peer.port)])
        await until(lambda: torrent.snapshot().downloaded_bytes == BLOCK)
        await asyncio.gather(session.remove(torrent), session.remove(torrent), session.close())
        assert "could not be kept" not in notices_of(torrent)
    record = await resume.load(resume_path(settings.state_dir, torrent.info_hash, tmp_path / "here/file.bin"))
    assert record is not None and sum(mask.bit_count() for mask in record.partials.values()) == 1


async def test_removal_whose_caller_gives_up_is_finished_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = offer_file(tmp_path / "seed", 2 * PIECE, PIECE)
    settings = settings_of(tmp_path / "state")
    save, may_save = ResumeKeeper.save, asyncio.Event()

    async def save_later(keeper: ResumeKeeper, *, is_clean: bool) -> None:
        await may_save.wait()
        await save(keeper, is_clean=is_clean)

    async with open_session(settings) as session:
        torrent = await seed(session, offer)
        monkeypatch.setattr(ResumeKeeper, "save", save_later)
        removing = asyncio.ensure_future(session.remove(torrent))
        await asyncio.sleep(0)
        removing.cancel()
        may_save.set()
        await within(asyncio.wait([removing]))
        assert removing.cancelled() and not session.torrents
        assert torrent.state == "stopped"


async def test_removal_of_one_that_is_gone_leaves_its_successor_alone(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 20 * PIECE, PIECE)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        first = await leecher.add(offer.raw, save_to=tmp_path / "first")
        await leecher.remove(first)
        second = await leecher.add(offer.raw, save_to=tmp_path / "second", peers=[("127.0.0.1", seeder.port)])
        await leecher.remove(first)
        assert leecher.torrents == [second]
        await within(second.completed())
    assert_same(tmp_path / "second/file.bin", offer.path)


async def test_torrent_whose_source_comes_after_the_end_of_the_session_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = offer_file(tmp_path / "seed", 2 * PIECE, PIECE)
    may_come = asyncio.Event()

    async def read_later(*_: object) -> bytes:
        await may_come.wait()
        return offer.raw

    monkeypatch.setattr(session_module, "read_source", read_later)
    async with open_session(settings_of(tmp_path / "state")) as session:
        adding = asyncio.ensure_future(session.add("http://x/y.torrent", save_to=tmp_path / "here"))
        await asyncio.sleep(0)
    may_come.set()
    with pytest.raises(SwarmError, match="the session is not open"):
        await within(adding)
    assert session.torrents == []


async def test_session_that_is_closed_twice_at_once_ends_for_both(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 20 * PIECE, PIECE)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "here", peers=[("127.0.0.1", seeder.port)])
        await until(lambda: torrent.snapshot().pieces_done)
        await within(asyncio.gather(*(session.close() for session in (seeder, leecher) * 2)))
        assert torrent.state == "stopped"


async def test_closing_whose_caller_gives_up_is_finished_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = offer_file(tmp_path / "seed", 2 * PIECE, PIECE)
    drained, is_closing, may_end = Disk.drained, asyncio.Event(), asyncio.Event()

    async def drained_later(disk: Disk) -> None:
        is_closing.set()
        await may_end.wait()
        await drained(disk)

    session = open_session(settings_of(tmp_path / "state"))
    async with session:
        torrent = await seed(session, offer)
        monkeypatch.setattr(Disk, "drained", drained_later)
        closing = asyncio.ensure_future(session.close())
        await within(is_closing.wait())
        closing.cancel()
        may_end.set()
        await within(asyncio.wait([closing]))
        assert closing.cancelled() and session._disk is None
        assert torrent.state == "stopped"


async def test_session_that_cannot_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    """No port in use, no thread: the fixture for all these tests looks for them."""
    settings = replace(settings_of(tmp_path / "state"), up_bytes_per_s=100.0)
    session = open_session(settings)
    with pytest.raises(SettingsError, match="a rate limit is at least 16K"):
        await session.__aenter__()


@pytest.mark.parametrize("turns", range(4))
async def test_session_whose_opening_is_given_up_leaves_nothing_behind(tmp_path: Path, turns: int) -> None:
    """As above; the loop has had so many turns before."""
    session = Session(port=0, settings=settings_of(tmp_path / "state"))
    opening = asyncio.ensure_future(session.__aenter__())
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    if not opening.cancelled():
        await session.close()


async def test_session_that_has_no_threads_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="new thread"):
        patched.setattr(threading.Thread, "start", start)
        await open_session(settings_of(tmp_path / "state")).__aenter__()


@pytest.mark.parametrize("outcome", [None, StorageError("full", path="x", error_number=errno.ENOSPC)])
async def test_slow_disk_begins_nothing_any_more_for_a_torrent_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: StorageError | None
) -> None:
    offer = offer_file(tmp_path / "seed", 2 * PIECE, PIECE)
    write, is_writing, may_end = ContentFiles.write, threading.Event(), threading.Event()

    def write_slowly(files: ContentFiles, offset: int, views: Sequence[memoryview]) -> None:
        write(files, offset, views)
        is_writing.set()
        may_end.wait(PATIENCE_S)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(ContentFiles, "write", write_slowly)
    # More threads than there are pieces to be written.
    settings = replace(settings_of(tmp_path / "state"), stop_timeout_s=0.0, thread_count=4)
    async with open_session(settings_of(tmp_path / "other")) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "here", peers=[("127.0.0.1", seeder.port)])
        await until(is_writing.is_set)
        await within(leecher.remove(torrent))
        before = asyncio.all_tasks()
        may_end.set()
        assert leecher._disk is not None
        await within(leecher._disk.drained())
        assert not [task.get_name() for task in asyncio.all_tasks() - before]


async def test_torrent_that_is_removed_before_the_disk_has_come_to_it_can_be_added_again(
    tmp_path: Path,
) -> None:
    offer = offer_file(tmp_path / "seed", 2 * PIECE, PIECE)
    settings = replace(settings_of(tmp_path / "state"), stop_timeout_s=0.0)
    disk_is_free = threading.Event()
    async with open_session(settings) as session:
        disk = session._disk
        assert disk is not None
        for _ in range(2):
            disk.submit(disk_is_free.wait, lambda *answer: None)
        torrent = await session.add(offer.raw, save_to=tmp_path / "here")
        # Now it waits for a thread.
        await until(lambda: len(disk._pending) > 2)
        await within(session.remove(torrent))
        disk_is_free.set()
        await within(disk.drained())
        again = await session.add(offer.raw, save_to=tmp_path / "here")
        await until(lambda: again.state != "checking")
        assert again.state == "downloading", again.error
