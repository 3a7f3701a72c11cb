"""Why it does not go faster: with --explain, with --json, at the press of a key, and from the library."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from swarm.engine.explain import Choked, MissingPieces, NoPeers, NothingForUs, NothingWanted, SlowPeers
from swarm.session.explaining import Ended, NoSources, OurLimit, SeekingMetadata
from tests.e2e.commands import SWARM, TIMEOUT_S, Commands, make_torrent
from tests.e2e.scripted_peer import BITFIELD, Line, frame, full_bitfield, scripted_peer
from tests.e2e.transfers import offer_file, open_session, seed, settings_of, until, within

KIB = 1024
SIZE = 3_000_001
#: Nobody listens there.
DEAF = "http://127.0.0.1:9/announce"


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


def near(*options: str) -> list[str]:
    return ["-o", "here", "--port", "0", "--bind", "127.0.0.1", "--no-dht", *options]


def causes_of(event: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cause["cause"]: cause for cause in event["causes"]}


class TestLibrary:
    async def test_peer_that_chokes_and_one_that_lacks_a_piece(self, tmp_path: Path) -> None:
        offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)

        async def choke(line: Line) -> None:
            await line.shake(peer_id=b"-XX0001-chokechoke00")
            line.send(full_bitfield(line.metainfo))
            await line.until_closed()

        async def lack(line: Line) -> None:
            await line.shake(peer_id=b"-XX0001-lacklacklack")
            line.send(frame(BITFIELD, b"\x80\0\0"))
            await line.until_closed()

        async with (
            scripted_peer(offer.metainfo, choke) as choking,
            scripted_peer(offer.metainfo, lack) as lacking,
            open_session(settings_of(tmp_path / "state")) as leecher,
        ):
            torrent = await leecher.add(
                offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", lacking.port)]
            )
            await until(lambda: any(peer.pieces for peer in torrent.peers()))
            found = [cause for _, cause in torrent.explain()]
            assert Choked(1, 1) in found
            missing = next(cause for cause in found if isinstance(cause, MissingPieces))
            assert (missing.pieces, missing.of) == (16, 17)
            assert missing.example != 0
            assert torrent.runner is not None
            torrent.runner.candidates_found(_at(choking.port), "user")
            await until(lambda: any(peer.is_seed for peer in torrent.peers()))
            assert torrent.explain()[0] == (1.0, Choked(2, 2))
            assert NothingForUs not in {type(cause) for _, cause in torrent.explain()}

    async def test_limits_of_both_sides_and_the_end(self, tmp_path: Path) -> None:
        offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
        async with (
            open_session(settings_of(tmp_path / "state")) as seeder,
            open_session(settings_of(tmp_path / "state")) as leecher,
        ):
            source = await seed(seeder, offer)
            leecher.set_limits(up_bytes_per_s=None, down_bytes_per_s=64 * KIB)
            torrent = await leecher.add(
                offer.raw, save_to=tmp_path / "leech", peers=[("127.0.0.1", seeder.port)]
            )
            await until(lambda: OurLimit(64 * KIB) in [cause for _, cause in torrent.explain()])
            assert torrent.explain()[0] == (1.0, OurLimit(64 * KIB))
            # Now it is they who send slowly.
            seeder.set_limits(up_bytes_per_s=64 * KIB, down_bytes_per_s=None)
            leecher.set_limits(up_bytes_per_s=None, down_bytes_per_s=None)
            await until(lambda: isinstance(torrent.explain()[0].cause, SlowPeers))
            assert OurLimit not in {type(cause) for _, cause in torrent.explain()}
            seeder.set_limits(up_bytes_per_s=None, down_bytes_per_s=None)
            await within(torrent.completed())
            assert torrent.explain() == source.explain() == [(1.0, NothingWanted())]
        assert torrent.explain() == [(1.0, Ended("it was stopped"))]

    async def test_magnet_link_says_that_it_waits_for_its_metadata(self, tmp_path: Path) -> None:
        async with open_session(settings_of(tmp_path / "state")) as session:
            fetch = session.fetch_metadata("magnet:?xt=urn:btih:" + "a" * 40)
            causes = [cause for _, cause in fetch.explain()]
            assert causes == [NoSources(), NoPeers(0, 0), SeekingMetadata(0, 0, None)]


def _at(port: int) -> list[Any]:
    from swarm.base.endpoint import Endpoint

    return [Endpoint("127.0.0.1", port)]


class TestLines:
    def test_failing_tracker_is_named_while_it_waits_and_at_the_end(
        self, commands: Commands, content: Path
    ) -> None:
        options = near("--tracker", DEAF, "--timeout", "1", "--explain")
        done = commands.run("leech", f"{content}.torrent", *options)
        assert done.returncode == 5
        *_, head, _first, _second = (done.stderr.splitlines())[-3:]
        assert head == "data.bin: 0 B/s, held back by"
        assert "100%  the only source of peers fails: tracker 127.0.0.1:9: " in done.stderr
        assert "100%  no peers, and no address of any is known" in done.stderr
        assert done.stdout == ""

    def test_what_a_tracker_says_cannot_steer_the_terminal(self, commands: Commands, content: Path) -> None:
        evil = "no \x1b]0;mine\x07\x1b[2J\u202e"
        raw = f"d14:failure reason{len(evil.encode())}:{evil}e".encode()

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        with HTTPServer(("127.0.0.1", 0), Answer) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            url = f"http://127.0.0.1:{server.server_port}/announce"
            options = near("--tracker", url, "--timeout", "1", "--explain", "-v")
            done = commands.run("leech", f"{content}.torrent", *options)
            as_json = commands.run("leech", f"{content}.torrent", *options, "--json")
            server.shutdown()
            thread.join()
        assert "no \\x1b]0;mine" in done.stderr
        for said in (done.stdout, done.stderr, as_json.stdout, as_json.stderr):
            assert not {"\x1b", "\x07", "\u202e"} & set(said)

    def test_giving_up_says_why_without_being_asked(self, commands: Commands, content: Path) -> None:
        done = commands.run("leech", f"{content}.torrent", *near("--timeout", "0.5", "--quiet"))
        assert done.stderr == (
            "error: no progress for 0.5 s: no source of peers: name some with --tracker or --peer\n"
        )

    def test_programs_get_causes_with_names_figures_and_words(
        self, commands: Commands, content: Path
    ) -> None:
        _, port = commands.seed(f"{content}.torrent")
        leecher = commands.start(
            "leech", f"{content}.torrent", *near("--peer", f"127.0.0.1:{port}", "--down", "64K", "--explain")
        )
        event = leecher.wait("explain", lambda event: "our_limit" in causes_of(event))
        assert 0 < event["down_bytes_per_s"] < 200 * KIB
        first = event["causes"][0]
        assert first == {
            "cause": "our_limit", "weight": 1.0, "bytes_per_s": 65536,
            "text": "our limit: no more than 64.0 KiB/s is wanted (--down)",
        }  # fmt: skip
        assert causes_of(event)["few_peers"]["peers"] == 1
        status, _ = leecher.end(signal.SIGINT)
        assert status == 130
        assert leecher.events[-1]["event"] == "interrupted"
        assert any(event["event"] == "explain" for event in leecher.events)

    def test_without_being_asked_it_says_nothing(self, commands: Commands, content: Path) -> None:
        done = commands.run("leech", f"{content}.torrent", *near("--timeout", "0.5", "--json"))
        assert all(json.loads(line)["event"] != "explain" for line in done.stdout.splitlines())


#: Starts a command at the terminal that is its standard input, as a shell does: in a group of its own, in
#: front or behind; says what becomes of it.
SHELL = """
import fcntl, os, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)

def reset():
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)

job = subprocess.Popen(sys.argv[2:], process_group=0, preexec_fn=reset)
if sys.argv[1] == "front":
    os.tcsetpgrp(0, job.pid)
print("job", job.pid, flush=True)
while True:
    _, status = os.waitpid(job.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    print("stopped by", os.WSTOPSIG(status), flush=True)
os.tcsetpgrp(0, os.getpid())
print("ended with", os.waitstatus_to_exitcode(status), flush=True)
"""


class Screen:
    """Our end of a pseudo-terminal."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 160, 0, 0))
        self.modes = self.local_modes()
        self._seen = bytearray()

    def local_modes(self) -> int:
        return int(termios.tcgetattr(self.theirs)[3])

    @property
    def is_raw(self) -> bool:
        return not self.local_modes() & (termios.ICANON | termios.ECHO)

    def press(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def until(self, text: str) -> str:
        """All that was shown until `text`."""
        deadline = time.monotonic() + TIMEOUT_S
        while text.encode() not in self._seen:
            assert time.monotonic() < deadline, self._seen.decode(errors="replace")
            if select.select([self.ours], [], [], 1.0)[0]:
                self._seen.extend(os.read(self.ours, 1 << 16))
        at = self._seen.index(text.encode()) + len(text)
        shown, self._seen = self._seen[:at], self._seen[at:]
        return shown.decode(errors="replace")


@pytest.fixture
def screen() -> Iterator[Screen]:
    opened = Screen()
    yield opened
    os.close(opened.ours)
    os.close(opened.theirs)


@contextlib.contextmanager
def job(commands: Commands, screen: Screen, place: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command at the terminal, started as a shell does."""
    process = subprocess.Popen(
        [sys.executable, "-c", SHELL, place, *SWARM, *arguments],
        stdin=screen.theirs, stdout=screen.theirs, stderr=screen.theirs, cwd=commands.folder,
        env={**commands.environment, "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait(TIMEOUT_S)


class TestKey:
    def test_e_explains_and_the_terminal_is_as_before(
        self, commands: Commands, content: Path, screen: Screen
    ) -> None:
        with job(commands, screen, "front", "leech", f"{content}.torrent", *near("--no-trackers")):
            pid = int(screen.until("\n").split()[1])
            screen.until("0 peers")
            assert screen.is_raw
            screen.press(b"xqe")
            shown = screen.until("no address of any is known")
            assert "data.bin: 0 B/s, held back by" in shown
            # Nobody has seen the keys.
            assert "xqe" not in shown
            screen.press(b"\x03")
            screen.until("interrupted")
            screen.until("ended with 130")
            assert screen.local_modes() == screen.modes
        assert pid

    def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(
        self, commands: Commands, content: Path, screen: Screen
    ) -> None:
        with job(commands, screen, "front", "leech", f"{content}.torrent", *near("--no-trackers")):
            pid = int(screen.until("\n").split()[1])
            screen.until("0 peers")
            screen.press(b"\x1a")
            screen.until(f"stopped by {int(signal.SIGTSTP)}")
            assert screen.local_modes() == screen.modes
            os.kill(pid, signal.SIGCONT)
            _wait_for(lambda: screen.is_raw)
            screen.press(b"e")
            screen.until("no address of any is known")
            os.kill(pid, signal.SIGTERM)
            screen.until("ended with 130")
            assert screen.local_modes() == screen.modes

    def test_second_signal_leaves_the_terminal_as_before(
        self, commands: Commands, content: Path, screen: Screen
    ) -> None:
        with job(commands, screen, "front", "leech", f"{content}.torrent", *near("--no-trackers")):
            screen.until("0 peers")
            assert screen.is_raw
            screen.press(b"\x03\x03")
            screen.until("ended with 130")
            assert screen.local_modes() == screen.modes

    def test_in_the_background_it_does_not_touch_the_terminal(
        self, commands: Commands, content: Path, screen: Screen
    ) -> None:
        _, port = commands.seed(f"{content}.torrent")
        options = near("--peer", f"127.0.0.1:{port}", "--no-trackers", "--down", "2M")
        with job(commands, screen, "back", "leech", f"{content}.torrent", *options):
            screen.until("data.bin")
            assert not screen.is_raw
            screen.press(b"e\n")
            shown = screen.until("ended with ")
            assert "stopped by" not in shown and "held back by" not in shown
            screen.until("0")
        assert (commands.folder / "here" / "data.bin").read_bytes() == content.read_bytes()

    @pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
    def test_beside_a_pipe_no_key_is_read(
        self, commands: Commands, content: Path, screen: Screen, stream: str
    ) -> None:
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), screen.theirs)
        streams[stream] = subprocess.PIPE
        process = subprocess.Popen(
            [*SWARM, "leech", f"{content}.torrent", *near("--no-trackers", "--timeout", "1.5")],
            cwd=commands.folder, env=commands.environment, start_new_session=True, **streams,
        )  # fmt: skip
        try:
            screen.press(b"e\n")
            if process.stdin is not None:
                process.stdin.write(b"e\n")
                process.stdin.flush()
            seen_raw = False
            while process.poll() is None:
                seen_raw = seen_raw or screen.is_raw
                time.sleep(0.01)
            assert process.returncode == 5
            assert not seen_raw
        finally:
            process.kill()
            process.communicate()


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
