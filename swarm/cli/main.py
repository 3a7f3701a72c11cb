"""The entry points: a process around what `commands` does, from its first line to its last."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from swarm.cli.loading import loading

#: Ends the process with a status.
Leave: TypeAlias = Callable[[int], NoReturn]


def _exit(status: int, leave: Leave) -> NoReturn:
    """Flush what was said, and leave; where stdout cannot take it (a full disk), that is an error."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # A second flush at interpreter exit would complain about the same pipe or disk.
        sys.stdout = None
        status = _unsaid(error, status)
    if sys.stderr is not None and not sys.stderr.closed:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
    leave(status)


def _unsaid(error: OSError, status: int) -> int:
    """The exit status where not all could be written, which is said unless there is an error already."""
    if isinstance(error, BrokenPipeError) or status:
        return status
    from swarm.cli.commands import say_disk_error

    return say_disk_error(error)


def _occupy_standard_descriptors() -> None:
    """Where 0, 1 or 2 are closed, a file of the content would get the number, and what is said into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # Python has none where the descriptor was closed; a line said to nobody is no error.
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode))
    # A name for which the locale has no letters is shown escaped, as stderr does it by itself.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # it is as Python made it


# By default both leave by `os._exit`: taking the interpreter apart is 6 to 18 ms of each command, and nothing
# waits for it. When a command has returned, its session, sockets and files are closed, `asyncio.Runner` has
# joined the threads of the loop, those of our own are daemons and so would be cut off anyway, and no code of
# ours registers with `atexit`. An unexpected exception does not come here, and shows its traceback.


def main(leave: Leave = os._exit) -> NoReturn:
    """Entry point of `swarm`; who has more to do in this process gives `sys.exit`."""
    _occupy_standard_descriptors()
    with loading():
        from swarm.cli.commands import run, swarm

    _exit(run(swarm, "swarm", sys.argv[1:]), leave)


def mktorrent_main(leave: Leave = os._exit) -> NoReturn:
    """Entry point of `mktorrent`; as `main`."""
    _occupy_standard_descriptors()
    with loading():
        from swarm.cli.commands import run
        from swarm.cli.mktorrent import command

    _exit(run(command, "mktorrent", sys.argv[1:]), leave)
