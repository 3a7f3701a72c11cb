"""One child process with its lines, its cost and a certain end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

#: A client that says more than this lost its mind; the oldest lines go.
LINES_MAX = 20_000
#: In an error, of the beginning and of the end.
_SHOWN_LINES = 12
STOP_TIMEOUT_S = 5.0
#: Below are those of well-known services.
_PORT_MIN = 10_000

_CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ClientError(Exception):
    """A client did not do in time what it was started for; the message ends with its last lines."""


@dataclass(frozen=True)
class Line:
    """One line of output and when we read it (time.monotonic)."""

    at: float
    text: str


@dataclass(frozen=True)
class Usage:
    """What a process has cost since it was started."""

    cpu_s: float
    max_rss_bytes: int


def user_environment() -> dict[str, str]:
    """Our own environment, but for what would have every start of a Python program compile it anew."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def free_port() -> int:
    """A TCP port that was free a moment ago, for programs that cannot say which one they took.

    Of those that the system gives nobody by itself: with the port of a moment ago it may have made somebody
    else's outgoing connection by now.
    """
    while True:
        port = random.randrange(_PORT_MIN, _ports_end())
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _ports_end() -> int:
    """Where those begin that the system gives by itself (Linux; IANA's elsewhere)."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 49_152
    # A system that gives nearly all of them leaves no others to choose.
    return first if first > 2 * _PORT_MIN else 65_536


class Process:
    """A child whose stdout and stderr are read as lines by a thread until it ends.

    `with Process([...]) as process:` or `stop()` ends it: asked first, then killed, by its own pid.
    """

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        self.command = [str(part) for part in command]
        self.started_at = time.monotonic()
        self._popen = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**user_environment(), **(env or {})},
        )
        self.pid = self._popen.pid
        self._lines: deque[Line] = deque(maxlen=LINES_MAX)
        self._changed = threading.Condition()
        self._is_at_end = False
        self._last_usage = Usage(0.0, 0)
        self._reader = threading.Thread(target=self._read, name=f"lines of {self.pid}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for raw in self._popen.stdout:
            line = Line(time.monotonic(), raw.decode("utf-8", "replace").rstrip())
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._is_at_end = True
            self._changed.notify_all()

    def wait_for(self, is_it: Callable[[str], bool], timeout_s: float, what: str) -> Line:
        """The first line that `is_it` accepts, also one that came before the call.

        Raises:
            ClientError: the process ended or `timeout_s` passed without such a line.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            seen_count = 0
            while True:
                lines = list(self._lines)
                for line in lines[seen_count:]:
                    if is_it(line.text):
                        return line
                seen_count = len(lines)
                left_s = deadline - time.monotonic()
                if self._is_at_end:
                    raise self.failure(f"ended before {what}")
                if left_s <= 0:
                    raise self.failure(f"not {what} after {timeout_s:g} s")
                self._changed.wait(left_s)

    def last(self, is_it: Callable[[str], bool]) -> Line | None:
        """The latest line so far that `is_it` accepts."""
        with self._changed:
            return next((line for line in reversed(self._lines) if is_it(line.text)), None)

    def failure(self, what: str) -> ClientError:
        """An error that says what happened and shows the first and the last lines."""
        name = " ".join(Path(part).name for part in self.command[:3])
        said = [line.text for line in list(self._lines)]
        if len(said) > 2 * _SHOWN_LINES:
            # How it began says why it never came to an end.
            said[_SHOWN_LINES:-_SHOWN_LINES] = ["..."]
        shown = "".join(f"\n    {text}" for text in said)
        return ClientError(f"{name} (pid {self.pid}, exit {self._popen.poll()}): {what}{shown}")

    def send_line(self, text: str) -> None:
        """Write a line to its stdin."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(text.encode() + b"\n")
        self._popen.stdin.flush()

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def usage(self) -> Usage:
        """CPU seconds (user + system, all threads) and peak RSS so far; the last known ones after its end.

        Read from /proc rather than from wait4: its ru_maxrss would count what *this* process used
        before the exec.
        """
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return self._last_usage
        # proc(5): the command name in brackets may hold spaces; utime and stime are fields 14 and 15.
        fields = stat.rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS_PER_S
        peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        if peak:  # absent in a process that has ended and waits to be reaped
            self._last_usage = Usage(cpu_s, int(peak[0]) * 1024)
        return self._last_usage

    def wait_end(self, timeout_s: float) -> int:
        """Its exit status.

        Raises:
            ClientError: it still runs after `timeout_s`.
        """
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self.failure(f"still running after {timeout_s:g} s") from None

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """End it: SIGTERM, after `timeout_s` SIGKILL. Returns the exit status; a second call is harmless."""
        self.usage()
        assert self._popen.stdin is not None and self._popen.stdout is not None
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
        try:
            status = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            status = self._popen.wait()
        self._reader.join()
        self._popen.stdin.close()
        self._popen.stdout.close()
        return status
