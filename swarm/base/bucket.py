"""A token bucket: how much may flow now, when no more than so much a second may."""

from __future__ import annotations

#: In any so long a time ...
WINDOW_S = 10.0
#: ... there flows no more above the rate than what flows in this: 2 %.
ABOVE_S = 0.2


class Bucket:
    """Fills at `rate` bytes a second, and holds what flows in `burst_s`.

    That is what may be caught up on: whoever comes later than that to a full bucket, because the machine was
    busy, has lost the rest.

    Whoever takes more than there is leaves a debt, which is paid before anything more may flow: so the
    average is exact whatever the size of a step. In a time at whose beginning something was saved, and at
    whose end something is owed, both flow above the rate: so `debt_max` is the smaller the more was saved.

    Args:
        rate: bytes a second, > 0; None for no limit.
        now: monotonic seconds.
    """

    __slots__ = ("_at", "_burst_s", "_saved", "_saved_before", "_saved_since", "_tokens", "rate")

    def __init__(self, rate: float | None, now: float, *, burst_s: float = 0.1) -> None:
        self.rate = rate
        self._burst_s = burst_s
        self._tokens = 0.0
        self._at = now
        #: The most that was saved since, and in at least a window before, less what was lost after that.
        self._saved = self._saved_before = 0.0
        self._saved_since = now

    def set_rate(self, rate: float | None, now: float) -> None:
        """Change the limit; what was saved or owed so far stands, but no more than the new burst."""
        self._note(now)
        self.rate = rate
        if rate is None:
            self._tokens = self._saved = self._saved_before = 0.0
            return
        burst_bytes = rate * self._burst_s
        # A debt made at a high rate must not take for ever to pay at a low one.
        self._tokens = max(min(self._tokens, burst_bytes), -rate)
        self._saved = min(self._saved, burst_bytes)
        self._saved_before = min(self._saved_before, burst_bytes)

    def _refill(self, now: float) -> None:
        if self.rate is not None:
            self._tokens += (now - self._at) * self.rate
            spilt = self._tokens - self.rate * self._burst_s
            if spilt > 0:
                self._lose(spilt)
        self._at = now

    def _lose(self, size_bytes: float) -> None:
        """So much of what there was, or will be, never flows."""
        self._tokens -= size_bytes
        self._saved -= size_bytes
        self._saved_before -= size_bytes

    def _note(self, now: float) -> None:
        """Something is about to change: what is saved now may be the most."""
        self._refill(now)
        if now - self._saved_since >= WINDOW_S:
            self._saved_before, self._saved = self._saved, self._tokens
            self._saved_since = now
        elif self._tokens > self._saved:
            self._saved = self._tokens

    def debt_max(self, now: float) -> float:
        """How much may be owed now, so that no window that ends here has seen more than `ABOVE_S` allows."""
        if self.rate is None:
            return float("inf")
        self._note(now)
        return self.rate * ABOVE_S - max(self._saved, self._saved_before, 0.0)

    def forgo(self, now: float) -> None:
        """Lose what was saved lately, even if it has flowed: for the greatest `debt_max`."""
        if self.rate is not None:
            self._note(now)
            self._lose(max(self._saved, self._saved_before, 0.0))

    def available(self, now: float) -> float:
        """How many bytes may flow now: infinite without a limit, negative while there is a debt."""
        if self.rate is None:
            return float("inf")
        self._refill(now)
        return self._tokens

    def take(self, size_bytes: int, now: float) -> None:
        """So many bytes have flowed."""
        if self.rate is not None:
            self._note(now)
            self._tokens -= size_bytes

    def wait_s(self, size_bytes: float) -> float:
        """How long from the last call on until `size_bytes` may flow, or the bucket is full."""
        if self.rate is None:
            return 0.0
        return max(0.0, (min(size_bytes, self.rate * self._burst_s) - self._tokens) / self.rate)
