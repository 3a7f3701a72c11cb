"""One download in one place: the lock that keeps a second process off, and goes with its owner."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.base.errors import SwarmError
from swarm.storage.lock import ProcessLock, word_of_owner


def test_second_owner_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first = ProcessLock(tmp_path / "state/x.lock", "/data/x is taken")
    second = ProcessLock(tmp_path / "state/x.lock", "/data/x is taken")
    first.acquire()
    with pytest.raises(SwarmError, match=r"^/data/x is taken$"):
        second.acquire()
    first.release()
    assert list((tmp_path / "state").iterdir()) == []
    second.acquire()
    second.release()


def test_word_of_the_owner_is_read_as_long_as_it_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert word_of_owner(path) == b""
    path.write_bytes(b"of one that has died with it")
    assert word_of_owner(path) == b""
    lock = ProcessLock(path, "x")
    lock.acquire(b"mine")
    assert word_of_owner(path) == b"mine"
    lock.release()
    assert word_of_owner(path) == b""


def test_releasing_what_is_not_held_takes_nothing_from_the_owner(tmp_path: Path) -> None:
    first = ProcessLock(tmp_path / "x.lock", "x")
    second = ProcessLock(tmp_path / "x.lock", "x")
    first.acquire()
    second.release()
    assert (tmp_path / "x.lock").exists()
    with pytest.raises(SwarmError):
        second.acquire()
    first.release()
    first.release()


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = f"""
import pathlib, signal
from swarm.storage.lock import ProcessLock
ProcessLock(pathlib.Path({str(tmp_path / "x.lock")!r}), "x").acquire()
print("held", flush=True)
signal.pause()
"""
    lock = ProcessLock(tmp_path / "x.lock", "x")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(SwarmError):
            lock.acquire()
        child.send_signal(signal.SIGKILL)
    lock.acquire()
    lock.release()


def test_folder_that_cannot_hold_a_lock_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(OSError, match="state"):
        ProcessLock(tmp_path / "state/x.lock", "x").acquire()
