"""Bars, for which a command must believe that it talks to a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import SWARM, TIMEOUT_S, Commands, gate, make_torrent

SIZE = 3_000_001


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    running = Commands(tmp_path)
    yield running
    running.close()


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(random.Random(5).randbytes(SIZE))
    make_torrent(path)
    return path


@contextlib.contextmanager
def terminal(
    commands: Commands, *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str], str]]]:
    """A command at a terminal of 100 columns, and what reads its screen until some text or the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 100, 0, 0))
    process = subprocess.Popen(
        [*SWARM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=commands.folder,
        env={**commands.environment, "TERM": "xterm", **environment}, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen = bytearray()

    def read_until(text: str) -> str:
        deadline = time.monotonic() + TIMEOUT_S
        while text.encode() not in seen and time.monotonic() < deadline:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                seen.extend(os.read(ours, 1 << 16))
            except OSError:  # the other side has ended
                break
        shown = seen.decode(errors="replace")
        assert text in shown
        return shown

    try:
        yield process, read_until
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
        os.close(ours)


def test_leech_draws_a_bar_that_is_gone_when_it_is_done(commands: Commands, content: Path) -> None:
    _, port = commands.seed(f"{content}.torrent")
    with gate(port, SIZE // 2) as narrow:
        options = ("-o", "here", "--peer", f"127.0.0.1:{narrow}", "--port", "0", "--bind", "127.0.0.1")
        with terminal(commands, "leech", f"{content}.torrent", *options) as (process, read_until):
            read_until("(1 seed)")
            process.send_signal(signal.SIGINT)
            shown = read_until("goes on where it stopped")
            assert process.wait(TIMEOUT_S) == 130
    assert "data.bin" in shown and "%|" in shown and "2.86 MiB" in shown
    assert "it/s" not in shown
    # The bar was wiped before the last line.
    assert shown.rstrip().splitlines()[-1].split("\r")[-1].startswith("interrupted: ")


@pytest.mark.parametrize(("option", "environment"), [((), {"NO_COLOR": "1"}), (("--quiet",), {})])
def test_no_bars_for_those_who_want_none(
    commands: Commands, content: Path, option: tuple[str, ...], environment: dict[str, str]
) -> None:
    _, port = commands.seed(f"{content}.torrent")
    options = ("-o", "here", "--peer", f"127.0.0.1:{port}", "--port", "0", "--bind", "127.0.0.1", *option)
    with terminal(commands, "leech", f"{content}.torrent", *options, **environment) as (process, read_until):
        assert process.wait(TIMEOUT_S) == 0
        shown = read_until("")
    assert "%|" not in shown


def test_seed_shows_a_line_with_its_ratio(commands: Commands, content: Path) -> None:
    options = ("--port", "0", "--bind", "127.0.0.1")
    with terminal(commands, "seed", f"{content}.torrent", *options) as (process, read_until):
        shown = read_until("ratio 0.00")
        process.send_signal(signal.SIGINT)
        read_until("interrupted")
        assert process.wait(TIMEOUT_S) == 130
    assert "magnet:?xt=urn:btih:" in shown and "0 peers" in shown


def test_a_name_cannot_steer_the_terminal(commands: Commands, tmp_path: Path) -> None:
    content = tmp_path / "evil.bin"
    content.write_bytes(b"x" * 100_000)
    raw = make_torrent(content).read_bytes()
    (tmp_path / "e.torrent").write_bytes(raw.replace(b"8:evil.bin", b"7:e\x1b]0;x\x07"))
    options = ("--port", "0", "--bind", "127.0.0.1", "--no-trackers", "--timeout", "1")
    with terminal(commands, "leech", str(tmp_path / "e.torrent"), "-o", "here", *options) as (
        process,
        read_until,
    ):
        shown = read_until("no progress for")
        process.wait(TIMEOUT_S)
    assert "\x1b]0;" not in shown and "\x07" not in shown
