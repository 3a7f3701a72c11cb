"""Why a download does not go faster, asked at the engine's door."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.endpoint import Endpoint
from swarm.engine.events import CandidatesFound
from swarm.engine.explain import (
    Choked,
    EngineCause,
    FewPeers,
    MissingPieces,
    NoPeers,
    NothingForUs,
    NothingToAsk,
    NothingWanted,
    PieceMemory,
    RequestWindow,
    SlowPeers,
    Unanswered,
    UnwrittenPieces,
)
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Choke, HaveAll, Unchoke
from tests.unit.engine.world import FakePeer, World


def causes(world: World) -> list[EngineCause]:
    """What is found, but that eight peers would be better than fewer."""
    return [cause for _, cause in world.engine.explain(world.now) if not isinstance(cause, FewPeers)]


def about(rate: float) -> Any:
    """Rates are averages of samples: good to a tenth."""
    return pytest.approx(rate, rel=0.15)


def answering(world: World, peer: FakePeer, *, round_trip_s: float, rounds: int, count: int) -> None:
    """Let `peer` send `count` blocks every `round_trip_s`."""
    for _ in range(rounds):
        world.pass_time(round_trip_s)
        peer.sends(count)


class TestOne:
    def test_complete_torrent_wants_nothing(self) -> None:
        world = World(pieces=2, have="**")
        world.connect("  ")
        assert world.engine.explain(world.now) == [(1.0, NothingWanted())]

    def test_unwanted_pieces_are_not_missed(self) -> None:
        assert causes(World(pieces=3, have="*  ", priorities="100")) == [NothingWanted()]

    def test_without_peers_it_says_whom_we_know(self) -> None:
        world = World(settings=EngineSettings(half_open_max=2))
        assert causes(world) == [NoPeers(0, 0)]
        world.tell(CandidatesFound([Endpoint(f"10.9.9.{n}", 6881) for n in range(5)], "tracker"))
        assert causes(world) == [NoPeers(candidates=3, dialling=2)]

    def test_peers_that_choke_are_counted(self) -> None:
        world = World()
        for _ in range(3):
            world.connect("****")
        assert causes(world) == [Choked(3, 3)]

    def test_allowed_fast_pieces_from_a_peer_that_chokes_are_no_choke(self) -> None:
        world = World()
        peer = world.seed()
        peer.sends(1)
        peer.says(Choke())
        # BEP 6: what it was asked for it still owes.
        assert causes(world) == [SlowPeers(1, 1, BLOCK_BYTES)]

    def test_peers_that_have_nothing_for_us(self) -> None:
        world = World(have="*   ")
        world.connect("*   ", is_unchoking=True)
        world.connect("****")
        assert causes(world) == [Choked(1, 2), NothingForUs(1, 2)]

    def test_peer_that_answers_nothing(self) -> None:
        world = World(settings=EngineSettings(request_timeout_s=5.0))
        world.seed()
        world.pass_time(1.0)
        assert causes(world) == [SlowPeers(1, 1, 0)]
        world.pass_time(6.0)
        assert causes(world) == [Unanswered(1, 1)]

    def test_peer_that_sends_less_than_it_is_asked_for(self) -> None:
        world = World(pieces=64, blocks=4)
        peer = world.seed()
        answering(world, peer, round_trip_s=0.5, rounds=20, count=1)
        assert causes(world) == [SlowPeers(1, 1, about(2 * BLOCK_BYTES))]

    def test_far_peer_that_takes_few_requests_is_bound_by_its_window(self) -> None:
        world = World(pieces=64, blocks=16, settings=EngineSettings(request_depth_unknown=8))
        peer = world.seed()
        answering(world, peer, round_trip_s=0.5, rounds=20, count=8)
        assert causes(world) == [RequestWindow(1, 1, 8, about(16 * BLOCK_BYTES))]

    def test_idle_peer_when_all_is_asked_of_others(self) -> None:
        world = World(pieces=1, blocks=2)
        world.seed()
        world.seed()
        assert causes(world) == [SlowPeers(1, 2, 0), NothingToAsk(1, 2)]


class TestPieces:
    def test_pieces_that_nobody_has(self) -> None:
        world = World(have="*   ")
        world.connect("**  ")
        choked, missing = causes(world)
        assert choked == Choked(1, 1)
        assert isinstance(missing, MissingPieces)
        assert (missing.pieces, missing.of) == (2, 3)
        assert missing.example in (2, 3)

    def test_when_nothing_else_is_missing_they_come_first(self) -> None:
        world = World(have="*** ")
        world.connect("*   ")
        found = causes(world)
        assert found == [NothingForUs(1, 1), MissingPieces(1, 1, 3)]

    def test_a_piece_whose_only_owner_has_left_in_its_middle(self) -> None:
        world = World(pieces=3, have="** ")
        peer = world.connect("  *", is_unchoking=True)
        peer.sends(1)
        peer.leaves()
        world.connect("** ")
        assert MissingPieces(1, 1, 2) in causes(world)

    def test_a_seed_has_them_all(self) -> None:
        world = World()
        world.connect().says(HaveAll())
        assert causes(world) == [Choked(1, 1)]


class TestMemory:
    def test_slow_disk_shows_as_pieces_that_wait_to_be_written(self) -> None:
        size = 4 * BLOCK_BYTES
        settings = EngineSettings(in_flight_bytes_max=4 * size)
        world = World(pieces=16, blocks=4, settings=settings, has_quick_disk=False)
        world.seed().sends()
        assert causes(world) == [UnwrittenPieces(4 * size, 4 * size)]
        world.hash_next()
        assert not isinstance(causes(world)[0], PieceMemory)

    def test_too_many_pieces_begun(self) -> None:
        size = 4 * BLOCK_BYTES
        settings = EngineSettings(in_flight_bytes_max=2 * size, in_flight_pieces_min=1)
        world = World(pieces=16, blocks=4, settings=settings)
        for _ in range(4):
            world.seed()
        assert PieceMemory(2 * size, 2 * size) in causes(world)
        assert NothingToAsk not in set(map(type, causes(world)))


class TestRank:
    def test_what_holds_back_more_peers_comes_first(self) -> None:
        world = World(pieces=64, blocks=4)
        serving = world.seed()
        for _ in range(8):
            world.connect("*" * 64)
        answering(world, serving, round_trip_s=0.5, rounds=10, count=1)
        weights = [weight for weight, _ in world.engine.explain(world.now)]
        assert causes(world) == [Choked(8, 9), SlowPeers(1, 9, about(2 * BLOCK_BYTES))]
        assert weights == [pytest.approx(8 / 9), pytest.approx(1 / 9)]
        serving.says(Unchoke())

    def test_few_peers_come_after_what_they_do(self) -> None:
        world = World()
        world.connect("****")
        world.tell(CandidatesFound([Endpoint("10.9.9.9", 6881)], "tracker"))
        (_, first), (weight, second) = world.engine.explain(world.now)
        assert first == Choked(1, 1)
        assert second == FewPeers(1, 0)
        assert weight < 0.3
