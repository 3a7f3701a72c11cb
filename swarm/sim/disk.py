"""A client's disk: one job after the other, at a speed, now and then with a fault."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from swarm.base.dataclass import dataclass
from swarm.sim.world import World


@dataclass(frozen=True, slots=True)
class DiskSpeed:
    """Bytes a second that are hashed and written, or read; a fast disk's reads cost nothing."""

    write_bytes_per_s: float = 500e6
    read_bytes_per_s: float = float("inf")


class Disk:
    """Does one thing at a time, in order.

    Args:
        rng: draws faults.
    """

    __slots__ = ("_free_at", "_rng", "_speed", "_world", "fault_share")

    def __init__(self, world: World, speed: DiskSpeed, rng: random.Random) -> None:
        self._world = world
        self._speed = speed
        self._rng = rng
        self._free_at = 0.0
        #: So many jobs of all fail (0 to 1).
        self.fault_share = 0.0

    @property
    def is_reading_free(self) -> bool:
        """Reads take no time: they need no job."""
        return self._speed.read_bytes_per_s == float("inf")

    def has_fault(self) -> bool:
        return self.fault_share > 0 and self._rng.random() < self.fault_share

    def write(self, length: int, then: Callable[..., None], *arguments: Any) -> None:
        """Hash and write `length` bytes, then call."""
        self._do(length / self._speed.write_bytes_per_s, then, arguments)

    def read(self, length: int, then: Callable[..., None], *arguments: Any) -> None:
        self._do(length / self._speed.read_bytes_per_s, then, arguments)

    def _do(self, span_s: float, then: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._free_at = max(self._free_at, self._world.now) + span_s
        self._world.at(self._free_at, then, *arguments)
