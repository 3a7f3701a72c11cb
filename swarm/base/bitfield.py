"""Which pieces somebody has."""

from __future__ import annotations

from collections.abc import Iterator

_TO_FLAGS = bytes.maketrans(b"01", b"\x00\x01")
_TO_DIGITS = bytes.maketrans(b"\x00\x01", b"01")


class Bitfield:
    """A set of piece indices below `piece_count`, one byte each for speed, counted as it changes.

    The wire form (BEP 3) has the first piece in the high bit of the first byte.
    """

    __slots__ = ("count", "flags")

    def __init__(self, piece_count: int, *, is_full: bool = False) -> None:
        self.flags = bytearray(b"\x01" if is_full else b"\x00") * piece_count
        self.count = piece_count if is_full else 0

    @classmethod
    def from_bytes(cls, raw: bytes, piece_count: int) -> Bitfield:
        """Read the wire form; ValueError where the size is wrong or spare bits are set (BEP 3)."""
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
        field.count = field.flags.count(1)
        return field

    def to_bytes(self) -> bytes:
        """The wire form, spare bits zero."""
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
        """The indices in the set, ascending."""
        at = self.flags.find(1)
        while at >= 0:
            yield at
            at = self.flags.find(1, at + 1)

    def missing(self) -> Iterator[int]:
        """The indices not in the set, ascending."""
        at = self.flags.find(0)
        while at >= 0:
            yield at
            at = self.flags.find(0, at + 1)

    @property
    def is_full(self) -> bool:
        return self.count == len(self.flags)

    def add(self, piece: int) -> bool:
        """Put `piece` into the set; False where it was there."""
        if self.flags[piece]:
            return False
        self.flags[piece] = 1
        self.count += 1
        return True

    def discard(self, piece: int) -> bool:
        """Take `piece` out of the set; False where it was not there."""
        if not self.flags[piece]:
            return False
        self.flags[piece] = 0
        self.count -= 1
        return True

    def without(self, other: Bitfield) -> Bitfield:
        """Those that are not in `other`, all at once; both are of one size."""
        return self._of_number(self.number & ~other.number)

    def first_beyond(self, other: Bitfield) -> int | None:
        """The lowest that is not in `other`; both are of one size."""
        number = self.number & ~other.number
        return (number & -number).bit_length() // 8 if number else None

    def union(self, other: Bitfield) -> Bitfield:
        """Those that are in either, all at once; both are of one size."""
        return self._of_number(self.number | other.number)

    @property
    def number(self) -> int:
        """The flags as one number, a byte each: what is done to all pieces is done to it at once."""
        return int.from_bytes(self.flags, "little")

    def _of_number(self, number: int) -> Bitfield:
        made = Bitfield(0)
        made.flags = bytearray(number.to_bytes(len(self.flags), "little"))
        made.count = made.flags.count(1)
        return made

    def copy(self) -> Bitfield:
        other = Bitfield(0)
        other.flags = bytearray(self.flags)
        other.count = self.count
        return other
