"""A tracker's memory in a file and back."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.base.errors import StorageError
from swarm.tracker import snapshot
from swarm.tracker.memory_store import MemoryStore
from swarm.tracker.snapshot import load, patience_s, save, save_beside
from swarm.tracker.store import DOWNLOADER, PARTIAL_SEED, SEED
from swarm.wire.tracker.announce import ScrapeEntry
from tests.unit.tracker.store_cases import LIFE_S, TORRENT, peer


def made(**limits: int) -> MemoryStore:
    return MemoryStore(LIFE_S, random.Random(1), **limits)


def filled() -> MemoryStore:
    store = made()
    for number in range(10):
        kind = SEED if number < 3 else PARTIAL_SEED if number == 3 else DOWNLOADER
        store.join(TORRENT, peer(number), bytes([number]) * 20, kind, number, 0)
        store.join(bytes([number]) * 20, peer(1, 18), b"i" * 20, DOWNLOADER, number, 0)
    store.count_download(TORRENT, bytes(6), b"i" * 20)
    return store


def test_everything_comes_back(tmp_path: Path) -> None:
    save(filled(), tmp_path / "state", 10, 1e9)
    store = made()
    assert load(store, tmp_path / "state", 5000, 1e9)
    assert (store.peer_count, store.swarm_count) == (20, 11)
    assert store.counts(TORRENT) == ScrapeEntry(3, 7, 1, 6)
    assert store.peer_ids(TORRENT, [peer(4)]) == [b"\4" * 20]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_file_of_the_old_form_which_knew_no_partial_seeds_is_taken_up(tmp_path: Path) -> None:
    row = struct.pack("<BII", 6, 2, 1) + peer(1) + peer(2) + b"i" * 40 + struct.pack("<II", 5, 9)
    raw = b"swarm tracker 1\n" + struct.pack("<q", 10**9) + struct.pack("<20sQB", TORRENT, 3, 1) + row
    (tmp_path / "state").write_bytes(raw + struct.pack("<I", zlib.crc32(raw)))
    store = made()
    assert load(store, tmp_path / "state", 5000, 1e9)
    assert store.counts(TORRENT) == ScrapeEntry(1, 1, 3, 1)


def test_a_file_of_the_form_before_which_had_ages_is_taken_up(tmp_path: Path) -> None:
    row = struct.pack("<BIII", 6, 2, 1, 2) + peer(1) + peer(2) + b"i" * 40 + struct.pack("<II", 5, 9)
    raw = b"swarm tracker 2\n" + struct.pack("<q", 10**9) + struct.pack("<20sQB", TORRENT, 3, 1) + row
    (tmp_path / "state").write_bytes(raw + struct.pack("<I", zlib.crc32(raw)))
    store = made()
    assert load(store, tmp_path / "state", 5000, 1e9 + 7)
    assert store.counts(TORRENT) == ScrapeEntry(1, 1, 3, 0)
    assert [store.seen_at(TORRENT, peer(number)) for number in (1, 2)] == [5000 - 12, 5000 - 16]


async def test_a_store_that_changes_meanwhile_is_saved_swarm_by_swarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "STEP_SWARMS", 1)
    monkeypatch.setattr(snapshot, "STEP_PAUSE_S", 0)
    store = made()
    for number in range(100):
        for port in range(3):
            store.join(bytes([number]) * 20, peer(port), b"i" * 20, DOWNLOADER, 10, 0)
    saving = asyncio.create_task(save_beside(store, tmp_path / "state", 10, 1e9))
    number = 0
    while not saving.done():
        # Ahead of the saving, behind it, and sometimes just there.
        for port in range(3):
            store.leave(bytes([number % 100]) * 20, peer(port))
            store.join(bytes([number * 7 % 256]) * 20, peer(port), b"i" * 20, SEED, 11, 0)
        number += 1
        await asyncio.sleep(0)
    await saving
    found = made()
    assert load(found, tmp_path / "state", 5000, 1e9 + 60)
    for first in range(256):
        counts = found.counts(bytes([first]) * 20)
        assert counts is None or counts.seeds + counts.leechers == 3
        # Who came after it had begun is not from the future, nor overdue.
        assert (found.seen_at(bytes([first]) * 20, peer(0)) or 4941) in (4940, 4941)
    assert found.swarm_count >= 50


async def test_a_saving_that_is_broken_off_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "STEP_PAUSE_S", 1000)
    path = tmp_path / "state"
    save(made(), path, 10, 1e9)
    before = path.read_bytes()
    saving = asyncio.create_task(save_beside(filled(), path, 10, 1e9))
    while not (tmp_path / ".state.new").exists():  # noqa: ASYNC110  # a file sets no event
        await asyncio.sleep(0)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


async def test_a_saving_that_is_broken_off_waits_for_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    syncing, may_go_on = threading.Event(), threading.Event()

    def slow_disk(_descriptor: int) -> None:
        syncing.set()
        may_go_on.wait(30)

    monkeypatch.setattr(os, "fsync", slow_disk)
    saving = asyncio.create_task(save_beside(made(), path, 10, 1e9))
    while not syncing.is_set():  # noqa: ASYNC110  # threads set no events of ours
        await asyncio.sleep(0)
    saving.cancel()
    await asyncio.sleep(0)
    # Otherwise it would put what the next saving has begun in the place of the whole file.
    assert not saving.done()
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert load(made(), path, 10, 1e9)


def test_what_a_process_that_was_ended_left_half_written_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save(filled(), path, 10, 1e9)
    (tmp_path / ".state.new").write_bytes(path.read_bytes()[:100] * 50)
    assert load(made(), path, 5000, 1e9)
    save(made(), path, 10, 1e9)
    store = made()
    assert load(store, path, 5000, 1e9) and not store.swarm_count
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_nothing_is_written_through_a_link_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".state.new").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError):
        save(filled(), tmp_path / "state", 10, 1e9)
    assert (tmp_path / "precious").read_text() == "mine"


def test_it_may_take_the_longer_the_more_there_is(tmp_path: Path) -> None:
    assert patience_s(made()) == 0 < patience_s(filled()) < 0.01


def test_the_time_between_counts(tmp_path: Path) -> None:
    save(filled(), tmp_path / "state", 10, 1e9)
    store = made()
    load(store, tmp_path / "state", 5000, 1e9 + LIFE_S - 4)
    store.expire(5000)
    # Those seen at 6 and later are 4 + 96 seconds old or younger.
    assert store.counts(TORRENT) == ScrapeEntry(0, 4, 1, 4)


def test_a_clock_set_back_makes_nobody_younger(tmp_path: Path) -> None:
    save(filled(), tmp_path / "state", 100, 1e9)
    store = made()
    load(store, tmp_path / "state", 5000, 0)
    assert store.expire(5000 + 8) == 16


def test_a_machine_that_was_started_anew_makes_nobody_younger(tmp_path: Path) -> None:
    # Its clock begins at zero, after all that was seen before.
    save(filled(), tmp_path / "state", 10, 1e9)
    store = made()
    load(store, tmp_path / "state", 3, 1e9 + LIFE_S - 14)
    assert store.seen_at(TORRENT, peer(9)) == 3 - LIFE_S + 13
    store.expire(3 + 10)
    assert store.counts(TORRENT) == ScrapeEntry(0, 4, 1, 4)


def test_who_is_overdue_does_not_come_back(tmp_path: Path) -> None:
    save(filled(), tmp_path / "state", 10, 1e9)
    for now in (3, 5000):
        store = made()
        load(store, tmp_path / "state", now, 2e9)
        assert not store.peer_count and store.counts(TORRENT) == ScrapeEntry(0, 0, 1, 0)


def test_no_file_is_no_error(tmp_path: Path) -> None:
    assert not load(made(), tmp_path / "none", 0, 0)


def test_what_does_not_fit_is_left_out(tmp_path: Path) -> None:
    save(filled(), tmp_path / "state", 10, 1e9)
    store = made(peers_max=4)
    assert load(store, tmp_path / "state", 5000, 1e9)
    assert store.peer_count == 4


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not be saved"):
        save(made(), tmp_path / "none" / "state", 0, 0)
    with pytest.raises(StorageError):
        load(made(), tmp_path, 0, 0)


def test_a_pipe_is_refused_and_nobody_waits_for_its_other_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(StorageError, match="is no regular file"):
        load(made(), path, 0, 0)
    assert path.is_fifo()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_found_out_before_any_of_it_is_believed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    save(filled(), path, 10, 1e9)
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    path.write_bytes(raw)
    store = made()
    with pytest.raises(StorageError, match="damaged"):
        load(store, path, 0, 0)
    assert store.peer_count == 0


@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(b"swarm tracker 1\n" + raw)
    with pytest.raises(StorageError):
        load(made(), path, 0, 0)
