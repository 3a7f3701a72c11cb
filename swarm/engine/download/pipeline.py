"""How many blocks to ask of a peer in advance, found by timing one block after the other."""

from __future__ import annotations

from swarm.engine.settings import EngineSettings


class Pipeline:
    """How deep one peer's pipeline is, and the block that is being timed for it.

    Attributes:
        depth: blocks to have asked at a time, as far as its line goes. depth_max: as it has said itself.
        probe_piece, probe_mask: the block under way whose time is taken; mask 0: none.
    """

    __slots__ = (
        "_is_probe_first",
        "_probe_at",
        "_probe_depth",
        "_round_trip_s",
        "_settings",
        "depth",
        "depth_max",
        "probe_mask",
        "probe_piece",
    )

    def __init__(self, settings: EngineSettings, now: float) -> None:
        self._settings = settings
        self.depth = settings.request_depth_start
        self.depth_max = settings.request_depth_unknown
        self.probe_piece = -1
        self.probe_mask = 0
        #: How many blocks were asked for then, since when, and whether nothing else was before.
        self._probe_depth = 0
        self._probe_at = now
        self._is_probe_first = False
        self._round_trip_s = float("inf")

    @property
    def round_trip_s(self) -> float:
        """The way there and back at its shortest; 0 as long as it is not known."""
        return 0.0 if self._round_trip_s == float("inf") else self._round_trip_s

    def allow(self, queue_length: int) -> None:
        """It says how many requests it takes (BEP 10, "reqq")."""
        self.depth_max = min(queue_length, self._settings.request_depth_max)

    def time_one(self, piece: int, mask: int, asked_blocks: int, now: float, *, is_first: bool) -> None:
        """Take the time of one of the blocks `mask` that are being asked for.

        Args:
            asked_blocks: how many are asked of it with these.
            is_first: it was asked for nothing before.
        """
        self._is_probe_first = is_first
        self.probe_piece = piece
        # The first block of the first run tells the round trip, the last of a later one the queue.
        self.probe_mask = mask & -mask if is_first else 1 << (mask.bit_length() - 1)
        self._probe_depth = asked_blocks
        self._probe_at = now

    def answered(self, now: float, *, is_alone: bool = False) -> None:
        """The block whose time is taken is here: set the depth by how long it took.

        What a peer cannot send within `request_ahead_s` only waits in its queue, while others could send it
        sooner. Where blocks come in less than that, the pipeline may be too short: it grows.

        Args:
            is_alone: nobody else could send anything.
        """
        took_s = now - self._probe_at
        if self._is_probe_first:
            # The pipe was empty: nothing but the way there and back, and the blocks of the first run.
            self._round_trip_s = min(self._round_trip_s, took_s)
        self.probe_mask = 0
        settings = self._settings
        ahead_s = settings.request_alone_s if is_alone else settings.request_ahead_s
        wanted_s = min(self._round_trip_s, took_s) + ahead_s
        factor = min(wanted_s / took_s, 2.0) if took_s > 0 else 2.0
        depth = int(max(self._probe_depth, 1) * factor) + 1
        if factor >= 1.0:
            # Never shallower for an answer that came in time.
            depth = max(depth, self.depth)
        self.depth = max(self._settings.request_depth_min, min(depth, self._settings.request_depth_max))

    def stalled(self) -> None:
        """It has sent nothing for too long: begin anew."""
        self.depth = self._settings.request_depth_min
