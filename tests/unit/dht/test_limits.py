"""Meters let through what they should, and forget in bounded memory."""

from __future__ import annotations

from swarm.dht.limits import Meter, RecentSources, SourceMeters


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


def test_sources_are_metered_apart() -> None:
    meters = SourceMeters(1.0, 3, 100)
    assert [meters.allow(b"a", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert meters.allow(b"b", 0.0)
    assert meters.allow(b"a", 1.0)
    assert not meters.allow(b"a", 1.0)


def test_sources_are_bounded_and_the_busy_ones_stay_known() -> None:
    meters = SourceMeters(0.001, 3, 100)
    for number in range(10_000):
        meters.allow(number.to_bytes(4, "big"), 0.0)
        if number % 20 == 0:
            meters.allow(b"busy", 0.0)
        assert len(meters) <= 200
    assert not meters.allow(b"busy", 0.0)


def test_proven_sources_are_bounded_and_the_latest_known() -> None:
    recent = RecentSources(100)
    for number in range(1000):
        recent.add(number.to_bytes(4, "big"))
        assert len(recent) <= 200
    assert (999).to_bytes(4, "big") in recent
    assert (0).to_bytes(4, "big") not in recent
