"""Nobody is ever idle who could be asked for something, and all finish: worlds in which that is hard."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarm.engine.download.rarity import RarityOrder
from swarm.engine.settings import EngineSettings
from swarm.sim.scenario import MIB, Scenario
from tests.sim.worlds import KIB, disturbed, ran, small

#: All of them stand in order, or not all.
FEW_PIECES = {"total_bytes": 4 * MIB, "piece_length": 64 * KIB}
MANY_PIECES = {"total_bytes": 9 * MIB + 5, "piece_length": 16 * KIB}
#: The least that there can be: four pieces at a time.
LITTLE_MEMORY = EngineSettings(is_exchanging=False, in_flight_bytes_max=1)
NAMES = ["churn", "poisoners", "two-halves", "seeder-leaves"]


def mixed(chosen: Scenario) -> Scenario:
    """Half of each group do not know BEP 6."""
    groups = []
    for group in chosen.groups:
        half = group.count // 2
        groups += [replace(group, count=group.count - half), replace(group, count=half, has_fast=False)]
    return replace(chosen, groups=tuple(groups))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("size", [FEW_PIECES, MANY_PIECES], ids=["few", "many"])
@pytest.mark.parametrize("name", NAMES)
def test_all_finish_with_little_memory_and_without_the_fast_extension(
    name: str, size: dict[str, int], seed: int
) -> None:
    chosen = replace(mixed(small(name, 6, **size)), settings=LITTLE_MEMORY)
    assert (chosen.geometry.piece_count > RarityOrder.AT_ONCE) == (size is MANY_PIECES)
    simulation = ran(disturbed(chosen), seed, check_every_s=0.1)
    assert all(client.is_finished for client in simulation.leeches)
