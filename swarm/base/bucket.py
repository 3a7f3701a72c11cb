"""A token bucket: how much may flow now, when no more than so much a second may."""

from __future__ import annotations


class Bucket:
    """Fills at `rate` bytes a second, and holds what flows in `burst_s`.

    That is what may be caught up on: whoever comes later than that to a full bucket, because the machine was
    busy, has lost the rest.

    Whoever takes more than there is leaves a debt, which is paid before anything more may flow: so the
    average is exact whatever the size of a step.

    Args:
        rate: bytes a second, > 0; None for no limit.
        now: monotonic seconds.
    """

    __slots__ = ("_at", "_burst_s", "_tokens", "rate")

    def __init__(self, rate: float | None, now: float, *, burst_s: float = 0.1) -> None:
        self.rate = rate
        self._burst_s = burst_s
        self._tokens = 0.0
        self._at = now

    def set_rate(self, rate: float | None, now: float) -> None:
        """Change the limit; what was saved or owed so far stands, but no more than the new burst."""
        self._refill(now)
        self.rate = rate
        if rate is None:
            self._tokens = 0.0
        else:
            # A debt made at a high rate must not take for ever to pay at a low one.
            self._tokens = max(min(self._tokens, rate * self._burst_s), -rate)

    def _refill(self, now: float) -> None:
        if self.rate is not None:
            self._tokens = min(self._tokens + (now - self._at) * self.rate, self.rate * self._burst_s)
        self._at = now

    def available(self, now: float) -> float:
        """How many bytes may flow now: infinite without a limit, negative while there is a debt."""
        if self.rate is None:
            return float("inf")
        self._refill(now)
        return self._tokens

    def take(self, size_bytes: int, now: float) -> None:
        """So many bytes have flowed."""
        if self.rate is not None:
            self._refill(now)
            self._tokens -= size_bytes

    def wait_s(self, size_bytes: float) -> float:
        """How long from the last call on until `size_bytes` may flow, or the bucket is full."""
        if self.rate is None:
            return 0.0
        return max(0.0, (min(size_bytes, self.rate * self._burst_s) - self._tokens) / self.rate)
