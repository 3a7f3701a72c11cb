"""What every test may use, and the check that the big ones leave nothing behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

# No test may ask the public routers; those that need some name their own (empty means none). Set before
# anything is imported, so that every process that a test starts inherits it.
os.environ["SWARM_DHT_BOOTSTRAP"] = ""

#: Folders whose tests open real sockets and start real processes.
_CHECKED = {"e2e", "hostile", "interop"}
#: What was told to end may need a moment to be gone from the system's tables.
_GRACE_S = 2.0


def _children() -> set[str]:
    return {f"process {child.pid}" for child in psutil.Process().children(recursive=True)}


def _threads() -> set[str]:
    return {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()}


def _sockets() -> set[str]:
    return {
        f"socket {connection.laddr} -> {connection.raddr} ({connection.status}, fd {connection.fd})"
        for connection in psutil.Process().net_connections(kind="inet")
    }


_LOOKS: tuple[Callable[[], set[str]], ...] = (_children, _threads, _sockets)


def _everything() -> set[str]:
    return set().union(*(look() for look in _LOOKS))


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an e2e or interop test after which a child process, thread or internet socket is left."""
    if not _CHECKED.intersection(request.path.parts):
        yield
        return
    before = _everything()
    yield
    deadline = time.monotonic() + _GRACE_S
    while left := _everything() - before:
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + ", ".join(sorted(left)))
        gc.collect()
        time.sleep(0.02)
