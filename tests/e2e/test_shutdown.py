"""However a transfer is ended: state saved, trackers told, gone within 3 s; and it goes on later."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.commands import SWARM, TIMEOUT_S, Commands, ended, gate, make_torrent

SIZE = 3_000_000


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    running = Commands(tmp_path)
    yield running
    running.close()


class Tracker:
    """Answers every announce with no peers (or not at all), and keeps their queries."""

    def __init__(self, *, is_mute: bool = False) -> None:
        self.queries: list[dict[str, list[str]]] = []
        self._is_mute = is_mute
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/announce"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                self._links.append(link)
                head = b""
                while b"\r\n\r\n" not in head and (data := link.recv(4096)):
                    head += data
                if not head:
                    # Who is asked to end while it dials ends the link without a word.
                    continue
                self.queries.append(parse_qs(urlsplit(head.split(b" ")[1].decode()).query))
                if not self._is_mute or len(self.queries) == 1:
                    body = b"d8:intervali1800e5:peers0:e"
                    link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                    link.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._links:
            link.close()
        self._thread.join(TIMEOUT_S)


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    started = Tracker()
    yield started
    started.close()


class Half:
    """A leech of which a gate lets only half come: it is in the middle whenever it is looked at."""

    def __init__(self, commands: Commands, announce: str) -> None:
        self.commands = commands
        self.content = commands.folder / "data.bin"
        self.content.write_bytes(os.urandom(SIZE))
        self.torrent = make_torrent(self.content, announce)
        seeder = commands.start("seed", self.torrent, "--port", "0", "--bind", "127.0.0.1", "--no-trackers")
        self.port = int(seeder.wait("listening")["port"])
        seeder.wait("progress", lambda event: event["state"] == "seeding")

    def command(self, port: int, *options: str) -> list[str]:
        return [
            *SWARM, "leech", str(self.torrent), "-o", "here",
            "--peer", f"127.0.0.1:{port}", "--port", "0", "--bind", "127.0.0.1", *options,
        ]  # fmt: skip

    @contextlib.contextmanager
    def leeching(
        self,
        *options: str,
        stdout: int = subprocess.PIPE,
        stdin: int | None = subprocess.DEVNULL,
        prefix: tuple[str, ...] = (),
        is_session: bool = False,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The process, once about half has come."""
        with gate(self.port, SIZE // 2) as narrow:
            process = subprocess.Popen(
                [*prefix, *self.command(narrow, *options)], stdin=stdin, stdout=stdout,
                stderr=subprocess.PIPE, cwd=self.commands.folder, env=self.commands.environment,
                start_new_session=is_session,
            )  # fmt: skip
            try:
                self._wait_for_half()
                yield process
            finally:
                process.kill()
                process.wait()
                for stream in (process.stdout, process.stderr):
                    if stream is not None:
                        stream.close()

    def _wait_for_half(self) -> None:
        file = self.commands.folder / "here" / "data.bin"
        deadline = time.monotonic() + TIMEOUT_S
        while not file.exists() or file.stat().st_blocks * 512 < SIZE // 4:
            assert time.monotonic() < deadline, "nothing came"
            time.sleep(0.01)

    def goes_on(self) -> None:
        """The same command ends with the right bytes, hashes nothing again, fetches less than all."""
        done = self.commands.run(*self.command(self.port, "--json")[len(SWARM) :])
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        last = [event for event in events if event["event"] == "progress"][-1]
        assert last["checking_bytes"] == 0
        assert last["downloaded_bytes"] < SIZE
        assert (self.commands.folder / "here" / "data.bin").read_bytes() == self.content.read_bytes()


@pytest.fixture
def half(commands: Commands, tracker: Tracker) -> Half:
    return Half(commands, tracker.url)


def events_of(tracker: Tracker) -> list[str]:
    return [query.get("event", [""])[0] for query in tracker.queries]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_state_and_tells_the_tracker(
    half: Half, tracker: Tracker, number: signal.Signals
) -> None:
    with half.leeching() as process:
        sent_at = time.monotonic()
        process.send_signal(number)
        assert ended(process, sent_at) == 130
        assert process.stderr is not None
        assert b"the same command goes on where it stopped" in process.stderr.read()
    assert events_of(tracker) == ["started", "stopped"]
    half.goes_on()


def test_a_tracker_that_hangs_does_not_keep_the_process(commands: Commands) -> None:
    mute = Tracker(is_mute=True)
    try:
        half = Half(commands, mute.url)
        with half.leeching() as process:
            sent_at = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert ended(process, sent_at) == 130
        half.goes_on()
    finally:
        mute.close()


def test_a_second_signal_ends_it_at_once_and_loses_nothing(commands: Commands) -> None:
    mute = Tracker(is_mute=True)
    try:
        half = Half(commands, mute.url)
        with half.leeching() as process:
            process.send_signal(signal.SIGINT)
            while len(mute.queries) < 2:  # it waits for the tracker now
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == 130
        done = half.commands.run(*half.command(half.port, "--json")[len(SWARM) :])
        assert done.returncode == 0
        assert (commands.folder / "here" / "data.bin").read_bytes() == half.content.read_bytes()
    finally:
        mute.close()


def test_a_closed_terminal_ends_it_in_order(half: Half, tracker: Tracker) -> None:
    ours, theirs = pty.openpty()
    with gate(half.port, SIZE // 2) as narrow:
        # A session leader with this as its terminal: the kernel sends the SIGHUP.
        take = "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        process = subprocess.Popen(
            [SWARM[0], "-c", take + SWARM[2], *half.command(narrow)[len(SWARM) :]],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            cwd=half.commands.folder, env=half.commands.environment,
        )  # fmt: skip
        os.close(theirs)
        try:
            half._wait_for_half()
            closed_at = time.monotonic()
            os.close(ours)
            assert ended(process, closed_at) == 130
        finally:
            process.kill()
            process.wait()
    assert events_of(tracker) == ["started", "stopped"]
    half.goes_on()


def test_nohup_is_respected(half: Half) -> None:
    with half.leeching(prefix=("nohup",)) as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 130


def test_a_reader_that_stops_reading_stops_neither_the_transfer_nor_its_end(commands: Commands) -> None:
    """64 KiB of pipe are full after minutes; here they are full from the start."""
    half = Half(commands, "http://127.0.0.1:1/announce")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    try:
        with half.leeching("--json", stdout=writer) as process:
            sent_at = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert ended(process, sent_at) == 130
    finally:
        os.close(reader)
        os.close(writer)
    half.goes_on()


def test_a_reader_that_is_gone_ends_it_in_order(half: Half, tracker: Tracker) -> None:
    with half.leeching("--json") as process:
        assert process.stdout is not None
        closed_at = time.monotonic()
        process.stdout.close()
        assert ended(process, closed_at) == 1
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert events_of(tracker) == ["started", "stopped"]
    half.goes_on()


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_are_no_harm(half: Half, closed: str) -> None:
    """Else a file of the content would get number 1 or 2, and be written to by whoever says something."""
    with half.leeching("-v", prefix=("sh", "-c", f'exec "$@" {closed}', "sh")) as process:
        sent_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert ended(process, sent_at) == 130
    half.goes_on()


def test_a_seeder_whose_terminal_is_closed_tells_the_tracker(commands: Commands, tracker: Tracker) -> None:
    content = commands.folder / "data.bin"
    content.write_bytes(os.urandom(100_000))
    seeder = commands.start("seed", make_torrent(content, tracker.url), "--port", "0", "--bind", "127.0.0.1")
    seeder.wait("progress", lambda event: event["state"] == "seeding")
    while not tracker.queries:
        time.sleep(0.005)
    assert seeder.end(signal.SIGHUP) == (130, "")
    assert events_of(tracker) == ["started", "stopped"]
