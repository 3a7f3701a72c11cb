"""A limit of the requests on their way to each host, whoever makes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

#: Requests on their way to one host over one family.
HOST_CONCURRENT_MAX = 25


class HostTurns:
    """Limits the requests to each host: a thousand torrents must not flood their one tracker.

    Args:
        each_max: requests on their way to one host; further ones wait, first come first served.
    """

    def __init__(self, each_max: int = HOST_CONCURRENT_MAX) -> None:
        self._each_max = each_max
        #: host -> (its semaphore, how many have or want a turn).
        self._hosts: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @contextlib.asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait until a request to `host` may start; the block is the request."""
        turns, count = self._hosts.get(host, (asyncio.Semaphore(self._each_max), 0))
        self._hosts[host] = turns, count + 1
        try:
            async with turns:
                yield
        finally:
            turns, count = self._hosts[host]
            if count > 1:
                self._hosts[host] = turns, count - 1
            else:
                del self._hosts[host]
