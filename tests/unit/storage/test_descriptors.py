"""Open files shared by threads: each is closed once, by whoever has it last."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from swarm.storage.descriptors import Descriptors, OpenFiles


class _TurnLock:
    """A lock after whose next release another thread gets its turn before whoever released it."""

    def __init__(self, others_turn: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._others_turn: Callable[[], None] | None = others_turn

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
        turn, self._others_turn = self._others_turn, None
        if turn is not None:
            turn()


def test_file_whose_last_user_goes_while_it_is_evicted_is_closed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "content"
    path.write_bytes(b"content")
    shared = OpenFiles(10)
    descriptors = Descriptors(lambda index, is_writable: os.open(path, os.O_RDONLY | os.O_CLOEXEC), shared)
    in_use = descriptors.opened(0, is_writable=False)
    number = in_use.__enter__()

    def last_user_goes() -> None:
        in_use.__exit__(None, None, None)
        # Its number is given to the next that is opened, here or anywhere in the process.
        assert os.open(path, os.O_RDONLY | os.O_CLOEXEC) == number

    monkeypatch.setattr(descriptors, "_lock", _TurnLock(last_user_goes))
    descriptors.evict(0)
    os.fstat(number)
    os.close(number)


def test_torrents_of_a_session_keep_so_many_files_open_together(tmp_path: Path) -> None:
    shared = OpenFiles(3)
    files = [tmp_path / str(number) for number in range(4)]
    torrents = []
    for path in files:
        path.write_bytes(b"content")
        torrents.append(Descriptors(partial(lambda path, *_: os.open(path, os.O_RDONLY), path), shared))
    with torrents[0].opened(0, is_writable=False) as used_longest_ago:
        for torrent in torrents[1:]:
            with torrent.opened(0, is_writable=False):
                pass
        assert len(shared) == 3 and 0 not in torrents[0]
        os.fstat(used_longest_ago)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(used_longest_ago)
    torrents[1].close()
    assert len(shared) == 2
    shared.release()
    assert not len(shared) and not any(0 in torrent for torrent in torrents)


def test_file_that_is_opened_too_late_is_closed_while_other_torrents_open_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = OpenFiles(10)
    close, closed = os.close, []

    def close_slowly(descriptor: int) -> None:
        assert not shared.lock.locked(), "all torrents wait for this disk"
        close(descriptor)
        closed.append(descriptor)

    def open_too_late(index: int, is_writable: bool) -> int:
        torrent.close()
        return os.open("/dev/null", os.O_RDONLY)

    torrent = Descriptors(open_too_late, shared)
    monkeypatch.setattr(os, "close", close_slowly)
    with pytest.raises(OSError, match="the torrent was stopped"):
        torrent.opened(0, is_writable=False)
    assert len(closed) == 1 and not len(shared)


@pytest.mark.parametrize(
    ("allowed", "most"), [(resource.RLIM_INFINITY, 256), (1 << 20, 256), (1024, 256), (256, 64), (1, 1)]
)
def test_connections_have_their_part_of_what_may_be_open(
    monkeypatch: pytest.MonkeyPatch, allowed: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (allowed, allowed))
    shared = OpenFiles()
    descriptors = Descriptors(lambda index, is_writable: os.open("/dev/null", os.O_RDONLY), shared)
    for index in range(most + 1):
        with descriptors.opened(index, is_writable=False):
            pass
    assert len(shared) == most
    descriptors.close()
