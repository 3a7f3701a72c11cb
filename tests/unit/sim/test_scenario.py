"""Scenarios as values, their bounds, and the figures of a report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarm.base.errors import SettingsError
from swarm.sim.disk import DiskSpeed
from swarm.sim.network import Line
from swarm.sim.report import jain
from swarm.sim.scenario import MIB, Group, Scenario
from swarm.sim.scenarios import RECIPES, scenario

FAST = Line(4 * MIB, 100 * MIB)
SEEDER = Group("seeder", 1, FAST, has=(0.0, 1.0))


def test_bound_is_what_the_seeder_needs_for_one_copy() -> None:
    assert Scenario("x", (SEEDER, Group("leecher", 10, FAST))).bound_s == pytest.approx(16.0)


def test_bound_is_what_all_lines_up_need_for_all_copies() -> None:
    slow = Line(1 * MIB, 100 * MIB)
    assert Scenario("x", (SEEDER, Group("leecher", 10, slow))).bound_s == pytest.approx(640 / 14)


def test_bound_is_what_the_slowest_line_down_needs() -> None:
    slow = Line(4 * MIB, 2 * MIB)
    assert Scenario("x", (SEEDER, Group("leecher", 2, slow))).bound_s == pytest.approx(32.0)


def test_bound_knows_that_a_disk_that_writes_does_not_read() -> None:
    slow = DiskSpeed(write_bytes_per_s=4 * MIB, read_bytes_per_s=4 * MIB)
    # 4 t of the seeder, and 4 (t - 16) of each of the ten, who write for 16 s.
    crowd = Scenario("x", (SEEDER, Group("leecher", 10, FAST, disk=slow)))
    assert crowd.bound_s == pytest.approx((640 + 10 * 64) / 44)


def test_bound_counts_only_what_is_lacking_and_waits_for_the_last_to_come() -> None:
    half = Group("half", 4, FAST, has=(0.0, 0.5))
    assert Scenario("x", (SEEDER, half)).bound_s == pytest.approx(8.0)
    late = Group("late", 1, FAST, arrives_s=(0.0, 60.0))
    assert Scenario("x", (SEEDER, late)).bound_s == pytest.approx(60.64)


def test_free_riders_take_and_are_not_counted_on() -> None:
    riders = Group("rider", 10, FAST, behavior="free-rider")
    assert Scenario("x", (SEEDER, riders)).bound_s == pytest.approx(160.0)


@pytest.mark.parametrize("name", RECIPES)
def test_every_scenario_can_be_had_in_its_least_size(name: str) -> None:
    assert scenario(name, RECIPES[name].peers_min).bound_s > 0
    with pytest.raises(SettingsError):
        scenario(name, RECIPES[name].peers_min - 1)


def test_impossible_scenarios_are_named() -> None:
    with pytest.raises(SettingsError, match="there are: flash-crowd"):
        scenario("no-such")
    crowd = scenario("flash-crowd")
    for wrong in (
        {"total_bytes": 0},
        {"piece_length": 1000},
        {"piece_length": 20_000},
        {"total_bytes": 1 << 50},
        {"groups": ()},
        {"groups": (replace(SEEDER, line=Line(100.0, 1e6)),)},
    ):
        with pytest.raises(SettingsError):
            replace(crowd, **wrong)


def test_jain_is_one_where_all_are_alike_and_a_share_where_one_has_all() -> None:
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
