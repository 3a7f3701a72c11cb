"""Sets of IP addresses, as blocklists name them: sorted ranges, searched by bisection."""

from __future__ import annotations

import ipaddress
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from swarm.base.endpoint import IpAddress, unmapped
from swarm.base.errors import SettingsError

#: First and last address of a range, as numbers.
Range = tuple[int, int]

#: Characters that an error shows of a line.
_SHOWN_MAX_CHARS = 60
#: `[NAME:]A.B.C.D-E.F.G.H`: most lines of most lists. Read by one match, which is fast.
_V4_LINE = re.compile(
    r"(?:.*:)?\s*(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\s*-\s*(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})",
    re.ASCII,
)


class IpRanges:
    """An immutable set of IPv4 and IPv6 addresses.

    Args:
        v4, v6: ranges (first <= last) in any order; ranges that overlap or touch become one.
    """

    __slots__ = ("_v4", "_v6")

    def __init__(self, v4: Iterable[Range] = (), v6: Iterable[Range] = ()) -> None:
        firsts, lasts = _joined(v4)
        # Eight bytes for each range: lists have hundreds of thousands.
        self._v4: tuple[Sequence[int], Sequence[int]] = array("I", firsts), array("I", lasts)
        self._v6: tuple[Sequence[int], Sequence[int]] = _joined(v6)

    def __contains__(self, host: str) -> bool:
        """Is the numeric address `host` in it? A name never is."""
        if not self._v4[0] and not self._v6[0]:
            return False
        try:
            address = unmapped(ipaddress.ip_address(host.partition("%")[0]))
        except ValueError:
            return False
        number = int(address)
        firsts, lasts = self._v6 if address.version == 6 else self._v4
        at = bisect_right(firsts, number) - 1
        return at >= 0 and number <= lasts[at]

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._v4[0]) + len(self._v6[0])

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The ranges as (first, last) numeric addresses, in ascending order, IPv4 first."""
        for firsts, lasts, make in ((*self._v4, ipaddress.IPv4Address), (*self._v6, ipaddress.IPv6Address)):
            for first, last in zip(firsts, lasts, strict=True):
                yield str(make(first)), str(make(last))


def parse_ranges(text: str) -> IpRanges:
    """Read a list. Each line is `NAME:FIRST-LAST` (P2P), `FIRST-LAST`, `ADDRESS/BITS` (CIDR) or `ADDRESS`.

    Empty lines and lines that begin with # are skipped. Numbers of IPv4 addresses may have leading zeros, as
    in many lists, and are decimal all the same. A name may contain colons, as IPv6 addresses do: FIRST is the
    longest end of the text before the dash that is an address.

    Raises:
        SettingsError: a line is none of these; says which.
    """
    v4: list[Range] = []
    v6: list[Range] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = line.strip()
        if not line or line[0] == "#":
            continue
        try:
            first, last, is_v6 = _parse_line(line)
            if first > last:
                raise ValueError
        except ValueError:
            raise SettingsError(
                f"line {number}: not a range of addresses: {line[:_SHOWN_MAX_CHARS]!r}"
            ) from None
        (v6 if is_v6 else v4).append((first, last))
    return IpRanges(v4, v6)


def _parse_line(line: str) -> tuple[int, int, bool]:
    """First and last address, and whether of IPv6; ValueError if `line` is no range."""
    match = _V4_LINE.fullmatch(line)
    if match is not None:
        parts = [int(part) for part in match.groups()]
        if max(parts) > 255:
            raise ValueError
        a, b, c, d, e, f, g, h = parts
        return a << 24 | b << 16 | c << 8 | d, e << 24 | f << 16 | g << 8 | h, False
    left, dash, right = line.rpartition("-")
    if dash:
        return _range(_named_address(left), ipaddress.ip_address(right.strip()))
    if "/" in line:
        network = ipaddress.ip_network(line, strict=False)
        return _range(network.network_address, network.broadcast_address)
    address = ipaddress.ip_address(line)
    return _range(address, address)


def _named_address(text: str) -> IpAddress:
    """The address in `NAME:ADDRESS` or `ADDRESS`: the longest end of the text that is one."""
    while True:
        try:
            return ipaddress.ip_address(text.strip())
        except ValueError:
            _, colon, text = text.partition(":")
            if not colon:
                raise


def _range(first: IpAddress, last: IpAddress) -> tuple[int, int, bool]:
    """Two addresses as numbers, and whether of IPv6; mapped ones are IPv4. ValueError for one of each."""
    ends = unmapped(first), unmapped(last)
    if ends[0].version != ends[1].version:
        # Written in IPv6 both, though one end is a mapped IPv4 address: this is a range of IPv6.
        if first.version != last.version:
            raise ValueError
        ends = first, last
    return int(ends[0]), int(ends[1]), ends[0].version == 6


def _joined(ranges: Iterable[Range]) -> tuple[list[int], list[int]]:
    """The first and the last addresses of the ranges joined: in ascending order, with gaps between them."""
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(ranges):
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts
