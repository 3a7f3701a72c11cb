"""Whatever goes wrong, nothing unverified counts; and when it stops, all finish."""

from __future__ import annotations

import pytest

from swarm.engine.download.rarity import RarityOrder
from swarm.sim.scenario import MIB
from swarm.sim.scenarios import RECIPES
from tests.sim.worlds import KIB, disturbed, ran, reported, small

PEERS = {"heterogeneous": 10, "thousand": 12}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", RECIPES)
def test_all_finish_and_no_promise_is_broken(name: str, seed: int) -> None:
    simulation = ran(small(name, PEERS.get(name, 8)), seed)
    for client in simulation.leeches:
        assert client.is_finished
        assert client.engine is None or client.engine.is_complete


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", RECIPES)
def test_all_finish_after_lines_and_disks_have_failed(name: str, seed: int) -> None:
    simulation = ran(disturbed(small(name, PEERS.get(name, 8))), seed)
    assert all(client.is_finished for client in simulation.leeches)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["flash-crowd", "churn"])
def test_all_finish_where_not_all_pieces_stand_in_order(name: str, seed: int) -> None:
    chosen = small(name, 4, total_bytes=24 * MIB, piece_length=16 * KIB)
    assert chosen.geometry.piece_count > 2 * RarityOrder.AT_ONCE
    simulation = ran(chosen, seed, check_every_s=0.1)
    assert all(client.is_finished for client in simulation.leeches)


@pytest.mark.parametrize("seed", range(200))
def test_others_finish_when_the_seeder_leaves_after_one_copy(seed: int) -> None:
    chosen = small("seeder-leaves", 2 + seed % 6, total_bytes=1 << 20, piece_length=32 << 10)
    simulation = ran(chosen, seed, check_every_s=None)
    assert not simulation.seeders[0].is_online
    assert all(client.is_finished for client in simulation.leeches)


@pytest.mark.parametrize("seed", range(4))
def test_poisoners_are_banned_and_nobody_else_is(seed: int) -> None:
    simulation = ran(small("poisoners", 8), seed)
    liars = {client.endpoint.host for client in simulation.clients if client.role == "poisoner"}
    banned = {endpoint.host for _, endpoint in simulation.bans}
    assert banned == liars


@pytest.mark.parametrize("name", ["flash-crowd", "churn", "poisoners"])
def test_one_seed_gives_one_trace(name: str) -> None:
    one, same, other = (reported(disturbed(small(name, 6)), seed) for seed in (7, 7, 8))
    assert one == same
    assert one.digest != other.digest


class TestPolicies:
    """The figures of docs/decisions/015 and on, with some room."""

    def test_flash_crowd_of_ten_comes_near_the_bound(self) -> None:
        result = reported(small("flash-crowd", 10, total_bytes=64 << 20, piece_length=256 << 10), 0)
        assert result.efficiency >= 0.92
        assert result.seeder_upload_ratio <= 1.15
        assert result.duplicate_share <= 0.01
        assert result.fairness >= 0.99

    @pytest.mark.parametrize("seed", range(20))
    def test_every_free_rider_finishes_later_than_every_contributor(self, seed: int) -> None:
        result = reported(small("free-riders", 20, total_bytes=32 << 20, piece_length=256 << 10), seed)
        roles = {role.role: role for role in result.roles}
        assert roles["free rider"].first_s > roles["leecher"].last_s
        assert roles["free rider"].up_bytes == 0
