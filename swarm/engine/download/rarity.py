"""Which pieces on offer are the rarest."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from itertools import chain

from swarm.engine.download.count_map import BLANK, CountMap

#: Behind this horizon there is nothing.
_NOTHING_BEYOND = 1 << 30


class RarityOrder:
    """The pieces on offer of one priority, rarest first, ties in random order.

    Pieces of one availability stand in a *row*, in random order. One more or one less is a step to the next
    row, so a `have` costs the same in a swarm of any size. (The idea is as old as Mainline's.) But only the
    rarest stand in rows, some hundreds at a time. Below the *horizon* rows lack nothing; what becomes as
    common as that leaves its row, and a `have` of it costs next to nothing. When nothing that suits a peer
    stands in rows, more is put there, of the rarest that the map finds.

    So a bitfield, which changes many counts at once, only empties the rows. To sort all pieces each time
    would be the longest stall of a download of many.

    The first row is for what nobody has, seeds aside, and is filled by itself: in a young swarm nearly
    everything belongs there, and it is of use only with a seed.

    Args:
        counts: availability by piece; owned by `Availability`, changed one step at a time.
        offered: one flag a piece, 1 for those that are here at first.
    """

    __slots__ = (
        "_blanks",
        "_count",
        "_counts",
        "_horizon",
        "_lowest",
        "_map",
        "_places",
        "_rng",
        "_rows",
        "_whole_from",
    )

    #: So many are put in rows at a time, in a fraction of a millisecond. Most torrents have no more on offer.
    AT_ONCE = 512

    def __init__(self, counts: array[int], offered: bytes | bytearray, rng: random.Random) -> None:
        self._counts = counts
        self._rng = rng
        self._map = CountMap(counts, offered, rng)
        #: Those of the map; not blank is here.
        self._blanks = self._map.blanks
        self._count = self._blanks.count(0)
        self.recount()

    def recount(self) -> None:
        """Many counts have changed at once: no piece stands anywhere."""
        #: Pieces by availability, from 0. Four bytes each, side by side: with many pieces the cache is what a
        #: `have` costs most.
        self._rows = [array("i")]
        #: piece -> its place in its row, -1 where it stands in none.
        self._places = array("i", (-1,)) * len(self._blanks)
        #: The rows from 1 up to this are empty.
        self._lowest = 1
        #: From this row, 0 or 1, up to the horizon rows lack nothing; the row at the horizon may, and those
        #: behind it are empty.
        self._whole_from = 1
        self._horizon = 1
        self._map.forget()

    def __len__(self) -> int:
        return self._count

    def __contains__(self, piece: int) -> bool:
        return not self._blanks[piece]

    def __iter__(self) -> Iterator[int]:
        """All pieces, ascending."""
        at = self._blanks.find(0)
        while at >= 0:
            yield at
            at = self._blanks.find(0, at + 1)

    # -- picking --------------------------------------------------------------------------------

    def first(self) -> int | None:
        """The rarest."""
        if not self._rows[0] and self._whole_from:
            self._fill_first()
        if self._rows[0]:
            return self._rows[0][0]
        piece = next(self._standing(), None)
        if piece is None and self._horizon < _NOTHING_BEYOND:
            self._fill()
            piece = next(self._standing(), None)
        return piece

    def first_of(self, flags: bytearray) -> int | None:
        """The rarest of those that are flagged and that anybody but seeds has."""
        has = flags.__getitem__
        # Written out: mostly this is all there is to picking.
        rows, lowest = self._rows, self._lowest
        while lowest < len(rows) and not rows[lowest]:
            self._lowest = lowest = lowest + 1
        piece = next(filter(has, chain.from_iterable(rows[lowest:])), None)
        if piece is None and self._horizon < _NOTHING_BEYOND:
            self._fill()
            piece = next(filter(has, self._standing()), None)
            # To put all in rows that is rarer than what this peer has could take long: not at one go.
            if piece is None and self._horizon < _NOTHING_BEYOND:
                piece = self.search(flags)
        return piece

    def search(self, flags: bytearray) -> int | None:
        """The rarest of those that are flagged, without the rows: a look at each piece."""
        return self._map.rarest_of(flags)

    def any_of(self, flags: bytearray) -> int | None:
        """One of those that are flagged, at random."""
        return self._map.any_of(flags) if self._count else None

    def count_of_none(self) -> int:
        """How many of the pieces nobody has, seeds aside."""
        return self._map.count_of_none()

    def _standing(self) -> Iterator[int]:
        """What stands in rows, but the first, rarest first."""
        rows = self._rows
        while self._lowest < len(rows) and not rows[self._lowest]:
            self._lowest += 1
        return chain.from_iterable(rows[self._lowest :])

    # -- filling the rows -----------------------------------------------------------------------

    def _fill_first(self) -> None:
        """Put some of what nobody has in its row."""
        if self._count <= self.AT_ONCE:
            self._fill_all()
            return
        taken = self._take(0, self.AT_ONCE)
        if len(taken) < self.AT_ONCE:
            self._whole_from = 0
        self._line_up(taken, 0)

    def _fill(self) -> None:
        """Put some of the rarest in rows that stand in none, and that anybody has."""
        if self._count <= self.AT_ONCE:
            self._fill_all()
            return
        room = self.AT_ONCE
        while room:
            if not self._open(self._horizon):
                self._horizon = _NOTHING_BEYOND
                return
            self._horizon = level = self._map.next_level(self._horizon)
            if self._map.shows(level):
                taken = self._take(level, room)
                if len(taken) < room:
                    self._horizon += 1
                room -= len(taken)
                self._line_up(taken, level)

    def _fill_all(self) -> None:
        """Put all in rows; they are few."""
        self.recount()
        self._whole_from = 0
        self._horizon = _NOTHING_BEYOND
        levels: dict[int, list[int]] = {}
        for piece in self:
            levels.setdefault(self._counts[piece], []).append(piece)
        for level, pieces in levels.items():
            self._line_up(pieces, level)

    def _open(self, level: int) -> bool:
        """Have the map show this availability; False where no piece is so common."""
        return self._map.shows(level) or self._map.open(level, without=self._row(level))

    def _take(self, level: int, room: int) -> list[int]:
        """Up to `room` pieces of this availability that stand in no row; less if there are no more."""
        taken: list[int] = []
        if not self._open(level):
            return taken
        counts, blanks, places = self._counts, self._blanks, self._places
        outdated = 0
        for piece in self._map.take(level):
            if blanks[piece] or places[piece] >= 0:
                outdated += 1
            elif counts[piece] > level:
                outdated += 1
                self._map.put(piece)
            else:
                taken.append(piece)
                if len(taken) == room:
                    break
            # Many haves have come since it was drawn: a new map costs less.
            if outdated > self.AT_ONCE:
                self._map.open(level, without=chain(self._row(level), taken))
                outdated = 0
        return taken

    def _line_up(self, pieces: list[int], level: int) -> None:
        """Put these at the end of their row, in random order."""
        random, places = self._rng.random, self._places
        pieces.sort(key=lambda _: random())
        row = self._row(level)
        for place, piece in enumerate(pieces, len(row)):
            places[piece] = place
        row.fromlist(pieces)
        if 0 < level < self._lowest:
            self._lowest = level

    def _row(self, level: int) -> array[int]:
        rows = self._rows
        while len(rows) <= level:
            rows.append(array("i"))
        return rows[level]

    # -- one piece ------------------------------------------------------------------------------

    def add(self, piece: int) -> None:
        self._blanks[piece] = 0
        self._count += 1
        self._settle(piece)

    def remove(self, piece: int) -> None:
        self._blanks[piece] = BLANK
        self._count -= 1
        if self._places[piece] >= 0:
            self._step_out(piece, self._counts[piece])

    def raised(self, piece: int) -> None:
        """The count of `piece` has just become one more."""
        # Written out: of all that an engine is told, haves are the most.
        places = self._places
        place = places[piece]
        level = self._counts[piece]
        if place < 0:
            # Whoever fills rows looks at the map from the horizon up: what nobody had is entered there.
            if level == 1 and not self._blanks[piece]:
                self._settle(piece)
            return
        rows = self._rows
        row = rows[level - 1]
        last = row.pop()
        if last != piece:
            row[place] = last
            places[last] = place
        if level >= self._horizon:
            places[piece] = -1
            self._map.put(piece)
            return
        # It trades places with any of the new row, or with itself.
        row = rows[level] if level < len(rows) else self._row(level)
        end = len(row)
        place = int(self._rng.random() * (end + 1))
        row.append(piece)
        if place != end:
            moved = row[place]
            row[end] = moved
            places[moved] = end
            row[place] = piece
        places[piece] = place
        if level < self._lowest:
            self._lowest = level

    def lowered(self, piece: int) -> None:
        """The count of `piece` has just become one less."""
        if self._blanks[piece]:
            return
        if self._places[piece] >= 0:
            self._step_out(piece, self._counts[piece] + 1)
        self._settle(piece)

    def _settle(self, piece: int) -> None:
        """`piece` is here and stands in no row: put it in one if its place is there."""
        level = self._counts[piece]
        if self._whole_from <= level < self._horizon:
            self._step_in(piece, level)
        else:
            self._map.put(piece)

    def _step_in(self, piece: int, level: int) -> None:
        """Put `piece` in this row, at a random place."""
        row, places = self._row(level), self._places
        end = len(row)
        place = int(self._rng.random() * (end + 1))
        row.append(piece)
        moved = row[place]
        row[end] = moved
        places[moved] = end
        row[place] = piece
        places[piece] = place
        if 0 < level < self._lowest:
            self._lowest = level

    def _step_out(self, piece: int, level: int) -> None:
        """Take `piece` out of this row."""
        row, places = self._rows[level], self._places
        place = places[piece]
        last = row.pop()
        if last != piece:
            row[place] = last
            places[last] = place
        places[piece] = -1

    def check(self) -> None:
        """Raise AssertionError where the order is not what it says (for tests)."""
        here = set(self)
        assert len(here) == self._count, "the number of pieces is wrong"
        standing: set[int] = set()
        for level, row in enumerate(self._rows):
            assert not row or level <= self._horizon, "a piece stands behind the horizon"
            assert not row or level == 0 or level >= self._lowest, "a row is passed over"
            for place, piece in enumerate(row):
                assert self._places[piece] == place, "places are wrong"
                assert self._counts[piece] == level, "a piece stands in the wrong row"
                standing.add(piece)
        assert standing <= here, "a piece stands in a row and is not here"
        assert sum(place >= 0 for place in self._places) == len(standing), "a place has no piece"
        for piece in here - standing:
            level = self._counts[piece]
            assert not self._whole_from <= level < self._horizon, "a row lacks a piece"
            assert self._map.may_find(piece, self._horizon if level else 0), "nobody will find a piece"
