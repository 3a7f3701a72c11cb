"""Short forms of tools/torture: minutes of harm in seconds; the figures of the long ones are in docs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "torture"


@pytest.fixture
def can_mount(tmp_path: Path) -> None:
    """Skip where no file system may be mounted; in CI that is a failure."""
    tried = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], capture_output=True, check=False)
    if tried.returncode == 0:
        subprocess.run(["umount", str(tmp_path)], check=True)
    elif os.environ.get("CI") == "true":
        pytest.fail("mounting a small disk needs root")
    else:
        pytest.skip("mounting a small disk needs root")


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


def test_a_crowd_that_comes_and_goes_leaves_nothing_behind() -> None:
    # Seconds tell little of memory: the cache of 16 MiB is still filling when they begin to count.
    report = torture("soak", "--minutes", "0.2", "--connections", "100", "--size", "16M", "--growth", "2")
    assert report["wrong"] == []
    # They come and go all the time: not all are there at the instant that is counted.
    assert report["connections_peak"] >= 90
    assert report["blocks_verified"] > 0


def test_a_full_disk_and_a_deleted_file_are_overcome(can_mount: None) -> None:
    report = torture("disk", "--rounds", "2")
    assert report["rounds"] == {"full": 1, "deleted": 1}
    assert report["paused_s"] > 0


def test_download_completes_beside_attackers() -> None:
    report = torture("hostile", "--pairs", "1", "--size", "8M", "--attackers", "20", "--keep", "0")
    # Rates are not asserted here: that is what the tool is for, on a quiet machine.
    assert report["attacked"][0]["ended"], "nobody attacked"
