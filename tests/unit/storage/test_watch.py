"""`storage.watch`: what is our own writing, and what is somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarm.storage.watch import Watch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of ten bytes."""
    path = tmp_path / "content"
    path.write_bytes(bytes(10))
    return path


@pytest.fixture
def changed() -> list[int]:
    """Of which files the watch says that somebody else has changed them."""
    return []


@pytest.fixture
def watch(changed: list[int]) -> Watch:
    return Watch(changed.append)


def test_a_look_from_the_midst_of_our_own_write_is_not_taken_for_the_last(
    path: Path, watch: Watch, changed: list[int]
) -> None:
    assert watch.writing(0, path.stat(), watch.generation(0))
    generation = watch.generation(0)
    # The reader looks while we write, and is heard only after we have ended.
    midst = path.stat()
    os.utime(path, ns=(1, 1))
    watch.written(0, path.stat(), 10)
    assert watch.was_read(0, midst, generation)
    assert watch.was_read(0, path.stat(), watch.generation(0))
    assert changed == []


def test_a_change_after_our_last_write_is_noticed(path: Path, watch: Watch, changed: list[int]) -> None:
    assert watch.writing(0, path.stat(), watch.generation(0))
    watch.written(0, path.stat(), 10)
    assert watch.was_read(0, path.stat(), watch.generation(0))
    os.utime(path, ns=(1, 1))
    assert not watch.was_read(0, path.stat(), watch.generation(0))
    assert changed == [0]


def test_a_look_from_before_another_write_of_ours_is_not_taken_for_the_last(
    path: Path, watch: Watch, changed: list[int]
) -> None:
    # One thread looks, and comes to write only after another has written and a third has read.
    generation, before = watch.generation(0), path.stat()
    assert watch.writing(0, path.stat(), watch.generation(0))
    os.utime(path, ns=(1, 1))
    watch.written(0, path.stat(), 10)
    assert watch.was_read(0, path.stat(), watch.generation(0))
    assert watch.writing(0, before, generation)
    assert changed == []


def test_a_change_is_noticed_by_whoever_writes_next(path: Path, watch: Watch, changed: list[int]) -> None:
    assert watch.was_read(0, path.stat(), watch.generation(0))
    os.utime(path, ns=(1, 1))
    assert watch.writing(0, path.stat(), watch.generation(0))
    assert changed == [0]
