"""A run in figures, held against what no protocol could beat."""

from __future__ import annotations

from collections.abc import Sequence

from swarm.base.dataclass import dataclass
from swarm.sim.simulation import Simulation


@dataclass(frozen=True, slots=True)
class RoleReport:
    """When those of one role were complete, in seconds since the start."""

    role: str
    count: int
    first_s: float
    median_s: float
    last_s: float
    up_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """Spans in seconds of virtual time.

    Args:
        bound_s: see `Scenario.bound_s`.
        efficiency: bound / last finisher; 1 is perfect.
        seeder_upload_ratio: what the seeders sent, in copies of the torrent.
        duplicate_share: bytes that came although they were there already or asked of nobody.
        fairness: Jain's index over the leechers' rates, from 1/N to 1 (all alike).
        engine_events: how many events all engines have handled.
        digest: the trace of the run.
    """

    scenario: str
    seed: int
    peers: int
    bound_s: float
    first_s: float
    median_s: float
    last_s: float
    efficiency: float
    seeder_upload_ratio: float
    duplicate_bytes: int
    duplicate_share: float
    fairness: float
    engine_events: int
    digest: str
    roles: tuple[RoleReport, ...]


def jain(values: Sequence[float]) -> float:
    """Jain's index of fairness; 1 where all are alike.

    Source: Jain, Chiu, Hawe, "A quantitative measure of fairness", 1984.
    """
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def report(simulation: Simulation) -> Report:
    """Measure a simulation that has run."""
    scenario = simulation.scenario
    leeches = simulation.leeches
    ends = sorted(client.finished_at or 0.0 for client in leeches)
    down = waste = 0
    for client in leeches:
        downloaded, wasted = client.totals()
        down += downloaded
        waste += wasted
    rates = []
    for client in leeches:
        span_s = (client.finished_at or 0.0) - (client.arrived_at or 0.0)
        missing = len(simulation.history.verified_at.get(client.number, ()))
        if span_s > 0 and missing:
            rates.append(missing / span_s)
    seeded = sum(client.uplink.sent_bytes for client in simulation.seeders)
    last_s = ends[-1] if ends else 0.0
    return Report(
        scenario=scenario.name,
        seed=simulation.world.seed,
        peers=len(leeches),
        bound_s=simulation.bound_s,
        first_s=ends[0] if ends else 0.0,
        median_s=_median(ends),
        last_s=last_s,
        efficiency=simulation.bound_s / last_s if last_s else 1.0,
        seeder_upload_ratio=seeded / scenario.total_bytes,
        duplicate_bytes=waste,
        duplicate_share=waste / down if down else 0.0,
        fairness=jain(rates) if rates else 1.0,
        engine_events=simulation.trace.event_count,
        digest=simulation.trace.digest(),
        roles=_roles(simulation),
    )


def _roles(simulation: Simulation) -> tuple[RoleReport, ...]:
    rows = []
    for role in dict.fromkeys(client.role for client in simulation.clients):
        members = [client for client in simulation.clients if client.role == role]
        ends = sorted(client.finished_at for client in members if client.finished_at is not None)
        rows.append(
            RoleReport(
                role,
                len(members),
                ends[0] if ends else 0.0,
                _median(ends),
                ends[-1] if ends else 0.0,
                sum(client.uplink.sent_bytes for client in members),
            )
        )
    return tuple(rows)


def _median(ordered: Sequence[float]) -> float:
    if not ordered:
        return 0.0
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
