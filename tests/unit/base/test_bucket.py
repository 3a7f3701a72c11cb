"""The token bucket: exact on average, whatever the steps."""

from __future__ import annotations

import random

import pytest

from swarm.base.bucket import Bucket


@pytest.mark.parametrize("rate", [100 * 1024, 4 << 20, 100 << 20])
def test_bucket_lets_the_rate_through_and_no_more(rate: int) -> None:
    rng = random.Random(7)
    bucket = Bucket(rate, 0.0)
    now, moved = 0.0, 0
    while now < 10:
        if bucket.available(now) > 0:
            step = rng.choice([100, 4096, 16397])
            bucket.take(step, now)
            moved += step
        else:
            now += max(bucket.wait_s(1), 1e-4)
    assert moved == pytest.approx(10 * rate, rel=0.02)


def test_bucket_without_a_rate_lets_everything_through() -> None:
    bucket = Bucket(None, 0.0)
    bucket.take(1 << 40, 0.0)
    assert bucket.available(0.0) == float("inf")
    assert bucket.wait_s(1 << 30) == 0.0


def test_bucket_saves_no_more_than_its_burst() -> None:
    bucket = Bucket(1_000_000, 0.0, burst_s=0.1)
    assert bucket.available(3600.0) == 100_000


def test_bucket_of_a_low_rate_saves_no_more_either() -> None:
    """A block is more than this: whoever takes one leaves a debt."""
    bucket = Bucket(20_000, 0.0)
    assert bucket.available(3600.0) == 2000
    bucket.take(16_384, 3600.0)
    assert bucket.wait_s(1) == pytest.approx(14_385 / 20_000)


def test_bucket_debt_is_paid_before_anything_flows() -> None:
    bucket = Bucket(1000, 0.0)
    bucket.take(3000, 0.0)
    assert bucket.available(1.0) == -2000
    assert bucket.wait_s(0) == pytest.approx(2.0)
    assert bucket.available(3.05) == pytest.approx(50)


def test_bucket_lowered_rate_owes_at_most_a_second() -> None:
    bucket = Bucket(1_000_000, 0.0)
    bucket.take(900_000, 0.0)
    bucket.set_rate(1000, 0.0)
    assert bucket.available(0.0) == -1000


def test_bucket_whose_limit_is_taken_away_and_set_again_owes_nothing() -> None:
    bucket = Bucket(1000, 0.0)
    bucket.take(100_000, 0.0)
    bucket.set_rate(None, 0.0)
    bucket.set_rate(2000, 1.0)
    assert bucket.available(1.0) >= 0
