"""A meter lets through what it should: so much at once, and then so much a second."""

from __future__ import annotations

from swarm.base.meter import Meter


def test_meter_allows_a_burst_and_then_its_rate() -> None:
    meter = Meter(10.0, 5)
    assert [meter.allow(0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert sum(meter.allow(0.101 * turn) for turn in range(1, 101)) == 100
    assert [meter.allow(100.0) for _ in range(7)] == [True] * 5 + [False] * 2


def test_meter_without_a_rate_allows_all() -> None:
    assert all(Meter(None, 1).allow(0.0, 1e9) for _ in range(100))


def test_meter_counts_units() -> None:
    meter = Meter(100.0, 1000)
    assert meter.allow(0.0, 900)
    assert not meter.allow(0.0, 200)
    assert meter.allow(1.0, 200)
