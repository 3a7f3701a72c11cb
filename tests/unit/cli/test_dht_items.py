"""The key of a mutable item: whoever loses it can never replace the item again."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from swarm.base.errors import StorageError
from swarm.cli import dht_items
from swarm.cli.output import Output


def test_new_key_is_on_the_disk_before_anything_is_signed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    forced: list[tuple[bool, int]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        status = os.fstat(descriptor)
        forced.append((stat.S_ISDIR(status.st_mode), path.stat().st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    seed = dht_items._secret_key(path, Output(is_quiet=True))
    # Its bytes, whole, and then its name.
    assert forced == [(False, 65), (True, 65)]
    assert path.read_text() == f"{seed.hex()}\n" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert dht_items._secret_key(path, Output(is_quiet=True)) == seed


def test_key_for_which_there_is_no_room_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="key: the disk is full"):
        dht_items._secret_key(tmp_path / "key", Output(is_quiet=True))
    # An empty one would be no key the next time.
    assert not list(tmp_path.iterdir())
