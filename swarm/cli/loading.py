"""Until a command has a loop: it loads without the garbage collector (decision 006), and signals end it."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from types import FrameType

from swarm.cli.exits import EXIT_INTERRUPTED

#: Ctrl-C, the system that goes down, the terminal that is closed: a command takes all for the same.
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def take_all_ends_for_ctrl_c() -> None:
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt too: what is half written is removed.

    A command that has a loop hears of them there (`ending`). What is ignored stays so, as `nohup` wants it.
    """
    for number in _ENDS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Keeps the garbage collector off while modules load, and from what they have made for ever.

    Modules, classes and functions stay until the process ends. The collector would go through them some sixty
    times while a command loads, which takes 5 to 8 of 100 ms, and again later, in the midst of a transfer.

    Meanwhile Ctrl-C ends the process at once: nothing has begun that would need an orderly end.
    """
    gc.disable()
    on_end = {number: signal.getsignal(number) for number in _ENDS}
    for number, handler in on_end.items():
        if handler is signal.default_int_handler:
            signal.signal(number, _leave)
    try:
        yield
    finally:
        for number, handler in on_end.items():
            signal.signal(number, handler)
        gc.freeze()
        gc.enable()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(EXIT_INTERRUPTED)
