"""Super-seeding by choice (BEP 16, decision 022) in whole swarms: all finish, and quickly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarm.sim.scenario import Scenario
from tests.sim.worlds import disturbed, ran, reported, small


def by_choice(scenario: Scenario) -> Scenario:
    return replace(scenario, settings=replace(scenario.settings, is_super_seeding=True))


@pytest.mark.parametrize("peers", [1, 2, 8])
def test_all_finish(peers: int) -> None:
    simulation = ran(by_choice(small("flash-crowd", peers)), 0)
    assert all(client.is_finished for client in simulation.leeches)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["flash-crowd", "churn", "free-riders", "poisoners", "staggered"])
def test_all_finish_after_lines_and_disks_have_failed(name: str, seed: int) -> None:
    simulation = ran(disturbed(by_choice(small(name, 8))), seed)
    assert all(client.is_finished for client in simulation.leeches)


def test_flash_crowd_of_ten_is_as_quick_as_without() -> None:
    result = reported(by_choice(small("flash-crowd", 10, total_bytes=64 << 20, piece_length=256 << 10)), 0)
    assert result.efficiency >= 0.92
    assert result.seeder_upload_ratio <= 1.1
