"""A power cut at any moment, with unsynced writes gone in any legal way: nothing wrong is ever believed."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.errors import SwarmError
from swarm.session.keeping.content import Content
from swarm.session.keeping.state import ResumeKeeper
from swarm.storage import resume
from swarm.storage.check import check_pieces, pieces_with_data
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles
from tests.property.losing_disk import LosingDisk, PowerCut
from tests.unit.storage.layouts import content_of, files_of, hashes_of, layout_of, write_pieces

PIECE = 2048
#: Pieces of one file and of several; one file is not selected and shares pieces with its neighbours.
LAYOUT = layout_of(("a", 5_000), ("b/c", 300), ("no", 9_000), (".pad/1", 84), ("d", 4_001))
UNWANTED = frozenset({2})
GEOMETRY = Geometry(LAYOUT.end_offset, PIECE)
CONTENT = content_of(LAYOUT)
HASHES = hashes_of(CONTENT, GEOMETRY)
#: Those that hold bytes of selected files.
WANTED = sorted({piece for index in (0, 1, 4) for piece in LAYOUT.pieces_of(index, GEOMETRY)})


class Download:
    """Writes pieces and keeps their record, as a torrent of a session does."""

    def __init__(self, top: Path) -> None:
        self.files = files_of(top, LAYOUT, unwanted=UNWANTED)
        content = Content(self.files, GEOMETRY, UNWANTED)
        self.have = content.have
        self.notices: list[str] = []
        self.failures: list[SwarmError] = []
        self.keeper = ResumeKeeper(
            top / "state" / "x.resume",
            content,
            self._record,
            lambda level, text: self.notices.append(text),
            on_failed=self.failures.append,
            save_s=0.0,
            sync_s=0.0,
        )
        self.keeper.start(self.have)

    def _record(self, synced: Bitfield) -> resume.ResumeRecord:
        now_ns = time.time_ns()
        return resume.ResumeRecord(
            b"i" * 20, "content", self.have.copy(), synced.copy(), [], False, now_ns, b"boot"
        )

    async def do(self, step: int | str) -> None:
        if step == "sync":
            await self.keeper.sync()
        elif step == "save":
            await self.keeper.save(is_clean=False)
        elif step == "stop":
            await self.keeper.save(is_clean=True)
        else:
            assert isinstance(step, int)
            write_pieces(self.files, CONTENT, [step], PIECE)
            self.have.add(step)


def reach(files: ContentFiles, index: int, piece: int) -> int:
    return files.signed_length(index, GEOMETRY.piece_offset(piece) + GEOMETRY.piece_bytes(piece))


def assert_right(files: ContentFiles, pieces: Bitfield) -> None:
    for piece in pieces:
        start = GEOMETRY.piece_offset(piece)
        buffer = bytearray(GEOMETRY.piece_bytes(piece))
        files.read(start, [memoryview(buffer)])
        assert buffer == CONTENT[start : start + len(buffer)], f"piece {piece} is believed and wrong"


async def go_on(after: Path, synced_before: Bitfield) -> None:
    """What the next run does after the machine is up again."""
    files = files_of(after, LAYOUT, unwanted=UNWANTED)
    # Replaced whole: a damaged record, which would raise, is never found.
    record = await resume.load(after / "state" / "x.resume")
    trust = resume.Trust.nothing(GEOMETRY.piece_count)
    if record is not None:
        pieces = [LAYOUT.pieces_of(index, GEOMETRY) for index in range(len(LAYOUT.files))]
        trust = resume.weigh(
            record, files.signature(), pieces, b"boot-2", lambda index, piece: reach(files, index, piece)
        )
        if not record.is_clean:
            assert all(piece in trust.verified for piece in record.synced), "synced, and hashed again"
    assert_right(files, trust.verified)
    disk = Disk(asyncio.get_running_loop(), 1)
    suspects = [
        piece for piece in pieces_with_data(GEOMETRY, files.data_ranges()) if piece not in trust.verified
    ]
    have = await check_pieces(files, GEOMETRY, HASHES, disk, suspects)
    await disk.close()
    for piece in trust.verified:
        have.add(piece)
    assert_right(files, have)
    # What the disk had confirmed is there, whatever the record says.
    assert all(piece in have for piece in synced_before), "synced, and lost"
    write_pieces(files, CONTENT, [piece for piece in WANTED if piece not in have], PIECE)
    for index in (0, 1, 4):
        file = LAYOUT.files[index]
        found = files.path_of(index).read_bytes()
        assert found == CONTENT[file.offset : file.offset + file.length]
    files.close()


async def cut_and_go_on(folder: Path, steps: Sequence[int | str], calls: int, rng: random.Random) -> None:
    disk = LosingDisk(folder / "before", calls)
    (folder / "before").mkdir()
    download = Download(folder / "before")
    synced = Bitfield(GEOMETRY.piece_count)
    with disk.watching():
        try:
            for step in steps:
                await download.do(step)
                if step == "sync":
                    synced = download.have.copy()
        except PowerCut:
            pass
    assert not download.notices

    def choose(options: Sequence[Any]) -> Any:
        return rng.choice(options)

    try:
        # The same cut leaves many different disks.
        for past in range(4):
            disk.leave(folder / f"after-{past}", choose)
            await go_on(folder / f"after-{past}", synced)
    finally:
        download.files.close()
        disk.close()


STEPS = st.lists(st.sampled_from([*WANTED, *WANTED, "sync", "save", "save", "stop"]), max_size=24)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, calls=st.integers(0, 60), rng=st.randoms(use_true_random=False))
@example(steps=[*WANTED, "sync", "save", "stop"], calls=1000, rng=random.Random(1))
@example(steps=[0, "save", "sync", 1, "save", 2, "save"], calls=1000, rng=random.Random(2))
def test_power_cut_at_any_moment_leaves_nothing_wrong_that_is_believed(
    steps: list[int | str], calls: int, rng: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(cut_and_go_on(Path(folder), steps, calls, rng))
