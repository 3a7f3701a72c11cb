"""Bencode (BEP 3), strictly: the one door to the package `bencodepy`.

The package's decoder accepts what no encoder writes (`i1_0e`, `i 1e`, `i+1e`, `1 :a`, a key twice), so that
two clients could read different things in the same bytes. Ours keeps its dispatch and replaces its readers:
digits are digits, every key comes once, and depth, size and number of values have limits. Unsorted keys are
accepted: BEP 3 wants them sorted, but torrents with unsorted ones are in use, and an info-hash is taken over
the bytes as found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from bencodepy import Bencached, BencodeDecoder, BencodeEncoder

from swarm.base.errors import BencodeError

#: What decoding returns.
Value: TypeAlias = int | bytes | list["Value"] | dict[bytes, "Value"]

#: The largest input: a .torrent of a million files has about this size. Callers that expect less say so.
MAX_BYTES = 64 * 1024 * 1024
#: The deepest nesting: a v2 file tree, the deepest that there is in practice, has a level for each folder.
MAX_DEPTH = 100
#: The most values in one input (libtorrent's limit): an empty list has two bytes in the input, 56 in memory.
MAX_VALUES = 3_000_000
#: The longest integer: 20 digits and a sign hold any 64-bit number; more would cost quadratic time.
MAX_INTEGER_DIGITS = 20
#: Digits of a string's length: up to 999,999,999, far above `MAX_BYTES`.
_MAX_LENGTH_DIGITS = 9

_END, _ZERO, _NINE = b"e09"


class _Decoder(BencodeDecoder):  # type: ignore[misc]  # the package has no types
    """The package's decoder with strict readers. It counts values, so each input needs its own."""

    def __init__(self, size: int, max_depth: int, max_values: int) -> None:
        super().__init__()
        self.depth_max = max_depth
        self.values_left = max_values
        # A value has at least two bytes. Most inputs are too short to have too many, and counting takes time.
        self.is_counting = size > 2 * max_values
        # Keyed by number, since indexing bytes gives numbers: this saves a slice for each value.
        self.readers = {ord(kind): reader for kind, reader in self.decode_func.items()}

    def decode_int(self, raw: bytes, at: int, depth: int = 0) -> tuple[int, int]:
        end = raw.find(b"e", at, at + MAX_INTEGER_DIGITS + 3)
        digits = raw[at + 1 : end] if end >= 0 else b""
        if not digits.isdigit() or (digits[0] == _ZERO and len(digits) > 1):
            is_negative = digits[:1] == b"-" and digits[1:].isdigit() and digits[1] != _ZERO
            if not is_negative:
                raise BencodeError("not an integer", at)
        return int(digits), end + 1

    def decode_string(self, raw: bytes, at: int, depth: int = 0) -> tuple[bytes, int]:
        colon = raw.find(b":", at, at + _MAX_LENGTH_DIGITS + 1)
        digits = raw[at:colon] if colon >= 0 else b""
        if not digits.isdigit() or (digits[0] == _ZERO and len(digits) > 1):
            raise BencodeError("not a string", at)
        end = colon + 1 + int(digits)
        if end > len(raw):
            raise BencodeError("a string goes beyond the end", at)
        return raw[colon + 1 : end], end

    def decode_list(self, raw: bytes, at: int, depth: int = 0) -> tuple[list[Value], int]:
        self._check_depth(at, depth)
        depth += 1
        values: list[Value] = []
        readers = self.readers
        size = len(raw)
        at += 1
        while (kind := raw[at]) != _END:
            if _ZERO < kind <= _NINE:
                # `decode_string` inlined: most values of a file list are names, and a call would cost most.
                colon = raw.find(b":", at, at + _MAX_LENGTH_DIGITS + 1)
                digits = raw[at:colon] if colon >= 0 else b""
                if not digits.isdigit():
                    raise BencodeError("not a string", at)
                at = colon + 1 + int(digits)
                if at > size:
                    raise BencodeError("a string goes beyond the end", colon)
                values.append(raw[colon + 1 : at])
            elif kind in readers:
                value, at = readers[kind](raw, at, depth)
                values.append(value)
            else:
                raise BencodeError("not bencode", at)
            if self.is_counting:
                self._count(at)
        return values, at + 1

    def decode_dict(self, raw: bytes, at: int, depth: int = 0) -> tuple[dict[bytes, Value], int]:
        self._check_depth(at, depth)
        depth += 1
        values: dict[bytes, Value] = {}
        readers = self.readers
        size = len(raw)
        at += 1
        while (kind := raw[at]) != _END:
            # `decode_string` inlined, as above.
            colon = raw.find(b":", at, at + _MAX_LENGTH_DIGITS + 1)
            digits = raw[at:colon] if colon >= 0 else b""
            if not digits.isdigit() or (kind == _ZERO and len(digits) > 1):
                raise BencodeError("a key is not a string", at)
            end = colon + 1 + int(digits)
            if end >= size:
                raise BencodeError("a dictionary goes beyond the end", at)
            key = raw[colon + 1 : end]
            if key in values:
                raise BencodeError(f"the key {_shown(key)} comes twice", at)
            kind = raw[end]
            if kind not in readers:
                raise BencodeError("not bencode", end)
            values[key], at = readers[kind](raw, end, depth)
            if self.is_counting:
                self._count(at)
        return values, at + 1

    def _check_depth(self, at: int, depth: int) -> None:
        if depth >= self.depth_max:
            raise BencodeError(f"nested deeper than {self.depth_max} levels", at)

    def _count(self, at: int) -> None:
        self.values_left -= 1
        if self.values_left < 0:
            raise BencodeError("too many values", at)

    def read(self, raw: bytes, at: int) -> tuple[Value, int]:
        """The value that begins at `at`, and where it ends."""
        try:
            reader = self.readers.get(raw[at])
            if reader is None:
                raise BencodeError("not bencode", at)
            value: Value
            value, end = reader(raw, at, 0)
        except IndexError:
            raise BencodeError("the input ends in the middle of a value", len(raw)) from None
        return value, end


class Verbatim(Bencached):  # type: ignore[misc]  # the package has no types
    """Bytes in bencode, such as an info dictionary as found: `encode` writes them as they are."""

    __slots__ = ()

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)


#: What encoding takes: text is written as UTF-8, a bool as 0 or 1. Types within are checked when written.
Encodable: TypeAlias = int | str | bytes | Verbatim | Sequence[Any] | Mapping[bytes, Any]


class _Writers(dict[type, Any]):
    """Writers by type; one of a base class serves its subclasses (an `InfoHash` is bytes).

    The package itself looks for exact types only.
    """

    def __missing__(self, kind: type) -> Any:
        for base in kind.__mro__[1:]:
            if base in self:
                return self[base]
        raise TypeError(f"bencode has no {kind.__name__}")


class _Encoder(BencodeEncoder):  # type: ignore[misc]  # the package has no types
    def __init__(self) -> None:
        super().__init__()
        self.encode_func: _Writers = _Writers(self.encode_func)


_ENCODER = _Encoder()


def decode(
    raw: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES
) -> Value:
    """Read `raw`, which is one value and nothing else.

    Args:
        max_bytes, max_depth, max_values: limits of the input, see `MAX_BYTES`, `MAX_DEPTH`, `MAX_VALUES`.

    Raises:
        BencodeError: it is not strict bencode, a limit is passed, or bytes follow the value.
    """
    value, end = decode_prefix(raw, max_bytes=max_bytes, max_depth=max_depth, max_values=max_values)
    if end != len(raw):
        raise BencodeError("bytes after the end of the value", end)
    return value


def decode_prefix(
    raw: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES
) -> tuple[Value, int]:
    """Read the value at the start of `raw`; returns it and where it ends (in BEP 9 data follows it).

    Raises:
        BencodeError: it is not strict bencode, or a limit is passed.
    """
    raw = _bounded(raw, max_bytes)
    if len(raw) <= 2 * max_values:
        return _small_decoder(max_depth).read(raw, 0)
    return _Decoder(len(raw), max_depth, max_values).read(raw, 0)


@lru_cache(maxsize=8)
def _small_decoder(max_depth: int) -> _Decoder:
    """The decoder of inputs that are too short for too many values: it counts nothing, so one serves all."""
    return _Decoder(0, max_depth, 0)


def decode_with_spans(
    raw: bytes, *, max_bytes: int = MAX_BYTES
) -> tuple[dict[bytes, Value], dict[bytes, tuple[int, int]]]:
    """Read `raw`, which is one dictionary; returns it, and for each of its keys where its value lies.

    Returns:
        key -> value, and key -> (start, end) in `raw`.

    Raises:
        BencodeError: as for `decode`, and if it is no dictionary.
    """
    raw = _bounded(raw, max_bytes)
    if raw[:1] != b"d":
        raise BencodeError("not a bencoded dictionary", 0)
    decoder = _Decoder(len(raw), MAX_DEPTH - 1, MAX_VALUES)
    values: dict[bytes, Value] = {}
    spans: dict[bytes, tuple[int, int]] = {}
    at = 1
    while raw[at : at + 1] != b"e":
        key, start = decoder.read(raw, at)
        if not isinstance(key, bytes):
            raise BencodeError("a key is not a string", at)
        if key in values:
            raise BencodeError(f"the key {_shown(key)} comes twice", at)
        values[key], at = decoder.read(raw, start)
        spans[key] = (start, at)
    if at + 1 != len(raw):
        raise BencodeError("bytes after the end of the value", at + 1)
    return values, spans


def encode(value: Encodable) -> bytes:
    """Write `value` with its keys sorted as raw bytes (BEP 3); TypeError for a type that bencode lacks."""
    encoded: bytes = _ENCODER.encode(value)
    return encoded


def _bounded(raw: bytes, max_bytes: int) -> bytes:
    if len(raw) > max_bytes:
        raise BencodeError(f"{len(raw):,} bytes are more than the {max_bytes:,} that we read")
    return bytes(raw)


def _shown(key: bytes) -> str:
    return ascii(key[:40].decode("utf-8", "replace"))
