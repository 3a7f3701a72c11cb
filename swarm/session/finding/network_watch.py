"""Notices that this machine is in another network, or back in one: a laptop moves, a line was down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from swarm.net.outlet import Outlet
from swarm.net.ways_out import slept_s, ways_out
from swarm.session.bugs import watch

#: Between two looks, of some ten microseconds each.
LOOK_S = 5.0
#: Who was away for longer has been taken off lists, and connections have ended unheard.
SLEPT_MIN_S = 60.0


class NetworkWatch:
    """Looks from time to time by which addresses we leave, and whether the machine has slept.

    Args:
        outlet: where everything must leave; it follows the interface to which it is bound.
        on_change: gets our addresses on the way out, one at least.
    """

    def __init__(self, outlet: Outlet, on_change: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        self._outlet = outlet
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="watch over the network")
        watch(self._task)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        outlet = self._outlet
        seen, slept, number = ways_out(outlet), slept_s(), outlet.interface_number
        while True:
            await asyncio.sleep(LOOK_S)
            has_moved = outlet.follow()
            hosts, slept_by_now, number_by_now = ways_out(outlet), slept_s(), outlet.interface_number
            has_moved = has_moved or bool(number_by_now and number_by_now != number)
            if hosts == seen and not has_moved and slept_by_now - slept < SLEPT_MIN_S:
                continue
            seen, slept, number = hosts, slept_by_now, number_by_now or number
            # Without any network there is nothing to be done until there is one. A bound interface may lead
            # to its own network alone.
            if hosts or has_moved:
                await self._on_change(hosts or tuple(outlet.addresses.values()))
