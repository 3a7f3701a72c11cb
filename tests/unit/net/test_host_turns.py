"""Turns of requests: how many at a time, who is next, and what becomes of those who give up."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from swarm.net.host_turns import HostTurns


class World:
    """Requests to hosts, which go on until they are told to end."""

    def __init__(self, each_max: int, all_max: int | None) -> None:
        self.turns = HostTurns(each_max, all_max)
        #: In the order in which they began: the task of each, and its host.
        self.running: dict[asyncio.Task[None], str] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self._ends: dict[asyncio.Task[None], asyncio.Event] = {}

    def ask(self, host: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._ask(host))
        self._ends[task] = asyncio.Event()
        self.tasks.append(task)
        return task

    async def _ask(self, host: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        async with self.turns.turn(host):
            self.running[task] = host
            try:
                await self._ends[task].wait()
            finally:
                del self.running[task]

    def end(self, task: asyncio.Task[None]) -> None:
        self._ends[task].set()

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.running.values())

    async def end_all(self) -> None:
        for task in self.tasks:
            self.end(task)
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert not self.turns._held and not self.turns._waiting


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_host_alone_has_as_many_as_one_may_have() -> None:
    world = World(25, 100)
    for _ in range(40):
        world.ask("a")
    await settle()
    assert world.counts == {"a": 25}
    await world.end_all()


async def test_hosts_that_hold_many_leave_some_for_those_to_come() -> None:
    world = World(25, 100)
    for host in "abcdef":
        for _ in range(40):
            world.ask(host)
    await settle()
    assert world.counts == {"a": 25, "b": 25, "c": 25, "d": 13, "e": 6, "f": 3}
    world.ask("late")
    await settle()
    assert world.counts["late"] == 1
    await world.end_all()


async def test_a_free_turn_is_for_who_has_the_fewest_and_waits_longest() -> None:
    world = World(2, 2)
    first = [world.ask(host) for host in "ab"]
    await settle()
    waiting = [world.ask(host) for host in "aacdc"]
    await settle()
    for task, next_one in zip([*first, *waiting[2:4]], [0, 2, 3, 4], strict=True):
        world.end(task)
        await settle()
        assert list(world.running)[-1] is waiting[next_one]
    await world.end_all()


async def test_who_gives_up_while_it_waits_or_as_its_turn_comes_takes_none() -> None:
    world = World(1, None)
    running, waiting, lucky, last = (world.ask("a") for _ in range(4))
    await settle()
    waiting.cancel()
    world.end(running)
    while not running.done():  # noqa: ASYNC110  # in this very moment `lucky` has its turn
        await asyncio.sleep(0)
    lucky.cancel()
    await settle()
    assert list(world.running) == [last]
    await world.end_all()


@given(
    st.integers(1, 4),
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from(["ask", "end", "cancel"]), st.integers(0, 30)), max_size=40),
    st.integers(0, 2),
)
def test_limits_hold_and_everybody_comes_to_a_turn(
    each_max: int, all_max: int, events: list[tuple[str, int]], pauses: int
) -> None:
    async def run() -> None:
        world = World(each_max, all_max)
        for what, number in events:
            if what == "ask":
                world.ask("abcd"[number % 4])
            elif world.tasks:
                task = world.tasks[number % len(world.tasks)]
                world.end(task) if what == "end" else task.cancel()
            for _ in range(pauses):
                await asyncio.sleep(0)
            assert len(world.running) <= all_max and max(world.counts.values(), default=0) <= each_max
        await settle()
        # A turn is free, and nobody is kept from it who has none.
        if len(world.running) < all_max:
            assert all(host in world.counts for host in world.turns._waiting)
        await world.end_all()

    asyncio.run(run())
