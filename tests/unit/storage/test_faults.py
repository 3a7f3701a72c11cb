"""What is told of a folder before anything is written into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarm.base.errors import StorageError
from swarm.storage.faults import check_folder


def test_a_folder_that_takes_files_passes(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(str(tmp_path))


def test_what_is_missing_or_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(StorageError) as raised:
            check_folder(path, advice="-o names another place")
        assert str(raised.value) == f"{path}: no such folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize(
    ("advice", "reason"),
    [("", "the folder is not writable"), ("-o helps", "the folder is not writable; -o helps")],
)
def test_one_that_is_closed_to_us_comes_with_advice(tmp_path: Path, advice: str, reason: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(StorageError) as raised:
        check_folder(closed, advice=advice)
    assert str(raised.value) == f"{closed}: {reason}"
