"""Loading modules without the garbage collector, and without tracebacks after Ctrl-C (decision 006)."""

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
    """Keeps the garbage collector off while modules load, and from what they have made for ever.

    Modules, classes and functions stay until the process ends. The collector would go through them some sixty
    times while a command loads, which takes 5 to 8 of 100 ms, and again later, in the midst of a transfer.

    Meanwhile Ctrl-C ends the process at once: nothing has begun that would need an orderly end.
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
