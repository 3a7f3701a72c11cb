"""However a seeder, a tracker or a node of the DHT is ended: in order, and within 3 s."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import SWARM, TIMEOUT_S, Commands, ended, make_torrent


def _seed(folder: Path) -> list[str]:
    content = folder / "data.bin"
    content.write_bytes(os.urandom(100_000))
    make_torrent(content)
    return ["seed", f"{content}.torrent", "--port", "0", "--bind", "127.0.0.1", "--no-trackers", "--no-dht"]


def _tracker(folder: Path) -> list[str]:
    return ["tracker", "--http", "127.0.0.1:0", "--state", str(folder / "tracker.state")]


def _node(folder: Path) -> list[str]:
    return ["dht", "bootstrap-node", "--bind", "127.0.0.1"]


#: Who it is -> its command, and its exit status after SIGTERM.
SERVERS: dict[str, tuple[Callable[[Path], list[str]], int]] = {
    "seed": (_seed, 130),
    "tracker": (_tracker, 0),
    "node": (_node, 130),
}


class Server:
    """One of them, however it is started."""

    def __init__(self, name: str, folder: Path) -> None:
        make, self.status = SERVERS[name]
        self.name = name
        self.folder = folder
        self.command = [*SWARM, *make(folder)]
        self.environment = Commands(folder).environment

    @contextlib.contextmanager
    def running(
        self, *options: str, prefix: tuple[str, ...] = (), **how: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The process, once it has a socket of its own."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        process = subprocess.Popen(
            [*prefix, *self.command, *options], cwd=self.folder, env=self.environment, **how
        )
        try:
            deadline = time.monotonic() + TIMEOUT_S
            while not self._is_listening(process.pid):
                assert process.poll() is None and time.monotonic() < deadline, "it does not listen"
                time.sleep(0.01)
            yield process
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    @staticmethod
    def _is_listening(pid: int) -> bool:
        import psutil

        with contextlib.suppress(psutil.Error):
            return any(
                one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM
                for one in psutil.Process(pid).net_connections(kind="inet")
            )
        return False


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    return Server(request.param, tmp_path)


def said_by(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    return process.stderr.read().decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(server: Server, number: signal.Signals) -> None:
    with server.running() as process:
        sent_at = time.monotonic()
        process.send_signal(number)
        assert ended(process, sent_at) == (130 if number == signal.SIGINT else server.status)
        assert "Traceback" not in said_by(process)
    if server.name == "tracker":
        assert (server.folder / "tracker.state").exists()


def test_a_second_signal_ends_it_at_once(server: Server) -> None:
    with server.running() as process:
        # Both come before either is heard of: a stopped process finds them waiting.
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        sent_at = time.monotonic()
        process.send_signal(signal.SIGCONT)
        assert ended(process, sent_at) in (0, 130)
        assert "Traceback" not in said_by(process)


def test_nohup_is_respected(server: Server) -> None:
    with server.running(prefix=("nohup",)) as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == server.status


def test_a_closed_terminal_ends_it_in_order(server: Server) -> None:
    ours, theirs = pty.openpty()
    take = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    server.command[2] = take + server.command[2]
    with server.running(stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        closed_at = time.monotonic()
        os.close(ours)
        assert ended(process, closed_at) == server.status
    if server.name == "tracker":
        assert (server.folder / "tracker.state").exists()


def test_a_full_pipe_behind_json_stops_neither_the_work_nor_its_end(server: Server) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    try:
        with server.running("--json", stdout=writer) as process:
            sent_at = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert ended(process, sent_at) == server.status
    finally:
        os.close(reader)
        os.close(writer)


def test_a_reader_that_is_gone_leaves_no_traceback(server: Server) -> None:
    with server.running("--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        sent_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        # A seeder has more to say every second, and ends with 1 when it finds that nobody listens.
        assert ended(process, sent_at) in (server.status, 1)
        assert "Traceback" not in said_by(process)


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_are_no_harm(server: Server, closed: str) -> None:
    with server.running("-v", prefix=("sh", "-c", f'exec "$@" {closed}', "sh")) as process:
        sent_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert ended(process, sent_at) == server.status


def test_a_disk_that_hangs_keeps_no_tracker_and_what_was_saved_before_stands(tmp_path: Path) -> None:
    server = Server("tracker", tmp_path)
    state = tmp_path / "tracker.state"
    with server.running() as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    before = state.read_bytes()
    # A pipe that nobody reads: to open it for writing takes for ever.
    os.mkfifo(tmp_path / ".tracker.state.new")
    with server.running() as process:
        sent_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert ended(process, sent_at) == 130
        assert "--state keeps what was saved the last time" in said_by(process)
    assert state.read_bytes() == before
