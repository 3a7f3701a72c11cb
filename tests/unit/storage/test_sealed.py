"""Files that notice damage; what a crash does to them is shown with the resume data."""

from __future__ import annotations

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
    assert str(error) == f"{path}: it is broken; it was set aside as file.broken"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.broken"]


async def test_a_folder_in_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="a folder stands where a file should be"):
        await sealed.read(tmp_path, 10)
    with pytest.raises(StorageError, match=str(tmp_path)):
        await sealed.replace(tmp_path, b"")
    assert list(tmp_path.iterdir()) == []
