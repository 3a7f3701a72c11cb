"""Averages over a window that moves."""

from __future__ import annotations

from swarm.engine.rates import Rate


def test_average_covers_the_window_and_no_more() -> None:
    rate = Rate(0.0, window_s=20.0)
    for second in range(1, 41):
        rate.add(100 if second <= 20 else 300)
        rate.sample(float(second))
    assert rate.average(40.0) == 300
    assert rate.total_bytes == 20 * 400


def test_shorter_span_sees_the_last_change() -> None:
    rate = Rate(0.0)
    for second in range(1, 11):
        rate.add(1000 if second > 7 else 0)
        rate.sample(float(second))
    assert rate.average(10.0, 3.0) == 1000
    assert rate.average(10.0) == 300


def test_first_burst_counts_as_a_second_at_least() -> None:
    rate = Rate(0.0)
    rate.add(16384)
    assert rate.average(0.001) == 16384


def test_rate_is_idle_after_a_window_of_silence() -> None:
    rate = Rate(0.0, window_s=5.0)
    assert rate.is_idle
    rate.add(1)
    assert not rate.is_idle
    for second in range(1, 9):
        rate.sample(float(second))
    assert rate.is_idle
