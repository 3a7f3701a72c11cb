"""Short forms of tools/torture: minutes of harm in seconds; the figures of the long ones are in docs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "torture"


def torture(name: str, *options: str) -> dict[str, Any]:
    """The report of a tool that found nothing wrong."""
    done = subprocess.run(
        [sys.executable, str(TOOLS / name), *options, "--json"],
        capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_kills_lose_nothing() -> None:
    report = torture("crash", "--kills", "5", "--size", "2M", "--down", "2M", "--longest", "4")
    assert report["kills"] == 5
    assert report["wrong"] == []
