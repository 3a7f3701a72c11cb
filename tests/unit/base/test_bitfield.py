"""Sets of pieces and their wire form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.bitfield import Bitfield


def field(*pieces: int, count: int = 10) -> Bitfield:
    made = Bitfield(count)
    for piece in pieces:
        made.add(piece)
    return made


class TestWireForm:
    def test_first_piece_is_the_high_bit_of_the_first_byte(self) -> None:
        assert field(0, 9).to_bytes() == b"\x80\x40"
        assert list(Bitfield.from_bytes(b"\x80\x40", 10)) == [0, 9]

    @pytest.mark.parametrize("raw", [b"", b"\x00", b"\x00\x00\x00"])
    def test_wrong_size_is_refused(self, raw: bytes) -> None:
        with pytest.raises(ValueError, match="2 bytes"):
            Bitfield.from_bytes(raw, 10)

    @pytest.mark.parametrize("last", [1, 2, 0x20, 0x3F])
    def test_spare_bits_are_refused(self, last: int) -> None:
        with pytest.raises(ValueError, match="spare bits"):
            Bitfield.from_bytes(bytes((0, last)), 10)

    def test_no_pieces_take_no_bytes(self) -> None:
        assert Bitfield(0).to_bytes() == b"" and len(Bitfield.from_bytes(b"", 0)) == 0

    @given(st.lists(st.booleans(), max_size=70))
    def test_it_comes_back_as_it_went(self, flags: list[bool]) -> None:
        made = field(*(piece for piece, flag in enumerate(flags) if flag), count=len(flags))
        back = Bitfield.from_bytes(made.to_bytes(), len(flags))
        assert back == made and back.count == made.count == sum(flags)


class TestSet:
    def test_adding_and_discarding_count_once(self) -> None:
        made = field()
        assert made.add(3) and not made.add(3) and made.count == 1
        assert 3 in made and made[3] and not made[4]
        assert made.discard(3) and not made.discard(3) and made.count == 0

    def test_members_and_missing_share_out_the_pieces(self) -> None:
        made = field(1, 2, 5, count=6)
        assert list(made) == [1, 2, 5] and list(made.missing()) == [0, 3, 4]

    def test_it_is_full_with_the_last_piece(self) -> None:
        made = field(0, 1, count=3)
        assert not made.is_full
        made.add(2)
        assert made.is_full and made == Bitfield(3, is_full=True)

    def test_a_copy_goes_its_own_way(self) -> None:
        made = field(1)
        other = made.copy()
        other.add(2)
        assert list(made) == [1] and made != other and made != "something else"

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=70))
    def test_all_at_once_is_as_one_by_one(self, pairs: list[tuple[bool, bool]]) -> None:
        one, other = (
            field(*(piece for piece, pair in enumerate(pairs) if pair[at]), count=len(pairs)) for at in (0, 1)
        )
        fresh, both = one.without(other), one.union(other)
        assert list(fresh) == [piece for piece, pair in enumerate(pairs) if pair == (True, False)]
        assert one.first_beyond(other) == next(iter(fresh), None)
        assert list(both) == [piece for piece, pair in enumerate(pairs) if any(pair)]
        assert (fresh.count, both.count) == (len(list(fresh)), len(list(both)))
        assert len(fresh) == len(both) == len(pairs)

    def test_it_is_shown_by_its_counts(self) -> None:
        assert repr(field(1, 2)) == "<Bitfield 2 of 10>"
