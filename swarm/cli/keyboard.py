"""Single keys, pressed in the terminal while a command works; no key is taken from other programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

#: The place of the local modes in the list of `tcgetattr`.
_LOCAL = 3


class Keyboard:
    """A context manager in which keys call actions; needs a running loop.

    Keys are read only where they must be meant for us: stdin, stdout and stderr are all the terminal, and we
    are in its foreground. Otherwise a pager or player behind our pipe, or the shell, would miss them. The
    terminal gets its own modes back at the end, while we are stopped (Ctrl-Z), and by `give_back`.

    Args:
        actions: key -> what to call. Other keys do nothing; Ctrl-C and Ctrl-Z work as always.
    """

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        self._actions = actions
        self._loop = asyncio.get_running_loop()
        self._descriptor = -1
        self._modes: list[Any] | None = None

    def __enter__(self) -> Self:
        if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
            return self
        try:
            # A descriptor of our own: it is made non-blocking, which the shell's must not become.
            name = os.ttyname(sys.stdin.fileno())
            self._descriptor = os.open(name, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return self
        _open.add(self)
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
            self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
        self._loop.add_signal_handler(signal.SIGCONT, self._take)
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor < 0:
            return
        self._let_go()
        self._loop.remove_signal_handler(signal.SIGTSTP)
        self._loop.remove_signal_handler(signal.SIGCONT)
        _open.discard(self)
        os.close(self._descriptor)
        self._descriptor = -1

    def _is_in_foreground(self) -> bool:
        """Are keys meant for us? To touch the terminal from the background would stop us."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            # It is not our controlling terminal: nobody shares it with us.
            return True

    def _take(self) -> None:
        """If we are in the foreground: get each key at once, without an echo."""
        if not self._is_in_foreground():
            return
        with contextlib.suppress(termios.error):
            modes = termios.tcgetattr(self._descriptor)
            if self._modes is None:
                self._modes = termios.tcgetattr(self._descriptor)
            modes[_LOCAL] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(self._descriptor, termios.TCSANOW, modes)
            self._loop.add_reader(self._descriptor, self._read)

    def _let_go(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self.give_back()

    def give_back(self) -> None:
        """Give the terminal its own modes back; may be called from any thread."""
        modes, self._modes = self._modes, None
        if modes is not None and self._is_in_foreground():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, modes)

    def _read(self) -> None:
        if not self._is_in_foreground():
            # Keys are for the shell now; SIGCONT will tell when we are in the foreground again.
            self._loop.remove_reader(self._descriptor)
            return
        try:
            keys = os.read(self._descriptor, 64)
        except BlockingIOError:
            return
        except OSError:
            keys = b""
        if not keys:
            self._loop.remove_reader(self._descriptor)
        for key in keys.decode(errors="replace"):
            if key in self._actions:
                self._actions[key]()

    def _stop(self) -> None:
        """Ctrl-Z: stop as any program does, but with the terminal as we found it."""
        self._let_go()
        self._loop.remove_signal_handler(signal.SIGTSTP)
        # To this very thread, so that it stops here and not some instructions later.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTSTP)
        self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
        self._take()


#: Keyboards in use, for `give_back_terminal`.
_open: set[Keyboard] = set()


def give_back_terminal() -> None:
    """Give the terminal its modes back, before the process ends without leaving its context managers."""
    for keyboard in list(_open):
        keyboard.give_back()
