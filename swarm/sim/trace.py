"""What happened, as one number: two runs that differ in anything that matters differ in it."""

from __future__ import annotations

import hashlib
import struct

_ENTRY = "dIHHI"
#: Numbers that are packed at once: entry by entry it would be the dearest part of a cheap event.
_FLUSH_COUNT = 4096 * len(_ENTRY)


class Trace:
    """A digest over all events of all engines: when, whose, which kind, and how many commands followed."""

    __slots__ = ("_flushed_count", "_hash", "_kinds", "_pending")

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        #: What was noted and is not in the digest yet, number after number.
        self._pending: list[float] = []
        self._flushed_count = 0
        self._kinds: dict[type, int] = {}

    def note(self, now: float, client: int, kind: type, peer: int, command_count: int) -> None:
        """One event was handled. `peer`: the link it came by, 0 where it came by none."""
        kinds = self._kinds
        number = kinds[kind] if kind in kinds else kinds.setdefault(kind, len(kinds))
        pending = self._pending
        pending += (now, client, number, command_count & 0xFFFF, peer & 0xFFFFFFFF)
        if len(pending) >= _FLUSH_COUNT:
            self._flush()

    def _flush(self) -> None:
        count = len(self._pending) // len(_ENTRY)
        self._hash.update(struct.pack("<" + _ENTRY * count, *self._pending))
        self._flushed_count += count
        self._pending.clear()

    @property
    def event_count(self) -> int:
        """How many events engines have handled."""
        return self._flushed_count + len(self._pending) // len(_ENTRY)

    def digest(self) -> str:
        """32 hexadecimal digits over all that was noted so far."""
        self._flush()
        return self._hash.hexdigest()
