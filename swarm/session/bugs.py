"""Reports bugs of our own that nobody would see otherwise: in threads, in tasks, in timers.

The rule for the whole session: an exception that is no `SwarmError` is a bug. It goes to the loop's exception
handler, which logs the traceback unless somebody has set another one; whoever the work was for gets one line.
The torrent that it concerns fails, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from swarm.base.errors import SwarmError

#: Who is cancelled waits for the end of what he has begun for no longer: a disk may hang.
OUTLAST_MAX_S = 30.0


def failure(error: BaseException, doing: str) -> SwarmError:
    """Turn any exception into an error for users; a bug of ours is reported with its traceback as well.

    Args:
        doing: what was being done, for the report.
    """
    if isinstance(error, SwarmError):
        return error
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    asyncio.get_running_loop().call_exception_handler({"message": f"{doing} failed", "exception": error})
    return SwarmError(f"internal error, please report it: {error!r}")


async def all_ended(work: Iterable[Awaitable[Any]], doing: str) -> None:
    """Wait until all of `work` has ended; one that fails keeps none of the others from their end.

    Args:
        doing: what was being done, for the report of a bug.
    """
    for error in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(error, Exception):
            failure(error, doing)


async def outlast(work: asyncio.Task[None]) -> None:
    """Wait until `work` has ended; who is cancelled meanwhile hears of it then, or after `OUTLAST_MAX_S`.

    Whoever leaves a session early would find its port and its files taken, and `asyncio.run` would cancel
    what is being saved.
    """
    loop = asyncio.get_running_loop()
    cancelled: asyncio.CancelledError | None = None
    leave_at = float("inf")
    while not work.done() and loop.time() < leave_at:
        try:
            await asyncio.wait([work], timeout=None if cancelled is None else leave_at - loop.time())
        except asyncio.CancelledError as error:
            if cancelled is None:
                leave_at = loop.time() + OUTLAST_MAX_S
            cancelled = error
    if cancelled is not None:
        raise cancelled
    await work


def watch(task: asyncio.Task[Any], on_failed: Callable[[SwarmError], None] | None = None) -> None:
    """Have a task for which nobody waits reported if it fails.

    Args:
        on_failed: told why it failed, unless it was cancelled; None where the report is enough.
    """

    def ended(task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            reason = failure(error, task.get_name())
            if on_failed is not None:
                on_failed(reason)

    task.add_done_callback(ended)
