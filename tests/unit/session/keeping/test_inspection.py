"""What of a torrent is on disk: what is believed, what is hashed, and what a user is told."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.ids import InfoHash
from swarm.metainfo.builder import TorrentOptions, build_info, build_metainfo
from swarm.metainfo.files import Layout
from swarm.metainfo.torrent import Metainfo
from swarm.session.keeping.inspection import Inspection
from swarm.storage import resume
from swarm.storage.disk import Disk
from tests.unit.storage.layouts import content_of, files_of, hashes_of, layout_of, write_pieces

PIECE = 16384
#: Pieces 0 to 3 have bytes of a, 3 to 6 of b.
LAYOUT = layout_of(("a", 3 * PIECE + 100), ("b", 3 * PIECE))
CONTENT = content_of(LAYOUT)
PIECE_COUNT = 7


def metainfo_of(layout: Layout) -> Metainfo:
    options = TorrentOptions()
    files = [("/".join(file.path).encode(), file.length) for file in layout.files]
    hashes = hashes_of(CONTENT, Geometry(len(CONTENT), PIECE))
    raw = build_metainfo(build_info(b"content", files, PIECE, hashes, options), options)
    # We build no torrents with pad files.
    return replace(Metainfo.parse(raw), files=tuple(layout.files))


class World:
    """An inspection of real files, and what it said."""

    def __init__(self, folder: Path, disk: Disk, *, layout: Layout = LAYOUT) -> None:
        self.metainfo = metainfo_of(layout)
        self.files = files_of(folder, layout)
        self.resume_path = folder / "state" / "x.resume"
        self.notices: list[tuple[str, str]] = []
        self.inspection = Inspection(self.metainfo, self.files, disk)

    def write(self, *pieces: int) -> None:
        write_pieces(self.files, CONTENT, list(pieces), PIECE)

    async def keep(
        self, *pieces: int, info_hash: InfoHash | None = None, piece_count: int = PIECE_COUNT
    ) -> None:
        """Save resume data as an orderly stop does: of these pieces, and of the files as they are."""
        record = resume.ResumeRecord(
            info_hash or self.metainfo.info_hash,
            str(self.files.root),
            bitfield(*pieces, piece_count=piece_count),
            bitfield(*pieces, piece_count=piece_count),
            self.files.signature(),
            is_clean=True,
            saved_at_ns=0,
            boot_id=resume.boot_id(),
        )
        await resume.save(self.resume_path, record)

    async def trust(self) -> resume.Trust:
        return await self.inspection.trust(
            self.resume_path, lambda level, text: self.notices.append((level, text))
        )


def bitfield(*pieces: int, piece_count: int = PIECE_COUNT) -> Bitfield:
    made = Bitfield(piece_count)
    for piece in pieces:
        made.add(piece)
    return made


@pytest.fixture
def world(tmp_path: Path, disk: Disk) -> World:
    return World(tmp_path, disk)


async def test_without_resume_data_nothing_is_believed_and_nothing_said(world: World) -> None:
    world.write(0, 1)
    trust = await world.trust()
    assert (list(trust.verified), trust.is_content_unchanged) == ([], False)
    assert world.notices == []


async def test_files_that_nobody_touched_are_believed(world: World) -> None:
    world.write(0, 5)
    await world.keep(0, 5)
    trust = await world.trust()
    assert (list(trust.verified), trust.is_content_unchanged) == ([0, 5], True)


async def test_of_a_file_that_somebody_changed_no_piece_is_believed(world: World) -> None:
    world.write(*range(PIECE_COUNT))
    await world.keep(*range(PIECE_COUNT))
    os.utime(world.files.path_of(0), ns=(1, 1))
    trust = await world.trust()
    assert (list(trust.verified), trust.is_content_unchanged) == ([4, 5, 6], False)


async def test_damaged_resume_data_are_said_and_not_believed(world: World) -> None:
    world.write(0)
    await world.keep(0)
    raw = world.resume_path.read_bytes()
    world.resume_path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert list((await world.trust()).verified) == []
    ((level, text),) = world.notices
    assert level == "warning"
    assert text.endswith("; the content is verified afresh")


async def test_resume_data_of_another_torrent_are_not_believed(world: World) -> None:
    world.write(0)
    await world.keep(0, info_hash=InfoHash(b"another torrent's..."))
    assert list((await world.trust()).verified) == []
    await world.keep(0, piece_count=PIECE_COUNT + 1)
    assert list((await world.trust()).verified) == []


async def test_only_pieces_that_can_have_data_and_are_not_believed_are_hashed(world: World) -> None:
    world.write(0, 1)
    have = bitfield(1)
    await world.inspection.check(have, is_whole=False)
    assert list(have) == [0, 1]
    assert world.inspection.checked_bytes == world.inspection.checking_bytes == PIECE


async def test_a_whole_check_hashes_all_that_is_not_believed(world: World) -> None:
    world.write(*range(PIECE_COUNT))
    world.files.write(5 * PIECE, [memoryview(b"wrong")])
    have = bitfield(0)
    await world.inspection.check(have, is_whole=True)
    assert list(have) == [0, 1, 2, 3, 4, 6]
    assert world.inspection.checked_bytes == world.inspection.checking_bytes == len(CONTENT) - PIECE


async def test_content_that_is_not_there_has_no_pieces(world: World) -> None:
    have = bitfield()
    await world.inspection.check(have, is_whole=True)
    assert list(have) == []


async def test_doubted_pieces_are_hashed_and_the_right_ones_named(world: World) -> None:
    world.write(2, 3)
    world.files.write(3 * PIECE, [memoryview(b"wrong")])
    assert list(await world.inspection.matching([2, 3])) == [2]


async def test_a_user_is_told_which_files_are_bad(world: World) -> None:
    error = world.inspection.mismatch(bitfield(0, 1, 2, 3, 4, 6))
    path = str(world.files.path_of(1))
    assert error.files == [path]
    assert str(error) == f"1 of 7 pieces of content do not match what is on disk: {path}"


async def test_of_many_bad_files_three_are_named_and_pads_never(tmp_path: Path, disk: Disk) -> None:
    names = ["a", ".pad/1", "b", "c", "d", "e"]
    sizes = [PIECE, PIECE, PIECE, PIECE, PIECE, len(CONTENT) - 5 * PIECE]
    world = World(tmp_path, disk, layout=layout_of(*zip(names, sizes, strict=True)))
    error = world.inspection.mismatch(bitfield())
    assert [Path(path).name for path in error.files] == ["a", "b", "c", "d", "e"]
    assert str(error).endswith("/c and 2 more")
