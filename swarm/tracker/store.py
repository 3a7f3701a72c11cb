"""What the tracker's rules ask of the place where swarms are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from swarm.wire.tracker.announce import ScrapeEntry

#: What a peer is to others: it downloads; it has everything; it lacks something but downloads nothing more
#: (BEP 21). Trackers that share swarms tell each other these numbers; 2 and 3 mean something else there.
Kind: TypeAlias = int
DOWNLOADER, SEED, PARTIAL_SEED = 0, 1, 4

#: For `join`: whoever is of use, each peer as likely as any other ...
AS_THEY_COME = -1
#: ... but of so many that a leecher is told of one at least is a seed: seeds stay, and have what everybody
#: lacks. In a crowd of leechers that leave when they have all, a few would otherwise be left without one.
LEECHERS_A_SEED = 10


class Randomness(Protocol):
    """The part of `random.Random` that picking needs."""

    def random(self) -> float: ...


#: What became of a peer, and whom it may meet; a plain tuple, since there are 100,000 a second of them:
#: its kind before (None: it is new); seeds and leechers of the swarm, partial seeds among the leechers, the
#: peer itself among them;
#: others of the peer's own address family, compact, 6 or 18 bytes each, back to back; others of the other
#: family, where those left room.
Joined = tuple[Kind | None, int, int, bytes, bytes]


class Store(Protocol):
    """Swarms in memory or elsewhere; a peer is known by its compact address (6 or 18 bytes).

    The address comes from the socket, so nobody can refresh or remove another's entry. A peer not
    heard of for its life's length goes with one of the next calls of `expire`.
    """

    def join(
        self,
        info_hash: bytes,
        peer: bytes,
        peer_id: bytes,
        kind: Kind,
        now: int,
        want: int,
        seeds_wanted: int = AS_THEY_COME,
        is_near_only: bool = False,
    ) -> Joined:
        """Add or refresh a peer, and choose at most `want` others at random, never the peer itself.

        With AS_THEY_COME seeds and partial seeds get downloaders only, and downloaders get everybody (see
        LEECHERS_A_SEED). Otherwise there are `seeds_wanted` seeds, and for the rest leechers of both kinds;
        where there are too few of the ones the others take their places.
        Costs O(want), however large the swarm is.

        Args:
            now: whole seconds.
            is_near_only: choose none of the other address family.

        Raises:
            TrackerError: the store is full.
        """
        ...

    def leave(self, info_hash: bytes, peer: bytes) -> None:
        """Forget a peer that left; unknown ones are ignored."""
        ...

    def count_download(self, info_hash: bytes, peer: bytes, peer_id: bytes) -> bool:
        """`peer` has completed; whether that counts.

        It does not for a swarm that is not kept, nor where the same one has just completed under its address
        of the other family (BEP 7).
        """
        ...

    def counts(self, info_hash: bytes) -> ScrapeEntry | None:
        """The swarm in numbers; None if it is not known."""
        ...

    def peer_ids(self, info_hash: bytes, peers: Sequence[bytes]) -> list[bytes | None]:
        """What these peers call themselves, for answers that are not compact; None for unknown ones."""
        ...

    def expire(self, now: float) -> int:
        """Forget some of those that are overdue, in a bounded time; returns how many."""
        ...
