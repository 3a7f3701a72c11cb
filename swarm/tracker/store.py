"""What the tracker's rules ask of the place where swarms are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from swarm.wire.tracker.announce import ScrapeEntry


class Picked(NamedTuple):
    """Some peers of one address family.

    Args:
        addresses: compact, 6 or 18 bytes each, back to back.
        peer_ids: 20 bytes each, in the same order.
    """

    addresses: bytes
    peer_ids: Sequence[bytes]


class Randomness(Protocol):
    """The part of `random.Random` that picking needs."""

    def random(self) -> float: ...


class Store(Protocol):
    """Swarms in memory or elsewhere; a peer is known by its compact address (6 or 18 bytes).

    The address comes from the socket, so nobody can refresh or remove another's entry.
    """

    def put(self, info_hash: bytes, peer: bytes, peer_id: bytes, is_seed: bool, now: float) -> bool | None:
        """Add or refresh a peer; returns whether it was a seed before, None if it is new.

        Raises:
            TrackerError: the store is full.
        """
        ...

    def remove(self, info_hash: bytes, peer: bytes) -> None:
        """Forget a peer that left; unknown ones are ignored."""
        ...

    def count_download(self, info_hash: bytes) -> None:
        """One more has completed; ignored for a swarm that is not kept."""
        ...

    def counts(self, info_hash: bytes, now: float) -> ScrapeEntry | None:
        """The swarm in numbers, without those that are overdue; None if it is not known."""
        ...

    def pick(
        self, info_hash: bytes, width: int, *, is_seed: bool, count: int, asker: bytes, rng: Randomness
    ) -> Picked:
        """At most `count` random seeds or leechers with addresses of `width` bytes, never `asker`.

        Costs O(count), however large the swarm is.
        """
        ...

    def expire(self, now: float) -> int:
        """Forget some of those that are overdue, in a bounded time; returns how many."""
        ...
