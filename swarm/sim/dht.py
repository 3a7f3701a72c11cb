"""A DHT of thousands of nodes in virtual time: real minds, a network that is slow and loses things.

Some nodes die without a word, some are hostile from the start. Whether what one node announces is found by
another, in how many hops and with how many questions, is the result.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import field, replace
from statistics import median

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.ids import NodeId
from swarm.dht.commands import Command, LookupOutcome, OperationEnded, PeersFound, SendDatagram
from swarm.dht.identity import id_for, is_local, packed_address
from swarm.dht.node import DhtNode
from swarm.dht.settings import DhtSettings
from swarm.sim.dht_hostile import Hostility, hostile_answer
from swarm.sim.world import World

_PORT = 6881


@dataclass(frozen=True, slots=True)
class DhtScenario:
    """A network and what is asked of it. Spans in seconds, shares from 0 to 1.

    Args:
        node_count: all that join; the first `router_count` are known to everyone beforehand.
        dead_share: leave without a word once all have joined; stay in the tables of others.
        hostile_share: lie from the start.
        loss_share: datagrams that do not arrive.
        latency_s: the least and the most that one node's line adds to each way.
        join_s: the time in which all join.
        trial_count: announces, each looked for by another node.
    """

    node_count: int = 10_000
    router_count: int = 4
    dead_share: float = 0.3
    hostile_share: float = 0.1
    loss_share: float = 0.02
    latency_s: tuple[float, float] = (0.005, 0.06)
    join_s: float = 200.0
    settle_s: float = 120.0
    trial_count: int = 2000
    trial_s: float = 0.1
    settings: DhtSettings = field(default_factory=lambda: DhtSettings(tick_s=60.0))


@dataclass(slots=True)
class DhtReport:
    """What came of it; spans in seconds of virtual time."""

    nodes: int
    trials: int
    found: int
    lookup_hops_median: float
    lookup_queries_median: float
    lookup_queries_p95: float
    lookup_s_median: float
    lookup_s_p95: float
    first_peer_s_median: float
    announced_median: float
    nearest_found_share: float
    join_queries_median: float
    datagrams: int
    refused: dict[str, int]

    @property
    def found_share(self) -> float:
        return self.found / self.trials if self.trials else 0.0


@dataclass(slots=True)
class _Trial:
    """One node announces, another looks for it."""

    info_hash: bytes
    announcer: _Member
    seeker: _Member
    announce: LookupOutcome | None = None
    lookup: LookupOutcome | None = None
    begun_at: float = 0.0
    found_at: float | None = None
    ended_at: float = 0.0


class _Member:
    """A node, its line, and its place in the world."""

    __slots__ = ("endpoint", "hostility", "is_alive", "join", "latency_s", "mind", "trials", "woken_at")

    def __init__(self, endpoint: Endpoint, mind: DhtNode, latency_s: float) -> None:
        self.endpoint = endpoint
        self.mind = mind
        self.latency_s = latency_s
        self.hostility: Hostility | None = None
        self.is_alive = True
        self.woken_at = float("inf")
        self.join: LookupOutcome | None = None
        self.trials: dict[int, _Trial] = {}


class DhtSimulation:
    """One run of a scenario; the same seed gives the same run."""

    def __init__(self, scenario: DhtScenario, seed: int) -> None:
        self.scenario = scenario
        self.world = World(seed)
        self.datagram_count = 0
        self._rng = self.world.rng("network")
        self._members: dict[Endpoint, _Member] = {}
        self._trials: list[_Trial] = []
        rng = self.world.rng("addresses")
        while len(self._members) < scenario.node_count:
            packed = bytes((rng.randrange(1, 224), *rng.randbytes(3)))
            endpoint = Endpoint(".".join(map(str, packed)), _PORT)
            if not is_local(packed) and endpoint not in self._members:
                is_router = len(self._members) < scenario.router_count
                self._members[endpoint] = self._member(endpoint, rng, is_router)
        for member in self._crowd(scenario.router_count, scenario.hostile_share, rng):
            member.hostility = rng.choice(list(Hostility))

    def run(self) -> DhtReport:
        """Join, settle, lose some, then announce and look up."""
        scenario, world = self.scenario, self.world
        members = list(self._members.values())
        routers = [member.endpoint for member in members[: scenario.router_count]]
        for number, member in enumerate(members):
            world.at(scenario.join_s * number / len(members), self._join, member, routers)
        self._run(scenario.join_s + scenario.settle_s)
        rng = self.world.rng("trials")
        for member in self._crowd(scenario.router_count, scenario.dead_share, rng):
            if member.hostility is None:
                member.is_alive = False
        honest = [member for member in members if member.is_alive and member.hostility is None]
        for number in range(scenario.trial_count):
            announcer, seeker = rng.sample(honest, 2)
            trial = _Trial(rng.randbytes(20), announcer, seeker)
            self._trials.append(trial)
            world.after(scenario.trial_s * number, self._announce, trial, 2 * number + 1)
        self._run(world.now + scenario.trial_s * scenario.trial_count + 60.0)
        return self._report(honest)

    def _member(self, endpoint: Endpoint, rng: random.Random, is_router: bool) -> _Member:
        scenario = self.scenario
        settings = scenario.settings
        if is_router:
            settings = replace(settings, answer_bytes_per_s=None)
        mind = DhtNode(
            id_for(packed_address(endpoint.host), rng),
            is_v6=False,
            settings=settings,
            rng=self.world.rng(f"node/{endpoint}"),
            now=0.0,
        )
        return _Member(endpoint, mind, rng.uniform(*scenario.latency_s))

    def _crowd(self, spared: int, share: float, rng: random.Random) -> list[_Member]:
        members = list(self._members.values())[spared:]
        return rng.sample(members, int(len(members) * share))

    def _run(self, until: float) -> None:
        is_reached = self.world.run(until, count_max=1_000_000_000)
        assert is_reached

    # What happens

    def _join(self, member: _Member, routers: Sequence[Endpoint]) -> None:
        others = [router for router in routers if router != member.endpoint]
        self._do(member, member.mind.bootstrap(0, others, self.world.now))

    def _announce(self, trial: _Trial, operation: int) -> None:
        member = trial.announcer
        member.trials[operation] = trial
        commands = member.mind.announce(operation, trial.info_hash, _PORT, self.world.now)
        self._do(member, commands)

    def _seek(self, trial: _Trial, operation: int) -> None:
        member = trial.seeker
        trial.begun_at = self.world.now
        member.trials[operation] = trial
        self._do(member, member.mind.get_peers(operation, trial.info_hash, self.world.now))

    def _do(self, member: _Member, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, SendDatagram):
                self._send(member, command.endpoint, command.payload)
            elif isinstance(command, PeersFound):
                trial = member.trials.get(command.operation)
                is_found = trial is not None and trial.announcer.endpoint in command.endpoints
                if trial is not None and is_found and member is trial.seeker and trial.found_at is None:
                    trial.found_at = self.world.now
            elif isinstance(command, OperationEnded):
                self._ended(member, command)
        wakeup = member.mind.next_wakeup()
        if wakeup is not None and wakeup < member.woken_at:
            member.woken_at = wakeup
            self.world.at(wakeup, self._wake, member, wakeup)

    def _ended(self, member: _Member, command: OperationEnded) -> None:
        if command.operation == 0:
            member.join = command.outcome
            return
        trial = member.trials.pop(command.operation)
        if command.operation % 2:
            trial.announce = command.outcome
            self.world.after(1.0, self._seek, trial, command.operation + 1)
        else:
            trial.lookup = command.outcome
            trial.ended_at = self.world.now

    def _wake(self, member: _Member, planned_at: float) -> None:
        if member.is_alive and planned_at == member.woken_at:
            member.woken_at = float("inf")
            self._do(member, member.mind.woken(self.world.now))

    def _send(self, member: _Member, target: Endpoint, payload: bytes) -> None:
        self.datagram_count += 1
        receiver = self._members.get(target)
        if receiver is None or self._rng.random() < self.scenario.loss_share:
            return
        span_s = (member.latency_s + receiver.latency_s) * self._rng.uniform(1.0, 1.5)
        self.world.after(span_s, self._receive, receiver, payload, member)

    def _receive(self, member: _Member, payload: bytes, sender: _Member) -> None:
        if not member.is_alive:
            return
        if member.hostility is not None:
            answer = hostile_answer(
                member.hostility, payload, member.mind.own_id, packed_address(sender.endpoint.host), self._rng
            )
            if answer is not None:
                if answer:
                    self._send(member, sender.endpoint, answer)
                return
        self._do(member, member.mind.received(payload, sender.endpoint, self.world.now))

    # What came of it

    def _report(self, honest: Sequence[_Member]) -> DhtReport:
        ended = [trial for trial in self._trials if trial.lookup is not None]
        lookups = [trial.lookup for trial in ended if trial.lookup is not None]
        queries = sorted(outcome.queries for outcome in lookups)
        spans = sorted(trial.ended_at - trial.begun_at for trial in ended)
        refused: dict[str, int] = {}
        for member in honest:
            for reason, count in member.mind.stats().refused.items():
                refused[reason] = refused.get(reason, 0) + count
        return DhtReport(
            nodes=len(self._members),
            trials=len(self._trials),
            found=sum(1 for trial in self._trials if trial.found_at is not None),
            lookup_hops_median=median(outcome.hops for outcome in lookups),
            lookup_queries_median=median(queries),
            lookup_queries_p95=queries[len(queries) * 95 // 100],
            lookup_s_median=median(spans),
            lookup_s_p95=spans[len(spans) * 95 // 100],
            first_peer_s_median=median(
                trial.found_at - trial.begun_at for trial in ended if trial.found_at is not None
            ),
            announced_median=median(
                trial.announce.announced_count for trial in self._trials if trial.announce is not None
            ),
            nearest_found_share=self._nearest_found_share(honest, ended),
            join_queries_median=median(
                member.join.queries for member in self._members.values() if member.join is not None
            ),
            datagrams=self.datagram_count,
            refused=refused,
        )

    def _nearest_found_share(self, honest: Sequence[_Member], ended: Sequence[_Trial]) -> float:
        """How many of the honest nodes that really are nearest to a target were found, of a sample."""
        found_count = wanted_count = 0
        for trial in ended[:100]:
            assert trial.lookup is not None
            goal = int.from_bytes(trial.info_hash, "big")
            others = [member for member in honest if member is not trial.seeker]
            # Hostile nodes take places of their own among the eight.
            found = {contact.endpoint for contact in trial.lookup.closest}
            hostile = sum(1 for endpoint in found if self._members[endpoint].hostility is not None)
            nearest = sorted(others, key=lambda member: _distance(member.mind.own_id, goal))
            wanted = {member.endpoint for member in nearest[: len(found) - hostile]}
            found_count += len(found & wanted)
            wanted_count += len(wanted)
        return found_count / wanted_count if wanted_count else 0.0


def _distance(own_id: NodeId, goal: int) -> int:
    return int.from_bytes(own_id, "big") ^ goal
