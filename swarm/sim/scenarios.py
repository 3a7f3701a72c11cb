"""The scenarios by name; each can be had in any size."""

from __future__ import annotations

from collections.abc import Callable

from swarm.base.dataclass import dataclass
from swarm.base.errors import SettingsError
from swarm.engine.settings import EngineSettings
from swarm.sim.disk import DiskSpeed
from swarm.sim.network import Line
from swarm.sim.scenario import MIB, PEERS_MAX, Group, Scenario

#: As in tools/bench/limited_swarm: only the lines up are short.
CAPPED = Line(4 * MIB, 100 * MIB)
#: Megabits a second, as they are sold.
ADSL = Line(1e6 / 8, 16e6 / 8, latency_s=0.015)
CABLE = Line(10e6 / 8, 100e6 / 8, latency_s=0.008)
FIBRE = Line(100e6 / 8, 100e6 / 8, latency_s=0.003)

SEEDER = Group("seeder", 1, CAPPED, has=(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make a scenario for a number of leechers.

    Args:
        make: number of leechers -> groups and what else differs from a Scenario's defaults.
    """

    summary: str
    peers: int
    peers_min: int
    make: Callable[[str, int], Scenario]


def flash_crowd(name: str, peers: int) -> Scenario:
    quantum = 1 if peers <= 200 else 4
    return Scenario(name, (SEEDER, Group("leecher", peers, CAPPED)), quantum_blocks=quantum)


def staggered(name: str, peers: int) -> Scenario:
    return Scenario(name, (SEEDER, Group("leecher", peers, CAPPED, arrives_s=(0.0, 60.0))))


def seeder_leaves(name: str, peers: int) -> Scenario:
    seeder = Group("seeder", 1, CAPPED, has=(0.0, 1.0), leaves_when_copied=True)
    return Scenario(name, (seeder, Group("leecher", peers, CAPPED)), total_bytes=16 * MIB)


def heterogeneous(name: str, peers: int) -> Scenario:
    fibre = max(1, peers // 5)
    cable = max(1, peers // 5)
    groups = (
        Group("seeder", 1, FIBRE, has=(0.0, 1.0)),
        Group("fibre", fibre, FIBRE),
        Group("cable", cable, CABLE),
        Group("adsl", peers - fibre - cable, ADSL),
    )
    return Scenario(name, groups)


def free_riders(name: str, peers: int) -> Scenario:
    riders = max(1, peers // 4)
    groups = (
        SEEDER,
        Group("leecher", peers - riders, CAPPED),
        Group("free rider", riders, CAPPED, behavior="free-rider"),
    )
    return Scenario(name, groups)


def poisoners(name: str, peers: int) -> Scenario:
    liars = max(1, peers // 10)
    groups = (
        SEEDER,
        Group("leecher", peers, CAPPED),
        Group("poisoner", liars, CAPPED, has=(0.0, 0.0), behavior="poisoner"),
        Group("fake seed", liars, CAPPED, has=(0.0, 0.0), behavior="fake-seed"),
    )
    return Scenario(name, groups)


def churn(name: str, peers: int) -> Scenario:
    return Scenario(name, (SEEDER, Group("leecher", peers, CAPPED, churn_share=0.5)))


def slow_disk(name: str, peers: int) -> Scenario:
    slow = DiskSpeed(write_bytes_per_s=3 * MIB, read_bytes_per_s=6 * MIB)
    half = peers // 2
    groups = (SEEDER, Group("leecher", peers - half, CAPPED), Group("slow disk", half, CAPPED, disk=slow))
    return Scenario(name, groups)


def last_piece(name: str, peers: int) -> Scenario:
    return Scenario(name, (SEEDER, Group("leecher", peers, CAPPED, has=(0.0, 0.99))))


def two_halves(name: str, peers: int) -> Scenario:
    half = peers // 2
    groups = (
        Group("first half", peers - half, CAPPED, has=(0.0, 0.5)),
        Group("second half", half, CAPPED, has=(0.5, 1.0)),
    )
    return Scenario(name, groups)


def thousand(name: str, peers: int) -> Scenario:
    # Each piece is told to all connected: fewer make a thousand cheaper, and keep them well connected.
    settings = EngineSettings(connections_max=12, is_exchanging=False)
    return Scenario(
        name,
        (SEEDER, Group("leecher", peers, CAPPED)),
        total_bytes=400 * (64 << 10),
        piece_length=64 << 10,
        settings=settings,
        quantum_blocks=4,
    )


RECIPES = {
    "flash-crowd": Recipe("one seeder, and everybody comes at once", 10, 1, flash_crowd),
    "staggered": Recipe("they come one by one, within a minute", 20, 1, staggered),
    "seeder-leaves": Recipe("the seeder is gone as soon as one copy is out", 10, 2, seeder_leaves),
    "heterogeneous": Recipe("fibre, cable and ADSL in one swarm", 25, 5, heterogeneous),
    "free-riders": Recipe("every fourth takes and never gives", 20, 4, free_riders),
    "poisoners": Recipe("some send wrong data, some claim all and send nothing", 10, 2, poisoners),
    "churn": Recipe("half of them leave and come back", 20, 2, churn),
    "slow-disk": Recipe("half of them have a disk slower than their line", 10, 2, slow_disk),
    "last-piece": Recipe("all lack the same last hundredth", 20, 1, last_piece),
    "two-halves": Recipe("no seeder; two groups with half of it each", 20, 2, two_halves),
    "thousand": Recipe("a thousand peers, 400 pieces", 1000, 1, thousand),
}


def scenario(name: str, peers: int | None = None) -> Scenario:
    """The scenario `name` with `peers` leechers (None: as many as suit it).

    Raises:
        SettingsError: there is none of that name, or it cannot be had in that size.
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise SettingsError(f"there is no scenario {name!r}; there are: {', '.join(RECIPES)}")
    if peers is None:
        peers = recipe.peers
    if not recipe.peers_min <= peers < PEERS_MAX:
        raise SettingsError(
            f"{name} can be had with {recipe.peers_min} to {PEERS_MAX - 1} peers, not {peers}"
        )
    return recipe.make(name, peers)
