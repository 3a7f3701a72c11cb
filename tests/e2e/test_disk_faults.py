"""Disks that refuse: read-only, full, in the way, gone; the error names the path, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from swarm import Session, SessionSettings, StorageError, SwarmError, Torrent
from swarm.base.endpoint import Endpoint
from swarm.storage.descriptors import open_below
from swarm.storage.faults import ContentChangedError
from swarm.storage.files import ContentFiles
from tests.e2e.commands import SWARM, TIMEOUT_S, Commands
from tests.e2e.transfers import (
    Offer,
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
MIB = 1024 * KIB


def mount(folder: Path, options: str) -> None:
    """Mount a file system in memory; where that is not allowed the test is skipped, in CI it fails."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode == 0:
        return
    reason = "mounting a small disk needs root"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "small"
    mount(folder, "size=1m")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def make_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "read-only"
    mount(folder, "ro,size=1m")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def leech(leecher: Session, seeder: Session, offer: Offer, folder: Path, **options: str) -> Torrent:
    await seed(seeder, offer)
    return await leecher.add(
        offer.raw,
        save_to=folder,
        peers=[("127.0.0.1", seeder.port)],
        allocate=options.get("allocate", "sparse"),
    )


async def failure_of(torrent: Torrent) -> StorageError:
    with pytest.raises(StorageError) as caught:
        await within(torrent.completed())
    assert torrent.state == "failed"
    assert torrent.error is caught.value
    return caught.value


def stopping_settings(state_dir: Path) -> SessionSettings:
    """A session that does not wait for room."""
    return replace(settings_of(state_dir), is_waiting_for_room=False)


def waiting_settings(state_dir: Path) -> SessionSettings:
    """One that looks for room many times a second."""
    return replace(settings_of(state_dir), room_probe_s=0.02)


@pytest.mark.parametrize("allocate", ["sparse", "full"])
async def test_full_disk_stops_the_download_where_that_was_asked_for_and_names_the_file(
    tmp_path: Path, small_disk: Path, allocate: str
) -> None:
    offer = offer_file(tmp_path / "seed", 3 * MIB, 64 * KIB)
    settings = stopping_settings(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        torrent = await leech(leecher, seeder, offer, small_disk, allocate=allocate)
        error = await failure_of(torrent)
        assert error.path == str(small_disk / "file.bin")
        assert error.error_number == errno.ENOSPC
        assert str(error) == f"{small_disk / 'file.bin'}: the disk is full"
        # It asks for nothing more that it could not keep.
        await until(lambda: torrent.peers() == [] or not leecher._links)
        fetched = torrent.snapshot().downloaded_bytes
        assert fetched <= 3 * MIB


async def test_download_goes_on_once_the_disk_has_room_and_counts_nothing_half_written(
    tmp_path: Path, small_disk: Path
) -> None:
    offer = offer_file(tmp_path / "seed", 900 * KIB, 64 * KIB)
    settings = stopping_settings(tmp_path / "state")
    (small_disk / "ballast").write_bytes(bytes(500 * KIB))
    async with open_session(settings) as seeder:
        await seed(seeder, offer)
        peers = [("127.0.0.1", seeder.port)]
        async with open_session(settings) as leecher:
            torrent = await leecher.add(offer.raw, save_to=small_disk, peers=peers)
            await failure_of(torrent)
        first = torrent.snapshot()
        (small_disk / "ballast").unlink()
        async with open_session(settings) as leecher:
            torrent = await leecher.add(offer.raw, save_to=small_disk, peers=peers)
            await within(torrent.completed())
            assert torrent.snapshot().downloaded_bytes == 900 * KIB - first.done_bytes
            assert torrent.snapshot().failed_pieces == 0
        assert_same(small_disk / "file.bin", offer.path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--timeout", "1"), "no progress for 1 s: "),
        (("--on-full", "stop"), ""),
    ],
)
def test_command_on_a_full_disk_ends_with_4_only_where_that_was_asked_for(
    tmp_path: Path, small_disk: Path, options: tuple[str, ...], said: str
) -> None:
    offer = offer_file(tmp_path, 3 * MIB, 64 * KIB)
    (tmp_path / "file.bin.torrent").write_bytes(offer.raw)
    commands = Commands(tmp_path)
    try:
        _, port = commands.seed(tmp_path / "file.bin.torrent")
        to = ("--peer", f"127.0.0.1:{port}", "--port", "0", "--bind", "127.0.0.1")
        done = commands.run("leech", tmp_path / "file.bin.torrent", "-o", small_disk, *to, *options)
    finally:
        commands.close()
    assert done.returncode == 4
    assert f"error: {said}{small_disk / 'file.bin'}: the disk is full" in done.stderr


def fill_up(ballast: Path) -> None:
    """Not a byte is free after this."""
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("allocate", ["sparse", "full"])
async def test_full_disk_pauses_the_download_which_goes_on_by_itself_and_fetches_nothing_twice(
    tmp_path: Path, small_disk: Path, allocate: str
) -> None:
    offer = offer_file(tmp_path / "seed", 900 * KIB, 64 * KIB)
    settings = waiting_settings(tmp_path / "state")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(500 * KIB))
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        torrent = await leech(leecher, seeder, offer, small_disk, allocate=allocate)
        await until(lambda: torrent.state == "paused")
        await until(lambda: "more needed" in torrent.snapshot().paused_reason)
        now = torrent.snapshot()
        assert now.paused_reason.startswith(f"{small_disk / 'file.bin'}: the disk is full, ")
        assert "paused: " in notices_of(torrent)
        # The peer stays: what is here can be had from us.
        assert now.peers == 1
        ballast.unlink()
        await within(torrent.completed())
        assert torrent.snapshot().downloaded_bytes == 900 * KIB
        assert torrent.snapshot().paused_reason == ""
        await until(lambda: "there is room again" in notices_of(torrent))
    assert_same(small_disk / "file.bin", offer.path)


async def test_paused_download_seeds_what_it_has_and_other_torrents_notice_nothing(
    tmp_path: Path, small_disk: Path
) -> None:
    offer = offer_file(tmp_path / "seed", 3 * MIB, 64 * KIB)
    other = offer_file(tmp_path / "seed", 500_000, 64 * KIB, seed=2, name="other")
    settings = waiting_settings(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        paused = await leech(leecher, seeder, offer, small_disk)
        await until(lambda: paused.state == "paused")
        async with open_session(settings) as third:
            taking = await third.add(
                offer.raw, save_to=tmp_path / "third", peers=[("127.0.0.1", leecher.port)]
            )
            # What was being written when the first piece found no room may still come.
            await until(lambda: 0 < taking.snapshot().pieces_done == paused.snapshot().pieces_done)
        fine = await leech(leecher, seeder, other, tmp_path / "leech")
        await within(fine.completed())
        assert paused.state == "paused"
    assert_same(tmp_path / "leech/other", other.path)


async def test_paused_download_is_stopped_in_order_and_goes_on_later(
    tmp_path: Path, small_disk: Path
) -> None:
    offer = offer_file(tmp_path / "seed", 900 * KIB, 64 * KIB)
    settings = waiting_settings(tmp_path / "state")
    (small_disk / "ballast").write_bytes(bytes(500 * KIB))
    async with open_session(settings) as seeder:
        await seed(seeder, offer)
        peers = [("127.0.0.1", seeder.port)]
        async with open_session(settings) as leecher:
            torrent = await leecher.add(offer.raw, save_to=small_disk, peers=peers)
            await until(lambda: torrent.state == "paused")
            kept = torrent.snapshot().done_bytes
        (small_disk / "ballast").unlink()
        async with open_session(settings) as leecher:
            torrent = await leecher.add(offer.raw, save_to=small_disk, peers=peers)
            await within(torrent.completed())
            assert torrent.snapshot().checking_bytes == 0
            assert torrent.snapshot().downloaded_bytes <= 900 * KIB - kept
    assert_same(small_disk / "file.bin", offer.path)


async def test_what_waited_for_room_is_written_by_a_stop_that_finds_some(
    tmp_path: Path, small_disk: Path
) -> None:
    offer = offer_file(tmp_path / "seed", 900 * KIB, 64 * KIB)
    # It would look for room itself when this test is long over.
    settings = replace(settings_of(tmp_path / "state"), room_probe_s=3600.0)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(500 * KIB))
    async with open_session(settings) as seeder:
        await seed(seeder, offer)
        peers = [("127.0.0.1", seeder.port)]
        async with open_session(settings) as leecher:
            torrent = await leecher.add(offer.raw, save_to=small_disk, peers=peers)
            await until(lambda: torrent.state == "paused")
            ballast.unlink()
        first = torrent.snapshot()
        async with open_session(settings) as leecher:
            torrent = await leecher.add(offer.raw, save_to=small_disk, peers=peers)
            await within(torrent.completed())
            assert torrent.snapshot().downloaded_bytes == 900 * KIB - first.downloaded_bytes
    assert_same(small_disk / "file.bin", offer.path)


async def test_folder_that_cannot_be_made_on_a_full_disk_is_waited_for_too(
    tmp_path: Path, small_disk: Path
) -> None:
    offer = offer_folder(tmp_path / "seed", {"empty": 0, "a": 100_000}, 16 * KIB)
    settings = waiting_settings(tmp_path / "state")
    ballast = small_disk / "ballast"
    fill_up(ballast)
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        torrent = await leech(leecher, seeder, offer, small_disk)
        await until(lambda: torrent.state in ("paused", "failed"))
        ballast.unlink()
        await within(torrent.completed())
    assert_same(small_disk / "folder", offer.path)


async def test_too_few_descriptors_pause_the_download_until_there_are_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = offer_file(tmp_path / "seed", 900 * KIB, 64 * KIB)
    settings = waiting_settings(tmp_path / "state")
    is_short = True

    def open_none(top: Path, parts: Sequence[str], *, is_writable: bool) -> int:
        if is_short:
            raise OSError(errno.EMFILE, "Too many open files")
        return open_below(top, parts, is_writable=is_writable)

    monkeypatch.setattr("swarm.storage.files.open_below", open_none)
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        torrent = await leech(leecher, seeder, offer, tmp_path / "leech")
        await until(lambda: torrent.state == "paused")
        assert "too many open files" in torrent.snapshot().paused_reason
        is_short = False
        await within(torrent.completed())
        assert torrent.snapshot().downloaded_bytes == 900 * KIB
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_read_only_disk_is_an_error_that_names_the_path(tmp_path: Path, read_only_disk: Path) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 100_000, "b": 5}, 16 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        torrent = await leech(leecher, seeder, offer, read_only_disk)
        error = await failure_of(torrent)
        assert error.path.startswith(str(read_only_disk / "folder"))
        assert "read-only" in str(error)
        assert torrent.snapshot().done_bytes == 0


async def test_download_that_is_complete_on_a_read_only_disk_is_seeded(
    tmp_path: Path, small_disk: Path
) -> None:
    offer = offer_folder(small_disk, {"empty": 0, "a": 100_000, "b/empty": 0}, 16 * KIB)
    make_read_only(small_disk)
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await session.add(offer.raw, save_to=small_disk)
        await within(torrent.completed())
        assert torrent.state == "seeding"


async def test_file_in_place_of_the_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 100_000, "empty": 0}, 16 * KIB)
    (tmp_path / "leech").write_text("in the way")
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        error = await failure_of(await leech(leecher, seeder, offer, tmp_path / "leech"))
        assert error.path.startswith(str(tmp_path / "leech/folder"))
    assert (tmp_path / "leech").read_text() == "in the way"


async def test_link_out_of_the_folder_is_an_error_and_what_it_leads_to_is_safe(
    tmp_path: Path,
) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 100_000, "b": 5}, 16 * KIB)
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "leech/folder").mkdir(parents=True)
    (tmp_path / "leech/folder/a").symlink_to(tmp_path / "precious")
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        error = await failure_of(await leech(leecher, seeder, offer, tmp_path / "leech"))
        assert error.path == str(tmp_path / "leech/folder/a")
        assert "symbolic link" in str(error)
    assert (tmp_path / "precious").read_bytes() == b"precious"


async def test_missing_download_folders_are_made(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 100_000, 16 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        torrent = await leech(leecher, seeder, offer, tmp_path / "not/yet/there")
        await within(torrent.completed())
    assert_same(tmp_path / "not/yet/there/file.bin", offer.path)


async def test_content_to_be_seeded_that_is_missing_is_named(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 100_000, 16 * KIB)
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await session.add(offer.raw, save_to=tmp_path / "none", is_seeding_only=True)
        error = await failure_of(torrent)
        assert str(error) == f"{tmp_path / 'none/file.bin'}: no such file or folder"
    assert not (tmp_path / "none").exists()


async def half_of(offer: Offer, leecher: Session, port: int, folder: Path) -> Torrent:
    """A download of which about half is here, and which goes on slowly."""
    leecher.set_limits(up_bytes_per_s=None, down_bytes_per_s=2 * MIB)
    torrent = await leecher.add(offer.raw, save_to=folder, peers=[("127.0.0.1", port)])
    await until(lambda: torrent.snapshot().pieces_done >= 10)
    return torrent


@pytest.mark.parametrize("damage", ["deleted", "truncated", "replaced"])
async def test_file_that_is_damaged_during_its_download_is_right_in_the_end(
    tmp_path: Path, damage: str
) -> None:
    """The open descriptor would take all writes, and the download be "complete" with nothing there."""
    offer = offer_file(tmp_path / "seed", 2 * MIB, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await half_of(offer, leecher, seeder.port, tmp_path / "leech")
        path = tmp_path / "leech/file.bin"
        if damage == "deleted":
            path.unlink()
        elif damage == "truncated":
            os.truncate(path, 5)
        else:
            (tmp_path / "other").write_bytes(b"other")
            (tmp_path / "other").rename(path)
        leecher.set_limits(up_bytes_per_s=None, down_bytes_per_s=None)
        await within(torrent.completed())
        assert_same(path, offer.path)
        assert f"{path} was changed by somebody else" in notices_of(torrent)


async def test_download_that_was_complete_and_is_damaged_goes_on_until_it_is_whole_again(
    tmp_path: Path,
) -> None:
    offer = offer_file(tmp_path / "seed", 20 * 64 * KIB, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as leecher:
        async with open_session(settings) as seeder:
            torrent = await leech(leecher, seeder, offer, tmp_path / "leech")
            await within(torrent.completed())
            await torrent.read(0, 5)
            assert (torrent.state, torrent.totals().left_bytes) == ("seeding", 0)
        path = tmp_path / "leech/file.bin"
        with open(path, "r+b") as file:  # noqa: ASYNC230  # a moment
            file.write(b"somebody else's")
        os.utime(path, ns=(0, 0))
        reading = asyncio.ensure_future(torrent.read(0, 5))
        await until(lambda: torrent.state == "downloading")
        assert torrent.totals().left_bytes == 64 * KIB
        whole_again = asyncio.ensure_future(torrent.completed())
        assert torrent.runner is not None
        async with open_session(settings) as seeder:
            await seed(seeder, offer)
            torrent.runner.candidates_found([Endpoint("127.0.0.1", seeder.port)], "tracker")
            await within(whole_again)
            assert torrent.state == "seeding"
            assert await reading == offer.path.read_bytes()[:5]
            assert_same(path, offer.path)


async def test_seeded_file_that_is_overwritten_is_never_served_wrong(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 20 * 64 * KIB, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        giving = await seed(seeder, offer)
        with open(offer.path, "r+b") as file:  # noqa: ASYNC230  # a moment
            file.seek(3 * 64 * KIB + 7)
            file.write(b"somebody else's")
        os.utime(offer.path, ns=(0, 0))
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        assert giving.runner is not None and giving.runner.engine is not None
        have = giving.runner.engine.have
        await until(lambda: have.count == 19 and torrent.snapshot().pieces_done == 19)
        now = torrent.snapshot()
        assert now.failed_pieces == 0
        assert now.peers == 1
        assert "1 of 20 pieces do not match any more" in notices_of(giving)


async def test_seeded_file_that_was_only_touched_is_served_after_a_look(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 20 * 64 * KIB, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        giving = await seed(seeder, offer)
        os.utime(offer.path)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
        await until(lambda: "its content is right" in notices_of(giving))
        assert giving.snapshot().pieces_done == 20
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_file_that_is_damaged_behind_the_back_of_the_check_is_right_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = offer_file(tmp_path / "seed", 20 * 64 * KIB, 64 * KIB)
    path = tmp_path / "leech/file.bin"
    path.parent.mkdir()
    path.write_bytes(offer.content())
    read, damaged = ContentFiles.read, threading.Event()

    def read_and_damage(files: ContentFiles, offset: int, views: Sequence[memoryview]) -> None:
        read(files, offset, views)
        if files.root == path and not damaged.is_set():
            # What was just hashed is not what will be there.
            damaged.set()
            path.write_bytes(b"other" + offer.content()[5:])
            os.utime(path, ns=(1, 1))

    monkeypatch.setattr(ContentFiles, "read", read_and_damage)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
    assert damaged.is_set()
    assert_same(path, offer.path)


async def test_part_file_that_is_damaged_is_never_served_wrong(tmp_path: Path) -> None:
    # Of "b", which is not selected, the second piece holds bytes as well.
    offer = offer_folder(tmp_path / "seed", {"a": 96 * KIB, "b": 96 * KIB, "c": 64 * KIB}, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as half, open_session(settings) as leecher:
        async with open_session(settings) as seeder:
            await seed(seeder, offer)
            source = await half.add(
                offer.raw, save_to=tmp_path / "half", peers=[("127.0.0.1", seeder.port)], files=[0, 2]
            )
            await within(source.completed())
        (part,) = (tmp_path / "half").glob(".*.part")
        # Once right, so that it is known how the file looked then; then wrong.
        assert await source.read(64 * KIB, 64 * KIB) == offer.content()[64 * KIB : 128 * KIB]
        content = bytearray(part.read_bytes())
        content[100 * KIB : 100 * KIB + 5] = b"other"
        part.write_bytes(content)
        torrent = await leecher.add(
            offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", half.port)], files=[0]
        )
        await until(lambda: source.snapshot().pieces_done == 2 and torrent.snapshot().pieces_done == 1)
        assert torrent.snapshot().failed_pieces == 0


async def test_thread_that_says_of_a_change_after_the_look_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, late = ContentFiles.read, threading.Event()

    def read_and_dawdle(files: ContentFiles, offset: int, views: Sequence[memoryview]) -> None:
        try:
            read(files, offset, views)
        except ContentChangedError:
            if not late.is_set():
                late.set()
                time.sleep(0.3)
            raise

    monkeypatch.setattr(ContentFiles, "read", read_and_dawdle)
    # The loop, which reads what is in memory itself, may see the change first: then no thread does.
    monkeypatch.setattr(ContentFiles, "read_at_once", lambda *_: False)
    offer = offer_file(tmp_path / "seed", 20 * 64 * KIB, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        os.utime(offer.path)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
    assert late.is_set()
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_complete_download_that_is_overwritten_is_fetched_again(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 20 * 64 * KIB, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as middle:
        await seed(seeder, offer)
        torrent = await middle.add(offer.raw, save_to=tmp_path / "middle", peers=[("127.0.0.1", seeder.port)])
        await within(torrent.completed())
        path = tmp_path / "middle/file.bin"
        # A first look at it after our last write.
        await torrent.read(0, 1)
        path.write_bytes(bytes(20 * 64 * KIB))
        # The clock of file times ticks every few ms: here all of it happens within one tick.
        os.utime(path, ns=(0, 0))
        async with open_session(settings) as leecher:
            taking = await leecher.add(
                offer.raw,
                save_to=tmp_path / "leech",
                peers=[("127.0.0.1", middle.port), ("127.0.0.1", seeder.port)],
            )
            await within(taking.completed())
            assert taking.snapshot().failed_pieces == 0
        assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_disk_that_gives_an_input_output_error_for_a_piece_offers_it_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = offer_file(tmp_path / "seed", 20 * 64 * KIB, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    real = os.preadv

    def preadv(descriptor: int, views: Sequence[memoryview], offset: int, flags: int = 0) -> int:
        if offset == 5 * 64 * KIB:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, views, offset, flags)

    async with open_session(settings) as seeder, open_session(settings) as leecher:
        giving = await seed(seeder, offer)
        monkeypatch.setattr(os, "preadv", preadv)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)])
        await until(lambda: torrent.snapshot().pieces_done == 19)
        assert giving.runner is not None and giving.runner.engine is not None
        assert giving.runner.engine.have.count == 19
        assert torrent.snapshot().peers == 1
        assert "input/output error" in notices_of(giving)


async def test_disk_that_gives_an_input_output_error_on_writing_ends_the_download_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = offer_file(tmp_path / "seed", 20 * 64 * KIB, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    real = os.pwritev

    def pwritev(descriptor: int, views: Sequence[memoryview], offset: int) -> int:
        if offset == 5 * 64 * KIB:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, views, offset)

    monkeypatch.setattr(os, "pwritev", pwritev)
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        error = await failure_of(await leech(leecher, seeder, offer, tmp_path / "leech"))
        assert str(error) == f"{tmp_path / 'leech/file.bin'}: the disk reports an input/output error"


@pytest.mark.parametrize("damage", ["truncated", "deleted"])
async def test_seeded_file_that_is_damaged_is_not_offered_any_more_and_nothing_crashes(
    tmp_path: Path, damage: str
) -> None:
    offer = offer_folder(tmp_path / "seed", {"a": 640 * KIB, "b": 640 * KIB}, 64 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder:
        giving = await seed(seeder, offer)
        # Checked, and open no longer: as after a while with many files.
        giving.files.release()
        if damage == "truncated":
            os.truncate(offer.path / "b", 100 * KIB)
        else:
            (offer.path / "b").unlink()
        async with open_session(settings) as leecher:
            torrent = await leecher.add(
                offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)]
            )
            lost = 9 if damage == "truncated" else 10
            assert giving.runner is not None and giving.runner.engine is not None
            have = giving.runner.engine.have
            await until(lambda: have.count == 20 - lost and torrent.snapshot().pieces_done == 20 - lost)
            assert torrent.state == "downloading"
            assert giving.error is None
            told = notices_of(giving)
            assert "cannot be read any more and is not offered" in told
            assert str(offer.path / "b") in told


def test_permission_withdrawn_in_the_middle_ends_the_download_which_goes_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    offer = offer_folder(tmp_path / "seed", {f"{n:02}": 64 * KIB for n in range(40)}, 64 * KIB)
    torrent = tmp_path / "folder.torrent"
    torrent.write_bytes(offer.raw)
    # Root may write everywhere; without these capabilities it must ask like anybody else.
    dropped = "--bounding-set=-dac_override,-dac_read_search"
    humble = ["setpriv", dropped] if os.geteuid() == 0 else []
    commands = Commands(tmp_path)
    place = tmp_path / "leech" / "folder"
    try:
        _, port = commands.seed(torrent, offer.path)
        leech = [
            *humble, *SWARM, "leech", str(torrent), "-o", str(place.parent), "--peer", f"127.0.0.1:{port}",
            "--port", "0", "--bind", "127.0.0.1", "--no-trackers", "--quiet", "--sequential",
        ]  # fmt: skip
        process = subprocess.Popen(
            [*leech, "--down", "512K"], env=commands.environment, stderr=subprocess.PIPE, text=True
        )
        # Files come in order: there are those that must still be made.
        while not (place / "10").exists():
            assert process.poll() is None
            time.sleep(0.005)
        place.chmod(0o500)
        _, said = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 4
        assert said.count("\n") == 1 and str(place) in said and "permission denied" in said, said
        assert len(list(place.iterdir())) < 40
        place.chmod(0o700)
        done = subprocess.run(
            leech, env=commands.environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 0, done.stderr
    finally:
        commands.close()
    assert_same(place, offer.path)


async def test_session_with_a_failed_torrent_closes_and_serves_its_others(
    tmp_path: Path, small_disk: Path
) -> None:
    large = offer_file(tmp_path / "seed", 3 * MIB, 64 * KIB, name="large")
    good = offer_file(tmp_path / "seed", 500_000, 64 * KIB, seed=2, name="good")
    settings = stopping_settings(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        failing = await leech(leecher, seeder, large, small_disk)
        await failure_of(failing)
        fine = await leech(leecher, seeder, good, tmp_path / "leech")
        await within(fine.completed())
        with pytest.raises(SwarmError):
            await failing.completed()
    assert failing.state == "failed"
    assert_same(tmp_path / "leech/good", good.path)
