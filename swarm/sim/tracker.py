"""The real tracker's rules, reached in virtual time through the real announcer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint, decode_compact_v4, encode_compact
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.finding.announcer import Announcer, Due
from swarm.sim.world import World
from swarm.tracker.announce import Announce, Rules, TrackerSettings
from swarm.tracker.memory_store import MemoryStore
from swarm.wire.tracker.announce import AnnounceResponse

URL = "sim://tracker"
#: There and back, and what the tracker needs.
ANSWER_S = 0.02


class Tracker:
    """One tracker for the whole world."""

    def __init__(self, world: World, info_hash: InfoHash, settings: TrackerSettings) -> None:
        rng = world.rng("tracker")
        self.info_hash = info_hash
        self._rules = Rules(MemoryStore(settings.peer_life_s, rng), rng, settings)

    def announce(
        self, endpoint: Endpoint, peer_id: PeerId, left_bytes: int, due: Due, now: float
    ) -> AnnounceResponse:
        answer = self._rules.announce(
            Announce(self.info_hash, encode_compact(endpoint), peer_id, left_bytes, due.event, due.num_want),
            now,
        )
        return AnnounceResponse(
            interval_s=answer.interval_s,
            min_interval_s=answer.min_interval_s,
            peers=tuple(decode_compact_v4(answer.v4)),
            seeds=answer.seeds,
            leechers=answer.leechers,
        )


@dataclass(frozen=True, slots=True)
class Member:
    """Who announces: `left_bytes` says how much is missing at that moment."""

    endpoint: Endpoint
    peer_id: PeerId
    left_bytes: Callable[[], int]


class Discovery:
    """One client's announces, as `session/finding/discovery` makes them."""

    def __init__(
        self,
        world: World,
        tracker: Tracker,
        member: Member,
        rng: random.Random,
        found: Callable[[Sequence[Endpoint]], None],
    ) -> None:
        self._world = world
        self._tracker = tracker
        self._member = member
        self._found = found
        self._announcer = Announcer([[URL]], rng, key=rng.getrandbits(32), is_seed=member.left_bytes() == 0)
        self._is_stopped = False
        self._planned_at = float("inf")
        self._look()

    def completed(self) -> None:
        self._announcer.completed(self._world.now)
        self._look()

    def reopened(self) -> None:
        self._announcer.reopened(self._world.now)
        self._look()

    def need_peers(self) -> None:
        self._announcer.need_peers(self._world.now)
        self._look()

    def stop(self) -> None:
        """Leave, and tell the tracker."""
        self._is_stopped = True
        for due in self._announcer.stopping():
            self._ask(due)

    def _look(self) -> None:
        now = self._world.now
        for due in self._announcer.due(now):
            self._world.after(ANSWER_S, self._answered, due)
        wakeup_at = self._announcer.next_wakeup()
        if wakeup_at is not None and wakeup_at < self._planned_at:
            self._planned_at = wakeup_at
            self._world.at(wakeup_at, self._wake, wakeup_at)

    def _wake(self, planned_at: float) -> None:
        if planned_at == self._planned_at:
            self._planned_at = float("inf")
        if not self._is_stopped:
            self._look()

    def _ask(self, due: Due) -> AnnounceResponse:
        member = self._member
        return self._tracker.announce(
            member.endpoint, member.peer_id, member.left_bytes(), due, self._world.now
        )

    def _answered(self, due: Due) -> None:
        if self._is_stopped:
            return
        response = self._ask(due)
        self._announcer.answered(due.url, response, self._world.now)
        if response.peers:
            self._found(response.peers)
        self._look()
