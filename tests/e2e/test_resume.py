"""Stopping in the middle, in order or by kill -9, and going on: nothing is lost, little is done twice."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarm import DataMismatchError, InfoHash, Progress, SessionSettings, Torrent
from swarm.base.bitfield import Bitfield
from swarm.session.keeping.state import resume_path
from swarm.storage import check, resume
from tests.e2e.going_on import finish, stop_with
from tests.e2e.scripted_peer import BLOCK, Line, ScriptedPeer, scripted_peer
from tests.e2e.transfers import (
    Offer,
    assert_same,
    notices_of,
    offer_file,
    offer_folder,
    offer_padded,
    open_session,
    padded_content,
    seed,
    settings_of,
    until,
    within,
)

KIB = 1024
PIECE = 64 * KIB


class Tap:
    """A scripted seed that gives out `open_pieces` pieces, whichever are asked for, and holds the rest."""

    def __init__(self, offer: Offer, open_pieces: int) -> None:
        self.open_pieces = open_pieces
        self._content = offer.content()
        self._piece_length = offer.metainfo.geometry.piece_length
        self._given: dict[int, None] = {}

    async def behave(self, line: Line) -> None:
        await line.shake()
        await line.serve(self._answer)

    def _answer(self, piece: int, begin: int, length: int) -> bytes | None:
        if piece not in self._given and len(self._given) >= self.open_pieces:
            return None
        self._given[piece] = None
        at = piece * self._piece_length + begin
        return self._content[at : at + length]

    @asynccontextmanager
    async def listening(self, offer: Offer) -> AsyncIterator[ScriptedPeer]:
        async with scripted_peer(offer.metainfo, self.behave) as peer:
            yield peer


def bytes_of(offer: Offer, pieces: int) -> int:
    """The length of so many whole pieces."""
    return pieces * offer.metainfo.geometry.piece_length


async def stop_after(offer: Offer, tmp_path: Path, pieces: int) -> Progress:
    """Download so many pieces, stop in order; returns what it said last."""
    tap = Tap(offer, pieces)
    async with tap.listening(offer) as peer, open_session(settings_of(tmp_path / "state")) as leecher:
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", peer.port)])
        await until(lambda: torrent.snapshot().pieces_done == pieces)
        return torrent.snapshot()


async def test_download_stopped_in_order_fetches_only_what_is_missing(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 32 * PIECE, PIECE)
    await stop_after(offer, tmp_path, 11)
    now = await finish(offer, tmp_path)
    assert now.downloaded_bytes == bytes_of(offer, 21)
    # All was known: nothing was hashed again.
    assert now.checking_bytes == 0


async def test_blocks_of_incomplete_pieces_are_kept_by_an_orderly_stop(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 4 * PIECE + 100, 4 * PIECE)
    content = offer.content()

    async def give_half(line: Line) -> None:
        await line.shake()
        # Every other block of the first piece.
        await line.serve(
            lambda piece, begin, length: (
                content[begin : begin + length] if not piece and begin // BLOCK % 2 else None
            )
        )

    stopped = await stop_with(offer, tmp_path, give_half, 8 * BLOCK)
    assert stopped.done_bytes == 0
    now = await finish(offer, tmp_path)
    assert now.downloaded_bytes == 8 * BLOCK + 100
    assert now.failed_pieces == now.checking_bytes == 0


async def test_kept_blocks_are_not_believed_once_the_file_has_changed(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 4 * PIECE, 4 * PIECE)
    content = offer.content()

    async def give_first_block(line: Line) -> None:
        await line.shake()
        await line.serve(lambda piece, begin, length: None if begin else content[:length])

    await stop_with(offer, tmp_path, give_first_block, BLOCK)
    (tmp_path / "leech/file.bin").write_bytes(bytes(BLOCK))
    now = await finish(offer, tmp_path)
    assert now.downloaded_bytes == 4 * PIECE
    assert now.failed_pieces == 0


async def test_damaged_block_of_an_earlier_run_is_fetched_again_and_nobody_blamed(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 4 * PIECE, 4 * PIECE)

    async def give_wrong_block(line: Line) -> None:
        await line.shake()
        await line.serve(lambda piece, begin, length: None if begin else bytes(length))

    await stop_with(offer, tmp_path, give_wrong_block, BLOCK)
    now = await finish(offer, tmp_path)
    # The honest seed of the second run was not banned: else it would not have completed.
    assert now.failed_pieces == 1
    assert now.downloaded_bytes == 4 * PIECE - BLOCK + 4 * PIECE


async def test_folder_stopped_in_order_goes_on_as_well(tmp_path: Path) -> None:
    files = {"a": 5 * PIECE + 7, "b": 3, "empty": 0, "c/d": 20 * PIECE}
    offer = offer_folder(tmp_path / "seed", files, PIECE)
    stopped = await stop_after(offer, tmp_path, 9)
    now = await finish(offer, tmp_path)
    assert now.downloaded_bytes == stopped.total_bytes - stopped.done_bytes
    assert now.checking_bytes == 0


async def test_seeding_again_hashes_nothing_again(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 10 * PIECE, PIECE)
    for expected in (10 * PIECE, 0):
        async with open_session(settings_of(tmp_path / "state")) as session:
            torrent = await seed(session, offer)
            assert torrent.snapshot().checking_bytes == expected


async def test_seeded_file_changed_without_our_notice_is_looked_at_the_next_time(
    tmp_path: Path,
) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 4 * PIECE, "b": 4 * PIECE, "c": 4 * PIECE}, PIECE)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as session:
        await seed(session, offer)
        # No peer has asked for any of it, so that nobody has looked.
        (offer.path / "b").write_bytes(b"other" + (offer.path / "b").read_bytes()[5:])
        os.utime(offer.path / "b", ns=(1, 1))
        (offer.path / "c").unlink()
    async with open_session(settings) as session:
        torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=True)
        with pytest.raises(DataMismatchError, match="5 of 12 pieces"):
            await within(torrent.completed())
        assert torrent.snapshot().checking_bytes == 8 * PIECE


async def test_file_changed_while_we_were_away_is_hashed_again(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 16 * PIECE, PIECE)
    await stop_after(offer, tmp_path, 16)
    path = tmp_path / "leech/file.bin"
    content = path.read_bytes()
    path.write_bytes(content[: 3 * PIECE] + b"other" + content[3 * PIECE + 5 :])
    now = await finish(offer, tmp_path)
    assert now.checking_bytes == 16 * PIECE
    assert now.downloaded_bytes == PIECE


async def test_file_deleted_while_we_were_away_is_fetched_again(tmp_path: Path) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 4 * PIECE, "b": 4 * PIECE}, PIECE)
    await stop_after(offer, tmp_path, 8)
    (tmp_path / "leech/folder/b").unlink()
    now = await finish(offer, tmp_path)
    assert now.downloaded_bytes == 4 * PIECE
    assert now.checking_bytes == 0


async def test_content_without_resume_data_is_found_by_hashing_what_is_there(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 32 * PIECE, PIECE)
    await stop_after(offer, tmp_path, 11)
    shutil.rmtree(tmp_path / "state")
    now = await finish(offer, tmp_path)
    # Holes are known not to be data.
    assert now.checking_bytes == 11 * PIECE
    assert now.downloaded_bytes == 21 * PIECE


@pytest.mark.parametrize("is_seeding_only", [False, True])
async def test_hashing_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_seeding_only: bool
) -> None:
    offer = offer_file(tmp_path / "seed", 32 * PIECE, PIECE)
    matches, looks, may_go_on = check._matches, itertools.count(1), threading.Event()

    def match(*arguments: Any) -> bool:
        if next(looks) > 11:
            may_go_on.wait(20)
        return matches(*arguments)

    monkeypatch.setattr(check, "_BATCH_BYTES", PIECE)
    monkeypatch.setattr(check, "_matches", match)
    settings = settings_of(tmp_path / "state")
    for checked, checking in ((11 * PIECE, 32 * PIECE), (21 * PIECE, 21 * PIECE)):
        async with open_session(settings) as session:
            torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=is_seeding_only)
            await until(lambda: torrent.snapshot().checked_bytes == checked)  # noqa: B023
            assert torrent.snapshot().checking_bytes == checking
            removing = asyncio.ensure_future(session.remove(torrent))
            await until(lambda: not session._starting)
            may_go_on.set()
            await within(removing)
    # The third time nothing is left to be hashed.
    async with open_session(settings) as session:
        torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=is_seeding_only)
        await within(torrent.completed())
        assert torrent.snapshot().checking_bytes == 0


@pytest.mark.parametrize("is_crash", [False, True])
async def test_file_that_was_being_verified_again_is_not_believed_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_crash: bool
) -> None:
    offer = offer_file(tmp_path / "seed", 32 * PIECE, PIECE)
    settings = settings_of(tmp_path / "state")
    matches, is_looked_at, may_go_on = check._matches, threading.Event(), threading.Event()

    def match(*arguments: Any) -> bool:
        is_looked_at.set()
        may_go_on.wait(20)
        return matches(*arguments)

    async with open_session(settings) as session:
        torrent = await seed(session, offer)
        await torrent.read(0, 1)
        monkeypatch.setattr(check, "_matches", match)
        offer.path.write_bytes(bytes(32 * PIECE))
        os.utime(offer.path, ns=(0, 0))
        reading = asyncio.ensure_future(torrent.read(0, 1))
        await until(is_looked_at.is_set)
        if is_crash:
            # What a record says that is written meanwhile.
            await torrent._keeping._keeper.save(is_clean=False)
            record = record_path(settings, torrent).read_bytes()
        removing = asyncio.ensure_future(session.remove(torrent))
        await until(lambda: torrent.runner is not None and torrent.runner.is_stopped)
        may_go_on.set()
        await within(removing)
        await asyncio.gather(reading, return_exceptions=True)
    if is_crash:
        record_path(settings, torrent).write_bytes(record)
    async with open_session(settings) as session:
        torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=True)
        with pytest.raises(DataMismatchError, match="32 of 32 pieces"):
            await within(torrent.completed())


def record_path(settings: SessionSettings, torrent: Torrent) -> Path:
    return resume_path(settings.state_dir, torrent.info_hash, torrent.content)


async def test_seed_that_does_not_match_hashes_only_what_has_changed_the_next_time(tmp_path: Path) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 20 * PIECE, "b": 3 * PIECE}, PIECE)
    good = (offer.path / "b").read_bytes()
    (offer.path / "b").write_bytes(bytes(3 * PIECE))
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as session:
        torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=True)
        with pytest.raises(DataMismatchError):
            await within(torrent.completed())
    (offer.path / "b").write_bytes(good)
    async with open_session(settings) as session:
        torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=True)
        await within(torrent.completed())
        assert torrent.snapshot().checking_bytes == 3 * PIECE


async def test_seed_that_was_mended_in_one_place_and_broken_in_another_does_not_match(tmp_path: Path) -> None:
    """Seconds after the first look: as after a crash, when files may be a little younger than the record."""
    offer = offer_file(tmp_path / "seed", 20 * PIECE, PIECE)
    good = offer.path.read_bytes()
    settings = settings_of(tmp_path / "state")
    for bad in (3, 11):
        offer.path.write_bytes(good[: bad * PIECE] + bytes(PIECE) + good[(bad + 1) * PIECE :])
        async with open_session(settings) as session:
            torrent = await session.add(offer.raw, content=offer.path, is_seeding_only=True)
            with pytest.raises(DataMismatchError):
                await within(torrent.completed())


async def test_damaged_resume_data_is_set_aside_and_the_content_hashed(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 8 * PIECE, PIECE)
    await stop_after(offer, tmp_path, 8)
    (record,) = (tmp_path / "state").glob("*.resume")
    record.write_bytes(record.read_bytes()[:-9])
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await session.add(offer.raw, save_to=tmp_path / "leech")
        await within(torrent.completed())
        assert torrent.snapshot().checking_bytes == 8 * PIECE
        told = notices_of(torrent)
    (aside,) = set(os.listdir(tmp_path / "state")) - {record.name, "locks"}
    assert aside.startswith(f"{record.name}.broken-")
    assert f"{aside}; the content is verified afresh" in told


@pytest.mark.parametrize("lie", ["of another torrent", "of other files", "of more pieces", "of other times"])
async def test_whole_record_that_does_not_fit_is_not_believed(tmp_path: Path, lie: str) -> None:
    """Its checksum is right, and it says that all is here; on disk there are but zeros."""
    offer = offer_file(tmp_path / "seed", 8 * PIECE, PIECE)
    place = tmp_path / "leech" / "file.bin"
    place.parent.mkdir()
    place.write_bytes(bytes(8 * PIECE))
    status = place.stat()
    everything = Bitfield(9 if lie == "of more pieces" else 8, is_full=True)
    record = resume.ResumeRecord(
        info_hash=InfoHash(b"x" * 20) if lie == "of another torrent" else offer.metainfo.info_hash,
        content_path=str(place),
        verified=everything,
        synced=everything,
        signature=[(status.st_size, status.st_mtime_ns - (lie == "of other times"))]
        * (2 if lie == "of other files" else 1),
        is_clean=True,
        saved_at_ns=status.st_mtime_ns,
        boot_id=resume.boot_id(),
        partials={5: (1 << 4) - 1, 1 << 40: 7},
    )
    path = resume_path(tmp_path / "state", offer.metainfo.info_hash, place)
    await resume.save(path, record)
    now = await finish(offer, tmp_path)
    assert now.downloaded_bytes == 8 * PIECE


async def test_state_folder_that_cannot_be_written_is_a_notice_and_no_more(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 8 * PIECE, PIECE)
    (tmp_path / "state").write_text("a file where the folder should be")
    async with (
        open_session(settings_of(tmp_path / "other")) as seeder,
        open_session(settings_of(tmp_path / "state", resume_save_s=0.0)) as leecher,
    ):
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
        told = ""

        def is_told() -> bool:
            nonlocal told
            told += notices_of(torrent)
            return "the state of the download cannot be saved" in told

        await until(is_told)
    assert_same(tmp_path / "leech/file.bin", offer.path)


@asynccontextmanager
async def child_process(*arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """`download_until_killed` in a process of its own; killed at the end at the latest."""
    script = Path(__file__).with_name("download_until_killed.py")
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(script), *map(str, arguments), stdout=subprocess.PIPE
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def has_pieces(child: asyncio.subprocess.Process, count: int) -> None:
    assert child.stdout is not None
    async with asyncio.timeout(30):
        while line := await child.stdout.readline():
            if int(line) >= count:
                return
    raise AssertionError("the child ended before it had its pieces")


async def test_download_killed_at_once_loses_no_piece_and_hashes_what_is_there(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 32 * PIECE, PIECE)
    (tmp_path / "t.torrent").write_bytes(offer.raw)
    tap = Tap(offer, 13)
    async with tap.listening(offer) as peer:
        places = (tmp_path / "t.torrent", tmp_path / "leech", tmp_path / "state")
        async with child_process(*places, peer.port, 1000.0) as child:
            await has_pieces(child, 13)
            child.kill()
            await child.wait()
    assert not list((tmp_path / "state").glob("*.resume"))
    now = await finish(offer, tmp_path)
    assert now.checking_bytes == 13 * PIECE
    assert now.downloaded_bytes == 19 * PIECE


async def test_download_with_padding_killed_at_once_goes_on(tmp_path: Path) -> None:
    # Of the pieces 0, 1 and 4 two blocks, one and two are none of the padding.
    files = {"a": BLOCK + 1, "b": 100, "c/d": PIECE, "e": PIECE + 2 * BLOCK, "last": 7}
    offer = offer_padded(tmp_path / "seed", files, PIECE)
    content = padded_content(offer.path, files, PIECE)
    (tmp_path / "t.torrent").write_bytes(offer.raw)

    async def give_three_pieces(line: Line) -> None:
        def answer(piece: int, begin: int, length: int) -> bytes | None:
            at = piece * PIECE + begin
            return content[at : at + length] if piece in (0, 1, 4) else None

        await line.shake()
        await line.serve(answer)

    async with scripted_peer(offer.metainfo, give_three_pieces) as peer:
        places = (tmp_path / "t.torrent", tmp_path / "leech", tmp_path / "state")
        async with child_process(*places, peer.port, 1000.0) as child:
            await has_pieces(child, 3)
            child.kill()
            await child.wait()
    now = await finish(offer, tmp_path)
    assert now.checking_bytes == 3 * PIECE
    assert now.downloaded_bytes == 2 * PIECE + 7
    assert now.failed_pieces == 0


async def test_download_killed_later_hashes_only_what_no_record_tells(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 32 * PIECE, PIECE)
    (tmp_path / "t.torrent").write_bytes(offer.raw)
    record_path = resume_path(tmp_path / "state", offer.metainfo.info_hash, tmp_path / "leech/file.bin")
    tap = Tap(offer, 10)

    async with tap.listening(offer) as peer:
        places = (tmp_path / "t.torrent", tmp_path / "leech", tmp_path / "state")
        async with child_process(*places, peer.port, 0.3) as child:
            await has_pieces(child, 10)
            await until(lambda: record_path.exists() and saved_pieces(record_path) == 10)
            child.kill()
            await child.wait()
    saved = await resume.load(record_path)
    assert saved is not None and not saved.is_clean
    now = await finish(offer, tmp_path)
    # The system has not been started anew: what the process wrote is there.
    assert now.checking_bytes == 0
    assert now.downloaded_bytes == 22 * PIECE


async def test_after_kill_and_reboot_only_what_was_not_synced_is_hashed(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 32 * PIECE, PIECE)
    await stop_after(offer, tmp_path, 20)
    (record_path,) = (tmp_path / "state").glob("*.resume")
    record = await resume.load(record_path)
    assert record is not None
    # As it is found where the machine has lost power: another boot, and half of it synced.
    record.boot_id = b"another"
    record.is_clean = False
    record.synced = record.verified.copy()
    for piece in list(record.verified)[::2]:
        record.synced.discard(piece)
    await resume.save(record_path, record)
    now = await finish(offer, tmp_path)
    assert now.checking_bytes == 10 * PIECE
    assert now.downloaded_bytes == 12 * PIECE


async def test_complete_download_is_synced_soon_without_being_asked(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 4 * PIECE, PIECE)
    settings = settings_of(tmp_path / "state", resume_save_s=0.0, sync_s=0.1)
    record_path = resume_path(tmp_path / "state", offer.metainfo.info_hash, tmp_path / "leech/file.bin")
    async with open_session(settings_of(tmp_path / "other")) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
        await until(lambda: record_path.exists() and saved_pieces(record_path, is_synced=True) == 4)


@pytest.mark.parametrize("skip_verify", [False, True])
async def test_content_that_is_seeded_counts_as_on_the_disk_when_it_was_synced_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skip_verify: bool
) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 4 * PIECE, "b/c": 2 * PIECE}, PIECE)
    record_path = resume_path(tmp_path / "state", offer.metainfo.info_hash, offer.path)
    forced: set[int] = set()
    fdatasync = os.fdatasync

    def note(descriptor: int) -> None:
        forced.add(os.fstat(descriptor).st_ino)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", note)
    # It may have been copied, or downloaded, a moment ago: a power cut would leave a file without its bytes.
    for sync_s, synced in ((3600.0, 0), (0.0, 6), (3600.0, 6)):
        settings = settings_of(tmp_path / "state", resume_save_s=0.0, sync_s=sync_s)
        async with open_session(settings) as session:
            torrent = await session.add(
                offer.raw, content=offer.path, is_seeding_only=True, skip_verify=skip_verify
            )
            await within(torrent.completed())
            await until(lambda: record_path.exists() and saved_pieces(record_path) == 6)
            if synced:
                await until(lambda: saved_pieces(record_path, is_synced=True) == 6)
        assert saved_pieces(record_path, is_synced=True) == synced
        assert bool(forced) == bool(synced)
    assert forced == {(offer.path / name).stat().st_ino for name in ("a", "b/c")}


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EROFS])
async def test_content_on_a_file_system_that_cannot_sync_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    offer = offer_file(tmp_path / "seed", 4 * PIECE, PIECE)
    record_path = resume_path(tmp_path / "state", offer.metainfo.info_hash, offer.path)

    def refuse(descriptor: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fdatasync", refuse)
    async with open_session(settings_of(tmp_path / "state", resume_save_s=0.0, sync_s=0.0)) as session:
        torrent = await seed(session, offer)
        await until(lambda: record_path.exists() and saved_pieces(record_path, is_synced=True) == 4)
        assert not notices_of(torrent)


async def test_kill_in_the_middle_of_a_large_download_leaves_it_right(tmp_path: Path) -> None:
    """Files, part file and several kills: whatever the moment, the end is the same."""
    files = {"a": 700_001, "b": 5, "c": 1_500_000, "d": 900_000}
    offer = offer_folder(tmp_path / "seed", files, PIECE)
    (tmp_path / "t.torrent").write_bytes(offer.raw)
    tap = Tap(offer, 0)
    async with tap.listening(offer) as peer:
        places = (tmp_path / "t.torrent", tmp_path / "leech", tmp_path / "state")
        for pieces in (7, 19, 33):
            tap.open_pieces = pieces
            async with child_process(*places, peer.port, 0.01) as child:
                await has_pieces(child, pieces)
                child.kill()
                await child.wait()
    now = await finish(offer, tmp_path)
    assert now.downloaded_bytes < sum(files.values()) - 30 * PIECE
    assert now.failed_pieces == 0


def saved_pieces(path: Path, *, is_synced: bool = False) -> int:
    record = resume.ResumeRecord.decode(path.read_bytes())
    return (record.synced if is_synced else record.verified).count
