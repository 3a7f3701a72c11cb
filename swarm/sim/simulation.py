"""Runs a scenario: puts everybody into the world, disturbs them, and watches."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import field

from swarm.base.bitfield import Bitfield
from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.ids import InfoHash
from swarm.sim.behaviors import BEHAVIORS
from swarm.sim.checks import BrokenPromiseError
from swarm.sim.client import Client, Surroundings
from swarm.sim.disk import Disk
from swarm.sim.network import Network
from swarm.sim.scenario import Group, Scenario
from swarm.sim.trace import Trace
from swarm.sim.tracker import Tracker
from swarm.sim.world import World

#: virtual seconds, share of all pieces that are there (0 to 1)
OnProgress = Callable[[float, float], None]

#: How often progress is told, in events.
_SLICE_EVENTS = 20_000
_SAMPLES = 200
#: New objects between two searches for circular garbage.
_GC_THRESHOLD = 500_000
_SAMPLED_PIECES = 500


@dataclass(frozen=True, slots=True)
class Sample:
    """How many of those who are there have each piece (of many pieces: each of a few hundred)."""

    at: float
    holders: Sequence[int]


@dataclass(slots=True)
class History:
    """What pictures are made of.

    Args:
        verified_at: client number -> when each further piece was verified.
    """

    verified_at: dict[int, list[float]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)


class Simulation:
    """One scenario under one seed.

    Args:
        check_every_s: hold every engine to its promises this often (virtual seconds); None: at the end.
    """

    def __init__(self, scenario: Scenario, seed: int, *, check_every_s: float | None = None) -> None:
        self.scenario = scenario
        self.world = World(seed)
        self.trace = Trace()
        self.history = History()
        self.bound_s = scenario.bound_s
        self.bans: list[tuple[Client, Endpoint]] = []
        self._check_every_s = check_every_s
        self._rng = self.world.rng("scenario")
        info_hash = InfoHash(self.world.rng("torrent").randbytes(20))
        self._network = Network(self.world)
        self._around = Surroundings(
            world=self.world,
            network=self._network,
            tracker=Tracker(self.world, info_hash, scenario.tracker),
            trace=self.trace,
            geometry=scenario.geometry,
            settings=scenario.settings,
            quantum_blocks=scenario.quantum_blocks,
            verified=self._verified,
            banned=self._banned,
            take_away=self._take_away,
        )
        count = scenario.geometry.piece_count
        #: How many honest ones who are online have each piece.
        self._holders = [0] * count
        #: How many leechers ever got it: when there is none without, a copy is out.
        self._uncopied = count
        self._copied = bytearray(count)
        self._leaving: list[Client] = []
        self._selfish: set[int] = set()
        #: The last disturbance.
        self._calm_at = 0.0
        self.clients: list[Client] = []
        #: Those who are expected to complete, and those who are from the start.
        self.leeches: list[Client] = []
        self.seeders: list[Client] = []
        for group in scenario.groups:
            for _ in range(group.count):
                self._settle(group)
        self._done_pieces = 0
        self._wanted_pieces = sum(client.verified.count(0) for client in self.leeches)

    def _settle(self, group: Group) -> None:
        number = len(self.clients) + 1
        scenario, world = self.scenario, self.world
        have = Bitfield(scenario.geometry.piece_count)
        for piece in scenario.brought_pieces(group):
            have.add(piece)
            if group.is_leech and not self._copied[piece]:
                self._copied[piece] = 1
                self._uncopied -= 1
        disk = Disk(world, group.disk, world.rng(f"disk {number}"))
        behavior = BEHAVIORS[group.behavior]()
        client = Client(
            number, self._around, group.line, disk, behavior, have, group.role, has_fast=group.has_fast
        )
        self.clients.append(client)
        if group.is_leech:
            self.leeches.append(client)
        elif group.is_seed:
            self.seeders.append(client)
        self._network.add(client)
        if group.leaves_when_copied:
            self._leaving.append(client)
        if group.leaves_when_done:
            self._selfish.add(client.number)
        begins_s, ends_s = group.arrives_s
        arrives_at = self._rng.uniform(begins_s, ends_s)
        # Even a crowd does not start within one millisecond.
        world.at(arrives_at + self._rng.random() * 0.01, self._join, client)
        if self._rng.random() < group.churn_share:
            leaves_at = arrives_at + self.bound_s * self._rng.uniform(0.2, 0.8)
            world.at(leaves_at, self._leave, client)
            world.at(leaves_at + self.bound_s * self._rng.uniform(0.1, 0.5), self._join, client)
            self._calm_at = max(self._calm_at, leaves_at + self.bound_s * 0.5)

    # -- running --------------------------------------------------------------------------------

    def run(self, on_progress: OnProgress | None = None) -> None:
        """Run until everybody is complete.

        Raises:
            BrokenPromiseError: something happened that must never happen, or it took too long.
        """
        thresholds = gc.get_threshold()
        # Next to nothing here is garbage in circles: to look for it among all that lives costs a fifth.
        gc.set_threshold(_GC_THRESHOLD, *thresholds[1:])
        try:
            self._run(on_progress)
        except BrokenPromiseError as error:
            raise BrokenPromiseError(error.promise, self._replay()) from error
        finally:
            gc.set_threshold(*thresholds)

    def _run(self, on_progress: OnProgress | None) -> None:
        world = self.world
        self._begin_faults()
        world.at(0.0, self._sample)
        if self._check_every_s is not None:
            world.at(self._check_every_s, self._check_often)
        deadline = self._calm_at + self.scenario.patience * self.bound_s + 120.0
        while not self._is_over():
            is_late = world.run(deadline, _SLICE_EVENTS)
            if on_progress is not None:
                on_progress(world.now, self._done_pieces / max(1, self._wanted_pieces))
            if is_late and not self._is_over():
                raise BrokenPromiseError(self._unfinished_story(deadline))
        self._take_sample()
        for client in self.clients:
            client.check()

    def _is_over(self) -> bool:
        return all(client.is_finished for client in self.leeches)

    def _replay(self) -> str:
        scenario = self.scenario
        faults = f" --faults {scenario.faults.until_s:g}" if scenario.faults is not None else ""
        return f"swarm simulate {scenario.name} --peers {scenario.peers} --seed {self.world.seed}{faults}"

    def _unfinished_story(self, deadline: float) -> str:
        late = [client for client in self.leeches if not client.is_finished]
        worst = min(late, key=lambda client: client.verified.count(1))
        return (
            f"{len(late)} of {len(self.leeches)} are not complete after {deadline:.0f} s; "
            f"{worst} has {worst.verified.count(1)} of {len(worst.verified)} pieces"
        )

    def _check_often(self) -> None:
        for client in self.clients:
            client.check()
        assert self._check_every_s is not None
        self.world.after(self._check_every_s, self._check_often)

    # -- faults ---------------------------------------------------------------------------------

    def _begin_faults(self) -> None:
        faults = self.scenario.faults
        if faults is None:
            return
        self._calm_at = max(self._calm_at, faults.until_s)
        for client in self.leeches:
            client.disk.fault_share = faults.disk_fault_share
        self.world.after(self._rng.expovariate(faults.link_losses_per_s), self._lose_link)
        self.world.at(faults.until_s, self._end_faults)

    def _lose_link(self) -> None:
        faults = self.scenario.faults
        assert faults is not None
        if self.world.now < faults.until_s:
            self._network.break_link(self._rng.random())
            self.world.after(self._rng.expovariate(faults.link_losses_per_s), self._lose_link)

    def _end_faults(self) -> None:
        for client in self.clients:
            client.disk.fault_share = 0.0

    # -- watching -------------------------------------------------------------------------------

    def _join(self, client: Client) -> None:
        client.join()
        if client.behavior.is_honest:
            self._hold(client, 1)

    def _leave(self, client: Client) -> None:
        if client.is_online:
            client.leave()
            self._hold(client, -1)

    def _hold(self, client: Client, step: int) -> None:
        for piece, flag in enumerate(client.verified):
            self._holders[piece] += step * flag

    def _verified(self, client: Client, piece: int) -> None:
        if not client.behavior.is_honest:
            return
        self._holders[piece] += 1
        self._done_pieces += 1
        self.history.verified_at.setdefault(client.number, []).append(self.world.now)
        if client.finished_at == self.world.now:
            if self._is_over():
                self.world.stop()
            elif client.number in self._selfish:
                self.world.after(0.0, self._leave, client)
        if not self._copied[piece]:
            self._copied[piece] = 1
            self._uncopied -= 1
            if not self._uncopied:
                for leaving in self._leaving:
                    # Not within the event of somebody else's engine.
                    self.world.after(0.0, self._leave, leaving)

    def _take_away(self, piece: int) -> bool:
        """One who is online loses it, unless it would be lost for all; returns whether it does."""
        # Those who will leave do not count.
        staying = self._holders[piece] - sum(leaving.is_online for leaving in self._leaving)
        if staying < 2:
            return False
        self._holders[piece] -= 1
        return True

    def _banned(self, client: Client, endpoint: Endpoint) -> None:
        self.bans.append((client, endpoint))
        if client.behavior.is_honest:
            liar = next(other for other in self.clients if other.endpoint.host == endpoint.host)
            if liar.behavior.is_honest:
                raise BrokenPromiseError(f"{client} banned {liar}, who never lied")

    def _sample(self) -> None:
        self._take_sample()
        self.world.after(max(self.bound_s / _SAMPLES, 0.001), self._sample)

    def _take_sample(self) -> None:
        step = -(-len(self._holders) // _SAMPLED_PIECES)
        self.history.samples.append(Sample(self.world.now, self._holders[::step]))
