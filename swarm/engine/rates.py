"""How fast something flows, measured without a clock of its own."""

from __future__ import annotations


class Rate:
    """Counts bytes; its averages come from samples taken about once a second.

    `add` is one addition, since it runs for every batch of blocks.
    """

    __slots__ = ("_samples", "_window_s", "total_bytes")

    def __init__(self, now: float, window_s: float = 20.0) -> None:
        self.total_bytes = 0
        self._window_s = window_s
        # Some twenty at most; a deque would take 600 bytes for the first one.
        self._samples: list[tuple[float, int]] = [(now, 0)]

    def add(self, size_bytes: int) -> None:
        self.total_bytes += size_bytes

    def sample(self, now: float) -> None:
        """Remember where the count stands; samples older than the window are let go."""
        samples = self._samples
        samples.append((now, self.total_bytes))
        while len(samples) > 2 and samples[1][0] <= now - self._window_s:
            del samples[0]

    def average(self, now: float, span_s: float | None = None) -> float:
        """Bytes a second over the last `span_s` (default: the whole window), or since the start.

        A rate younger than a second is counted as one second old, so that a first burst does not
        look like a fast peer.
        """
        samples = self._samples
        since, base = samples[0]
        if span_s is not None:
            for at, total in reversed(samples):
                since, base = at, total
                if at <= now - span_s:
                    break
        return (self.total_bytes - base) / max(now - since, 1.0)

    @property
    def is_idle(self) -> bool:
        """Nothing came for the whole window."""
        return self._samples[0][1] == self.total_bytes


class Traffic:
    """What flows both ways, of all peers together."""

    __slots__ = ("download", "upload")

    def __init__(self, now: float, window_s: float) -> None:
        self.download = Rate(now, window_s)
        self.upload = Rate(now, window_s)

    def sample(self, now: float) -> None:
        self.download.sample(now)
        self.upload.sample(now)
