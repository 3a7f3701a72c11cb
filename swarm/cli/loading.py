"""Loading modules at the price of loading alone."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from types import FrameType

from swarm.cli.exits import EXIT_INTERRUPTED


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """What is made in here stays until the process ends: the garbage collector need never look at it.

    It would go through all modules, classes and functions some sixty times while a command loads, and find
    nothing: 5 to 8 of 100 ms. Later it would stop a transfer for as long to look at them again.

    Ctrl-C ends the process at once meanwhile: nothing has begun that a traceback could explain.
    """
    gc.disable()
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
        gc.freeze()
        gc.enable()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(EXIT_INTERRUPTED)
