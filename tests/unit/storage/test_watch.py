"""`storage.watch`: what is our own writing, and what is somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

from swarm.storage.watch import Watch


def test_a_look_from_the_midst_of_our_own_write_is_not_taken_for_the_last(tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(bytes(10))
    changed: list[int] = []
    watch = Watch(changed.append)
    assert watch.writing(0, path.stat())
    generation = watch.generation(0)
    # The reader looks while we write, and is heard only after we have ended.
    midst = path.stat()
    os.utime(path, ns=(1, 1))
    watch.written(0, path.stat(), 10)
    assert watch.was_read(0, midst, generation)
    assert watch.was_read(0, path.stat(), watch.generation(0))
    assert changed == []


def test_a_change_after_our_last_write_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(bytes(10))
    changed: list[int] = []
    watch = Watch(changed.append)
    assert watch.writing(0, path.stat())
    watch.written(0, path.stat(), 10)
    assert watch.was_read(0, path.stat(), watch.generation(0))
    os.utime(path, ns=(1, 1))
    assert not watch.was_read(0, path.stat(), watch.generation(0))
    assert changed == [0]
