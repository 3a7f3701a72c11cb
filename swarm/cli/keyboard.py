"""Single keys, pressed at the terminal while a command works; pipes and shells are left alone."""

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

#: The place of the local modes in what `tcgetattr` gives.
_LOCAL = 3


class Keyboard:
    """Calls an action when its key is pressed, as long as it is entered; needs a running loop.

    Keys are read only where a person must be typing: input, output and messages are all one's terminal, and
    we are in its foreground. Else a pager or player behind our pipe, or the shell itself, would miss them.
    The terminal gets its own modes back at the end, while we are stopped (Ctrl-Z), and in `give_back`.

    Args:
        actions: key -> what to do. Other keys do nothing; Ctrl-C and Ctrl-Z work as ever.
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
            # Our own: the loop makes it non-blocking, which the shell's must not become.
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
        """Whether keys are for us; touching the terminal from the background would stop us."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            # Not the terminal that we belong to: nobody shares it with us.
            return True

    def _take(self) -> None:
        """From now on each key comes at once and unseen, if we may."""
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
        """Give the terminal its own modes back; in any thread."""
        modes, self._modes = self._modes, None
        if modes is not None and self._is_in_foreground():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, modes)

    def _read(self) -> None:
        if not self._is_in_foreground():
            # What is typed now is the shell's; SIGCONT tells when we are in front again.
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
        # To this thread: it stops here, not some instructions later.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTSTP)
        self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
        self._take()


#: Those that are entered; for who ends the process without further ado.
_open: set[Keyboard] = set()


def give_back_terminal() -> None:
    """Before the process is ended at once: what nobody will leave in order gives the terminal back here."""
    for keyboard in list(_open):
        keyboard.give_back()
