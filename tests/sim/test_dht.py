"""A few hundred nodes in virtual time; `tools/bench/dht` runs ten thousand."""

from __future__ import annotations

from swarm.sim.dht import DhtScenario, DhtSimulation


def test_lookups_succeed_among_dead_and_hostile_nodes() -> None:
    scenario = DhtScenario(node_count=250, router_count=2, join_s=20.0, settle_s=60.0, trial_count=60)
    report = DhtSimulation(scenario, seed=3).run()
    assert report.found == report.trials == 60
    assert report.lookup_queries_median <= 40
    assert report.announced_median == 8


def test_same_seed_gives_the_same_report() -> None:
    scenario = DhtScenario(node_count=40, router_count=1, join_s=5.0, settle_s=10.0, trial_count=5)
    reports = [DhtSimulation(scenario, seed).run() for seed in (1, 1, 2)]
    assert reports[0] == reports[1] != reports[2]
