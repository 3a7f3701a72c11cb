"""Who comes from many networks and does nothing does not keep the places of a torrent for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.endpoint import Endpoint
from swarm.engine.events import CandidatesFound, DialFailed
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Choke, Interested, KeepAlive, NotInterested, Request, Unchoke
from tests.unit.engine.metadata.metadata_world import MetadataWorld, info_of
from tests.unit.engine.world import FakePeer, World

PLACES = 4
REASON = "it gave and took nothing for too long, and others wait"
#: The last may be at the end of a look at the desks.
LOOK_S = 10.0
HONEST = [Endpoint(f"20.{number}.1.1", 6881) for number in range(1, 9)]


class Crowd:
    """A torrent with four places, all taken by those who came from four networks.

    Args:
        have: ours and theirs, drawn.
        claims: what each of them says once.
        does: what each of them does every `step_s`, besides a sign of life.
    """

    def __init__(
        self,
        have: str = "    ",
        theirs: str = "    ",
        *,
        claims: Callable[[FakePeer], object] = lambda peer: None,
        does: Callable[[FakePeer], object] = lambda peer: None,
        places: int = PLACES,
        comers: int | None = None,
        settings: EngineSettings | None = None,
        blocks: int = 2,
        step_s: float = 20.0,
    ) -> None:
        settings = settings or EngineSettings(connections_max=places)
        self.world = World(have=have, blocks=blocks, settings=settings)
        self.step_s = step_s
        self.does = does
        self.comers = [self.world.connect(theirs) for _ in range(places if comers is None else comers)]
        for peer in self.comers:
            claims(peer)

    def wait(self, seconds: float) -> None:
        """Let time pass; all give signs of life, and whoever we dial is there at once."""
        end = self.world.now + seconds
        while self.world.now < end:
            self.world.pass_time(min(self.step_s, end - self.world.now))
            for peer in list(self.world.peers.values()):
                if peer.drop_reason is None and self.world.now % 60 < self.step_s:
                    peer.says(KeepAlive())
            for peer in self.comers:
                if peer.drop_reason is None:
                    self.does(peer)
            assert len(self.world.peers) <= self.world.settings.connections_max

    def name(self, *endpoints: Endpoint) -> None:
        self.world.tell(CandidatesFound(endpoints, "tracker"))

    def arrives(self, endpoint: Endpoint, have: str = "****") -> FakePeer:
        return self.world.connect(have, endpoint=endpoint, is_outgoing=True)

    @property
    def gone(self) -> int:
        return sum(peer.drop_reason == REASON for peer in self.comers)


IDLE_S = EngineSettings().idle_place_s + LOOK_S


def test_one_is_dialled_over_the_limit_and_an_idle_one_leaves_when_it_is_there() -> None:
    crowd = Crowd()
    crowd.name(*HONEST)
    crowd.wait(EngineSettings().idle_place_s - LOOK_S)
    assert crowd.world.dialled == []
    crowd.wait(2 * LOOK_S)
    assert len(crowd.world.dialled) == 1 and crowd.gone == 0
    crowd.wait(100)
    assert len(crowd.world.dialled) == 1, "one at a time"
    honest = crowd.arrives(crowd.world.dialled[0])
    assert honest.drop_reason is None and crowd.gone == 1
    assert len(crowd.world.peers) == PLACES


def test_next_one_leaves_half_a_minute_later() -> None:
    crowd = Crowd()
    crowd.name(*HONEST)
    crowd.wait(IDLE_S)
    crowd.arrives(crowd.world.dialled[-1])
    crowd.wait(EngineSettings().turnover_s - LOOK_S)
    assert len(crowd.world.dialled) == 1
    crowd.wait(2 * LOOK_S)
    assert len(crowd.world.dialled) == 2
    crowd.arrives(crowd.world.dialled[-1])
    assert crowd.gone == 2


def test_all_places_are_won_back_and_those_whom_we_dialled_keep_theirs() -> None:
    crowd = Crowd()
    crowd.name(*HONEST)
    met = 0
    for _ in range(60):
        crowd.wait(LOOK_S)
        while met < len(crowd.world.dialled):
            crowd.arrives(crowd.world.dialled[met])
            met += 1
    assert crowd.gone == PLACES and met == PLACES
    assert {peer.endpoint for peer in crowd.world.peers.values()} <= set(HONEST)


def test_candidate_that_is_not_there_costs_nobody_a_place_and_the_next_is_dialled() -> None:
    crowd = Crowd()
    crowd.name(*HONEST[:3])
    crowd.wait(IDLE_S)
    for _ in range(2):
        crowd.world.tell(DialFailed(crowd.world.dialled[-1], "no answer"))
        crowd.wait(LOOK_S)
    assert len(set(crowd.world.dialled)) == 3 and crowd.gone == 0


def test_without_candidates_nobody_leaves() -> None:
    crowd = Crowd()
    crowd.wait(10 * IDLE_S)
    assert crowd.gone == 0 and crowd.world.dialled == []


def test_with_a_free_place_nobody_leaves() -> None:
    crowd = Crowd(comers=PLACES - 1)
    crowd.name(*HONEST[:1])
    crowd.wait(IDLE_S)
    crowd.arrives(HONEST[0])
    assert crowd.gone == 0


def test_newcomer_from_outside_gets_no_place_of_an_idle_one() -> None:
    crowd = Crowd()
    crowd.wait(IDLE_S)
    assert crowd.world.connect().drop_reason == "there are enough connections"
    assert crowd.gone == 0


def test_one_we_dial_for_a_free_place_that_is_taken_meanwhile_gets_an_idle_one_s() -> None:
    crowd = Crowd(comers=PLACES - 1)
    crowd.wait(IDLE_S)
    crowd.name(HONEST[0])
    assert crowd.world.dialled == HONEST[:1]
    assert crowd.world.connect().drop_reason is None
    assert crowd.arrives(HONEST[0]).drop_reason is None
    assert crowd.gone == 1


def test_who_left_so_is_not_dialled_for_the_next_place() -> None:
    crowd = Crowd()
    crowd.name(HONEST[0])
    crowd.wait(IDLE_S)
    crowd.arrives(HONEST[0])
    crowd.wait(10 * IDLE_S)
    assert crowd.world.dialled == HONEST[:1]


def test_who_gives_a_block_in_five_minutes_stays() -> None:
    def gives_one(peer: FakePeer) -> None:
        if peer.world.now % 200 < 20:
            peer.sends(1)

    crowd = Crowd("    ", "****", claims=lambda peer: peer.says(Unchoke()), does=gives_one, blocks=64)
    for peer in crowd.comers:
        peer.sends(1)
    crowd.name(*HONEST)
    crowd.wait(3 * IDLE_S)
    assert crowd.world.dialled == []
    assert [peer.drop_reason for peer in crowd.comers] == [None] * PLACES


class TestSeed:
    """Of a seed nobody has anything to give: who takes something stays, and who waits for its turn."""

    @pytest.mark.parametrize("is_seed", [True, False])
    def test_claimed_interest_alone_keeps_no_place(self, is_seed: bool) -> None:
        have = "****" if is_seed else "**  "
        crowd = Crowd(have, claims=lambda peer: peer.says(Interested()))
        crowd.name(*HONEST)
        crowd.wait(IDLE_S)
        crowd.arrives(crowd.world.dialled[0])
        assert crowd.gone == 1

    def test_flips_of_interest_do_not_help(self) -> None:
        crowd = Crowd("****", does=lambda peer: peer.says(Interested(), NotInterested()))
        crowd.name(*HONEST)
        crowd.wait(IDLE_S)
        assert len(crowd.world.dialled) == 1

    def test_who_takes_a_block_now_and_then_stays(self) -> None:
        crowd = Crowd(
            "****",
            claims=lambda peer: peer.says(Interested()),
            does=lambda peer: peer.says(Request(0, 0, BLOCK_BYTES)),
        )
        crowd.name(*HONEST)
        crowd.wait(3 * IDLE_S)
        assert crowd.gone == 0 and crowd.world.dialled == []

    def test_many_who_wait_for_few_slots_and_use_them_lose_no_place_before_their_turn(self) -> None:
        # 60 turns of 20 seconds, two at a time, are ten minutes; each takes a block as soon as it may.
        def take(peer: FakePeer) -> None:
            if peer.is_unchoked:
                peer.says(Request(0, 0, BLOCK_BYTES))

        settings = EngineSettings(connections_max=60, unchoke_slots=2)
        crowd = Crowd(
            "****",
            claims=lambda peer: peer.says(Interested()),
            does=take,
            places=60,
            settings=settings,
            step_s=2.0,
        )
        crowd.name(*HONEST)
        crowd.wait(1.5 * IDLE_S)
        assert any(not peer.got for peer in crowd.comers), "all had their turn"
        crowd.wait(IDLE_S)
        assert crowd.gone == 0 and crowd.world.dialled == []

    def test_idle_honest_ones_come_and_go_two_a_minute_at_most_however_many_they_are(self) -> None:
        settings = EngineSettings(connections_max=100)
        crowd = Crowd("****", places=100, settings=settings)
        crowd.name(*[Endpoint(f"30.{number}.1.1", 6881) for number in range(1, 200)])
        met = 0
        for _ in range(90):
            crowd.wait(LOOK_S)
            while met < len(crowd.world.dialled):
                crowd.arrives(crowd.world.dialled[met], "    ")
                met += 1
        assert 15 <= crowd.gone <= 2 * (90 * LOOK_S - settings.idle_place_s) / 60 + 1


def test_leecher_that_waits_for_the_optimistic_slot_is_not_idle_before_it_had_it() -> None:
    settings = EngineSettings(connections_max=12, unchoke_slots=2)
    crowd = Crowd("**  ", claims=lambda peer: peer.says(Interested()), places=12, settings=settings)
    crowd.name(*HONEST)
    crowd.wait(IDLE_S)
    left = 0
    for _ in range(60):
        crowd.wait(LOOK_S)
        for endpoint in crowd.world.dialled[left:]:
            left += 1
            crowd.arrives(endpoint).leaves()
            crowd.world.connect("    ").says(Interested())
    assert crowd.gone > 1
    for peer in crowd.comers:
        if peer.drop_reason == REASON:
            assert peer.heard_of(Unchoke), "it never had a turn"
            assert peer.heard_of(Choke) or peer.is_unchoked


def test_one_dialled_while_metadata_is_fetched_gets_the_place_of_one_that_cannot_help() -> None:
    info = info_of(1000)
    settings = EngineSettings(connections_max=3)
    world = MetadataWorld(info, settings=settings)
    mute = [world.connect(None) for _ in range(2)]
    world.pass_time(settings.metadata_useless_s + LOOK_S)
    world.tell(CandidatesFound([HONEST[0]], "tracker"))
    mute.append(world.connect(None))
    honest = world.connect(info, endpoint=HONEST[0], is_outgoing=True)
    assert honest.drop_reason is None
    assert [peer.drop_reason for peer in mute] == [REASON, None, None]
    world.settle()
    assert world.completed == [info]
