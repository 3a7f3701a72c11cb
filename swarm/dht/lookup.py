"""An iterative lookup of the nodes nearest to a target: whom to ask next, and when it is done (BEP 5).

What a node says of others is believed only when those have answered themselves. Nodes named by one that has
so far named only nodes that do not answer are asked last. Of the nodes whose id does not fit their address
(BEP 42) a few are asked, but they do not count among the nearest.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from enum import Enum, auto

from swarm.base.endpoint import Endpoint
from swarm.dht.identity import fits, packed_address
from swarm.dht.settings import DhtSettings
from swarm.wire.krpc import Contact

#: The distance of nodes of which only the address is known: farther than any id.
_NOWHERE = 1 << 160
#: So many of the nodes that one node has named did not answer, and none did: the others are doubtful.
_LIES_MAX = 2


class State(Enum):
    """What has become of a candidate."""

    FRESH = auto()
    ASKED = auto()
    SLOW = auto()
    ANSWERED = auto()
    FAILED = auto()


class Candidate:
    """A node that may be near to the target.

    Attributes:
        distance: the XOR of its id and the target (BEP 5).
        node_id: 20 bytes; empty where only the address is known.
        named_by: the node that told us of it; None for nodes of our own table.
        hops: nodes asked one after the other to get to it, itself included.
        is_fit: its id fits its address (BEP 42), as far as the id is known.
        token: its write token, None where it gave none.
        seq: the version of the item that it has (BEP 44), None where it has none.
        true_count, lie_count: of the nodes that it has named, how many have answered, and how many not.
    """

    __slots__ = (
        "distance",
        "endpoint",
        "hops",
        "is_fit",
        "lie_count",
        "named_by",
        "node_id",
        "seq",
        "state",
        "token",
        "true_count",
    )

    def __init__(self, distance: int, contact: Contact, named_by: Candidate | None) -> None:
        self.distance = distance
        self.node_id = contact.node_id
        self.endpoint = contact.endpoint
        self.named_by = named_by
        self.hops: int = 1 if named_by is None else named_by.hops + 1
        self.is_fit = True
        self.state = State.FRESH
        self.token: bytes | None = None
        self.seq: int | None = None
        self.true_count = 0
        self.lie_count = 0

    def __lt__(self, other: Candidate) -> bool:
        return self.distance < other.distance

    @property
    def is_doubtful(self) -> bool:
        """It was named by a node whose other nodes do not answer."""
        teller = self.named_by
        return teller is not None and teller.lie_count >= _LIES_MAX and not teller.true_count

    @property
    def contact(self) -> Contact:
        return Contact(self.node_id, self.endpoint)


class Lookup:
    """One search for the nodes nearest to `target`.

    Args:
        target, own_id: 20 bytes each; our own node is no candidate.
    """

    __slots__ = (
        "_candidates",
        "_goal",
        "_known",
        "_settings",
        "_unfit_count",
        "_waiting_count",
        "answer_count",
        "own_id",
        "query_count",
        "target",
    )

    def __init__(self, target: bytes, own_id: bytes, settings: DhtSettings) -> None:
        self.target = target
        self.own_id = own_id
        self._goal = int.from_bytes(target, "big")
        self._settings = settings
        #: Nearest first.
        self._candidates: list[Candidate] = []
        self._known: set[Endpoint] = set()
        self._waiting_count = 0
        self._unfit_count = 0
        self.query_count = 0
        self.answer_count = 0

    def offer(self, contacts: Iterable[Contact], named_by: Candidate | None = None) -> None:
        """Take up nodes as candidates; each address once."""
        for contact in contacts:
            if contact.endpoint in self._known or contact.node_id == self.own_id:
                continue
            distance = int.from_bytes(contact.node_id, "big") ^ self._goal if contact.node_id else _NOWHERE
            if len(self._candidates) >= self._settings.candidates_max and not self._drop_beyond(distance):
                continue
            self._known.add(contact.endpoint)
            candidate = Candidate(distance, contact, named_by)
            candidate.is_fit = not contact.node_id or fits(
                contact.node_id, packed_address(contact.endpoint.host)
            )
            insort(self._candidates, candidate)

    def next(self) -> Candidate | None:
        """The next node to ask, which then counts as asked; None where nobody is to be asked now."""
        settings = self._settings
        if self._waiting_count >= settings.alpha or self.query_count >= settings.lookup_queries_max:
            return None
        found = self._best_fresh()
        if found is not None:
            found.state = State.ASKED
            self._waiting_count += 1
            self.query_count += 1
            self._unfit_count += not found.is_fit
        return found

    def _best_fresh(self) -> Candidate | None:
        near_count = 0
        doubtful: Candidate | None = None
        for candidate in self._candidates:
            if candidate.state is State.ANSWERED:
                if candidate.is_fit:
                    near_count += 1
                    if near_count >= self._settings.closest_count:
                        return doubtful
            elif candidate.state is State.FRESH:
                if not candidate.is_fit and self._unfit_count >= self._settings.unfit_queries_max:
                    continue
                if not candidate.is_doubtful:
                    return candidate
                doubtful = doubtful or candidate
        return doubtful

    @property
    def is_over(self) -> bool:
        """Is nobody left to be asked or waited for?

        Slow nodes are waited for only if they are nearer than the nearest K that have answered.
        """
        if self._waiting_count:
            return False
        if self.query_count < self._settings.lookup_queries_max and self._best_fresh() is not None:
            return False
        near_count = 0
        for candidate in self._candidates:
            if candidate.state is State.SLOW and candidate.is_fit:
                return False
            near_count += candidate.state is State.ANSWERED and candidate.is_fit
            if near_count >= self._settings.closest_count:
                break
        return True

    def answered(self, candidate: Candidate, node_id: bytes) -> None:
        """`candidate` has answered, with the id `node_id`: if it was not known before, it is from now on."""
        self._stop_waiting(candidate)
        candidate.state = State.ANSWERED
        self.answer_count += 1
        if candidate.named_by is not None:
            candidate.named_by.true_count += 1
        if not candidate.node_id:
            self._candidates.remove(candidate)
            candidate.node_id = node_id
            candidate.distance = int.from_bytes(node_id, "big") ^ self._goal
            candidate.is_fit = fits(node_id, packed_address(candidate.endpoint.host))
            insort(self._candidates, candidate)

    def slowed(self, candidate: Candidate) -> None:
        """`candidate` may still answer, but another one may be asked meanwhile."""
        if candidate.state is State.ASKED:
            self._waiting_count -= 1
            candidate.state = State.SLOW

    def failed(self, candidate: Candidate) -> None:
        """`candidate` did not answer, answered with an error, or has another id than we were told."""
        self._stop_waiting(candidate)
        candidate.state = State.FAILED
        # Its address stays known, so that it is not asked again; its place is free for others.
        self._candidates.remove(candidate)
        if candidate.named_by is not None:
            candidate.named_by.lie_count += 1

    def closest(self) -> list[Candidate]:
        """The nearest K nodes that have answered and whose id fits, nearest first."""
        found = []
        for candidate in self._candidates:
            if candidate.state is State.ANSWERED and candidate.is_fit:
                found.append(candidate)
                if len(found) == self._settings.closest_count:
                    break
        return found

    def writable(self) -> list[Candidate]:
        """The nearest K that have answered with a token and whose id fits (BEP 42 "Enforcement")."""
        found = [
            candidate
            for candidate in self._candidates
            if candidate.state is State.ANSWERED and candidate.is_fit and candidate.token is not None
        ]
        return found[: self._settings.closest_count]

    def _stop_waiting(self, candidate: Candidate) -> None:
        if candidate.state is State.ASKED:
            self._waiting_count -= 1

    def _drop_beyond(self, distance: int) -> bool:
        """Forget the farthest candidate that is not waited for; False if none is farther than `distance`."""
        for at in range(len(self._candidates) - 1, -1, -1):
            candidate = self._candidates[at]
            if candidate.distance <= distance:
                return False
            if candidate.state in (State.FRESH, State.ANSWERED):
                del self._candidates[at]
                if candidate.state is State.FRESH:
                    self._known.discard(candidate.endpoint)
                return True
        return False
