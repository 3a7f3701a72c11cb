"""A few at once, then one in a while."""

from __future__ import annotations

from swarm.engine.allowance import Allowance


def test_burst_then_one_each_refill() -> None:
    allowance = Allowance(3, 10.0)
    assert [allowance.allow(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert not allowance.allow(109.0)
    assert allowance.allow(110.0) and not allowance.allow(110.0)
    # What is saved up is never more than the burst.
    assert [allowance.allow(10_000.0) for _ in range(4)] == [True, True, True, False]
