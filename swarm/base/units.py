"""Sizes, rates and spans as people write and read them."""

from __future__ import annotations

import re

_SIZE = r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([KMGT]?)(?:i?B)?(?:/s)?\s*"
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Read `500K`, `4MiB`, `1.5G/s` as bytes, in powers of 1024; ValueError says what was expected."""
    match = re.fullmatch(_SIZE, text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"expected a size such as 500K, 4M or 1.5G, got {text!r}")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].upper()])


def format_size(size_bytes: float) -> str:
    """Write bytes with a binary unit and three digits: `1.50 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size_bytes) < 1024 or unit == "TiB":
            break
        size_bytes /= 1024
    if unit == "B":
        return f"{size_bytes:.0f} B"
    return f"{size_bytes:.{2 if size_bytes < 10 else 1 if size_bytes < 100 else 0}f} {unit}"


def format_count(count: int, singular: str, plural: str = "") -> str:
    """Write a count of things: `1 peer`, `2 peers`; the plural ends in "s" where none is given."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def format_span(seconds: float) -> str:
    """Write a span as `1:23` (minutes) or `4:05:06` (hours)."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"
