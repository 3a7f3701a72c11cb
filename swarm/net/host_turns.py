"""A limit of the requests on their way, to each host and to all of them, whoever makes them."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

#: Requests on their way to one host over one family.
HOST_CONCURRENT_MAX = 25


class HostTurns:
    """Limits the requests to each host: a thousand torrents must not flood their one tracker.

    Those to a host that does not answer hold their turns for long. So that it does not hold up the others, a
    host gets another turn only while it has fewer than are free: then some are left for one that has none.
    Source: Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches" (1998).

    Args:
        each_max: requests on their way to one host; further ones wait, first come first served.
        all_max: those on their way to all hosts, None for no limit; of hosts that wait that with the fewest
            is next.
    """

    def __init__(self, each_max: int = HOST_CONCURRENT_MAX, all_max: int | None = None) -> None:
        self._each_max = each_max
        self._free: float = math.inf if all_max is None else all_max
        #: host -> requests on their way to it, if any.
        self._held: dict[str, int] = {}
        #: host -> those who wait for a turn at it, if any; both in the order in which they are next.
        self._waiting: dict[str, dict[asyncio.Future[None], None]] = {}

    @contextlib.asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait until a request to `host` may start; the block is the request."""
        if host not in self._waiting and self._may_begin(host):
            self._take(host)
        else:
            await self._wait(host)
        try:
            yield
        finally:
            self._give_back(host)

    def _may_begin(self, host: str) -> bool:
        return self._held.get(host, 0) < min(self._each_max, self._free)

    def _take(self, host: str) -> None:
        self._free -= 1
        self._held[host] = self._held.get(host, 0) + 1

    def _give_back(self, host: str) -> None:
        self._free += 1
        self._held[host] -= 1
        if not self._held[host]:
            del self._held[host]
        self._pass_on()

    async def _wait(self, host: str) -> None:
        """Wait for a turn, and take it."""
        queue = self._waiting.setdefault(host, {})
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue[given] = None
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():
                # It came in the same moment.
                self._give_back(host)
            queue.pop(given, None)
            if not queue and self._waiting.get(host) is queue:
                del self._waiting[host]
            raise

    def _pass_on(self) -> None:
        """Give the free turns to those who wait."""
        while self._waiting:
            host = min(self._waiting, key=lambda host: self._held.get(host, 0))
            if not self._may_begin(host):
                return
            queue = self._waiting.pop(host)
            given = next(iter(queue))
            del queue[given]
            if queue:
                # Behind the others.
                self._waiting[host] = queue
            if not given.cancelled():
                self._take(host)
                given.set_result(None)
