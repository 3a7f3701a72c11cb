"""docs/THREATS.md names a test for each threat: each must be there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
#: `path::test` between backquotes.
_REFERENCE = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def test_every_test_that_is_named_exists() -> None:
    text = (ROOT / "docs" / "THREATS.md").read_text()
    named = _REFERENCE.findall(text)
    assert len(named) > 100
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / "tests" / path).exists()
        or not re.search(rf"\bdef {name}\b", (ROOT / "tests" / path).read_text())
    ]
    assert missing == []


def test_every_threat_has_a_test() -> None:
    rows = [line for line in (ROOT / "docs" / "THREATS.md").read_text().splitlines() if line.startswith("| ")]
    bare = [row for row in rows if not row.startswith(("| they |", "| it |")) and not _REFERENCE.search(row)]
    assert bare == []
