"""Content spread over files: what lies where, what is never touched, and what an attacker cannot reach."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from swarm.base.errors import StorageError
from swarm.storage.descriptors import open_below
from swarm.storage.files import ABSENT
from swarm.storage.vectors import write_all
from tests.unit.storage.layouts import content_of, files_of, layout_of, read_bytes, write_pieces

PIECE = 16384


def open_descriptors(folder: Path) -> int:
    """How many descriptors of this process lead into `folder`."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        count += target.startswith(str(folder))
    return count


def test_piece_over_several_files_lands_in_each(tmp_path: Path) -> None:
    layout = layout_of(("a", 10), ("empty", 0), ("deep/er/b", 20_000), ("c", 5))
    content = content_of(layout)
    files = files_of(tmp_path, layout)
    write_pieces(files, content, [0, 1], PIECE)
    assert (tmp_path / "content/a").read_bytes() == content[:10]
    assert (tmp_path / "content/deep/er/b").read_bytes() == content[10:20_010]
    assert (tmp_path / "content/c").read_bytes() == content[20_010:]
    assert read_bytes(files, 0, len(content)) == content
    files.close()


def test_many_buffers_are_scattered_over_file_borders(tmp_path: Path) -> None:
    layout = layout_of(("a", 1500), ("b", 3000), ("c", 1))
    content = content_of(layout)
    files = files_of(tmp_path, layout)
    # More than the system takes at a time (1,024), of a size that fits no file.
    files.write(0, [memoryview(content[at : at + 2]) for at in range(0, len(content), 2)])
    views = [memoryview(bytearray(3)) for _ in range(len(content) // 3)]
    files.read(0, views)
    assert b"".join(views) == content[: 3 * len(views)]
    files.close()


def test_pad_files_read_as_zeros_and_are_never_written(tmp_path: Path) -> None:
    layout = layout_of(("a", 10), (".pad/16374", 16374), ("b", 10))
    content = content_of(layout)
    files = files_of(tmp_path, layout)
    write_pieces(files, content, [0, 1], PIECE)
    assert read_bytes(files, 0, len(content)) == content
    assert sorted(path.name for path in (tmp_path / "content").iterdir()) == ["a", "b"]
    files.close()


def test_empty_files_are_created_where_wanted(tmp_path: Path) -> None:
    layout = layout_of(("sub/empty", 0), ("unwanted", 0), ("a", 1))
    files = files_of(tmp_path, layout, unwanted=frozenset({1}))
    files.create_empty()
    assert (tmp_path / "content/sub/empty").read_bytes() == b""
    assert not (tmp_path / "content/unwanted").exists()
    files.close()


def test_empty_file_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "content").write_text("in the way")
    files = files_of(tmp_path, layout_of(("empty", 0), ("a", 1)))
    with pytest.raises(StorageError, match="content/empty"):
        files.create_empty()
    files.close()


def test_open_descriptors_stay_within_the_bound(tmp_path: Path) -> None:
    layout = layout_of(*((f"{number % 10}/{number}", 100) for number in range(1000)))
    content = content_of(layout)
    files = files_of(tmp_path, layout, open_max=7)
    most = 0
    for at in range(0, len(content), 1000):
        files.write(at, [memoryview(content[at : at + 1000])])
        most = max(most, open_descriptors(tmp_path))
    assert read_bytes(files, 0, len(content)) == content
    assert most <= 7
    files.close()
    assert open_descriptors(tmp_path) == 0


def test_threads_share_files_under_a_small_bound(tmp_path: Path) -> None:
    layout = layout_of(*((str(number), 777) for number in range(40)))
    content = content_of(layout)
    files = files_of(tmp_path, layout, open_max=3)
    wrong: list[object] = []

    def work(first: int) -> None:
        try:
            for at in range(first * 100, len(content), 400):
                size = min(100, len(content) - at)
                files.write(at, [memoryview(content[at : at + size])])
                if read_bytes(files, at, size) != content[at : at + size]:
                    wrong.append(at)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert read_bytes(files, 0, len(content)) == content
    assert open_descriptors(tmp_path) <= 3
    files.close()
    assert open_descriptors(tmp_path) == 0


# -- files that are not selected ----------------------------------------------------------------

THREE = (("a", 20_000), ("b", 30_000), ("c", 20_000))


def test_unselected_file_is_never_created_and_its_border_bytes_are_kept_apart(tmp_path: Path) -> None:
    layout = layout_of(*THREE)
    content = content_of(layout)
    files = files_of(tmp_path, layout, unwanted=frozenset({1}))
    write_pieces(files, content, [0, 1, 3, 4], PIECE)
    assert not (tmp_path / "content/b").exists()
    assert (tmp_path / ".content.part").exists()
    # The pieces at the borders can be served like any other.
    for piece in (0, 1, 3, 4):
        expected = content[piece * PIECE : (piece + 1) * PIECE]
        assert read_bytes(files, piece * PIECE, len(expected)) == expected
    files.close()


def test_file_selected_in_a_later_run_gets_its_bytes_from_the_part_file(tmp_path: Path) -> None:
    layout = layout_of(*THREE)
    content = content_of(layout)
    first = files_of(tmp_path, layout, unwanted=frozenset({1}))
    write_pieces(first, content, [0, 1, 3, 4], PIECE)
    first.close()
    second = files_of(tmp_path, layout)
    second.take_from_part()
    for piece in (0, 1, 3, 4):
        expected = content[piece * PIECE : (piece + 1) * PIECE]
        assert read_bytes(second, piece * PIECE, len(expected)) == expected
    write_pieces(second, content, [2], PIECE)
    assert (tmp_path / "content/b").read_bytes() == content[20_000:50_000]
    second.remove_part_file()
    assert not (tmp_path / ".content.part").exists()
    assert read_bytes(second, 0, len(content)) == content
    second.close()


def test_file_that_exists_is_not_overwritten_from_the_part_file(tmp_path: Path) -> None:
    layout = layout_of(*THREE)
    content = content_of(layout)
    first = files_of(tmp_path, layout, unwanted=frozenset({1}))
    write_pieces(first, content, [0, 1, 3, 4], PIECE)
    first.close()
    second = files_of(tmp_path, layout)
    second.take_from_part()
    os.utime(tmp_path / "content/b", ns=(5, 5))
    second.take_from_part()
    assert (tmp_path / "content/b").stat().st_mtime_ns == 5
    second.close()


def test_file_for_which_there_was_no_room_gets_all_its_bytes_at_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(("a", 10), ("b", 3 << 20))
    content = content_of(layout)
    first = files_of(tmp_path, layout, unwanted=frozenset({1}))
    first.write(0, [memoryview(content)])
    first.close()
    writes = 0

    def write_some(descriptor: int, views: Sequence[memoryview], offset: int) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_all(descriptor, views, offset)

    monkeypatch.setattr("swarm.storage.files.write_all", write_some)
    second = files_of(tmp_path, layout)
    with pytest.raises(StorageError, match="the disk is full"):
        second.take_from_part()
    second.take_from_part()
    assert read_bytes(second, 0, len(content)) == content
    second.close()


def test_link_that_leads_nowhere_is_not_taken_for_our_own_half(tmp_path: Path) -> None:
    layout = layout_of(("a", 10), ("b", 10))
    first = files_of(tmp_path, layout, unwanted=frozenset({1}))
    first.write(0, [memoryview(content_of(layout))])
    first.close()
    link = tmp_path / "content/b"
    link.symlink_to(tmp_path / "nowhere")
    second = files_of(tmp_path, layout)
    with pytest.raises(StorageError, match="a symbolic link stands in the way"):
        second.take_from_part()
    assert link.is_symlink()
    second.close()


def test_signature_of_an_unselected_file_is_that_of_the_part_file(tmp_path: Path) -> None:
    layout = layout_of(*THREE)
    files = files_of(tmp_path, layout, unwanted=frozenset({1}))
    assert files.signature() == [(-1, 0)] * 3
    write_pieces(files, content_of(layout), [0, 1], PIECE)
    status = (tmp_path / ".content.part").stat()
    assert files.signature()[1] == (status.st_size, status.st_mtime_ns)
    files.close()


# -- links ----------------------------------------------------------------------------------------


def test_folder_link_planted_below_the_download_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "content").mkdir()
    (tmp_path / "content/sub").symlink_to(outside)
    files = files_of(tmp_path, layout_of(("sub/a", 10), ("b", 10)))
    with pytest.raises(StorageError, match="content/sub/a"):
        files.write(0, [memoryview(bytes(20))])
    assert list(outside.iterdir()) == []
    files.close()


def test_file_link_planted_below_the_download_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"precious")
    (tmp_path / "content").mkdir()
    (tmp_path / "content/a").symlink_to(secret)
    files = files_of(tmp_path, layout_of(("a", 8), ("b", 10)))
    with pytest.raises(StorageError, match="symbolic link"):
        files.write(0, [memoryview(b"ATTACKED")])
    with pytest.raises(StorageError, match="symbolic link"):
        read_bytes(files, 0, 8)
    with pytest.raises(StorageError, match="symbolic link"):
        files.data_ranges()
    assert secret.read_bytes() == b"precious"
    files.close()


def test_link_in_place_of_the_part_file_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"precious")
    (tmp_path / ".content.part").symlink_to(secret)
    files = files_of(tmp_path, layout_of(("a", 10), ("b", 10)), unwanted=frozenset({0}))
    with pytest.raises(StorageError):
        files.write(0, [memoryview(bytes(20))])
    assert secret.read_bytes() == b"precious"
    files.close()


def test_pipe_in_place_of_a_file_is_an_error_not_a_hang(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    os.mkfifo(tmp_path / "content/a")
    files = files_of(tmp_path, layout_of(("a", 10), ("b", 1)))
    with pytest.raises(StorageError):
        files.write(0, [memoryview(bytes(10))])
    files.close()


def test_pipe_in_place_of_a_file_of_the_users_own_is_an_error_too(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    os.mkfifo(tmp_path / "content/a")
    files = files_of(tmp_path, layout_of(("a", 10)), is_reading_only=True)
    with pytest.raises(StorageError):
        read_bytes(files, 0, 10)
    files.close()


def test_links_in_content_of_the_users_own_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"0123456789")
    (tmp_path / "content").mkdir()
    (tmp_path / "content/a").symlink_to(tmp_path / "elsewhere")
    files = files_of(tmp_path, layout_of(("a", 10)), is_reading_only=True)
    assert read_bytes(files, 0, 10) == b"0123456789"
    files.close()


# -- damage, space --------------------------------------------------------------------------------


def test_truncated_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    layout = layout_of(("a", 1000), ("b", 1000))
    files = files_of(tmp_path, layout)
    files.write(0, [memoryview(content_of(layout))])
    os.truncate(tmp_path / "content/a", 500)
    with pytest.raises(StorageError, match=r"content/a: it is shorter"):
        read_bytes(files, 0, 1000)
    files.close()


def test_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    files = files_of(tmp_path, layout_of(("a", 10)))
    with pytest.raises(StorageError, match=r"content/a: no such file") as caught:
        read_bytes(files, 0, 10)
    assert caught.value.path == str(tmp_path / "content/a")
    files.close()


def test_files_are_sparse_unless_told_otherwise(tmp_path: Path) -> None:
    files = files_of(tmp_path, layout_of(("a", 8 << 20)))
    files.write((8 << 20) - 1, [memoryview(b"x")])
    status = (tmp_path / "content/a").stat()
    assert status.st_size == 8 << 20
    assert status.st_blocks * 512 < 1 << 20
    files.close()


def test_allocating_reserves_the_whole_file_at_its_first_byte(tmp_path: Path) -> None:
    files = files_of(tmp_path, layout_of(("a", 8 << 20), ("b", 10)), is_allocating=True)
    files.write(0, [memoryview(b"x")])
    status = (tmp_path / "content/a").stat()
    assert status.st_size == 8 << 20
    assert status.st_blocks * 512 >= 8 << 20
    assert not (tmp_path / "content/b").exists()
    files.close()


def test_allocating_what_an_earlier_run_began_is_no_change_by_somebody_else(tmp_path: Path) -> None:
    layout = layout_of(("a", 4 * PIECE))
    files = files_of(tmp_path, layout)
    write_pieces(files, content_of(layout), [0], PIECE)
    files.close()
    changed: list[int] = []
    files = files_of(tmp_path, layout, is_allocating=True, on_changed=changed.append)
    files.settle_all()
    write_pieces(files, content_of(layout), [1], PIECE)
    assert (tmp_path / "content/a").stat().st_size == 4 * PIECE
    assert changed == []
    files.close()


def test_data_ranges_leave_out_what_was_never_written(tmp_path: Path) -> None:
    layout = layout_of(("a", 1 << 20), ("b", 1 << 20), ("missing", 5))
    files = files_of(tmp_path, layout)
    files.write(512 << 10, [memoryview(b"x" * (64 << 10))])
    files.write(1 << 20, [memoryview(b"y" * (1 << 20))])
    assert files.data_ranges() == [(512 << 10, 576 << 10), (1 << 20, 2 << 20)]
    files.close()


def test_syncing_creates_nothing_that_was_deleted_meanwhile(tmp_path: Path) -> None:
    layout = layout_of(("a", 10), ("b", 10))
    files = files_of(tmp_path, layout, open_max=1)
    files.write(0, [memoryview(content_of(layout))])
    (tmp_path / "content/a").unlink()
    files.sync()
    assert not (tmp_path / "content/a").exists()
    files.close()


def test_closed_files_are_not_opened_again_by_a_late_job(tmp_path: Path) -> None:
    layout = layout_of(("a", 10))
    files = files_of(tmp_path, layout)
    files.write(0, [memoryview(content_of(layout))])
    files.close()
    with pytest.raises(StorageError):
        read_bytes(files, 0, 10)
    assert open_descriptors(tmp_path) == 0


def test_sync_closes_other_files_where_descriptors_are_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(("a", PIECE), ("b", PIECE))
    files = files_of(tmp_path, layout, open_max=1)
    write_pieces(files, content_of(layout), [0, 1], PIECE)

    def open_if_none_is(top: Path, parts: Sequence[str], *, is_writable: bool) -> int:
        if open_descriptors(tmp_path):
            raise OSError(errno.EMFILE, "Too many open files")
        return open_below(top, parts, is_writable=is_writable)

    monkeypatch.setattr("swarm.storage.files.open_below", open_if_none_is)
    files.sync()
    files.close()


@pytest.fixture
def closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that we may not look into, whoever runs the tests."""
    look, folder = os.stat, tmp_path / "closed"
    folder.mkdir()

    def look_if_allowed(path: Any, *arguments: Any, **keywords: Any) -> os.stat_result:
        if isinstance(path, (str, os.PathLike)) and str(path).startswith(f"{folder}/"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, *arguments, **keywords)

    monkeypatch.setattr(os, "stat", look_if_allowed)
    return folder


def test_folder_that_is_closed_to_us_is_an_error_of_storage_alone(closed_folder: Path) -> None:
    layout = layout_of(("a", PIECE), ("b", PIECE))
    files = files_of(closed_folder, layout, unwanted=frozenset({1}))
    files.take_from_part()
    assert files.signature() == [ABSENT, ABSENT]
    files.close()


def test_content_of_the_users_own_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(("a", 1), ("b", 1), ("c", 1))
    files = files_of(tmp_path, layout, is_reading_only=True)
    (tmp_path / "content").mkdir()
    for name in "ab":
        (tmp_path / "content" / name).write_bytes(b"x")
    files.check_readable()
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("b"))
    with pytest.raises(StorageError, match="b: permission denied"):
        files.check_readable()
    files.close()
