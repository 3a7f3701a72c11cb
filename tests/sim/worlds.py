"""Small worlds for the suite; the large ones are in tools/bench/simulation."""

from __future__ import annotations

from dataclasses import replace

from swarm.sim.report import Report, report
from swarm.sim.scenario import MIB, Faults, Scenario
from swarm.sim.scenarios import scenario
from swarm.sim.simulation import Simulation

KIB = 1 << 10


def small(name: str, peers: int, *, total_bytes: int = 4 * MIB, piece_length: int = 64 * KIB) -> Scenario:
    """The scenario `name` with a torrent of a few dozen pieces."""
    return replace(scenario(name, peers), total_bytes=total_bytes, piece_length=piece_length)


def ran(chosen: Scenario, seed: int, *, check_every_s: float | None = 0.5) -> Simulation:
    """Run it, with every engine held to its promises all along."""
    simulation = Simulation(chosen, seed, check_every_s=check_every_s)
    simulation.run()
    return simulation


def reported(chosen: Scenario, seed: int) -> Report:
    return report(ran(chosen, seed, check_every_s=None))


def disturbed(chosen: Scenario) -> Scenario:
    """At first lines and disks fail, many a second."""
    return chosen.with_faults(Faults(until_s=chosen.bound_s, link_losses_per_s=8.0, disk_fault_share=0.05))
