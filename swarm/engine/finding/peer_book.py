"""Addresses of peers: known, being dialled, connected, banned."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.engine.finding.bans import Bans
from swarm.engine.finding.dial_pace import DialPace
from swarm.engine.settings import EngineSettings

#: Backoff grows by this (defaults.md: x 2.5).
BACKOFF = 2.5
#: The source of addresses that a relay told us to dial (BEP 55): they are tried once.
HOLEPUNCH = "holepunch"
#: Why a link is refused that could have had another's place.
FULL = "there are enough connections"


@dataclass(slots=True)
class Candidate:
    """An address that is not connected; `next_at` is the earliest instant of the next try."""

    endpoint: Endpoint
    source: str
    next_at: float = 0.0
    failures: int = 0
    is_seed: bool = False
    #: By BEP 40, 0 while our address is not known; None while it was not needed.
    priority: int | None = None


class PeerBook:
    """Decides whom to dial and whom to let in."""

    __slots__ = (
        "_bans",
        "_candidates",
        "_connected",
        "_dialling",
        "_earliest",
        "_exchanged_count",
        "_identified",
        "_is_private",
        "_own_endpoints",
        "_own_id",
        "_pace",
        "_priority",
        "_rng",
        "_settings",
        "_skips_seeds",
    )

    def __init__(self, own_id: PeerId, settings: EngineSettings, rng: random.Random, now: float) -> None:
        self._own_id = own_id
        self._is_private = False
        #: We are a seed ourselves: others are of no use to us, nor we to them.
        self._skips_seeds = False
        self._priority: Callable[[Endpoint], int | None] = lambda endpoint: None
        self._settings = settings
        self._rng = rng
        self._candidates: dict[Endpoint, Candidate] = {}
        self._dialling: dict[Endpoint, Candidate] = {}
        self._connected: dict[Endpoint, Candidate] = {}
        #: Where connected peers that came to us listen, with what we knew of that address before.
        self._identified: dict[Endpoint, Candidate | None] = {}
        #: How many of the candidates peers told us of.
        self._exchanged_count = 0
        self._bans = Bans(is_loopback_shared=settings.is_loopback_shared)
        self._own_endpoints: set[Endpoint] = set()
        self._pace = DialPace(settings, now)
        #: (seeds left out?, earliest instant) of the candidates; None after a change.
        self._earliest: tuple[bool, float | None] | None = None

    def found(self, endpoints: Iterable[Endpoint], source: str, now: float, *, is_seed: bool = False) -> int:
        """Note addresses; returns how many were new. What does not fit is left out."""
        if self._is_private and not may_name_private_peers(source):
            return 0
        fresh = 0
        for endpoint in endpoints:
            if not 0 < endpoint.port < 65536 or endpoint in self._own_endpoints or self.is_banned(endpoint):
                continue
            if endpoint in self._candidates or endpoint in self._dialling or endpoint in self._connected:
                continue
            if endpoint in self._identified or (is_seed and self._skips_seeds):
                continue
            if not self._has_room(source) and not (self._forget_seeds() and self._has_room(source)):
                break
            self._add(Candidate(endpoint, source, now, is_seed=is_seed))
            fresh += 1
        return fresh

    def become_private(self) -> None:
        """BEP 27: from now on peers come from the trackers and the user alone; others are forgotten."""
        self._is_private = True
        for endpoint, candidate in list(self._candidates.items()):
            if not may_name_private_peers(candidate.source):
                self._remove(endpoint)

    def rank_by(self, priority: Callable[[Endpoint], int | None]) -> None:
        """From now on dial by `priority` (BEP 40); None where it is not known."""
        self._priority = priority

    def _has_room(self, source: str) -> bool:
        most = self._settings.candidates_max
        if source == "pex" and self._exchanged_count >= most * self._settings.pex_share:
            return False
        return len(self._candidates) < most

    def _forget_seeds(self) -> bool:
        """A seed's candidates come to be other seeds, never dialled: the older half of them makes room."""
        if not self._skips_seeds:
            return False
        seeds = [
            endpoint
            for endpoint, candidate in self._candidates.items()
            if candidate.is_seed and candidate.source != "user"
        ]
        for endpoint in seeds[: len(seeds) // 2 + 1]:
            self._remove(endpoint)
        return bool(seeds)

    def _add(self, candidate: Candidate) -> None:
        if self._candidates.get(candidate.endpoint) is None:
            self._exchanged_count += candidate.source == "pex"
        self._candidates[candidate.endpoint] = candidate
        self._earliest = None

    def _remove(self, endpoint: Endpoint) -> Candidate | None:
        candidate = self._candidates.pop(endpoint, None)
        if candidate is not None:
            self._exchanged_count -= candidate.source == "pex"
            self._earliest = None
        return candidate

    def take(
        self, connected_count: int, *, skip_seeds: bool, now: float, keeps_places: bool = True
    ) -> list[Endpoint]:
        """The addresses to dial now, within the limits on connections, attempts and their rate.

        Args:
            keeps_places: as in `DialPace.room`.
        """
        self._skips_seeds = skip_seeds
        room = self._pace.room(connected_count, len(self._dialling), now, keeps_places=keeps_places)
        if room <= 0:
            return []
        earliest_at = self._earliest_at(skip_seeds)
        if earliest_at is None or earliest_at > now:
            return []
        ready = [
            candidate
            for candidate in self._candidates.values()
            if candidate.next_at <= now and not (skip_seeds and candidate.is_seed)
        ]
        if len(ready) > room:
            # Those that never failed first, then by BEP 40, at random while we do not know our own address:
            # not every newcomer dials the same.
            self._rng.shuffle(ready)
            ready.sort(key=self._rank)
            del ready[room:]
        for candidate in ready:
            self._remove(candidate.endpoint)
            self._dialling[candidate.endpoint] = candidate
        self._pace.dialled(len(ready))
        return [candidate.endpoint for candidate in ready]

    def _rank(self, candidate: Candidate) -> tuple[int, int]:
        if candidate.priority is None:
            candidate.priority = self._priority(candidate.endpoint) or 0
        return candidate.failures, -candidate.priority

    def own_address_changed(self) -> None:
        """All priorities are others now."""
        for known in (self._candidates, self._dialling, self._connected):
            for candidate in known.values():
                candidate.priority = None

    def next_dial_at(self, connected_count: int, *, skip_seeds: bool, now: float) -> float | None:
        """When `take` may have something to say again; None where nothing waits.

        Asked after every event, so the earliest candidate is looked for only after a change.
        """
        if not self._candidates:
            return None
        allowed_at = self._pace.next_at(connected_count, len(self._dialling))
        if allowed_at is None:
            return None
        earliest_at = self._earliest_at(skip_seeds)
        return None if earliest_at is None else max(earliest_at, allowed_at, now)

    def _earliest_at(self, skip_seeds: bool) -> float | None:
        """The instant at which the first candidate may be dialled; None for no candidate."""
        if self._earliest is None or self._earliest[0] != skip_seeds:
            waiting = (
                candidate.next_at
                for candidate in self._candidates.values()
                if not (skip_seeds and candidate.is_seed)
            )
            self._earliest = (skip_seeds, min(waiting, default=None))
        return self._earliest[1]

    def dial_failed(self, endpoint: Endpoint, now: float, *, is_tried: bool = True) -> None:
        """Nobody is there; or it was not tried, for the host had no place for it."""
        candidate = self._dialling.pop(endpoint, None)
        if candidate is None:
            return
        if is_tried:
            self._put_back(candidate, now, has_failed=True)
        elif candidate.source != HOLEPUNCH:
            candidate.next_at = now + self._settings.redial_s * self._rng.uniform(0.8, 1.2)
            self._add(candidate)

    def punch(self, endpoint: Endpoint, now: float) -> bool:
        """Dial `endpoint` out of turn, for it dials us at this moment (BEP 55); whether it may be done."""
        if self._is_private or self.is_banned(endpoint) or endpoint in self._own_endpoints:
            return False
        if endpoint in self._dialling or endpoint in self._connected or endpoint in self._identified:
            return False
        if len(self._dialling) >= self._settings.half_open_max:
            return False
        self._dialling[endpoint] = self._remove(endpoint) or Candidate(endpoint, HOLEPUNCH, now)
        return True

    def identified(self, endpoint: Endpoint) -> None:
        """An incoming peer says that it listens there: no need to dial it."""
        if endpoint not in self._identified:
            self._identified[endpoint] = self._remove(endpoint)

    def _put_back(self, candidate: Candidate, now: float, *, has_failed: bool) -> None:
        candidate.failures = candidate.failures + 1 if has_failed else 0
        # An address that the user named is never forgotten.
        most = 1 if candidate.source == HOLEPUNCH else self._settings.dial_failures_max
        if candidate.failures >= most and candidate.source != "user":
            return
        # The exponent is bounded so that a night of failures does not overflow.
        growth = BACKOFF ** min(max(0, candidate.failures - 1), 20)
        redial_s = self._settings.redial_s
        if candidate.source == "user" and candidate.failures:
            span_s = min(min(self._settings.user_redial_s, redial_s) * growth, 4 * redial_s)
        else:
            span_s = min(redial_s * growth, self._settings.redial_max_s)
        candidate.next_at = now + span_s * self._rng.uniform(0.8, 1.2)
        self._add(candidate)

    def is_preferred(self, peer_id: PeerId, *, is_outgoing: bool) -> bool:
        """Of two crossed links both sides keep the one that the greater id has dialled."""
        return (self._own_id > peer_id) == is_outgoing

    def refusal(
        self,
        endpoint: Endpoint,
        peer_id: PeerId,
        connected_ids: Iterable[PeerId],
        *,
        is_outgoing: bool,
        connected_count: int,
    ) -> str | None:
        """Why a link whose handshake was read must not stay; None where it may."""
        if peer_id == self._own_id:
            if is_outgoing:
                self._own_endpoints.add(endpoint)
            return "it is ourselves"
        if self._bans.has(endpoint, peer_id):
            return "it is banned"
        if self._is_private and is_outgoing and not may_name_private_peers(self._source_of(endpoint)):
            return "the torrent is private, and no tracker named it"
        if peer_id in connected_ids:
            return "it is connected already"
        if connected_count >= self._settings.connections_max:
            return FULL
        return None

    def connected(self, endpoint: Endpoint, *, is_outgoing: bool) -> None:
        if is_outgoing:
            # Its failures are forgotten when the link has been of use, see `lost`.
            candidate = self._dialling.pop(endpoint, None) or self._connected.get(endpoint)
            self._connected[endpoint] = candidate or Candidate(endpoint, "host")

    def lost(
        self,
        endpoint: Endpoint,
        now: float,
        *,
        is_outgoing: bool,
        is_seed: bool,
        is_welcome: bool,
        was_short: bool = False,
        was_useless: bool = False,
    ) -> None:
        """A link has ended; an address that we know how to dial will be tried again if it is `is_welcome`.

        One that the user named is in any case, only later; so is one whose link `was_short` or `was_useless`.

        Args:
            endpoint: what was dialled; of an incoming link, where it said that it listens.
        """
        candidate: Candidate | None
        if is_outgoing:
            candidate = self._connected.pop(endpoint, None) or self._dialling.pop(endpoint, None)
        else:
            candidate = self._identified.pop(endpoint) if endpoint in self._identified else None
        if candidate is None or endpoint in self._own_endpoints or self.is_banned(endpoint):
            return
        candidate.is_seed = is_seed
        if is_welcome or candidate.source == "user":
            self._put_back(candidate, now, has_failed=was_short or was_useless or not is_welcome)

    def ban(self, endpoint: Endpoint, peer_id: PeerId | None) -> None:
        """Keep a proven liar out, see `Bans`."""
        self._bans.add(endpoint, peer_id)
        if self.is_banned(endpoint):
            for other in [other for other in self._candidates if other.host == endpoint.host]:
                self._remove(other)
        self._remove(endpoint)

    def _source_of(self, endpoint: Endpoint) -> str:
        candidate = self._dialling.get(endpoint) or self._connected.get(endpoint)
        return "user" if candidate is None else candidate.source

    def is_banned(self, endpoint: Endpoint) -> bool:
        return self._bans.has_host(endpoint)

    def is_to_be_dialled(self, endpoint: Endpoint) -> bool:
        """Will it be, or is it at this moment?"""
        candidate = self._candidates.get(endpoint)
        if candidate is None:
            return endpoint in self._dialling
        return not (candidate.is_seed and self._skips_seeds)

    @property
    def candidate_count(self) -> int:
        return len(self._candidates)

    @property
    def has_hope(self) -> bool:
        """Is there an address to be dialled that did not fail when it was last tried?"""
        return any(not candidate.failures for candidate in self._candidates.values())

    @property
    def dialling_count(self) -> int:
        return len(self._dialling)


def may_name_private_peers(source: str) -> bool:
    """BEP 27: a private torrent's peers come from its trackers; whom the user names is the user's choice."""
    return source == "user" or source.startswith("tracker")
