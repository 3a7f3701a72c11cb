"""A token bucket: how much may flow now, when no more than so much a second may."""

from __future__ import annotations

#: In any window of this length ...
WINDOW_S = 10.0
#: ... no more flows above the rate than what the rate allows in this time: 2 %.
ABOVE_S = 0.2


class Bucket:
    """Fills at `rate` bytes a second, and saves at most what flows in `burst_s`.

    What was saved lets a link that comes late, as on a busy machine, catch up. A link may also take more than
    there is, and so leave a *debt*: nothing more may flow until it is paid, so that the average is exact
    whatever the size of a step (decision 027).

    What flows above the rate in a window is what was saved at its beginning and is owed at its end. So the
    more was saved, the smaller is `debt_max`.

    Where a yes or a no is enough, a `Meter` is.

    Args:
        rate: bytes a second, > 0; None for no limit.
        now: monotonic seconds, as in every call.
        burst_s: seconds.
    """

    __slots__ = ("_at", "_burst_s", "_saved", "_saved_before", "_saved_since", "_tokens", "rate")

    def __init__(self, rate: float | None, now: float, *, burst_s: float = 0.1) -> None:
        self.rate = rate
        self._burst_s = burst_s
        self._tokens = 0.0
        self._at = now
        #: The most that was saved since `_saved_since`, and in the window before it or longer; less what was
        #: lost after that.
        self._saved = self._saved_before = 0.0
        self._saved_since = now

    def set_rate(self, rate: float | None, now: float) -> None:
        """Change the limit. What is saved or owed stays, but at most the new burst, and a second's debt."""
        self._note(now)
        self.rate = rate
        if rate is None:
            self._tokens = self._saved = self._saved_before = 0.0
            return
        burst_bytes = rate * self._burst_s
        # To pay a debt made at a high rate must not take for ever at a low one.
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
        """Drop so many bytes of what is saved, or of what will flow: they never do."""
        self._tokens -= size_bytes
        self._saved -= size_bytes
        self._saved_before -= size_bytes

    def _note(self, now: float) -> None:
        """Before a change: remember what is saved now, if it is the most of this window."""
        self._refill(now)
        if now - self._saved_since >= WINDOW_S:
            self._saved_before, self._saved = self._saved, self._tokens
            self._saved_since = now
        elif self._tokens > self._saved:
            self._saved = self._tokens

    def debt_max(self, now: float) -> float:
        """How many bytes may be owed now, so that no window that ends now exceeds `ABOVE_S`."""
        if self.rate is None:
            return float("inf")
        self._note(now)
        return self.rate * ABOVE_S - max(self._saved, self._saved_before, 0.0)

    def forgo(self, now: float) -> None:
        """Give up, or owe, all that was saved lately: so `debt_max` becomes as large as it can be."""
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
        """`size_bytes` have flowed."""
        if self.rate is not None:
            self._note(now)
            self._tokens -= size_bytes

    def wait_s(self, size_bytes: float) -> float:
        """Seconds from the last call on until `size_bytes` may flow, or the bucket is full."""
        if self.rate is None:
            return 0.0
        return max(0.0, (min(size_bytes, self.rate * self._burst_s) - self._tokens) / self.rate)
