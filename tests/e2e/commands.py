"""Our commands as real processes, and a gate that lets only so much of a transfer through."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from swarm.metainfo.builder import TorrentOptions
from swarm.storage.create import create_torrent

#: Rather than the script on PATH: certain to be this Python and this checkout.
SWARM = [sys.executable, "-c", "import sys; from swarm.cli.main import main; sys.argv[0] = 'swarm'; main()"]
TIMEOUT_S = 40.0
#: From the signal to the end. Not a matter of speed: without our deadline some would wait for ever.
ENDING_MAX_S = 3.0
#: A loaded machine starts and schedules late.
SLACK_S = 2.0

Event = dict[str, Any]


class Commands:
    """Runs commands with a state folder of their own; `close` ends what is left."""

    def __init__(self, folder: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("SWARM_")}
        self.environment = {
            **own,
            "SWARM_STATE_DIR": str(folder / "state"),
            "SWARM_DHT_BOOTSTRAP": "",
            # Tests of the same content that run at the same time must not meet.
            "SWARM_NO_LSD": "1",
            "PYTHONWARNINGS": "error",
        }
        self.folder = folder
        self._running: list[Running] = []

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        return subprocess.run(
            [*SWARM, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
        )

    def start(self, *arguments: str | Path) -> Running:
        """A command with --json that goes on running."""
        running = Running([*SWARM, *map(str, arguments), "--json"], self.folder, self.environment)
        self._running.append(running)
        return running

    def seed(self, *arguments: str | Path) -> tuple[Running, int]:
        """A seeder that has verified its content, and its port."""
        seeder = self.start("seed", *arguments, "--port", "0", "--bind", "127.0.0.1")
        port = int(seeder.wait("listening")["port"])
        seeder.wait("progress", lambda event: event["state"] == "seeding")
        return seeder, port

    def close(self) -> None:
        for running in self._running:
            running.kill()


class Running:
    """A process whose JSON lines are read as they come."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            cwd=folder, env=environment,
        )  # fmt: skip
        self.events: list[Event] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait(self, kind: str, condition: Callable[[Event], bool] = lambda event: True) -> Event:
        """The next event of a kind that fits; AssertionError where the process ends before."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            assert line is not None, f"ended without {kind}: {self.events[-3:]} {self.end()[1]}"
            event: Event = json.loads(line)
            self.events.append(event)
            if event["event"] == kind and condition(event):
                return event

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Exit status and standard error, after a signal where one is given; reads the other events."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(TIMEOUT_S)
        self._thread.join(TIMEOUT_S)
        while not self._lines.empty():
            line = self._lines.get()
            if line is not None:
                self.events.append(json.loads(line))
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        said = "" if self.process.stderr.closed else self.process.stderr.read()
        self.process.stderr.close()
        return status, said

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self.process.kill()
        self.end()


class Gate:
    """A port that leads to another one, and lets through no more than `limit_bytes` of what comes back."""

    def __init__(self, port: int, limit_bytes: int) -> None:
        self._target = ("127.0.0.1", port)
        self._limit = limit_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.port = int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                outer = socket.create_connection(self._target)
                self._sockets += [inner, outer]
                for pump in (self._ask, self._answer):
                    thread = threading.Thread(target=pump, args=(inner, outer))
                    self._threads.append(thread)
                    thread.start()

    def _ask(self, inner: socket.socket, outer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := inner.recv(1 << 16):
                outer.sendall(data)

    def _answer(self, inner: socket.socket, outer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while self._limit > 0 and (data := outer.recv(min(1 << 16, self._limit))):
                self._limit -= len(data)
                inner.sendall(data)

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(TIMEOUT_S)


@contextlib.contextmanager
def gate(port: int, limit_bytes: int) -> Iterator[int]:
    """The port of a `Gate`."""
    opened = Gate(port, limit_bytes)
    try:
        yield opened.port
    finally:
        opened.close()


def ended(process: subprocess.Popen[bytes], since: float) -> int:
    """Its exit status, once it has ended; AssertionError where that takes longer than is promised."""
    status = process.wait(TIMEOUT_S)
    assert time.monotonic() - since < ENDING_MAX_S + SLACK_S
    return status


def make_torrent(content: Path, *trackers: str, piece_length: int = 1 << 15) -> Path:
    """Write NAME.torrent next to the content."""
    path = content.with_name(content.name + ".torrent")
    options = TorrentOptions(trackers=tuple((url,) for url in trackers), piece_length=piece_length)
    path.write_bytes(create_torrent(content, options))
    return path
