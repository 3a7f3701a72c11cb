"""Printing to a reader that may be slow, stuck or gone, for which a transfer must never wait."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from collections import deque
from typing import TextIO

#: A pipe that has room, as `poll` says, takes so many bytes without blocking (Linux, PIPE_BUF).
_STEP_BYTES = 4096
#: Kept for a reader that does not read; further lines are lost.
BACKLOG_BYTES_MAX = 1 << 20

#: Errors that say that nobody will ever read: the pipe or the terminal is closed.
_GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO})


class Outlet:
    """Writes lines to a descriptor as far as its reader takes them, and keeps the rest for later.

    Other processes may share the descriptor, so it is not made non-blocking: before each write, `poll` tells
    whether there is room.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._is_gone = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def write(self, line: str, *, is_news: bool = True) -> None:
        """Write a line, or keep it for later.

        Args:
            is_news: if not, the line is left out where others wait already, as a later one will replace it.

        Raises:
            BrokenPipeError: nobody reads any more. Raised once; later lines are dropped.
        """
        if self._is_gone:
            return
        self._push()
        if self._backlog and (not is_news or self._backlog_bytes > BACKLOG_BYTES_MAX):
            return
        raw = (line + "\n").encode("utf-8", "backslashreplace")
        self._backlog.append(raw)
        self._backlog_bytes += len(raw)
        self._push()

    def drain(self, timeout_s: float | None) -> None:
        """Wait until the reader has taken everything, but at most `timeout_s` (None: for ever).

        Raises:
            BrokenPipeError: as `write`.
        """
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        while self._backlog and not self._is_gone:
            left_s = None if ends_at is None else ends_at - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            self._poll.poll(None if left_s is None else 1000 * left_s)
            self._push()

    def _push(self) -> None:
        while self._backlog and self.has_room():
            line = self._backlog.popleft()
            try:
                written = os.write(self._descriptor, line[:_STEP_BYTES])
            except BlockingIOError:
                written = 0
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                self._is_gone = True
                self._backlog.clear()
                raise BrokenPipeError(errno.EPIPE, "nobody reads any more") from None
            self._backlog_bytes -= written
            if written < len(line):
                self._backlog.appendleft(line[written:])

    def has_room(self) -> bool:
        """Will a small write return at once?"""
        return bool(self._poll.poll(0))


_outlets: dict[int, Outlet] = {}


def outlet_of(stream: TextIO | None) -> Outlet | None:
    """The outlet of a stream's descriptor, always the same one; None if it has no descriptor."""
    if stream is None:
        return None
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return None
    if descriptor not in _outlets:
        _outlets[descriptor] = Outlet(descriptor)
    return _outlets[descriptor]


def drain(timeout_s: float | None) -> None:
    """Drain all outlets, before the process ends."""
    for outlet in _outlets.values():
        with contextlib.suppress(BrokenPipeError):
            outlet.drain(timeout_s)


def has_room(stream: TextIO | None) -> bool:
    """Can something short be written to `stream` without waiting?"""
    outlet = outlet_of(stream)
    return outlet is None or outlet.has_room()
