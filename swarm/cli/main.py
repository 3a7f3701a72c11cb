"""The entry points `swarm` and `mktorrent`: the process around a command, up to its exit status."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from swarm.cli.loading import loading, take_all_ends_for_ctrl_c

#: Ends the process with a status.
Leave: TypeAlias = Callable[[int], NoReturn]


def _exit(status: int, leave: Leave) -> NoReturn:
    """Flush stdout and stderr, and leave; if stdout cannot be written (a full disk), that is an error."""
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
    """The exit status after stdout could not be written; says so, unless the command has failed anyway."""
    if isinstance(error, BrokenPipeError) or status:
        return status
    from swarm.cli.commands import say_disk_error

    return say_disk_error(error)


def _occupy_standard_descriptors() -> None:
    """Open descriptors 0 to 2 where they are closed.

    Otherwise a file of the content would get such a number, and what we print would be written into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # Where a descriptor was closed, Python has no stream; to print is to be no error all the same.
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode))
    # Letters that the locale does not have are escaped, as stderr does by itself.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # it is as Python made it


# By default both leave by `os._exit`: to take the interpreter apart takes 6 to 18 ms of each command
# (decision 006). Nothing is lost by that. When a command has returned, its session, sockets and files are
# closed and `asyncio.Runner` has joined the threads of the loop; our own threads are daemons, which end
# abruptly in any case; and nothing of ours registers with `atexit`. An unexpected exception does not come
# here: it shows its traceback.


def main(leave: Leave = os._exit) -> NoReturn:
    """Entry point of `swarm`; with `sys.exit` as `leave` the interpreter ends as usual."""
    _occupy_standard_descriptors()
    take_all_ends_for_ctrl_c()
    with loading():
        from swarm.cli.commands import run, swarm

    _exit(run(swarm, "swarm", sys.argv[1:]), leave)


def mktorrent_main(leave: Leave = os._exit) -> NoReturn:
    """Entry point of `mktorrent`; as `main`."""
    _occupy_standard_descriptors()
    take_all_ends_for_ctrl_c()
    with loading():
        from swarm.cli.commands import run
        from swarm.cli.mktorrent import command

    _exit(run(command, "mktorrent", sys.argv[1:]), leave)
