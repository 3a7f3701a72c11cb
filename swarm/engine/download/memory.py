"""How much memory the pieces in flight take, and may take."""

from __future__ import annotations

from swarm.base.blocks import Geometry
from swarm.engine.settings import EngineSettings


class Memory:
    """Counts each piece as a whole from its first request until it has been written (decision 039).

    Attributes:
        used_bytes: by all pieces in flight.
        max_bytes: no further piece is started beyond it.
        is_short: a piece could not be started because of it; none is until there is room for many.
    """

    __slots__ = ("_geometry", "_refill_share", "is_short", "max_bytes", "used_bytes")

    def __init__(self, geometry: Geometry, settings: EngineSettings) -> None:
        self._geometry = geometry
        self._refill_share = settings.refill_share
        self.used_bytes = 0
        self.max_bytes = max(
            settings.in_flight_bytes_max, settings.in_flight_pieces_min * geometry.piece_length
        )
        self.is_short = False

    def has_room_for(self, piece: int) -> bool:
        """May `piece` be started?"""
        return self.used_bytes + self._geometry.piece_bytes(piece) <= self.max_bytes

    def take(self, piece: int) -> None:
        self.used_bytes += self._geometry.piece_bytes(piece)

    def give_back(self, piece: int) -> None:
        self.used_bytes -= self._geometry.piece_bytes(piece)

    @property
    def is_little_used(self) -> bool:
        """Is there room for many pieces, so that requests leave in runs, not piece by piece?"""
        return self.max_bytes - self.used_bytes >= self._refill_share * self.max_bytes
