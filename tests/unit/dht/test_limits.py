"""Each source has its own limit, and the table of them its bound."""

from __future__ import annotations

from swarm.dht.limits import RecentSources, SourceMeters


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
