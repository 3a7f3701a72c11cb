"""What each scenario is there for, in a size for the suite: figures of virtual time, the same on any machine.

The bounds leave some room below what was measured with these seeds;
`tools/bench/simulation` has the full sizes.
"""

from __future__ import annotations

from statistics import median

import pytest

from swarm.engine.settings import EngineSettings
from swarm.sim.network import Line
from swarm.sim.report import Report, RoleReport
from swarm.sim.scenario import MIB, Group, Scenario
from swarm.tracker import memory_store
from swarm.tracker.announce import TrackerSettings
from tests.sim.worlds import KIB, ran, reported, small

SEEDS = range(3)


def result_of(name: str, peers: int, seed: int, *, mib: int = 16, piece_kib: int = 256) -> Report:
    return reported(small(name, peers, total_bytes=mib * MIB, piece_length=piece_kib * KIB), seed)


def roles_of(result: Report) -> dict[str, RoleReport]:
    return {role.role: role for role in result.roles}


@pytest.mark.parametrize("seed", SEEDS)
def test_flash_crowd_comes_near_the_bound_and_the_seeder_gives_each_piece_once(seed: int) -> None:
    result = result_of("flash-crowd", 10, seed, mib=32)
    assert result.efficiency >= 0.93
    assert result.seeder_upload_ratio <= 1.08
    assert result.duplicate_share <= 0.005
    assert result.fairness >= 0.99


def test_flash_crowd_of_thirty_comes_near_the_bound() -> None:
    # Half of the usual size: starting takes twice the share (tools/bench/simulation has 64 MiB).
    result = result_of("flash-crowd", 30, 0, mib=32)
    assert result.efficiency >= 0.9
    assert result.duplicate_share <= 0.005


@pytest.mark.parametrize("seed", SEEDS)
def test_staggered_late_comers_are_served_by_those_who_came_before(seed: int) -> None:
    simulation = ran(
        small("staggered", 20, total_bytes=16 * MIB, piece_length=256 * KIB), seed, check_every_s=None
    )
    by_arrival = sorted(simulation.leeches, key=lambda client: client.arrived_at or 0.0)
    spans = [(client.finished_at or 0.0) - (client.arrived_at or 0.0) for client in by_arrival]
    # The first has the seeder alone, 4 MiB/s; the last all the others, too.
    assert spans[0] >= 3.9
    assert median(spans[10:]) <= 0.5 * spans[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_seeder_that_leaves_has_given_little_more_than_one_copy(seed: int) -> None:
    result = result_of("seeder-leaves", 10, seed)
    assert result.efficiency >= 0.85
    assert result.seeder_upload_ratio <= 1.1


def test_heterogeneous_who_gives_more_is_served_sooner() -> None:
    # Of 60 seeds one in fifteen has an early ADSL line, and two an efficiency below 0.45 (the median: 0.57):
    # it is the middle of a few that says something.
    results = [result_of("heterogeneous", 15, seed, mib=8) for seed in SEEDS]
    ahead = []
    for roles in map(roles_of, results):
        ahead.append(roles["adsl"].first_s / max(roles["fibre"].last_s, roles["cable"].last_s))
    assert median(ahead) >= 1.25
    assert median(result.efficiency for result in results) >= 0.5


def test_free_riders_cost_the_others_little() -> None:
    # In a world so small four seeds of 24 have a free rider up to 0.08 s early: the middle of a few
    # says more. With 32 MiB none of 20 has (test_scenarios).
    later = []
    for seed in SEEDS:
        roles = roles_of(result_of("free-riders", 12, seed))
        # 4 s if nobody rode; and what they took since then would make it 5.3.
        assert roles["leecher"].last_s <= 5.8
        later.append(roles["free rider"].first_s - roles["leecher"].last_s)
    assert median(later) >= 0.1 and min(later) >= -0.15


@pytest.mark.parametrize("seed", SEEDS)
def test_poisoners_hold_nobody_up_for_long(seed: int) -> None:
    result = result_of("poisoners", 10, seed)
    assert result.efficiency >= 0.87
    # Of 16 seeds one has 1.10, most 1.05 to 1.09.
    assert result.seeder_upload_ratio <= 1.13


@pytest.mark.parametrize("seed", SEEDS)
def test_churn_who_comes_back_goes_on_where_he_was(seed: int) -> None:
    result = result_of("churn", 12, seed)
    assert result.efficiency >= 0.65
    assert result.duplicate_share <= 0.02


@pytest.mark.parametrize("seed", range(6))
def test_slow_disks_hold_up_nobody_but_their_owners(seed: int) -> None:
    result = result_of("slow-disk", 10, seed)
    roles = roles_of(result)
    assert result.efficiency >= 0.75
    assert roles["leecher"].median_s < roles["slow disk"].median_s
    # Half of all lines are theirs: now and then they are first by a hair.
    assert roles["leecher"].last_s <= 1.02 * roles["slow disk"].last_s


@pytest.mark.parametrize("seed", SEEDS)
def test_last_piece_leaves_the_seeder_about_once(seed: int) -> None:
    result = result_of("last-piece", 20, seed, mib=64)
    # Three pieces of 256.
    assert result.seeder_upload_ratio <= 10 / 256
    assert result.last_s <= 0.7


@pytest.mark.parametrize("seed", SEEDS)
def test_two_halves_need_no_seeder(seed: int) -> None:
    result = result_of("two-halves", 20, seed)
    assert result.efficiency >= 0.9
    assert result.duplicate_share <= 0.03
    assert result.fairness >= 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_thousand_in_small_comes_near_the_bound_with_twelve_connections(seed: int) -> None:
    result = result_of("thousand", 40, seed, mib=8, piece_kib=64)
    # Two seconds are short: starting and ending take their part. tools/bench/simulation has the full size.
    assert result.efficiency >= 0.68
    assert result.duplicate_share <= 0.01


@pytest.mark.parametrize("piece_kib", [16, 64, 256])
@pytest.mark.parametrize("latency_s", [0.0001, 0.005])
def test_small_file_from_two_fast_seeds_comes_once(latency_s: float, piece_kib: int) -> None:
    line = Line(200 * MIB, 400 * MIB, latency_s=latency_s)
    groups = (Group("seeder", 2, line, has=(0.0, 1.0)), Group("leecher", 1, line))
    chosen = Scenario("two seeds", groups, total_bytes=3_000_000, piece_length=piece_kib * KIB)
    for seed in range(6):
        assert reported(chosen, seed).duplicate_share <= 0.01


def leavers(seed: int) -> list[float]:
    """How long each of 60 leechers takes that leave once they have everything; the tracker names five."""
    line = Line(MIB, 25 * MIB)
    groups = (
        Group("seeder", 1, line, has=(0.0, 1.0)),
        Group("leecher", 60, line, arrives_s=(0.0, 20.0), leaves_when_done=True),
    )
    world = Scenario(
        "leavers",
        groups,
        total_bytes=4 * MIB,
        piece_length=128 * KIB,
        settings=EngineSettings(is_exchanging=False, connections_max=12),
        tracker=TrackerSettings(num_want_max=5),
    )
    simulation = ran(world, seed, check_every_s=None)
    return [(client.finished_at or 0.0) - (client.arrived_at or 0.0) for client in simulation.leeches]


def test_a_tracker_that_names_a_seed_to_everybody_leaves_nobody_behind() -> None:
    # Who knows nobody any more waits for a minute until the tracker may be asked again. A seed that had no
    # place is dialled again after 15 s, and now and then (2 worlds of 40) after 30 more.
    worlds = [leavers(seed) for seed in range(8)]
    assert max(map(max, worlds)) < 60.0
    assert median(map(max, worlds)) <= 20.0
    assert max(map(median, worlds)) <= 6.0


@pytest.mark.parametrize("seed", SEEDS)
def test_where_the_tracker_names_peers_as_they_come_some_are_left_behind(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = leavers(seed)
    monkeypatch.setattr(memory_store, "LEECHERS_A_SEED", 1 << 30)
    monkeypatch.setattr(memory_store, "_SURE_SEEDS", 0)
    untold = leavers(seed)
    # Then 1 to 12 of the 60 know nobody but leechers that leave, and may ask again after a minute: without
    # that (decision 020) they were there for ever. In 6 of 48 worlds some are told of leavers once more.
    assert 60.0 <= max(untold) <= 135.0
    assert sum(told) < sum(untold)
