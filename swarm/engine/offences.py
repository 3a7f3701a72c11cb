"""Who breaks the protocol, counted by address."""

from __future__ import annotations

from collections import Counter

from swarm.base.endpoint import Endpoint
from swarm.engine.settings import EngineSettings

#: Addresses whose offences are remembered; the oldest give way.
OFFENDERS_MAX = 1000


class Offences:
    """Counts breaches of the protocol by address: each ends a link, a few from one address end in a ban."""

    __slots__ = ("_counts", "_settings")

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._counts: Counter[str] = Counter()

    def is_once_too_often(self, endpoint: Endpoint) -> bool:
        """Count one more breach from that address; True where it is now to be banned."""
        if self._settings.is_loopback_shared and endpoint.is_loopback:
            return False
        self._counts[endpoint.host] += 1
        if len(self._counts) > OFFENDERS_MAX:
            del self._counts[next(iter(self._counts))]
        return self._counts[endpoint.host] >= self._settings.offences_max

    def __len__(self) -> int:
        return len(self._counts)
