"""Sizes and spans as people write and read them."""

from __future__ import annotations

import pytest

from swarm.base.units import format_count, format_size, format_span, parse_size


class TestParseSize:
    @pytest.mark.parametrize(
        ("text", "size_bytes"),
        [
            ("0", 0),
            ("17", 17),
            ("500K", 500 << 10),
            ("500k", 500 << 10),
            (" 4M ", 4 << 20),
            ("4MiB", 4 << 20),
            ("4 MB", 4 << 20),
            ("1.5G", 3 << 29),
            ("2T", 2 << 40),
            ("10M/s", 10 << 20),
            ("10B", 10),
        ],
    )
    def test_sizes_are_powers_of_1024(self, text: str, size_bytes: int) -> None:
        assert parse_size(text) == size_bytes

    @pytest.mark.parametrize("text", ["", "K", "-1", "1.M", ".5M", "1,5M", "1P", "4 4M", "inf", "9" * 400])
    def test_anything_else_is_refused_with_an_example(self, text: str) -> None:
        with pytest.raises(ValueError, match="such as 500K"):
            parse_size(text)


class TestFormat:
    @pytest.mark.parametrize(
        ("size_bytes", "text"),
        [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536 << 10, "1.50 MiB"),
            (15 << 30, "15.0 GiB"),
            (150 << 30, "150 GiB"),
            (5000 << 40, "5000 TiB"),
        ],
    )
    def test_sizes_have_three_digits(self, size_bytes: int, text: str) -> None:
        assert format_size(size_bytes) == text

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0, "0:00"), (83, "1:23"), (59.6, "1:00"), (3599, "59:59"), (14706, "4:05:06")]
    )
    def test_spans_are_clock_like(self, seconds: float, text: str) -> None:
        assert format_span(seconds) == text


def test_counts_are_of_one_thing_or_of_many() -> None:
    assert [format_count(count, "peer") for count in (0, 1, 1200)] == ["0 peers", "1 peer", "1,200 peers"]
    assert [format_count(count, "address", "addresses") for count in (1, 2)] == ["1 address", "2 addresses"]
