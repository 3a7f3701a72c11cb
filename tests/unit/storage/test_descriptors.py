"""Open files shared by threads: each is closed once, by whoever has it last."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from swarm.storage.descriptors import Descriptors


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
    descriptors = Descriptors(lambda index, is_writable: os.open(path, os.O_RDONLY | os.O_CLOEXEC), 10)
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
