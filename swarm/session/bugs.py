"""Bugs of our own where nobody would see them: in threads, in tasks, in timers.

The rule for all of the session: what is no `SwarmError` goes to the loop's exception handler, which logs the
traceback unless somebody has set another one, and whoever the work was for hears of it in one line. A torrent
fails by it; the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from swarm.base.errors import SwarmError


def failure(error: BaseException, doing: str) -> SwarmError:
    """What users are told of `error`; one that is a bug of ours is reported with its traceback.

    Args:
        doing: what was being done, for the report.
    """
    if isinstance(error, SwarmError):
        return error
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    asyncio.get_running_loop().call_exception_handler({"message": f"{doing} failed", "exception": error})
    return SwarmError(f"internal error, please report it: {error!r}")


def watch(task: asyncio.Task[Any], on_failed: Callable[[SwarmError], None] | None = None) -> None:
    """See to it that `task`, for which nobody waits, does not fail in silence.

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
