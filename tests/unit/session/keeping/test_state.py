"""Keeping the resume data a few seconds behind, and no more work than that."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.errors import SwarmError
from swarm.session.keeping.content import Content
from swarm.session.keeping.state import ResumeKeeper
from swarm.storage import resume
from tests.unit.storage.layouts import content_of, files_of, layout_of

LAYOUT = layout_of(("a", 100_000))


class World:
    """A keeper over real files, and what it was told."""

    def __init__(self, folder: Path, *, save_s: float = 0.0, sync_s: float = 0.0) -> None:
        self.files = files_of(folder, LAYOUT)
        content = Content(self.files, Geometry(100_000, 32_768))
        self.have = content.have
        self.notices: list[str] = []
        self.failures: list[SwarmError] = []
        self.in_doubt: list[int] = []
        self.snapshots = 0
        self.keeper = ResumeKeeper(
            folder / "state/x.resume",
            content,
            self.snapshot,
            lambda level, text: self.notices.append(f"{level}: {text}"),
            on_failed=self.failures.append,
            in_doubt=lambda: self.in_doubt,
            save_s=save_s,
            sync_s=sync_s,
        )

    def snapshot(self, synced: Bitfield) -> resume.ResumeRecord:
        self.snapshots += 1
        return resume.ResumeRecord(
            b"i" * 20, "a", self.have.copy(), synced.copy(), [], False, self.snapshots, b"boot"
        )

    async def settled(self) -> None:
        task = self.keeper._task
        if task is not None:
            async with asyncio.timeout(20):
                await task


async def test_touched_state_is_saved_and_synced_and_then_nothing_runs(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.keeper.start(Bitfield(4))
    world.files.write(0, [memoryview(content_of(LAYOUT))])
    world.have.add(2)
    world.keeper.touch()
    await world.settled()
    record = await resume.load(world.keeper.path)
    assert record is not None
    assert list(record.verified) == list(record.synced) == [2]
    assert not record.is_clean
    assert record.signature == world.files.signature()
    world.files.close()


async def test_untouched_state_is_never_written(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.keeper.start(Bitfield(4))
    await world.settled()
    await world.keeper.stop()
    assert not (tmp_path / "state").exists()
    world.files.close()


async def test_many_touches_are_one_save(tmp_path: Path) -> None:
    world = World(tmp_path, save_s=0.05, sync_s=1000.0)
    world.keeper.start(world.have)
    for _ in range(100):
        world.keeper.touch()
    await world.settled()
    assert world.snapshots == 1
    world.files.close()


async def test_save_under_way_is_whole_when_the_keeper_stops(tmp_path: Path) -> None:
    for delay in range(12):
        world = World(tmp_path / str(delay), sync_s=1000.0)
        (tmp_path / str(delay)).mkdir()
        world.keeper.start(world.have)
        world.keeper.touch()
        # Another step of the save is under way each time.
        for _ in range(delay):
            await asyncio.sleep(0)
        await world.keeper.stop()
        await world.keeper.save(is_clean=True)
        record = await resume.load(world.keeper.path)
        assert record is not None and record.is_clean
        assert [path.name for path in world.keeper.path.parent.iterdir()] == ["x.resume"]
        world.files.close()


async def test_trouble_is_told_once_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    world = World(tmp_path, sync_s=1000.0)
    world.keeper.start(world.have)
    await world.keeper.save(is_clean=False)
    await world.keeper.save(is_clean=False)
    assert len(world.notices) == 1
    assert "the state of the download cannot be saved" in world.notices[0]
    (tmp_path / "state").unlink()
    world.keeper.touch()
    await world.settled()
    assert await resume.load(world.keeper.path) is not None
    world.files.close()


async def test_pieces_of_a_failed_sync_are_not_believed_although_the_next_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux throws away what it could not write, and says so once."""
    world = World(tmp_path)
    world.keeper.start(Bitfield(4))
    world.files.write(0, [memoryview(content_of(LAYOUT))])
    world.have.add(1)
    await world.keeper.sync()
    world.have.add(2)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", refuse)
        world.files.note_all_unsynced()
        await world.keeper.sync()
    world.have.add(3)
    world.keeper.touch()
    await world.settled()
    await world.keeper.save(is_clean=True)
    record = await resume.load(world.keeper.path)
    assert record is not None
    assert list(record.verified) == list(record.synced) == [1, 3]
    # The next run must look for the piece.
    assert record.is_unsure
    (notice,) = world.notices
    assert "input/output error" in notice
    world.files.close()


async def test_lost_piece_that_came_again_is_not_taken_for_synced(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.files.write(0, [memoryview(content_of(LAYOUT))])
    world.have.add(1)
    world.keeper.start(world.have)
    world.keeper.lost(1)
    await world.keeper.save(is_clean=False)
    record = await resume.load(world.keeper.path)
    assert record is not None
    assert list(record.verified) == [1]
    assert list(record.synced) == []
    world.files.close()


async def test_piece_lost_during_a_sync_is_not_taken_for_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.keeper.start(Bitfield(4))
    world.files.write(0, [memoryview(content_of(LAYOUT))])
    world.have.add(1)
    world.have.add(2)
    is_syncing, may_end = threading.Event(), threading.Event()

    def sync_slowly(descriptor: int) -> None:
        is_syncing.set()
        may_end.wait(20)

    monkeypatch.setattr(os, "fdatasync", sync_slowly)
    syncing = asyncio.create_task(world.keeper.sync())
    await asyncio.to_thread(is_syncing.wait, 20)
    # Somebody has damaged it; it comes again, and is written behind the back of the sync under way.
    world.keeper.lost(1)
    may_end.set()
    await syncing
    await world.keeper.save(is_clean=False)
    record = await resume.load(world.keeper.path)
    assert record is not None
    assert list(record.verified) == [1, 2]
    assert list(record.synced) == [2]
    world.files.close()


async def test_file_taken_as_it_is_while_a_record_is_signed_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was changed by somebody else, and has a right signature again before its pieces are verified."""
    world = World(tmp_path)
    world.files.write(0, [memoryview(content_of(LAYOUT))])
    world.have.add(1)
    world.have.add(2)
    world.keeper.start(world.have)
    signature = world.files.signature

    def sign() -> list[tuple[int, int]]:
        world.in_doubt.append(1)
        return signature()

    monkeypatch.setattr(world.files, "signature", sign)
    await world.keeper.save(is_clean=False)
    record = await resume.load(world.keeper.path)
    assert record is not None
    assert list(record.verified) == list(record.synced) == [2]
    world.files.close()


def refuse(descriptor: int) -> None:
    raise OSError(errno.EIO, "Input/output error")
