"""Maintenance of the table: unknown nodes are pinged before they are let in, silent ones before they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swarm.base.endpoint import Endpoint
from swarm.base.meter import Meter
from swarm.dht.identity import is_usable, packed_address
from swarm.dht.queries import Asked
from swarm.dht.searches import Neighbours, Search
from swarm.wire.krpc import Failure, Ping, Response

#: Rounds begin up to so much of their span early, so that nodes started together do not act together.
_JITTER = 0.2
#: While ranges of the table wait to be refreshed, the next round comes after this.
_REFRESH_S = 1.0


class Upkeep:
    """Asks what the table needs to know, a little in each round.

    Args:
        forget: called in each round; drops what is too old in the stores.
    """

    __slots__ = ("_asking", "_at", "_forget", "_newcomers", "_refresh", "next_at")

    def __init__(self, neighbours: Neighbours, now: float, forget: Callable[[float], None]) -> None:
        self._at = neighbours
        self._forget = forget
        settings = neighbours.settings
        self._newcomers = Meter(settings.newcomers_per_s, settings.newcomers_burst)
        self._asking: set[Endpoint] = set()
        self._refresh: Search | None = None
        self.next_at = now + settings.tick_s * (1 - _JITTER * neighbours.rng.random())

    def came(self, node_id: bytes, endpoint: Endpoint, now: float) -> None:
        """A node has asked us something: ping it, if it is unknown and there may be a place for it."""
        is_wanted = self._at.table.heard(node_id, endpoint, now) and endpoint not in self._asking
        if is_wanted and self._newcomers.allow(now):
            self._ping(endpoint, b"", now)

    def named(self, endpoints: Sequence[Endpoint], now: float) -> None:
        """Peers or the user say that these are nodes: ping them, within the limits for unknown nodes."""
        for endpoint in endpoints:
            if endpoint in self._asking or self._at.table.get(endpoint) is not None:
                continue
            is_alike = endpoint.is_v6 == self._at.is_v6 and is_usable(packed_address(endpoint.host))
            if is_alike and self._newcomers.allow(now):
                self._ping(endpoint, b"", now)

    def tick(self, now: float) -> None:
        """Do a round, if it is time."""
        if now < self.next_at:
            return
        settings, table = self._at.settings, self._at.table
        self.next_at = now + settings.tick_s * (1 - _JITTER * self._at.rng.random())
        self._forget(now)
        for node in table.questionable(now, settings.pings_per_tick):
            if node.endpoint not in self._asking:
                self._ping(node.endpoint, node.node_id, now)
        if len(table) and (self._refresh is None or self._refresh.is_over):
            target = table.refresh_target(now, self._at.rng.getrandbits(160))
            if target is not None:
                self.next_at = min(self.next_at, now + _REFRESH_S)
                self._refresh = Search(None, target, self._at)
                self._refresh.begin(now)

    def hurry(self, now: float) -> None:
        """Have the next round now: our id is new, or we have just found our neighbours."""
        self.next_at = now

    def _ping(self, endpoint: Endpoint, node_id: bytes, now: float) -> None:
        self._asking.add(endpoint)
        self._at.queries.ask(endpoint, Ping(), self, now, node_id=node_id)

    # Asker: the table hears of every answer and every failure anyway.

    def answered(self, asked: Asked, response: Response, now: float) -> None:
        self._asking.discard(asked.endpoint)

    def slowed(self, asked: Asked, now: float) -> None:
        pass

    def failed(self, asked: Asked, failure: Failure | None, now: float) -> None:
        self._asking.discard(asked.endpoint)
