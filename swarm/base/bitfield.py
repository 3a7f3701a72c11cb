"""Sets of pieces: which of them somebody has."""

from __future__ import annotations

from collections.abc import Iterator

_TO_FLAGS = bytes.maketrans(b"01", b"\x00\x01")
_TO_DIGITS = bytes.maketrans(b"\x00\x01", b"01")


class Bitfield:
    """A set of piece indices below `piece_count`.

    Attributes:
        flags: a byte for each piece, 1 where it is in the set: much faster than bits.
        count: how many are in the set.
    """

    __slots__ = ("count", "flags")

    def __init__(self, piece_count: int, *, is_full: bool = False) -> None:
        self.flags = bytearray(b"\x01" if is_full else b"\x00") * piece_count
        self.count = piece_count if is_full else 0

    @classmethod
    def from_bytes(cls, raw: bytes, piece_count: int) -> Bitfield:
        """Read the form of BEP 3: a bit for each piece, the first piece in the high bit of the first byte.

        Raises:
            ValueError: the size is wrong, or a spare bit is set.
        """
        if len(raw) != (piece_count + 7) // 8:
            raise ValueError(
                f"a bitfield for {piece_count} pieces has {(piece_count + 7) // 8} bytes, not {len(raw)}"
            )
        spare = len(raw) * 8 - piece_count
        number = int.from_bytes(raw, "big")
        if number & ((1 << spare) - 1):
            raise ValueError("spare bits of the bitfield are set")
        field = cls(0)
        if piece_count:
            field.flags = bytearray(f"{number >> spare:0{piece_count}b}".encode().translate(_TO_FLAGS))
        # To count the flags would take longer than all the rest.
        field.count = number.bit_count()
        return field

    def to_bytes(self) -> bytes:
        """The form of BEP 3, spare bits zero."""
        size = (len(self.flags) + 7) // 8
        if not size:
            return b""
        spare = size * 8 - len(self.flags)
        return (int(self.flags.translate(_TO_DIGITS), 2) << spare).to_bytes(size, "big")

    def __len__(self) -> int:
        return len(self.flags)

    def __getitem__(self, piece: int) -> bool:
        return self.flags[piece] == 1

    def __contains__(self, piece: int) -> bool:
        return self.flags[piece] == 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bitfield) and self.flags == other.flags

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<Bitfield {self.count} of {len(self.flags)}>"

    def __iter__(self) -> Iterator[int]:
        """The indices in the set, in ascending order."""
        at = self.flags.find(1)
        while at >= 0:
            yield at
            at = self.flags.find(1, at + 1)

    def missing(self) -> Iterator[int]:
        """The indices not in the set, in ascending order."""
        at = self.flags.find(0)
        while at >= 0:
            yield at
            at = self.flags.find(0, at + 1)

    @property
    def is_full(self) -> bool:
        """Are all pieces in the set?"""
        return self.count == len(self.flags)

    def add(self, piece: int) -> bool:
        """Put `piece` into the set; returns False if it was there already."""
        if self.flags[piece]:
            return False
        self.flags[piece] = 1
        self.count += 1
        return True

    def discard(self, piece: int) -> bool:
        """Take `piece` out of the set; returns False if it was not there."""
        if not self.flags[piece]:
            return False
        self.flags[piece] = 0
        self.count -= 1
        return True

    def without(self, other: Bitfield) -> Bitfield:
        """The pieces that are not in `other`, which has the same size."""
        return self._of_number(self.number & ~other.number)

    def first_beyond(self, other: Bitfield) -> int | None:
        """The lowest piece that is not in `other`, which has the same size; None if there is none."""
        number = self.number & ~other.number
        return (number & -number).bit_length() // 8 if number else None

    def union(self, other: Bitfield) -> Bitfield:
        """The pieces that are in either of the two, which have the same size."""
        return self._of_number(self.number | other.number)

    @property
    def number(self) -> int:
        """The flags as one number, a byte for each piece: one operation on it works on all pieces at once."""
        return int.from_bytes(self.flags, "little")

    def _of_number(self, number: int) -> Bitfield:
        made = Bitfield(0)
        made.flags = bytearray(number.to_bytes(len(self.flags), "little"))
        made.count = made.flags.count(1)
        return made

    def copy(self) -> Bitfield:
        """The same set, to be changed independently."""
        other = Bitfield(0)
        other.flags = bytearray(self.flags)
        other.count = self.count
        return other
