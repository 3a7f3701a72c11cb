"""What happened, as one number: two runs that differ in anything that matters differ in it."""

from __future__ import annotations

import hashlib
from struct import Struct

_ENTRY = Struct("<dIHHI")
_FLUSH_BYTES = 1 << 16


class Trace:
    """A digest over all events of all engines: when, whose, which kind, and how many commands followed."""

    __slots__ = ("_flushed_bytes", "_hash", "_kinds", "_pending")

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._pending = bytearray()
        self._flushed_bytes = 0
        self._kinds: dict[type, int] = {}

    def note(self, now: float, client: int, kind: type, peer: int, command_count: int) -> None:
        """One event was handled. `peer`: the link it came by, 0 where it came by none."""
        number = self._kinds.setdefault(kind, len(self._kinds))
        self._pending += _ENTRY.pack(now, client, number, command_count & 0xFFFF, peer & 0xFFFFFFFF)
        if len(self._pending) >= _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._hash.update(self._pending)
        self._flushed_bytes += len(self._pending)
        self._pending.clear()

    @property
    def event_count(self) -> int:
        """How many events engines have handled."""
        return (self._flushed_bytes + len(self._pending)) // _ENTRY.size

    def digest(self) -> str:
        """32 hexadecimal digits over all that was noted so far."""
        self._flush()
        return self._hash.hexdigest()
