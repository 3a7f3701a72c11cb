"""A clock that somebody sets back or forward must not matter: only dates for others are read from it."""

from __future__ import annotations

import ast
from pathlib import Path

import swarm

ROOT = Path(swarm.__file__).parent

#: Who may ask what day it is, and why.
DATES = {
    "cli/mktorrent.py": "creation date",
    "cli/seed.py": "creation date",
    "session/keeping/keeping.py": "when a record was saved, to be compared with file times",
    "storage/sealed.py": "the name of a broken file that was set aside",
    "tracker/server.py": "a snapshot outlives the process and its monotonic clock",
}
#: Of the modules `time` and `datetime`: what moves when the clock is set.
_WALL = {"time", "time_ns", "localtime", "gmtime", "now", "utcnow", "today"}


def wall_clock_readers(source: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in _WALL
        and isinstance(node.value, ast.Name)
        and node.value.id in ("time", "datetime", "date")
        for node in ast.walk(ast.parse(source))
    )


def test_wall_clock_is_read_for_dates_alone() -> None:
    readers = {
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if wall_clock_readers(path.read_text())
    }
    assert readers == set(DATES)


def test_readers_are_found() -> None:
    assert wall_clock_readers("import time\nprint(time.time())")
    assert wall_clock_readers("from datetime import datetime\nx = datetime.now()")
    assert not wall_clock_readers("import time\nprint(time.monotonic())")
