"""What a start-up loads, by name and not by time: each of these would cost it milliseconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Packages of others, and parts of the standard library, that only some commands or moments need.
RARE = (
    "aiofiles", "cryptography", "dns", "h11", "http", "httptools", "multiprocessing",
    "prometheus_client", "redis", "tempfile", "tqdm", "unittest", "xml", "zipfile",
)  # fmt: skip
#: They come with shutil, which click wants for the width of a help page.
COMPRESSORS = ("bz2", "lzma")
#: Ours that a download does not need before it knows what to ask.
LATER = (
    "swarm.base.ip_ranges",
    "swarm.cli.content_pipe",
    "swarm.cli.explanation",
    "swarm.daemon",
    "swarm.dht",
    "swarm.engine.explain",
    "swarm.net.http",
    "swarm.net.trackers",
    "swarm.sim",
    "swarm.tracker",
)
#: Nor one before it knows the metadata; who only lists what a magnet link stands for never does.
OF_CONTENT = (
    "swarm.engine.download.requests",
    "swarm.engine.torrent",
    "swarm.engine.upload.uploads",
    "swarm.session.keeping",
    "swarm.session.runner",
    "swarm.session.torrent",
    "swarm.storage.chunks",
    "swarm.storage.files",
    "swarm.storage.pieces",
    "swarm.storage.resume",
)
#: Who reads a help page or makes a .torrent transfers nothing.
TRANSFER = ("asyncio", "swarm.engine", "swarm.net", "swarm.session", "uvloop")

LEECH = "import swarm.cli.main, swarm.cli.commands, swarm.cli.leech"
TRACKERS = "import swarm.net.http, swarm.net.trackers"
SWARM_HELP = "from swarm.cli.commands import swarm; swarm.main(['--help'], standalone_mode=False)"
SWARM_VERSION = "from swarm.cli.commands import swarm; swarm.main(['--version'], standalone_mode=False)"
MKTORRENT_HELP = "from swarm.cli.mktorrent import command; command.main(['--help'], standalone_mode=False)"


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        pytest.param(LEECH, (*RARE, *COMPRESSORS, *LATER, *OF_CONTENT), id="leech"),
        pytest.param(SWARM_HELP, (*RARE, *LATER, *TRANSFER), id="swarm-help"),
        pytest.param(SWARM_VERSION, (*RARE, "importlib.metadata", *LATER, *TRANSFER), id="swarm-version"),
        pytest.param(TRACKERS, ("importlib.metadata", "tempfile"), id="trackers"),
        pytest.param(MKTORRENT_HELP, (*RARE, *LATER, *TRANSFER), id="mktorrent-help"),
    ],
)
def test_a_start_up_loads_nothing_that_it_does_not_need(code: str, unwanted: tuple[str, ...]) -> None:
    # What this environment loads into every Python is none of ours.
    loaded = modules(code) - modules("pass")
    assert sorted(loaded & set(unwanted)) == []


def modules(code: str) -> set[str]:
    """The modules that a Python of its own has loaded when `code` is done."""
    program = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stderr.split())


def test_nothing_is_collected_while_a_command_loads_and_everything_after() -> None:
    program = """
import gc
from swarm.cli.loading import loading
with loading():
    assert not gc.isenabled()
    import swarm.cli.leech
    before = gc.get_freeze_count()
assert gc.isenabled() and gc.get_freeze_count() > before + 1000
try:
    with loading():
        raise ImportError
except ImportError:
    assert gc.isenabled()
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def test_a_numeric_tracker_needs_no_codec_for_names() -> None:
    program = (
        "import asyncio\nfrom swarm.net import http\n"
        "try:\n asyncio.run(http.get('http://127.0.0.1:9/', max_bytes=1, timeout_s=5))\n"
        "except http.HttpError: pass"
    )
    assert "encodings.idna" not in modules(program)


@pytest.mark.parametrize("entry", ["main", "mktorrent_main"])
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ctrl_c_while_a_command_loads_ends_it_without_a_word(entry: str, number: str) -> None:
    code = (
        "import importlib.abc, os, signal, sys\n"
        "class Interrupting(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == 'click': os.kill(os.getpid(), signal.{number})\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        f"from swarm.cli.main import {entry}; {entry}()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
