"""Says what is waited for, where it takes longer than people wait without a word."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from swarm.cli.output import Output

#: So long nobody wonders.
PATIENCE_S = 1.0


@contextlib.asynccontextmanager
async def waiting_for(what: str, output: Output) -> AsyncIterator[None]:
    """Say `waiting for WHAT` (stderr), should the block take longer than a second."""
    timer = asyncio.get_running_loop().call_later(PATIENCE_S, output.info, f"waiting for {what}")
    try:
        yield
    finally:
        timer.cancel()
