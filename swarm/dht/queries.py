"""Our own queries that await an answer: to whom, since when, and which answers are believed (BEP 5)."""

from __future__ import annotations

import random
from collections import Counter
from heapq import heappop, heappush
from typing import Protocol

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.dht.commands import Command, SendDatagram
from swarm.dht.identity import Identity
from swarm.dht.settings import DhtSettings
from swarm.wire.krpc import Body, Failure, Query, Response, encode_query

#: 32 random bits: whoever cannot read our datagrams must guess them, and forge the right address as well.
_TRANSACTION_BYTES = 4


class Asker(Protocol):
    """Who waits for an answer: it is told once, by `answered` or `failed`, and by `slowed` perhaps before."""

    def answered(self, asked: Asked, response: Response, now: float) -> None: ...
    def slowed(self, asked: Asked, now: float) -> None:
        """The answer takes longer than most; it may still come."""

    def failed(self, asked: Asked, failure: Failure | None, now: float) -> None:
        """The node answered with an error, or (None) not at all, or under another id than expected."""


@dataclass(slots=True)
class Asked:
    """One query that was sent; `node_id` is the id expected of the answer, empty where none is known."""

    transaction: bytes
    endpoint: Endpoint
    node_id: bytes
    sent_at: float
    asker: Asker
    #: The asker's own: given back to it with the answer.
    tag: object
    is_slow: bool = False
    is_over: bool = False


class Queries:
    """Sends queries, and finds the one that an answer belongs to.

    A query without an answer is first called slow, later failed. These spans follow the round trips seen, as
    those of TCP do (RFC 6298).
    """

    __slots__ = (
        "_deadlines",
        "_identity",
        "_outbox",
        "_refused",
        "_rng",
        "_round_trip_s",
        "_serial",
        "_settings",
        "_under_way",
        "_variation_s",
        "sent_count",
    )

    def __init__(
        self,
        identity: Identity,
        settings: DhtSettings,
        rng: random.Random,
        outbox: list[Command],
        refused: Counter[str],
    ) -> None:
        self._identity = identity
        self._settings = settings
        self._rng = rng
        self._outbox = outbox
        self._refused = refused
        self._under_way: dict[bytes, Asked] = {}
        #: A heap of (instant, serial, query, whether it then becomes slow rather than failed).
        self._deadlines: list[tuple[float, int, Asked, bool]] = []
        self._serial = 0
        self._round_trip_s: float | None = None
        self._variation_s = 0.0
        self.sent_count = 0

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def slow_s(self) -> float:
        """Seconds after which an answer is slow."""
        settings = self._settings
        if self._round_trip_s is None:
            return settings.slow_s
        span_s = self._round_trip_s + 4 * self._variation_s
        return min(max(span_s, settings.slow_min_s), settings.slow_max_s)

    def ask(
        self,
        endpoint: Endpoint,
        body: Body,
        asker: Asker,
        now: float,
        *,
        node_id: bytes = b"",
        tag: object = None,
    ) -> Asked:
        """Send `body` to `endpoint`; `asker` will hear what becomes of it.

        Args:
            node_id: the id that is expected of the answer; empty for any.
            tag: `Asked.tag`.
        """
        transaction = self._rng.randbytes(_TRANSACTION_BYTES)
        while transaction in self._under_way:
            transaction = self._rng.randbytes(_TRANSACTION_BYTES)
        asked = Asked(transaction, endpoint, node_id, now, asker, tag)
        self._under_way[transaction] = asked
        slow_s = self.slow_s
        self._serial += 1
        heappush(self._deadlines, (now + slow_s, self._serial, asked, True))
        query = Query(transaction, self._identity.own_id, body, self._settings.is_read_only)
        self._outbox.append(SendDatagram(endpoint, encode_query(query)))
        self.sent_count += 1
        return asked

    def take(self, transaction: bytes, source: Endpoint, now: float) -> Asked | None:
        """The query that `source` has answered; None where we have not asked it, which is counted."""
        asked = self._under_way.get(transaction)
        if asked is None:
            self._refused["answer to nothing"] += 1
            return None
        if asked.endpoint != source:
            self._refused["answer from another address"] += 1
            return None
        del self._under_way[transaction]
        asked.is_over = True
        self._measure(now - asked.sent_at)
        return asked

    def expire(self, now: float) -> list[tuple[Asked, bool]]:
        """Queries that have become slow or failed by `now`, each with whether it has failed."""
        found = []
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= now or deadlines[0][2].is_over):
            at, _, asked, is_first = heappop(deadlines)
            if asked.is_over:
                continue
            if is_first:
                asked.is_slow = True
                given_up_at = asked.sent_at + (at - asked.sent_at) * self._settings.giving_up_factor
                self._serial += 1
                heappush(deadlines, (given_up_at, self._serial, asked, False))
            else:
                asked.is_over = True
                del self._under_way[asked.transaction]
            found.append((asked, not is_first))
        return found

    def next_deadline(self) -> float | None:
        """When `expire` will have something; None where no query awaits an answer."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].is_over:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def _measure(self, span_s: float) -> None:
        if self._round_trip_s is None:
            self._round_trip_s = span_s
            self._variation_s = span_s / 2
            return
        self._variation_s += (abs(span_s - self._round_trip_s) - self._variation_s) / 4
        self._round_trip_s += (span_s - self._round_trip_s) / 8
