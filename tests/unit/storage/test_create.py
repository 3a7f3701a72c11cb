"""Torrents of files and folders on a real disk."""

from __future__ import annotations

import hashlib
import os
import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarm.base.errors import MetainfoError, StorageError, SwarmError
from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.torrent import Metainfo
from swarm.storage import create as creating
from swarm.storage.create import create, create_torrent
from swarm.storage.source_files import SourceFile, find_files, own_name

PIECE = 32768
OPTIONS = TorrentOptions(piece_length=PIECE)


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def expected_hashes(data: bytes, piece_length: int = PIECE) -> bytes:
    return b"".join(
        hashlib.sha1(data[at : at + piece_length]).digest() for at in range(0, len(data), piece_length)
    )


def fill(folder: Path, files: dict[str, int]) -> bytes:
    """Write files of these sizes; return their content in the order of a torrent."""
    for name, size in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(size))
    return b"".join(
        content(size) for _, size in sorted((name.encode(), size) for name, size in files.items())
    )


def names(folder: Path, exclude: Sequence[str] = ()) -> list[str]:
    return [os.fsdecode(file.name) for file in find_files(os.fsencode(folder), exclude=exclude)]


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE, 3_000_000])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_single_file_of_any_size_is_hashed(tmp_path: Path, size: int, threads: int) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(content(size))
    torrent = Metainfo.parse(create_torrent(path, OPTIONS, threads=threads))
    assert torrent.name == "data.bin"
    assert not torrent.is_multi_file
    assert torrent.total_bytes == size
    assert torrent.piece_hashes == expected_hashes(content(size))


@pytest.mark.parametrize("piece_length", [16384, 262144, 1 << 20, 1 << 21, 1 << 23])
def test_pieces_of_any_length_are_hashed(tmp_path: Path, piece_length: int) -> None:
    whole = fill(tmp_path, {"a": 5_000_000, "b": 1, "c": 0, "d": 5_000_001})
    torrent = Metainfo.parse(create_torrent(tmp_path, TorrentOptions(piece_length=piece_length), threads=3))
    assert torrent.piece_hashes == expected_hashes(whole, piece_length)


def test_many_small_files_are_hashed_across_their_borders(tmp_path: Path) -> None:
    whole = fill(tmp_path, {f"d{number % 7}/f{number}": number * 37 % 5000 for number in range(500)})
    made = create(tmp_path, OPTIONS, threads=2)
    torrent = Metainfo.parse(made.raw)
    assert torrent.piece_hashes == expected_hashes(whole)
    assert len(torrent.files) == made.file_count == 500
    assert hashlib.sha1(made.info_bytes).digest() == torrent.info_hash


def test_piece_length_suits_the_size_where_none_is_given(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    assert Metainfo.parse(create_torrent(path, TorrentOptions())).geometry.piece_length == 65536


def test_files_come_in_the_order_of_their_whole_paths(tmp_path: Path) -> None:
    fill(tmp_path, dict.fromkeys(["a/z", "a-b/x", "a.txt", "B", "b/c/d", ".hidden/x", "ä", "z", "empty"], 1))
    assert names(tmp_path) == [".hidden/x", "B", "a-b/x", "a.txt", "a/z", "b/c/d", "empty", "z", "ä"]


def test_links_are_followed_and_what_is_no_file_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    fill(folder, {"real": 5})
    fill(tmp_path, {"outside/x": 7})
    (folder / "file-link").symlink_to("real")
    (folder / "folder-link").symlink_to("../outside")
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        assert names(folder) == ["file-link", "folder-link/x", "real"]


def test_links_that_lead_nowhere_or_in_circles_are_named(tmp_path: Path) -> None:
    fill(tmp_path, {"a/real": 5})
    (tmp_path / "a" / "circle").symlink_to("..")
    with pytest.raises(StorageError, match=r"circle.*in a circle"):
        names(tmp_path)
    (tmp_path / "a" / "circle").unlink()
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(StorageError, match=r"dangling: a link that leads nowhere$"):
        names(tmp_path)


def test_globs_leave_out_files_and_folders(tmp_path: Path) -> None:
    fill(tmp_path, dict.fromkeys(["a.tmp", "b.txt", "d/a.tmp", "d/c.txt", ".git/config", "e/f.txt"], 1))
    assert names(tmp_path, exclude=["*.tmp", ".git", "e/f*"]) == ["b.txt", "d/c.txt"]


def test_output_within_the_folder_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 1, "out.torrent": 2})
    found = find_files(os.fsencode(tmp_path), omit=str(tmp_path / "out.torrent"))
    assert [file.name for file in found] == [b"a"]


def test_names_that_are_not_text_go_out_as_their_bytes(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(path)).write_bytes(b"x")
    made = create(path, OPTIONS)
    assert b"4:name4:caf\xe9" in made.info_bytes
    assert len(made.warnings) == 1


def test_names_that_a_download_would_change_are_told(tmp_path: Path) -> None:
    fill(tmp_path, {"plain": 1})
    assert create(tmp_path, OPTIONS).warnings == []
    fill(tmp_path, {"back\\slash": 1, "PLAIN": 1})
    fill(tmp_path, {"tab\t": 1})
    changed, alike = create(tmp_path, OPTIONS).warnings
    assert changed == (
        r"there are 2 names with characters that downloads leave out or replace: 'back\\slash'"
    )
    assert alike == "there is a name like others but for case, which downloads number: 'plain'"


def test_what_seeding_would_not_find_is_an_error_before_it_is_hashed(tmp_path: Path) -> None:
    fill(tmp_path, {"plain": 1, "PLAIN": 1, "back\\slash": 1})
    (tmp_path / "latin\udce9").write_bytes(b"x")
    with pytest.raises(SwarmError, match="there is a name that a torrent cannot keep"):
        create(tmp_path, OPTIONS, is_to_be_seeded=True, progress=lambda *_: pytest.fail("hashed"))
    # The name of a single file is given where it is seeded.
    assert create(tmp_path / "latin\udce9", OPTIONS, is_to_be_seeded=True).file_count == 1
    (tmp_path / "latin\udce9").unlink()
    assert create(tmp_path, OPTIONS, is_to_be_seeded=True).file_count == 3


@pytest.mark.parametrize(
    ("target", "name"), [(b"a/b", b"b"), (b"a/b///", b"b"), (b"b", b"b"), (b"/", b"root"), (b"a/.b", b".b")]
)
def test_name_is_the_last_part(target: bytes, name: bytes) -> None:
    assert own_name(target) == name


def test_name_of_here_and_above_is_that_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert own_name(b".") == b"here"
    assert own_name(b"below/..") == b"here"


def test_nothing_to_share_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no file in it"):
        create_torrent(tmp_path, OPTIONS)
    with pytest.raises(StorageError, match="missing"):
        create_torrent(tmp_path / "missing", OPTIONS)
    with pytest.raises(StorageError, match="neither a file nor a folder"):
        create_torrent("/dev/null", OPTIONS)


def test_too_many_pieces_are_refused_before_hashing(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**36)
    with pytest.raises(MetainfoError, match="greater piece length"):
        create_torrent(path, TorrentOptions(piece_length=16384))


@contextmanager
def found_earlier(monkeypatch: pytest.MonkeyPatch, found: list[SourceFile]) -> Iterator[None]:
    """What `create` finds is `found`: so it was when it looked, and then came the change."""
    with monkeypatch.context() as patch:
        patch.setattr(creating, "find_files", lambda *_args, **_kwargs: found)
        yield


@pytest.mark.parametrize("size", [1000, 5_000_000])
@pytest.mark.parametrize("change", ["grow", "shrink", "vanish", "empty"])
def test_file_that_changes_meanwhile_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, change: str
) -> None:
    fill(tmp_path, {"a": 10, "victim": size, "z": 10})
    found = find_files(os.fsencode(tmp_path))
    victim = tmp_path / "victim"
    if change == "vanish":
        victim.unlink()
    else:
        os.truncate(victim, {"grow": size + 1, "shrink": size - 1, "empty": 0}[change])
    with found_earlier(monkeypatch, found), pytest.raises(StorageError, match="victim") as caught:
        create_torrent(tmp_path, OPTIONS)
    assert caught.value.path == str(victim)


def test_large_file_written_to_meanwhile_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"victim": 5_000_000})
    found = find_files(os.fsencode(tmp_path))
    os.utime(tmp_path / "victim", ns=(1, 1))
    with (
        found_earlier(monkeypatch, found),
        pytest.raises(StorageError, match="victim: changed while it was hashed"),
    ):
        create_torrent(tmp_path, OPTIONS)


def test_large_file_deleted_while_it_is_open_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, {"victim": 5_000_000})
    victim = tmp_path / "victim"
    opened = os.open

    def open_then_delete(path: bytes, flags: int) -> int:
        descriptor = opened(path, flags)
        victim.unlink(missing_ok=True)
        return descriptor

    monkeypatch.setattr(os, "open", open_then_delete)
    with pytest.raises(StorageError, match="victim: vanished"):
        create_torrent(victim, OPTIONS, threads=1)


def test_short_reads_are_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fill(tmp_path, {"a": 1000, "b": 2000, "c": 100_000})
    readv, preadv = os.readv, os.preadv
    monkeypatch.setattr(os, "readv", lambda descriptor, buffers: readv(descriptor, [buffers[0][:7]]))
    monkeypatch.setattr(
        os,
        "preadv",
        lambda descriptor, buffers, offset: preadv(descriptor, [buffers[0][:999]], offset),
    )
    assert Metainfo.parse(create_torrent(tmp_path, OPTIONS)).piece_hashes == expected_hashes(whole)


def test_progress_reaches_the_end_and_its_exception_ends_the_work(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(content(3_000_000))
    seen: list[tuple[int, int]] = []
    create_torrent(path, OPTIONS, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3_000_000, 3_000_000)

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_torrent(path, OPTIONS, progress=interrupt)


def test_no_descriptor_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"a": 1000, "b": 5_000_000, "c": 1000})
    before = sorted(os.listdir("/proc/self/fd"))
    create_torrent(tmp_path, OPTIONS, threads=3)
    found = find_files(os.fsencode(tmp_path))
    os.truncate(tmp_path / "b", 10)
    with found_earlier(monkeypatch, found), pytest.raises(StorageError):
        create_torrent(tmp_path, OPTIONS, threads=3)
    assert sorted(os.listdir("/proc/self/fd")) == before
