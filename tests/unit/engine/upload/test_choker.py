"""Who is served: rounds, the optimistic slot, turns while seeding."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from swarm.engine.alarms import Alarms
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings
from swarm.engine.upload.choker import Choker
from tests.unit.engine.world import inside_of

SLOTS = 4
PIECE_LENGTH = 1 << 20
CREDIT_BYTES = 4 * PIECE_LENGTH
SETTINGS = EngineSettings(unchoke_slots=SLOTS)


class Room:
    """A choker and its peers; all interested, all connected long ago unless said otherwise."""

    def __init__(self, count: int, *, seed: int = 1) -> None:
        self.now = 0.0
        self.alarms = Alarms()
        #: What the choker said of a crowd, one look after the other.
        self.crowds: list[bool] = []
        self.desk = Choker(
            SETTINGS,
            PIECE_LENGTH,
            random.Random(seed),
            self._choke,
            self._unchoke,
            self.crowds.append,
            self.alarms,
        )
        self.peers = [self.peer(number) for number in range(count)]
        self.now = 1000.0

    def peer(self, number: int) -> Peer:
        made = inside_of(number, " ", settings=SETTINGS, now=self.now)
        made.peer_interested = True
        return made

    def _choke(self, peer: Peer, now: float) -> None:
        assert not peer.am_choking
        peer.am_choking = True

    def _unchoke(self, peer: Peer) -> None:
        assert peer.am_choking
        peer.am_choking = False

    def gives(self, rates: dict[int, int]) -> None:
        """Let peers have sent us so many bytes within the last second."""
        for peer in self.peers:
            peer.download.sample(self.now)
            peer.download.add(rates.get(peer.number, 0))

    def round(self, *, is_seeding: bool = False) -> list[int]:
        self.desk.round(self.peers, is_seeding=is_seeding, now=self.now)
        return [peer.number for peer in self.peers if not peer.am_choking]


class TestLeeching:
    def test_everybody_is_served_while_there_is_room(self) -> None:
        room = Room(SLOTS)
        room.peers[0].is_snubbed = True
        assert room.round() == [0, 1, 2, 3]

    def test_best_givers_keep_all_slots_but_one(self) -> None:
        room = Room(10)
        room.gives({7: 500, 8: 400, 9: 300, 1: 200})
        chosen = room.round()
        assert {7, 8, 9} < set(chosen) and len(chosen) == SLOTS

    def test_uninterested_peers_take_no_slot(self) -> None:
        room = Room(6)
        room.peers[5].peer_interested = False
        room.gives({5: 10_000})
        assert 5 not in room.round()

    def test_snubbers_have_no_regular_slot(self) -> None:
        room = Room(10)
        room.gives({7: 500, 8: 400, 9: 300})
        room.peers[7].is_snubbed = True
        chosen = Counter(number for _ in range(40) for number in self.later(room))
        assert chosen[8] == chosen[9] == 40 and chosen[7] < 40

    def later(self, room: Room) -> list[int]:
        room.now += 31
        room.gives({7: 500, 8: 400, 9: 300})
        return room.round()

    def test_optimistic_slot_stays_for_three_rounds_and_moves_then(self) -> None:
        room = Room(20)
        best = {0: 900, 1: 800, 2: 700}
        held = []
        for _ in range(30):
            room.gives(best)
            (optimistic,) = set(room.round()) - {0, 1, 2}
            held.append(optimistic)
            room.now += 10
        assert all(held[at] == held[at + 1] == held[at + 2] for at in range(0, 30, 3))
        assert len(set(held)) > 4

    def test_newcomers_are_three_times_as_likely_to_be_tried(self) -> None:
        tried: Counter[bool] = Counter()
        for seed in range(300):
            room = Room(13, seed=seed)
            room.peers[12].connected_at = room.now - 5
            room.gives({0: 900, 1: 800, 2: 700})
            tried[12 in room.round()] += 1
        # 3 of 12 lots against 1 of 10.
        assert 50 < tried[True] < 100

    def test_lost_optimist_makes_room_for_another_at_once(self) -> None:
        room = Room(20)
        room.gives({0: 900, 1: 800, 2: 700})
        (optimistic,) = set(room.round()) - {0, 1, 2}
        gone = next(peer for peer in room.peers if peer.number == optimistic)
        room.peers.remove(gone)
        room.desk.lost(gone)
        room.now += 1
        assert len(room.round()) == SLOTS

    def test_free_slots_are_given_by_lot_a_moment_after_the_first_has_asked(self) -> None:
        room = Room(SLOTS + 3)
        for peer in room.peers:
            room.desk.interested(peer, room.peers, room.now)
        assert [peer.am_choking for peer in room.peers] == [False] + [True] * (SLOTS + 2)
        assert room.alarms.refill_at == room.now + SETTINGS.slot_delay_s
        room.now = room.alarms.refill_at
        room.desk.refill(room.peers, is_seeding=False, now=room.now)
        assert sum(not peer.am_choking for peer in room.peers) == SLOTS
        assert room.alarms.refill_at == float("inf")

    @pytest.mark.parametrize(
        ("bytes_per_s", "wanting", "slots"),
        [(4 << 20, 10, 5), (4 << 20, 54, 9), (4 << 20, 500, 16), (100 << 10, 54, 4), (None, 54, SLOTS)],
    )
    def test_crowd_gets_more_slots_as_far_as_the_line_goes(
        self, bytes_per_s: int | None, wanting: int, slots: int
    ) -> None:
        room = Room(wanting)
        room.desk.limit(bytes_per_s)
        room.desk.refill(room.peers, is_seeding=False, now=room.now)
        assert sum(not peer.am_choking for peer in room.peers) == slots
        assert len(room.round()) == slots

    def test_refill_takes_no_slot_from_anybody(self) -> None:
        room = Room(SLOTS + 3)
        kept = room.round()
        room.peers.remove(next(peer for peer in room.peers if peer.number == kept[0]))
        room.desk.refill(room.peers, is_seeding=False, now=room.now)
        served = [peer.number for peer in room.peers if not peer.am_choking]
        assert set(kept[1:]) < set(served)
        assert len(served) == SLOTS

    def test_unused_slots_go_to_others_while_the_line_stands_still(self) -> None:
        room = Room(SLOTS + 3)
        kept = room.round()
        room.peers[kept[0]].sending_bytes = 1
        room.peers[kept[1]].unchoked_at = room.now + 0.9 * SETTINGS.unused_slot_s
        room.now += SETTINGS.unused_slot_s
        room.desk.refill(room.peers, is_seeding=False, now=room.now)
        assert [peer.number for peer in room.peers if not peer.am_choking] == kept
        room.desk.refill(room.peers, is_seeding=False, now=room.now, is_dry=True)
        served = {peer.number for peer in room.peers if not peer.am_choking}
        # One was sending, one has only just been told.
        assert served & set(kept) == set(kept[:2])
        assert len(served) == SLOTS

    def test_a_slot_that_may_still_be_used_is_looked_at_again(self) -> None:
        room = Room(SLOTS + 1)
        room.round()
        room.desk.refill(room.peers, is_seeding=False, now=room.now, is_dry=True)
        assert room.now < room.alarms.refill_at <= room.now + SETTINGS.unused_slot_s

    def test_newcomer_is_looked_at_soon_while_the_line_stands_still(self) -> None:
        room = Room(SLOTS)
        room.round()
        newcomer = room.peer(SLOTS)
        room.desk.interested(newcomer, [*room.peers, newcomer], room.now)
        assert room.alarms.refill_at == float("inf")
        room.desk.interested(newcomer, [*room.peers, newcomer], room.now, is_dry=True)
        assert room.alarms.refill_at == room.now + SETTINGS.slot_delay_s

    def test_peer_that_wants_nothing_any_more_is_choked(self) -> None:
        room = Room(3)
        room.round()
        room.peers[1].peer_interested = False
        assert room.round() == [0, 2]
        assert room.desk.next_round_at == room.now + SETTINGS.choke_round_s


class TestSeeding:
    def test_everybody_gets_a_turn_in_time(self) -> None:
        room = Room(24)
        served: Counter[int] = Counter()
        for _ in range(24):
            for number in room.round(is_seeding=True):
                room.peers[number].last_served_at = room.now
                room.peers[number].upload.add(1000)
                served[number] += 1
            room.now += SETTINGS.choke_round_s
        assert len(served) == 24, "somebody was never served"
        assert max(served.values()) <= 12

    def test_those_just_unchoked_stay_a_while(self) -> None:
        room = Room(12)
        first = room.round(is_seeding=True)
        room.now += SETTINGS.choke_round_s
        assert len(set(first) & set(room.round(is_seeding=True))) >= SLOTS - 1

    def test_peers_that_never_ask_do_not_keep_their_slots(self) -> None:
        room = Room(12)
        idle = set(range(SLOTS))
        turns: Counter[int] = Counter()
        for _ in range(40):
            for number in room.round(is_seeding=True):
                turns[number] += 1
                if number not in idle:
                    room.peers[number].last_served_at = room.now
            room.now += SETTINGS.choke_round_s
        assert max(turns[number] for number in idle) < 25
        assert min(turns[number] for number in range(12)) > 5


class TestTakers:
    """Those who take and give nothing get what nobody else wants."""

    def taker(self, room: Room, number: int) -> Peer:
        peer = room.peers[number]
        peer.upload.add(CREDIT_BYTES + 1)
        room.desk.weigh(peer)
        assert peer.comes_last
        return peer

    def test_a_little_may_be_taken_before_anything_is_given(self) -> None:
        room = Room(1)
        room.peers[0].upload.add(CREDIT_BYTES)
        room.desk.weigh(room.peers[0])
        assert not room.peers[0].comes_last

    def test_whoever_gives_in_the_end_is_forgiven(self) -> None:
        room = Room(1)
        peer = self.taker(room, 0)
        peer.download.add(16)
        room.desk.weigh(peer)
        assert not peer.comes_last

    def test_taker_loses_its_slot_to_one_who_waits(self) -> None:
        room = Room(SLOTS + 1)
        kept = room.round()
        (waits,) = {peer.number for peer in room.peers} - set(kept)
        taker = self.taker(room, kept[1])
        room.desk.reconsider(room.now)
        assert room.alarms.refill_at == room.now + SETTINGS.slot_delay_s
        room.desk.refill(room.peers, is_seeding=False, now=room.now)
        assert taker.am_choking and not room.peers[waits].am_choking

    def test_takers_keep_slots_that_nobody_else_wants(self) -> None:
        room = Room(SLOTS + 2)
        kept = room.round()
        for peer in room.peers:
            self.taker(room, peer.number)
        room.desk.refill(room.peers, is_seeding=False, now=room.now)
        assert [peer.number for peer in room.peers if not peer.am_choking] == kept

    def test_optimistic_slot_goes_to_one_of_whom_nothing_is_known(self) -> None:
        room = Room(SLOTS + 6)
        room.gives(dict.fromkeys(range(SLOTS - 1), 5000))
        newcomer = SLOTS + 5
        for number in range(SLOTS - 1, newcomer):
            self.taker(room, number)
        for _ in range(5):
            assert newcomer in room.round()
            room.now += SETTINGS.optimistic_s + 1

    def test_seed_serves_first_whom_it_has_not_known_as_takers(self) -> None:
        room = Room(SLOTS + 3)
        takers = {self.taker(room, number).number for number in range(3)}
        for _ in range(3):
            assert not takers & set(room.round(is_seeding=True))
            room.now += SETTINGS.choke_round_s


def test_each_look_at_how_many_want_something_says_whether_it_is_a_crowd() -> None:
    room = Room(6 * SLOTS)
    room.round()
    # Without a limit there is none.
    assert room.crowds == [False]
    room.desk.limit(20 * SETTINGS.crowd_slot_bytes_per_s)
    few = Room(6 * room.desk.slots - 1)
    few.desk.limit(20 * SETTINGS.crowd_slot_bytes_per_s)
    few.round()
    many = Room(6 * room.desk.slots)
    many.desk.limit(20 * SETTINGS.crowd_slot_bytes_per_s)
    many.round()
    assert (few.crowds, many.crowds) == ([False], [True])
    for peer in many.peers[:6]:
        peer.peer_interested = False
    many.desk.refill(many.peers, is_seeding=True, now=many.now)
    assert many.crowds == [True, False]
    for peer in many.peers[:6]:
        peer.peer_interested = True
        many.desk.interested(peer, many.peers, many.now)
    assert many.crowds[-1]
