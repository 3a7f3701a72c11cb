"""Files and pipes that users name: read whole, bounded, and never waited for where nobody writes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from swarm.base.errors import StorageError
from swarm.storage import whole_file
from swarm.storage.whole_file import read_whole, read_whole_beside


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_file_is_read_up_to_one_byte_more_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    assert read_whole(path, 100)[0] == bytes(range(100))
    assert read_whole(str(path), 50)[0] == bytes(range(51))
    assert read_whole(path, 100)[1].st_size == 100


def test_pipe_that_nobody_writes_to_is_an_error(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_file, "WRITER_S", 0.05)
    with pytest.raises(StorageError, match="pipe: a pipe that nobody writes to"):
        read_whole(pipe, 100)


@pytest.mark.parametrize("comes_after_s", [0.0, 0.1])
def test_pipe_is_read_to_its_end_however_slowly_it_comes(pipe: Path, comes_after_s: float) -> None:
    def write() -> None:
        time.sleep(comes_after_s)
        with open(pipe, "wb", buffering=0) as file:
            for part in (b"", b"a", b"b" * 200_000, b"c"):
                time.sleep(0.05)
                file.write(part)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert read_whole(pipe, 1 << 20)[0] == b"a" + b"b" * 200_000 + b"c"
    finally:
        writer.join()


def test_what_a_process_substitution_gives_is_read(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"content")
    os.close(writer)
    try:
        assert read_whole(f"/dev/fd/{reader}", 100)[0] == b"content"
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/dev/null", "neither a file nor a pipe"), ("/dev", "a folder stands"), ("/nowhere", "no such file")],
)
def test_other_things_are_errors(path: str, reason: str) -> None:
    with pytest.raises(StorageError, match=f"^{path}: {reason}"):
        read_whole(path, 100)


async def test_beside_a_loop_it_is_the_same(pipe: Path, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    assert await read_whole_beside(str(path), 50) == bytes(range(51))
    writer = threading.Thread(target=pipe.write_bytes, args=(b"content",))
    writer.start()
    try:
        assert await read_whole_beside(str(pipe), 100) == b"content"
    finally:
        writer.join()
    with pytest.raises(StorageError, match="null: neither a file nor a pipe"):
        await read_whole_beside("/dev/null", 100)
