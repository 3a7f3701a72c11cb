"""Who may: which torrents are served, whose passkeys are known, how often an address may ask. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from swarm.base.errors import TrackerError

#: Passkeys are compared, never searched; longer ones are none.
PASSKEY_MAX_BYTES = 128
#: Announces of an address are counted anew after so long.
WINDOW_S = 60.0
#: Addresses counted at a time, at some 100 bytes each; beyond, counting begins anew.
COUNTED_MAX = 200_000
#: An IPv6 customer has 2^64 addresses, so they count as one (BEP 42 reckons so too).
_V6_PREFIX_BYTES = 8


class Admission:
    """Lists that may be changed at any time, and counts of who asked how often.

    Args:
        allowed: only these info-hashes are served; None for all.
        denied: never these.
        passkeys: only who has one of them in the announce URL is served; None for everybody.
        per_minute: announces from one address; 0 for any number.
    """

    def __init__(
        self,
        allowed: Iterable[bytes] | None = None,
        denied: Iterable[bytes] = (),
        passkeys: Iterable[bytes] | None = None,
        per_minute: int = 0,
    ) -> None:
        self.allowed = None if allowed is None else set(allowed)
        self.denied = set(denied)
        self.passkeys = None if passkeys is None else set(passkeys)
        self.per_minute = per_minute
        self.refused_count = 0
        self._window = -1
        self._counts: dict[bytes, int] = {}

    @property
    def is_strict(self) -> bool:
        """Does it matter who announces, by passkey or by rate, and not only which torrent?"""
        return self.passkeys is not None or self.per_minute > 0

    def serves(self, info_hash: bytes) -> bool:
        """Is this torrent served here?"""
        return info_hash not in self.denied and (self.allowed is None or info_hash in self.allowed)

    def check_passkey(self, passkey: bytes) -> None:
        """TrackerError unless `passkey`, what stands before /announce, is known here or none is needed."""
        # A set compares hashes first, so time tells nothing about how much of a guess was right.
        if self.passkeys is not None and (len(passkey) > PASSKEY_MAX_BYTES or passkey not in self.passkeys):
            self.refused_count += 1
            raise TrackerError("this tracker does not know that passkey", is_final=True)

    def count(self, address: bytes, now: float) -> None:
        """Count an announce of `address` (4 or 16 bytes, proven).

        Raises:
            TrackerError: it was one too many.
        """
        if not self.per_minute:
            return
        window = int(now // WINDOW_S)
        if window != self._window or len(self._counts) >= COUNTED_MAX:
            self._window = window
            self._counts.clear()
        who = address[:_V6_PREFIX_BYTES]
        count = self._counts[who] = self._counts.get(who, 0) + 1
        if count > self.per_minute:
            self.refused_count += 1
            raise TrackerError("too many announces from your address", retry_in_s=WINDOW_S)
