"""The processes of `swarm tracker --workers`: this one is the first, and watches the others."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable
from functools import partial

import click

from swarm.base.errors import SwarmError
from swarm.cli.exits import EXIT_INTERRUPTED

#: A worker that has not ended so long after the first one is killed: all that it knows is in the Redis.
ENDING_S = 2.0
_LOOK_S = 0.01


class Workers:
    """`count` processes that do the same work, this one included; the others end when this one does."""

    def __init__(self, count: int) -> None:
        self._count = count
        #: Process id -> number.
        self._running: dict[int, int] = {}

    def run(self, work: Callable[[int, bytes | None, int | None], int]) -> int:
        """Run `work` here and in `count - 1` other processes; returns its result here.

        Args:
            work: gets the number of the worker (0 here), the secret that all share (None if there is only
                one), and a descriptor that reaches its end when the first process is gone (None here).
        """
        if self._count == 1:
            return work(0, None, None)
        secret = secrets.token_bytes(32)
        reading, writing = os.pipe()
        # If our parent ignores SIGCHLD, so do we, and could not learn how our children end.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in range(1, self._count):
            # A fork is safe, as neither a loop nor a thread runs yet, and the cheapest.
            if (child := os.fork()) == 0:
                os.close(writing)
                _work_and_exit(number, partial(work, number, secret, reading))
            self._running[child] = number
        os.close(reading)
        try:
            return work(0, secret, None)
        finally:
            os.close(writing)
            self._wait()

    def news(self) -> list[str]:
        """A line for each worker that has ended since the last call: how it has ended."""
        found = []
        for child in list(self._running):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                number = self._running.pop(child)
                left = len(self._running) + 1
                go_on = "goes" if left == 1 else "go"
                found.append(f"worker {number} {_end_of(status)}; {left} of {self._count} {go_on} on")
        return found

    def _wait(self) -> None:
        """Wait until all have ended."""
        kill_at = time.monotonic() + ENDING_S
        while self._running:
            self.news()
            if time.monotonic() >= kill_at:
                for child in self._running:
                    os.kill(child, signal.SIGKILL)
                kill_at = float("inf")
            time.sleep(_LOOK_S if self._running else 0)


def _work_and_exit(number: int, work: Callable[[], int]) -> None:
    status = 1
    try:
        work()
        status = 0
    except SwarmError as error:
        click.echo(f"error: worker {number}: {error}", err=True)
    except click.ClickException:
        # Wrong options are the same for all workers: the first one says so.
        pass
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except BaseException:
        import traceback

        # That nobody reads stderr any more must not change how this worker ends.
        with contextlib.suppress(OSError):
            click.echo(f"error: worker {number} ends by a bug of ours:\n{traceback.format_exc()}", err=True)
    finally:
        os._exit(status)


def _end_of(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"has ended with status {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    # The kernel's out-of-memory killer sends this signal, and says nothing else.
    cause = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"was killed ({name}{cause})"
