"""What every attack here must leave as it was: the memory of the process under attack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

#: Content (of 24 MiB, read and hashed), sockets and the attackers themselves share the process with the
#: attacked; a flood that is kept would take hundreds of MiB.
GROWTH_MAX_BYTES = 96 << 20


@pytest.fixture(autouse=True)
def memory_stays_bounded() -> Iterator[None]:
    """Fail where the process was ever larger than it was before, by more than so much."""
    before = psutil.Process().memory_info().rss
    # Linux: forget the peak so far.
    Path(f"/proc/{os.getpid()}/clear_refs").write_text("5")
    yield
    status = Path(f"/proc/{os.getpid()}/status").read_text()
    peak = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak - before < GROWTH_MAX_BYTES, f"it grew by {(peak - before) >> 20} MiB"
