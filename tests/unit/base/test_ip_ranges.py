"""Ranges of addresses: the lines of blocklists, joining, looking up."""

from __future__ import annotations

import pytest

from swarm.base.errors import SettingsError
from swarm.base.ip_ranges import parse_ranges


@pytest.mark.parametrize(
    ("line", "first", "last"),
    [
        ("Some Organisation:1.2.4.0-1.2.4.255", "1.2.4.0", "1.2.4.255"),
        ("Name: with colons, 10-20:1.2.4.0-1.2.4.255", "1.2.4.0", "1.2.4.255"),
        ("padded:001.002.004.000-001.002.004.255", "1.2.4.0", "1.2.4.255"),
        ("1.2.4.0 - 1.2.4.255", "1.2.4.0", "1.2.4.255"),
        ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
        ("10.1.2.3/8", "10.0.0.0", "10.255.255.255"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("9.9.9.9", "9.9.9.9", "9.9.9.9"),
        ("2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("Somebody:2001:db8::1-2001:db8::ff", "2001:db8::1", "2001:db8::ff"),
        ("2001:db8::1-2001:db8::ff", "2001:db8::1", "2001:db8::ff"),
        ("::1", "::1", "::1"),
        ("::ffff:1.2.3.0/120", "1.2.3.0", "1.2.3.255"),
        ("1.2.3.0-::ffff:1.2.3.4", "1.2.3.0", "1.2.3.4"),
        ("::/80", "::", "::ffff:ffff:ffff"),
        ("::-::ffff:ffff:ffff", "::", "::ffff:ffff:ffff"),
    ],
)
def test_line_names_its_range(line: str, first: str, last: str) -> None:
    assert list(parse_ranges(f"# a comment\n\n{line}\r\n")) == [(first, last)]


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "a:b-c",
        "1.2.3.4-",
        "-1.2.3.4",
        "1.2.3.4-1.2.3.3",
        "1.2.3.256-1.2.3.4",
        "1.2.3.4-::5",
        "::5-1.2.3.4",
        "1.2.3.4/33",
        "1.2.3",
        "/8",
        "1.2.3.4-5.6.7.8-9.9.9.9",
        "\x1f\x8b\x08",
    ],
)
def test_line_that_is_no_range_is_an_error_that_names_it(line: str) -> None:
    with pytest.raises(SettingsError, match=r"^line 2: not a range of addresses: '") as caught:
        parse_ranges(f"1.0.0.0/8\n{line}\n")
    assert "\n" not in str(caught.value)


#: From libtorrent's test_ip_filter: ranges that are added -> what they amount to.
@pytest.mark.parametrize(
    ("added", "joined"),
    [
        (["1.0.0.0-2.0.0.0", "2.0.0.1-3.0.0.0"], [("1.0.0.0", "3.0.0.0")]),
        (["2.0.0.1-3.0.0.0", "1.0.0.0-2.0.0.0"], [("1.0.0.0", "3.0.0.0")]),
        (["2.0.0.1-3.0.0.0", "1.0.0.0-2.4.0.0"], [("1.0.0.0", "3.0.0.0")]),
        (["1.0.0.0-2.4.0.0", "2.0.0.1-3.0.0.0"], [("1.0.0.0", "3.0.0.0")]),
        (
            ["1.0.0.0-2.0.0.0", "3.0.0.0-4.0.0.0", "5.0.0.0-6.0.0.0", "7.0.0.0-8.0.0.0", "1.0.1.0-9.0.0.0"],
            [("1.0.0.0", "9.0.0.0")],
        ),
        (
            ["1.0.0.0-2.0.0.0", "3.0.0.0-4.0.0.0", "5.0.0.0-6.0.0.0", "7.0.0.0-8.0.0.0", "0.0.1.0-7.0.4.0"],
            [("0.0.1.0", "8.0.0.0")],
        ),
        (["2::1-3::", "1::-2::"], [("1::", "3::")]),
    ],
)
def test_ranges_that_touch_or_overlap_become_one(added: list[str], joined: list[tuple[str, str]]) -> None:
    ranges = parse_ranges("\n".join(added))
    assert list(ranges) == joined
    assert len(ranges) == len(joined)


def test_families_do_not_mix_but_mapped_addresses_are_ipv4() -> None:
    ranges = parse_ranges("0.0.0.0/0")
    assert "1.2.3.4" in ranges
    assert "::ffff:1.2.3.4" in ranges
    assert "::1" not in ranges
    assert "fe80::1%eth0" in parse_ranges("fe80::/10")


def test_names_are_never_listed() -> None:
    assert "example.org" not in parse_ranges("0.0.0.0/0\n::/0")


def test_empty_list_holds_nothing() -> None:
    assert "1.2.3.4" not in parse_ranges("")
    assert len(parse_ranges("# nothing\n")) == 0
