"""What is asked of whom, seen at the engine's door."""

from __future__ import annotations

import pytest

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.events import DownloadHeld, MessagesReceived
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import (
    AllowedFast,
    BitfieldMessage,
    Cancel,
    Choke,
    Extended,
    Have,
    HaveNone,
    Piece,
    Reject,
    Request,
    Unchoke,
)
from tests.unit.engine.world import FakePeer, World, sent

#: In order, so that tests can say which piece comes first.
ORDERED = EngineSettings(random_first_pieces=0)
#: Nothing is ever asked of two.
NO_END_GAME = EngineSettings(end_game_advantage=1e9)


def reject(peer: FakePeer, piece: int, block: int = 0, count: int = 1) -> Reject:
    return Reject(piece, block * BLOCK_BYTES, peer.world.geometry.run_bytes(piece, block, count))


def slow_peer(world: World, have: str, *, blocks: int = 6, each_s: float = 4.0) -> FakePeer:
    """A peer that needs `each_s` for a block, and has shown it."""
    peer = world.connect(have, is_unchoking=True)
    for _ in range(blocks):
        world.pass_time(each_s)
        peer.sends(1)
    return peer


class TestAsking:
    def test_nothing_is_asked_of_a_peer_that_chokes(self) -> None:
        world = World()
        peer = world.connect("****")
        assert peer.is_wanted and not peer.asked
        peer.says(Unchoke())
        assert peer.asked

    def test_nothing_is_asked_of_a_peer_without_anything_new(self) -> None:
        world = World(have="**  ")
        peer = world.connect("**  ", is_unchoking=True)
        assert not peer.is_wanted and not peer.asked

    def test_whole_pieces_are_asked_in_one_run(self) -> None:
        world = World(pieces=3, blocks=8)
        peer = world.seed()
        requests = peer.heard_of(Request)
        assert [(request.begin, request.length) for request in requests if isinstance(request, Request)] == [
            (0, 8 * BLOCK_BYTES)
        ] * 3

    def test_two_fast_peers_get_pieces_of_their_own(self) -> None:
        world = World(pieces=8, blocks=16)
        one, other = world.seed(), world.seed()
        assert not set(world.asked_pieces(one)) & set(world.asked_pieces(other))

    def test_slow_peers_share_pieces(self) -> None:
        world = World(pieces=64, blocks=64, settings=EngineSettings(request_depth_start=8))
        one = slow_peer(world, "*" * 64)
        two = slow_peer(world, "*" * 64)
        two.sends(3)
        started = world.asked_pieces(one)
        assert set(world.asked_pieces(two)) & set(started)

    def test_pipeline_is_short_at_first_and_grows_with_what_comes(self) -> None:
        world = World(pieces=40, blocks=64, settings=EngineSettings(request_depth_start=8))
        peer = world.seed()
        assert len(peer.asked) == 8
        depths = []
        for _ in range(40):
            world.pass_time(0.05)
            peer.sends(len(peer.asked))
            depths.append(len(peer.asked))
        assert max(depths) > 40

    def test_peer_is_not_asked_for_more_than_it_says_it_keeps(self) -> None:
        world = World(pieces=40, blocks=64)
        peer = world.seed(has_extended=True)
        peer.says(Extended(0, b"d4:reqqi50ee"))
        for _ in range(20):
            world.pass_time(0.02)
            peer.sends(len(peer.asked))
            assert len(peer.asked) <= 50

    def test_pieces_in_memory_are_bounded(self) -> None:
        settings = EngineSettings(in_flight_bytes_max=4 * 2 * BLOCK_BYTES)
        world = World(pieces=20, blocks=2, settings=settings, has_quick_disk=False)
        peer = world.seed()
        peer.sends()
        assert len(world.to_hash) == 4 and not peer.asked
        world.hash_next()
        assert len(peer.asked) == 2

    def test_what_memory_has_room_for_again_is_asked_in_one_run(self) -> None:
        settings = EngineSettings(in_flight_bytes_max=16 * 2 * BLOCK_BYTES, refill_share=0.25)
        world = World(pieces=40, blocks=2, settings=settings, has_quick_disk=False)
        peer = world.seed()
        peer.sends()
        assert len(world.to_hash) == 16 and not peer.asked
        for _ in range(3):
            world.hash_next()
            assert not peer.asked
        world.hash_next()
        assert len(peer.asked) == 4 * 2

    def test_memory_that_slow_peers_fill_does_not_hold_up_the_others(self) -> None:
        settings = EngineSettings(in_flight_bytes_max=16 * 2 * BLOCK_BYTES, refill_share=0.25)
        world = World(pieces=40, blocks=2, settings=settings, has_quick_disk=False)
        world.connect("*" * 15 + " " * 25, is_unchoking=True)
        fast = world.seed()
        fast.sends()
        # There is room for one, and no more will come of waiting.
        assert len(world.to_hash) == 1 and not fast.asked
        world.hash_next()
        assert len(fast.asked) == 2

    def test_of_huge_pieces_a_few_are_in_memory_all_the_same(self) -> None:
        settings = EngineSettings(in_flight_bytes_max=BLOCK_BYTES, in_flight_pieces_min=3)
        world = World(pieces=8, blocks=64, settings=settings, has_quick_disk=False)
        peer = world.seed()
        peer.sends()
        assert len(world.to_hash) == 3

    def test_nothing_new_is_asked_while_the_disk_is_full(self) -> None:
        world = World(pieces=40, blocks=4)
        world.tell(DownloadHeld(True))
        peer = world.seed()
        assert not peer.asked
        world.tell(DownloadHeld(False))
        assert peer.asked

    def test_sequential_download_goes_in_order(self) -> None:
        world = World(pieces=10, blocks=2, is_sequential=True)
        assert world.asked_pieces(world.seed()) == list(range(10))

    def test_choking_peer_is_asked_for_what_it_allows(self) -> None:
        world = World()
        peer = world.connect("****")
        peer.says(AllowedFast(2), AllowedFast(3))
        assert set(world.asked_pieces(peer)) == {2, 3}
        peer.sends()
        assert world.have == "  **"

    def test_allowed_piece_that_is_rejected_is_not_asked_for_again(self) -> None:
        world = World()
        peer = world.connect("****")
        peer.says(AllowedFast(2))
        peer.says(reject(peer, 2, 0, 2))
        assert not peer.asked


class TestLeavingAndChoking:
    def test_blocks_of_a_lost_peer_are_asked_of_others(self) -> None:
        world = World()
        gone = world.seed()
        gone.sends(1)
        stays = world.seed()
        gone.leaves()
        stays.sends()
        assert world.have == "****" and world.completed_count == 1

    def test_choke_without_the_fast_extension_takes_everything_back(self) -> None:
        world = World()
        peer, other = world.connect("****", is_unchoking=True, has_fast=False), world.seed()
        peer.says(Choke())
        assert not peer.asked and peer.taken_back
        other.sends()
        assert world.have == "****"

    def test_blocks_that_were_on_their_way_when_it_choked_are_welcome(self) -> None:
        world = World()
        peer = world.connect("****", is_unchoking=True, has_fast=False)
        peer.says(Choke())
        peer.sends_blocks(list(peer.taken_back))
        assert world.have == "****" and peer.drop_reason == "both of us have everything"

    def test_what_is_under_way_when_it_chokes_is_not_asked_of_others(self) -> None:
        world = World(settings=NO_END_GAME)
        peer, other = world.seed(), world.seed()
        owed = len(peer.asked)
        peer.says(Choke())
        assert len(peer.asked) == owed and not other.asked
        # One piece was to move to the other, but not if it is under way.
        peer.sends_blocks([*peer.asked, *peer.taken_back])
        assert world.have == "****" and world.engine.stats(world.now).wasted_bytes == 0

    def test_what_is_rejected_after_a_choke_is_asked_of_others(self) -> None:
        world = World(settings=NO_END_GAME)
        peer, other = world.seed(), world.seed()
        peer.says(Choke(), *(reject(peer, piece, 0, 2) for piece in range(4)))
        assert peer.drop_reason is None and not peer.asked
        assert len(other.asked) == 8

    def test_one_who_chokes_and_says_nothing_is_not_waited_for(self) -> None:
        world = World(settings=NO_END_GAME)
        peer, other = world.seed(), world.seed()
        peer.says(Choke())
        world.pass_time(world.settings.request_timeout_s + 2)
        assert len(other.asked) == 8

    def test_same_blocks_are_asked_again_after_an_unchoke(self) -> None:
        world = World()
        peer = world.seed()
        peer.sends(1)
        peer.says(Choke(), *(reject(peer, piece, block) for piece, block in list(peer.asked)))
        peer.says(Unchoke())
        assert len(peer.asked) == 7


class TestRejecting:
    def test_rejected_piece_is_asked_of_another(self) -> None:
        world = World(pieces=1)
        peer = world.seed()
        peer.says(reject(peer, 0, 0, 2))
        assert not peer.asked
        other = world.seed()
        other.sends()
        assert world.have == "*"

    def test_rejected_piece_is_asked_again_after_an_unchoke(self) -> None:
        world = World(pieces=1)
        peer = world.seed()
        peer.says(reject(peer, 0, 0, 2))
        peer.says(Choke())
        peer.says(Unchoke())
        assert len(peer.asked) == 2

    def test_rejected_piece_is_asked_again_after_a_choke_round(self) -> None:
        """A full queue rejects too (Transmission's does); there may be nobody else to ask."""
        world = World(pieces=1)
        peer = world.seed()
        peer.says(reject(peer, 0, 0, 2))
        world.pass_time(2 * world.settings.choke_round_s)
        assert len(peer.asked) == 2

    def test_reject_of_what_was_never_asked_drops_the_peer(self) -> None:
        world = World()
        peer = world.connect("****")
        peer.says(reject(peer, 0))
        assert peer.drop_reason == "it rejected requests that were never sent"


class TestUnasked:
    def test_unasked_block_is_not_taken(self) -> None:
        world = World(pieces=1)
        peer = world.connect("*")
        peer.sends_blocks([(0, 0)])
        assert world.memory == {} and world.engine.stats(world.now).wasted_bytes == BLOCK_BYTES

    def test_unasked_block_of_a_piece_on_its_way_is_not_taken(self) -> None:
        world = World(pieces=1)
        world.seed()
        stranger = world.connect("*")
        stranger.sends_blocks([(0, 0)], filler=1)
        assert world.memory == {}

    def test_peer_that_goes_on_with_it_is_dropped(self) -> None:
        world = World(pieces=1)
        peer = world.connect("*")
        limit = world.settings.unasked_blocks_max
        for _ in range(limit):
            peer.sends_blocks([(0, 0)])
        assert peer.drop_reason is None
        peer.sends_blocks([(0, 0)])
        assert peer.drop_reason == f"it sent {limit + 1} blocks that nobody asked for"

    @pytest.mark.parametrize(("begin", "length"), [(100, BLOCK_BYTES), (0, 100), (BLOCK_BYTES, 1000)])
    def test_block_that_is_cut_differently_is_not_taken(self, begin: int, length: int) -> None:
        world = World(pieces=1)
        peer = world.seed()
        run = Piece(0, begin, length, [memoryview(bytes(length))])
        # Not by `peer.says`: the fake counts in whole blocks.
        world.tell(MessagesReceived(peer.number, [run]))
        assert world.memory == {} and len(peer.asked) == 2


class TestSilence:
    def test_blocks_of_a_silent_peer_go_to_others_after_the_timeout(self) -> None:
        world = World(pieces=1)
        silent, other = world.seed(), world.seed()
        world.pass_time(world.settings.request_timeout_s - 2)
        assert not other.asked
        world.pass_time(4)
        assert len(other.asked) == 2
        other.sends()
        assert world.have == "*" and not silent.asked

    def test_late_block_of_a_silent_peer_is_still_taken(self) -> None:
        world = World(pieces=2)
        silent = world.seed()
        world.pass_time(30)
        silent.sends()
        assert world.have == "**"

    def test_silent_peer_snubs_us_until_it_sends_again(self) -> None:
        world = World(pieces=1, blocks=4)
        peer = world.seed()
        world.pass_time(world.settings.snub_s + 2)
        assert world.engine._peers[peer.number].is_snubbed
        peer.sends(1)
        assert not world.engine._peers[peer.number].is_snubbed
        peer.sends()
        assert world.have == "*"

    @pytest.mark.parametrize("has_fast", [True, False])
    def test_silent_peer_is_asked_anew_for_one_block_now_and_then(self, has_fast: bool) -> None:
        """It may have lost our requests, and there may be nobody else."""
        world = World(pieces=2, blocks=4)
        peer = world.seed(has_fast=has_fast)
        peer.sends(1)
        for _ in range(2):
            world.pass_time(world.settings.snub_s + 2)
            assert len(peer.asked) == 1
        # To that one it answers, and to all that it is asked after it.
        peer.sends()
        assert world.have == "**" and peer.drop_reason == "both of us have everything"

    def test_piece_that_one_peer_must_send_alone_is_not_asked_of_one_that_never_sent_anything(self) -> None:
        world = World(pieces=1)
        # The first in every round, so that it would be asked first.
        silent = world.connect(" ", is_unchoking=True)
        one, two = world.seed(), world.seed()
        one.sends(1)
        one.leaves()
        silent.says(Have(0))
        two.sends(1, filler=9)
        assert world.engine.stats(world.now).failed_pieces
        assert not silent.asked
        two.sends()
        assert world.have == "*"

    def test_silent_peer_does_not_keep_a_piece_to_itself_that_one_peer_must_send_alone(self) -> None:
        world = World(pieces=2, settings=EngineSettings(fake_seed_s=1000))
        silent = world.connect(" *", is_unchoking=True)
        world.pass_time(25)
        one = world.seed()
        one.sends(1)
        one.leaves()
        two = world.seed()
        two.sends(filler=9)
        assert world.engine.stats(world.now).failed_pieces, "two senders, and bad: it is retried alone"
        good = world.seed()
        for _ in range(5):
            good.sends()
            world.pass_time(25)
        assert world.have == "**" and silent.drop_reason is None


def retried_alone() -> tuple[World, FakePeer, FakePeer]:
    """A bad piece of two senders is asked of one alone, half at a time; and another who could send it."""
    chosen = EngineSettings(request_depth_start=4, request_depth_unknown=4, end_game_advantage=1e9)
    world = World(pieces=1, blocks=8, settings=chosen)
    one, other = world.seed(has_fast=False), world.seed(has_fast=False)
    one.sends(4)
    other.sends(4, filler=9)
    sole, idle = (one, other) if one.asked else (other, one)
    assert world.engine.stats(world.now).failed_pieces and len(sole.asked) == 4 and not idle.asked
    return world, sole, idle


class TestAskedOfOneAlone:
    """Who must send a piece alone may be gone, or out of use, at a time at which it owes nothing of it."""

    def test_sole_peer_that_chokes_with_its_last_block_leaves_the_rest_to_others(self) -> None:
        world, sole, idle = retried_alone()
        runs = [
            Piece(0, block * BLOCK_BYTES, BLOCK_BYTES, [memoryview(bytes(BLOCK_BYTES))])
            for _, block in sole.asked
        ]
        sole.says(*runs, Choke())
        idle.says(Unchoke())
        assert len(idle.asked) == 4
        idle.sends()
        assert world.have == "*"

    def test_sole_peer_that_leaves_with_its_last_block_leaves_the_rest_to_others(self) -> None:
        world, sole, idle = retried_alone()
        world.tell(DownloadHeld(True))
        sole.sends(4)
        sole.leaves()
        world.tell(DownloadHeld(False))
        assert len(idle.asked) == 4
        idle.sends()
        assert world.have == "*"

    def test_sole_peer_that_loses_the_piece_leaves_the_rest_to_others(self) -> None:
        world, sole, idle = retried_alone()
        world.tell(DownloadHeld(True))
        sole.sends(4)
        sole.says(Extended(1, bytes(4)))
        world.tell(DownloadHeld(False))
        assert len(idle.asked) == 4
        idle.sends()
        assert world.have == "*"

    def test_what_is_left_waits_for_a_sole_peer_that_is_still_there(self) -> None:
        world, sole, idle = retried_alone()
        world.tell(DownloadHeld(True))
        sole.sends(4)
        world.tell(DownloadHeld(False))
        assert len(sole.asked) == 4 and not idle.asked
        sole.sends()
        assert world.have == "*"


class TestEndGame:
    def world_with_a_slow_and_a_fast_peer(self) -> tuple[World, FakePeer, FakePeer]:
        world = World(pieces=3, blocks=8, settings=EngineSettings(request_depth_start=8))
        slow = world.connect("*  ", is_unchoking=True)
        slow.sends(1)
        world.pass_time(5)
        slow.sends(1)
        fast = world.seed()
        world.pass_time(0.5)
        fast.sends()
        return world, slow, fast

    def test_idle_fast_peer_is_asked_for_what_a_slow_one_owes(self) -> None:
        world, slow, _ = self.world_with_a_slow_and_a_fast_peer()
        assert world.have == "***"
        assert not slow.asked

    def test_what_came_from_another_is_cancelled(self) -> None:
        _, slow, _ = self.world_with_a_slow_and_a_fast_peer()
        cancels = slow.heard_of(Cancel)
        assert sum(cancel.length for cancel in cancels if isinstance(cancel, Cancel)) == 6 * BLOCK_BYTES

    def test_block_that_crosses_its_cancel_is_waste_but_no_offence(self) -> None:
        world, slow, _ = self.world_with_a_slow_and_a_fast_peer()
        late = list(slow.taken_back)
        if slow.drop_reason is None:
            slow.sends_blocks(late)
            assert slow.drop_reason is None
            assert world.engine.stats(world.now).wasted_bytes == len(late) * BLOCK_BYTES


class TestChangingPossessions:
    def test_have_makes_a_peer_interesting_and_is_asked_for(self) -> None:
        world = World()
        peer = world.connect("    ", is_unchoking=True)
        commands = peer.says(Have(3))
        assert peer.is_wanted and world.asked_pieces(peer) == [3]
        assert any(isinstance(message, Request) for message in sent(commands, peer))

    def test_piece_that_a_peer_loses_is_not_asked_for_any_more(self) -> None:
        world = World(settings=ORDERED)
        peer = world.connect("*   ")
        peer.says(Extended(1, bytes(4)))
        assert not peer.is_wanted
        peer.says(Unchoke())
        assert not peer.asked

    def test_bitfield_with_spare_bits_drops_the_peer(self) -> None:
        world = World()
        peer = world.connect()
        peer.says(BitfieldMessage(b"\x01"))
        assert peer.drop_reason is not None and "spare bits" in peer.drop_reason

    def test_have_none_behind_a_bitfield_drops_the_peer(self) -> None:
        world = World()
        peer = world.connect("*   ")
        peer.says(HaveNone())
        assert peer.drop_reason == "it said twice which pieces it has"
