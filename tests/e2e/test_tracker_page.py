"""The tracker's page in a real browser: its numbers are those of the tracker, and they move."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.e2e.test_tracker_redis import running
from tools.bench.clients.process import free_port

QUERY = "peer_id=" + "b" * 20
#: No window, no sandbox (tests may run as root), and nothing said to anybody but the tracker.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None and "CI" not in os.environ, reason="chromium is not installed"
)


def seen_in_browser(url: str, profile: Path) -> dict[str, str]:
    """What stands in the page's cells, by their ids, once the browser has laid it out."""
    done = subprocess.run(
        ["chromium", *FLAGS, f"--user-data-dir={profile}", "--dump-dom", url],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    assert 'http-equiv="refresh"' in done.stdout
    return dict(re.findall(r'<td id="(\w+)">([^<]*)</td>', done.stdout))


def test_the_page_shows_what_the_tracker_counts(tmp_path: Path) -> None:
    with running("memory", "--stats", f"127.0.0.1:{free_port()}") as (_, first):

        def announce(torrent: str, port: int, left: int) -> None:
            with urlopen(
                f"{first['http']}?info_hash={torrent * 20}&{QUERY}&port={port}&left={left}", timeout=30
            ) as answer:
                assert answer.read().startswith(b"d8:complete")

        def until_seeds(count: int) -> None:
            """The number of seeds is kept up by a sweep that goes round ten times a second."""
            deadline = time.monotonic() + 30
            while f'kind="seed"}} {count}.0' not in urlopen(f"{first['stats']}metrics").read().decode():
                assert time.monotonic() < deadline
                time.sleep(0.02)

        announce("a", 1001, 0)
        announce("a", 1002, 5)
        announce("b", 1003, 5)
        until_seeds(1)
        seen = seen_in_browser(first["stats"], tmp_path / "one")
        assert {key: seen[key] for key in ("torrents", "peers", "seeds", "leechers")} == {
            "torrents": "2", "peers": "3", "seeds": "1", "leechers": "2",
        }  # fmt: skip
        announce("c", 1004, 0)
        announce("c", 1005, 0)
        until_seeds(3)
        seen = seen_in_browser(first["stats"], tmp_path / "other")
        assert (seen["torrents"], seen["peers"], seen["seeds"], seen["leechers"]) == ("3", "5", "3", "2")
