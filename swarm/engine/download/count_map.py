"""Which pieces so and so many peers have, found among 200,000 as fast as memory can be read."""

from __future__ import annotations

import random
import sys
from array import array
from collections.abc import Iterable, Iterator

#: Instead of a count: the piece is not on offer, has another page, or was taken off.
BLANK = 255
#: How many availabilities a page shows: one for each value of a byte but `BLANK`.
PAGE = BLANK

#: Turns flags into what, laid over a page, blanks all pieces that are not flagged.
_BLANK_UNFLAGGED = bytes([BLANK, 0]) + bytes(254)

#: So often one of many is looked for by lot; where they seem to be few it is the next after a random place.
_LOTS = 16


class CountMap:
    """The counts of the pieces on offer, one byte each, among which `bytes.find` looks for an availability.

    It is drawn when somebody looks for pieces, which takes half a millisecond for 200,000 of them, and kept.
    Counts that rise afterwards need not be entered, so that a `have` costs nothing here: what the map says
    may be too low, never too high, and whoever takes a piece off it compares. (Who looks from some
    availability up does enter what rises to it from below, or it would be passed over.) 255 availabilities
    are a *page*; only very large swarms have more, and one is open.

    Args:
        counts: availability by piece, one or two bytes each; owned by `Availability`.
        offered: one flag a piece, 1 for those that are on offer.
    """

    __slots__ = ("_counts", "_page", "_rng", "_shown", "blanks")

    def __init__(self, counts: array[int], offered: bytes | bytearray, rng: random.Random) -> None:
        self._counts = counts
        self._rng = rng
        #: 0 for a piece that is on offer, `BLANK` for one that is not; its owner keeps it up to date.
        self.blanks = bytearray(offered.translate(_BLANK_UNFLAGGED))
        self._shown: bytearray | None = None
        self._page = 0

    # -- the map --------------------------------------------------------------------------------

    def shows(self, level: int) -> bool:
        """Is the page of this availability open?"""
        return self._shown is not None and level // PAGE == self._page

    def open(self, level: int, *, without: Iterable[int] = ()) -> bool:
        """Draw the page of this availability, without these pieces; False where no piece is so common."""
        shown = self._draw(level // PAGE)
        if shown is None:
            return False
        for piece in without:
            shown[piece] = BLANK
        self._shown, self._page = shown, level // PAGE
        return True

    def forget(self) -> None:
        """Many counts have changed."""
        self._shown = None

    def next_level(self, level: int) -> int:
        """The lowest on the open page that any piece has, not below `level`; else where the next begins."""
        assert self._shown is not None, "the map is closed"
        return self._page * PAGE + _lowest(self._shown, level % PAGE)

    def take(self, level: int) -> Iterator[int]:
        """Take off the pieces that are said to have this availability, beginning at any of them."""
        shade = level % PAGE
        at = 0 if self._shown is None else max(self._any(self._shown, shade), 0)
        while self._shown is not None:
            at = self._shown.find(shade, at)
            if at < 0:
                at = self._shown.find(shade)
                if at < 0:
                    return
            self._shown[at] = BLANK
            yield at

    def put(self, piece: int) -> None:
        """Enter the count that `piece` has now."""
        if self._shown is not None:
            page, shade = divmod(self._counts[piece], PAGE)
            self._shown[piece] = shade if page == self._page else BLANK

    def may_find(self, piece: int, lowest: int) -> bool:
        """Is `piece` found by who looks at all availabilities from `lowest` up? (for tests)"""
        level = self._counts[piece]
        if not self.shows(level):
            return True
        assert self._shown is not None
        said = self._page * PAGE + self._shown[piece]
        return self._shown[piece] != BLANK and lowest <= said <= level

    # -- from the counts as they are ------------------------------------------------------------

    def rarest_of(self, flags: bytearray) -> int | None:
        """The rarest of the pieces that are flagged and on offer, any of several."""
        over = flags.translate(_BLANK_UNFLAGGED)
        page = 0
        while (shown := self._draw(page, over)) is not None:
            shade = _lowest(shown, 0)
            if shade < PAGE:
                return self._any(shown, shade)
            page += 1
        return None

    def any_of(self, flags: bytearray) -> int | None:
        """Any of the pieces that are flagged and on offer."""
        blanks, random = self.blanks, self._rng.random
        for _ in range(_LOTS):
            piece = int(random() * len(blanks))
            if flags[piece] and not blanks[piece]:
                return piece
        over = flags.translate(_BLANK_UNFLAGGED)
        number = int.from_bytes(blanks, "little") | int.from_bytes(over, "little")
        piece = self._any(number.to_bytes(len(blanks), "little"), 0)
        return piece if piece >= 0 else None

    def count_of_none(self) -> int:
        """How many pieces on offer have the availability 0."""
        shown = self._draw(0)
        return shown.count(0) if shown is not None else 0

    # -- how it is drawn ------------------------------------------------------------------------

    def _draw(self, page: int, over: bytes | bytearray = b"") -> bytearray | None:
        """Draw this page of the pieces on offer; None where no piece is so common.

        All at once, as large numbers. `BLANK` has every bit, so `|` lays it over anything.

        Args:
            over: one byte a piece, blank for those to leave out.
        """
        counts = self._counts
        raw = counts.tobytes()
        if counts.itemsize == 1:
            if page:
                return None
            number = int.from_bytes(raw, "little")
        else:
            # A page is 255 long. With one more for each page before it the low byte counts from 0 on this
            # page, and the high byte is its number. No lane overflows (`availability.PEERS_MAX`).
            ones = int.from_bytes(array(counts.typecode, (1,)) * len(counts), sys.byteorder)
            raw = (int.from_bytes(raw, sys.byteorder) + page * ones).to_bytes(len(raw), sys.byteorder)
            low = 0 if sys.byteorder == "little" else 1
            high = raw[1 - low :: 2]
            if page and not high.translate(None, bytes(range(page))):
                return None
            others = bytes(BLANK if other != page else 0 for other in range(256))
            number = int.from_bytes(raw[low::2], "little") | int.from_bytes(high.translate(others), "little")
        number |= int.from_bytes(self.blanks, "little") | int.from_bytes(over, "little")
        return bytearray(number.to_bytes(len(counts), "little"))

    def _any(self, shown: bytes | bytearray, shade: int) -> int:
        """Any piece of this shade, or -1; where they are few, who comes after a wide gap is likelier."""
        random, size = self._rng.random, len(shown)
        for _ in range(_LOTS):
            at = int(random() * size)
            if shown[at] == shade:
                return at
        at = shown.find(shade, int(random() * size))
        return at if at >= 0 else shown.find(shade)


def _lowest(shown: bytes | bytearray, shade: int) -> int:
    """The lowest shade from `shade` on that any piece has; `PAGE` for none."""
    while shade < PAGE and shade not in shown:
        shade += 1
    return shade
