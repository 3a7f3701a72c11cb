"""Whoever takes, whenever, however late the machine is: ten seconds never see more than a limit allows."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from swarm.base.bucket import ABOVE_S, WINDOW_S, Bucket
from swarm.session.connections.throttle import Throttle
from tests.unit.session.connections.virtual_loop import Link, VirtualLoop

BLOCK_BYTES = 16397
#: A block a second, and the three of the benches.
RATES = (16_384, 100 << 10, 4 << 20, 100 << 20)

Step = tuple[str, float]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["pass", "rest"]), st.floats(0.01, 12.0)),
        st.tuples(st.just("late"), st.floats(0.001, 0.5)),
        st.tuples(st.just("join"), st.just(0.0)),
        st.tuples(st.just("leave"), st.just(0.0)),
        st.tuples(st.just("limit"), st.sampled_from(RATES)),
    ),
    min_size=2,
    max_size=12,
)


class Line:
    """Links under one limit, and what flowed when."""

    def __init__(self, rate: float, own_rate: float | None) -> None:
        self.loop = VirtualLoop()
        self.throttle = Throttle(cast(Any, self.loop), rate)
        self.own = Bucket(own_rate, 0.0)
        self.limits: list[tuple[float, float]] = [(0.0, rate)]
        self.flow: list[tuple[float, int]] = []
        self.waiting: list[Any] = []

    def join(self) -> None:
        link = Link()

        def turn(size_bytes: int) -> tuple[int, bool]:
            moved, has_more = link.turn(size_bytes)
            self.flow.append((self.loop.now, moved))
            return moved, has_more

        self.waiting.append(turn)
        self.throttle.wait(turn, self.own)

    def leave(self) -> None:
        if self.waiting:
            self.throttle.leave(self.waiting.pop(0))

    def do(self, what: str, value: float) -> None:
        match what:
            case "join":
                self.join()
            case "leave":
                self.leave()
            case "limit":
                self.throttle.set_rate(value)
                self.limits.append((self.loop.now, value))
            case "late":
                # The loop is busy with something else: what is due meanwhile is done after that.
                self.loop.now += value
            case "rest":
                while self.waiting:
                    self.leave()
                self.loop.run(self.loop.now + value)
            case _:
                self.let_flow(value)

    def let_flow(self, seconds: float) -> None:
        """What waits goes on, when a second's debt is paid, the block after it, and what is forgone."""
        done = len(self.flow)
        self.loop.run(self.loop.now + seconds)
        rate = min(self.limits[-1][1], self.own.rate or float("inf"))
        moved = sum(size_bytes for _, size_bytes in self.flow[done:])
        assert not self.waiting or moved >= rate * (seconds - 1.5) - 2 * BLOCK_BYTES

    def allowed(self, begin: float, end: float) -> float:
        """What the limits let through in this time at the most."""
        total = highest = 0.0
        ends = [at for at, _ in self.limits[1:]] + [float("inf")]
        for (since, rate), until in zip(self.limits, ends, strict=True):
            if until >= begin and since <= end:
                total += rate * (min(until, end) - max(since, begin))
                highest = max(highest, rate)
        return total + ABOVE_S * highest

    def check(self) -> None:
        for first, (begin, _) in enumerate(self.flow):
            moved = 0
            for at, size_bytes in self.flow[first:]:
                if at - begin > WINDOW_S:
                    break
                moved += size_bytes
                assert moved <= self.allowed(begin, at) + BLOCK_BYTES + 1, f"{begin} to {at}"


@given(st.sampled_from(RATES[:3]), st.sampled_from([None, *RATES[:3]]), STEPS)
def test_no_ten_seconds_see_more_than_two_percent_and_a_block_above_the_limit(
    rate: float, own_rate: float | None, steps: list[Step]
) -> None:
    line = Line(rate, own_rate)
    for what, value in steps:
        line.do(what, value)
    line.check()
