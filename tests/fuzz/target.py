"""What a fuzz target is, and the words in which the targets are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

CORPUS = Path(__file__).resolve().parents[1] / "corpus"

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder, or several that are given the same bytes.

    Args:
        name: of the target and of its folder under `tests/corpus`.
        check: takes any bytes; raises only where an invariant is broken: a value or the one documented
            error, and a value that survives being written and read again.
        seeds: a few good messages to begin with.
        max_bytes: the longest input worth trying.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    max_bytes: int = 4096

    def corpus(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of each file of its folder, in order."""
        for path in sorted((CORPUS / self.name).glob("*")):
            yield path.name, path.read_bytes()


def settles(
    raw: bytes,
    decode: Callable[[bytes], _Value],
    encode: Callable[[_Value], bytes],
    error: type[Exception],
) -> _Value | None:
    """Decode `raw`, and assert that what was read is read again from what is written of it.

    Returns:
        The value; None where decoding raised `error`.
    """
    try:
        value = decode(raw)
    except error:
        return None
    again = decode(encode(value))
    assert again == value, f"{again!r} was read back, not {value!r}"
    return value


def parts_of(raw: bytes, *, count_max: int = 8) -> list[bytes]:
    """Cut `raw` where it says itself: its last bytes are places, so that a fuzzer can move the cuts."""
    if len(raw) < 2 * count_max:
        return [raw]
    tail = raw[-(count_max - 1) :]
    cuts = sorted({0, len(raw), *(byte * len(raw) // 256 for byte in tail)})
    return [raw[start:stop] for start, stop in pairwise(cuts)]
