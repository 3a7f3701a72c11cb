"""Ranges of addresses against the plain definition: a set is what was put into it."""

from __future__ import annotations

import ipaddress
import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from swarm.base.errors import SettingsError
from swarm.base.ip_ranges import IpRanges, parse_ranges

#: Few enough addresses that ranges meet often.
SMALL = st.integers(0, 40)
RANGES = st.lists(st.tuples(SMALL, SMALL).map(lambda pair: (min(pair), max(pair))), max_size=12)


@given(RANGES, RANGES, SMALL)
def test_set_holds_what_one_of_its_ranges_holds(
    v4: list[tuple[int, int]], v6: list[tuple[int, int]], number: int
) -> None:
    # The ends of the families too, where sums could run over.
    top = 0xFFFFFFFF - 40
    ranges = IpRanges([*v4, *((first + top, last + top) for first, last in v4)], v6)
    inside = any(first <= number <= last for first, last in v4)
    assert (str(ipaddress.IPv4Address(number)) in ranges) == inside
    assert (str(ipaddress.IPv4Address(number + top)) in ranges) == inside
    assert (str(ipaddress.IPv6Address(number)) in ranges) == any(
        first <= number <= last for first, last in v6
    )


@given(RANGES, RANGES)
def test_list_written_from_a_set_reads_as_the_same_set(
    v4: list[tuple[int, int]], v6: list[tuple[int, int]]
) -> None:
    ranges = IpRanges(v4, v6)
    text = "\n".join(f"{first}-{last}" for first, last in ranges)
    assert list(parse_ranges(text)) == list(ranges)
    found = [tuple(map(ipaddress.ip_address, pair)) for pair in ranges]
    for (_, last), (first, _) in itertools.pairwise(found):
        assert first.version != last.version or int(first) > int(last) + 1


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: raw.decode("latin-1")))
@example("1.2.3.4/255.0.0.0")
@example("٣.2.3.4-5.6.7.8")
def test_any_text_is_a_list_or_the_one_error(text: str) -> None:
    try:
        assert isinstance(parse_ranges(text), IpRanges)
    except SettingsError as error:
        assert "\n" not in str(error)
