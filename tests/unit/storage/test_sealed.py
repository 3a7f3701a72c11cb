"""Files that notice damage; what a crash does to them is shown with the resume data."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from swarm.base.errors import StorageError
from swarm.storage import sealed

MAGIC = b"swarm test 1\n"


def test_a_sealed_body_comes_back_and_any_flipped_byte_is_noticed() -> None:
    raw = sealed.seal(MAGIC, b"body")
    assert sealed.unseal(MAGIC, raw) == b"body"
    for at in range(len(raw)):
        assert sealed.unseal(MAGIC, raw[:at]) is None
        assert sealed.unseal(MAGIC, raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]) is None


async def test_a_file_is_replaced_read_and_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    assert await sealed.read(path, 10) is None
    await sealed.replace(path, b"old")
    await sealed.replace(path, b"new and long")
    assert await sealed.read(path, 5) == b"new an"
    error = await sealed.set_aside(path, "it is broken")
    (aside,) = path.parent.iterdir()
    assert str(error) == f"{path}: it is broken; it was set aside as {aside.name}"
    assert re.fullmatch(r"file\.broken-\d{8}T\d{6}Z", aside.name)


async def test_what_was_set_aside_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for number in range(3):
        path.write_bytes(b"%d" % number)
        await sealed.set_aside(path, "it is broken")
    assert sorted(entry.read_bytes() for entry in tmp_path.iterdir()) == [b"0", b"1", b"2"]


async def test_what_cannot_be_set_aside_is_said_to_be_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"broken")

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", refuse)
    error = await sealed.set_aside(path, "it is broken")
    assert str(error) == f"{path}: it is broken, and cannot be set aside: the file system is read-only"
    assert path.read_bytes() == b"broken"


async def test_the_bytes_reach_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "bytes")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    await sealed.replace(tmp_path / "file", b"new")
    assert done == ["bytes", "name", "folder"]


async def test_a_folder_in_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="a folder stands where a file should be"):
        await sealed.read(tmp_path, 10)
    with pytest.raises(StorageError, match=str(tmp_path)):
        await sealed.replace(tmp_path, b"")
    assert list(tmp_path.iterdir()) == []
