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


def use_up(bucket: Bucket, begin: float, end: float) -> None:
    """Take what there is a hundred times a second."""
    for tick in range(1, int((end - begin) * 100) + 1):
        now = begin + tick * 0.01
        bucket.take(int(bucket.available(now)), now)


@pytest.mark.parametrize("saved_s", [0.03, 0.1])
def test_bucket_lets_less_be_owed_the_more_was_saved_in_the_last_ten_seconds(saved_s: float) -> None:
    bucket = Bucket(1_000_000, 0.0)
    less = 200_000 - saved_s * 1_000_000
    bucket.take(int(saved_s * 1_000_000), saved_s)
    assert bucket.debt_max(saved_s) == pytest.approx(less)
    use_up(bucket, saved_s, saved_s + 9.9)
    assert bucket.debt_max(saved_s + 9.9) == pytest.approx(less)
    use_up(bucket, saved_s + 9.9, 21.0)
    # What is taken a hundred times a second is late by a hundredth.
    assert bucket.debt_max(21.0) == pytest.approx(190_000, rel=0.01)


def test_bucket_that_forgoes_pays_for_what_was_saved_and_may_owe_all_at_once() -> None:
    bucket = Bucket(1_000_000, 0.0)
    bucket.take(150_000, 0.1)
    bucket.forgo(0.2)
    assert bucket.available(0.2) == pytest.approx(-50_000)
    assert bucket.debt_max(0.2) == pytest.approx(200_000)


def test_bucket_without_a_rate_lets_anything_be_owed() -> None:
    bucket = Bucket(None, 0.0)
    bucket.forgo(1.0)
    assert bucket.debt_max(1.0) == float("inf")


def test_bucket_lowered_rate_forgoes_no_more_than_it_could_save() -> None:
    bucket = Bucket(8_000_000, 0.0)
    bucket.take(2_400_000, 0.1)
    bucket.set_rate(1000, 0.1)
    assert bucket.debt_max(0.1) == pytest.approx(100)
    bucket.forgo(0.1)
    assert bucket.available(0.1) == pytest.approx(-1100)
