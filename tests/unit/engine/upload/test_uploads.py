"""What peers ask of us, and what they get, seen at the engine's door."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.events import BlocksSent, PieceUnreadable, UploadLimited
from swarm.engine.settings import EngineSettings
from swarm.engine.upload.allowed_fast import allowed_fast_set
from swarm.wire.peer.messages import (
    AllowedFast,
    Cancel,
    Choke,
    Interested,
    Message,
    NotInterested,
    Reject,
    Request,
)
from tests.unit.engine.world import INFO_HASH, FakePeer, World

#: Two blocks are handed to the host at a time; no allowed-fast pieces unless a test wants them.
NARROW = EngineSettings(send_window_min=2 * BLOCK_BYTES, allowed_fast_count=0, served_queue_max=8)
BLOCKS = 8


def narrow_world(settings: EngineSettings = NARROW) -> World:
    return World(pieces=4, blocks=BLOCKS, have="*** ", settings=settings)


def leecher(world: World, *, has_fast: bool = True, is_reading: bool = True) -> FakePeer:
    """A peer that wants what we have, and has a slot."""
    peer = world.connect("   *" if has_fast else "    ", has_fast=has_fast)
    peer.is_reading = is_reading
    peer.says(Interested())
    assert peer.is_unchoked
    return peer


def blocks(kind: type[Request] | type[Cancel] | type[Reject], piece: int, first: int, count: int) -> Message:
    return kind(piece, first * BLOCK_BYTES, count * BLOCK_BYTES)


def rejected(peer: FakePeer) -> list[tuple[int, int, int]]:
    """(piece, first block, count) of every reject that `peer` got."""
    return [
        (message.piece, message.begin // BLOCK_BYTES, message.length // BLOCK_BYTES)
        for message in peer.heard
        if isinstance(message, Reject)
    ]


class TestServing:
    def test_request_is_answered(self) -> None:
        world = narrow_world()
        peer = leecher(world)
        peer.says(blocks(Request, 1, 2, 3))
        assert sum(length for _, _, length in peer.got) == 3 * BLOCK_BYTES
        assert {piece for piece, _, _ in peer.got} == {1}
        assert world.engine.stats(world.now).uploaded_bytes == 3 * BLOCK_BYTES

    def test_odd_block_size_is_served_as_asked(self) -> None:
        world = narrow_world()
        commands = leecher(world).says(Request(0, 5, 1000, 300))
        (served,) = [command for command in commands if type(command).__name__ == "SendBlocks"]
        assert (served.begin, served.length, served.block_bytes) == (5, 1000, 300)  # type: ignore[union-attr]

    def test_host_is_handed_no_more_than_the_window(self) -> None:
        world = narrow_world()
        peer = leecher(world, is_reading=False)
        peer.says(blocks(Request, 0, 0, 5))
        assert peer.unread_bytes == 2 * BLOCK_BYTES
        peer.is_reading = True
        peer.reads_on()
        assert peer.got[-1][1] + peer.got[-1][2] == 5 * BLOCK_BYTES and peer.unread_bytes == 0

    def test_window_is_kept_when_requests_have_another_size(self) -> None:
        world = narrow_world()
        peer = leecher(world, is_reading=False)
        peer.says(Request(0, 0, 100_000, 100_000), Request(1, 0, BLOCK_BYTES))
        assert peer.unread_bytes == 100_000

    def test_queue_is_bounded(self) -> None:
        world = narrow_world()
        peer = leecher(world, is_reading=False)
        peer.says(blocks(Request, 0, 0, 8))
        peer.says(blocks(Request, 1, 0, 2), blocks(Request, 1, 2, 1))
        assert rejected(peer) == [(1, 2, 1)]

    def test_what_we_lack_is_refused(self) -> None:
        world = narrow_world()
        peer = leecher(world)
        peer.says(blocks(Request, 3, 0, 2))
        assert rejected(peer) == [(3, 0, 2)] and not peer.got

    def test_without_fast_extension_refusals_are_silent(self) -> None:
        world = narrow_world()
        peer = leecher(world, has_fast=False)
        heard = len(peer.heard)
        peer.says(blocks(Request, 3, 0, 2))
        assert len(peer.heard) == heard and not peer.got

    def test_flood_of_requests_without_an_answer_drops_the_peer(self) -> None:
        world = narrow_world(EngineSettings(choked_requests_max=100))
        peer = leecher(world)
        for _ in range(20):
            if peer.drop_reason is None:
                peer.says(blocks(Request, 3, 0, 8))
        assert peer.drop_reason == "it floods us with requests that we cannot answer"

    def test_peer_that_reads_nothing_loses_its_place(self) -> None:
        world = narrow_world()
        peer = leecher(world, is_reading=False)
        peer.says(blocks(Request, 0, 0, 8))
        world.pass_time(world.settings.send_stall_s + 12)
        assert peer.drop_reason == "it does not read what it asked for"


class TestCancelling:
    @pytest.mark.parametrize(
        ("first", "count", "left"),
        [
            (2, 6, []),
            (2, 2, [4, 5, 6, 7]),
            (6, 2, [2, 3, 4, 5]),
            (4, 2, [2, 3, 6, 7]),
            (0, 1, [2, 3, 4, 5, 6, 7]),
        ],
    )
    def test_cancel_takes_its_blocks_out_of_the_queue_and_no_others(
        self, first: int, count: int, left: list[int]
    ) -> None:
        world = narrow_world()
        peer = leecher(world, is_reading=False)
        peer.says(blocks(Request, 0, 0, 8))
        # The first two are on their way already.
        peer.says(blocks(Cancel, 0, first, count))
        peer.got.clear()
        peer.reads_on()
        served = [
            block
            for _, begin, length in peer.got
            for block in range(begin // BLOCK_BYTES, (begin + length) // BLOCK_BYTES)
        ]
        assert served == left
        taken = [block for block in range(2, 8) if block not in left]
        assert [first + at for _, first, count in rejected(peer) for at in range(count)] == taken

    def test_cancel_of_what_was_never_asked_is_nothing(self) -> None:
        world = narrow_world()
        peer = leecher(world)
        heard = len(peer.heard)
        peer.says(blocks(Cancel, 0, 0, 8), blocks(Cancel, 3, 0, 1))
        assert len(peer.heard) == heard and peer.drop_reason is None

    @given(st.data())
    def test_every_block_asked_is_sent_or_rejected_once(self, data: st.DataObject) -> None:
        """BEP 6: "Rejects exactly one response for each request"."""
        world = narrow_world(EngineSettings(send_window_min=2 * BLOCK_BYTES, served_queue_max=10))
        peer = leecher(world, is_reading=False)
        owed: dict[tuple[int, int], int] = {}
        for _ in range(data.draw(st.integers(1, 12))):
            kind = data.draw(st.sampled_from([Request, Request, Cancel, None]))
            piece, first = data.draw(st.integers(0, 3)), data.draw(st.integers(0, BLOCKS - 1))
            count = data.draw(st.integers(1, BLOCKS - first))
            if kind is None:
                peer.reads_on()
                peer.is_reading = False
                continue
            if kind is Request:
                for block in range(first, first + count):
                    owed[piece, block] = owed.get((piece, block), 0) + 1
            peer.says(blocks(kind, piece, first, count))
        peer.reads_on()
        answers: dict[tuple[int, int], int] = {}
        sent = [(piece, begin // BLOCK_BYTES, length // BLOCK_BYTES) for piece, begin, length in peer.got]
        for piece, first, count in sent + rejected(peer):
            for block in range(first, first + count):
                answers[piece, block] = answers.get((piece, block), 0) + 1
        assert answers == owed


class TestChoking:
    def test_choke_rejects_what_waits_and_lets_go_what_is_on_its_way(self) -> None:
        world = narrow_world()
        peer = leecher(world, is_reading=False)
        peer.says(blocks(Request, 0, 0, 8))
        peer.says(NotInterested())
        assert not peer.is_unchoked
        assert rejected(peer) == [(0, 2, 6)]
        assert isinstance(peer.heard[-2], Choke), "the choke comes first"
        peer.reads_on()
        assert peer.got == [(0, 0, 2 * BLOCK_BYTES)]

    def test_request_while_choked_is_rejected(self) -> None:
        world = narrow_world()
        peer = world.connect("   *")
        peer.says(blocks(Request, 0, 0, 1))
        assert rejected(peer) == [(0, 0, 1)] and not peer.got

    def test_allowed_fast_pieces_are_served_while_choked(self) -> None:
        world = narrow_world(EngineSettings(allowed_fast_count=2))
        peer = world.connect("    ")
        offered = [message.piece for message in peer.heard if isinstance(message, AllowedFast)]
        host = peer.endpoint.host
        assert offered == [
            piece for piece in allowed_fast_set(host, 2, 4, INFO_HASH) if world.verified[piece]
        ]
        assert offered
        peer.says(blocks(Request, offered[0], 0, 1))
        assert peer.got == [(offered[0], 0, BLOCK_BYTES)]


class TestLosingPieces:
    def test_piece_that_cannot_be_read_is_refused_from_then_on(self) -> None:
        world = narrow_world()
        peer = leecher(world, is_reading=False)
        peer.says(blocks(Request, 0, 0, 4), blocks(Request, 1, 0, 2))
        world.verified.discard(0)
        world.tell(PieceUnreadable(0))
        assert rejected(peer) == [(0, 2, 2)]
        peer.says(blocks(Request, 0, 7, 1))
        assert rejected(peer)[1:] == [(0, 7, 1)]
        peer.reads_on()
        assert peer.got[-1] == (1, 0, 2 * BLOCK_BYTES)


class TestUnderALimit:
    """A second of the line is a piece here."""

    AHEAD = EngineSettings(
        serve_ahead_s=2 / BLOCKS, serve_alone_s=5 / BLOCKS, allowed_fast_count=0, slot_delay_s=0.0
    )

    def limited_world(self) -> World:
        world = narrow_world(self.AHEAD)
        world.tell(UploadLimited(float(BLOCKS * BLOCK_BYTES)))
        return world

    def reading_nothing(self, world: World) -> FakePeer:
        peer = leecher(world, is_reading=False)
        peer.says(blocks(Request, 0, 0, BLOCKS))
        return peer

    def test_host_gets_what_leaves_in_a_moment(self) -> None:
        world = self.limited_world()
        assert self.reading_nothing(world).unread_bytes == 2 * BLOCK_BYTES

    def test_host_gets_more_where_one_peer_alone_took_anything_for_a_second(self) -> None:
        world = self.limited_world()
        peer = self.reading_nothing(world)
        world.pass_time(1.1)
        assert peer.unread_bytes == 7 * BLOCK_BYTES

    def test_host_gets_little_again_as_soon_as_another_asks(self) -> None:
        world = self.limited_world()
        peer = self.reading_nothing(world)
        other = world.connect("   *")
        other.is_reading = False
        other.says(Interested())
        world.pass_time(1.1)
        other.says(blocks(Request, 1, 0, 1))
        # The host sends what it has, and is handed what leaves in a moment (two, for it was slow).
        length, peer.unread_bytes = peer.unread_bytes, 0
        world.tell(BlocksSent(peer.number, length))
        assert peer.unread_bytes + other.unread_bytes == 2 * BLOCK_BYTES

    def test_host_is_handed_a_run_once_it_has_sent_half_not_a_block_for_each_block(self) -> None:
        world = narrow_world(replace(self.AHEAD, serve_ahead_s=4 / BLOCKS, serve_alone_s=0.0))
        world.tell(UploadLimited(float(BLOCKS * BLOCK_BYTES)))
        peer = self.reading_nothing(world)
        had = [peer.unread_bytes // BLOCK_BYTES]
        for _ in range(3):
            peer.unread_bytes -= BLOCK_BYTES
            world.tell(BlocksSent(peer.number, BLOCK_BYTES))
            had.append(peer.unread_bytes // BLOCK_BYTES)
        assert had == [4, 3, 2, 5]

    def test_peer_with_a_common_wish_waits_for_a_second_and_no_longer(self) -> None:
        """Piece 0 others have; piece 1, which is asked for all the time, nobody has."""
        world = self.limited_world()
        common, rare = world.connect("   *"), world.connect("   *")
        world.connect("*   ")
        for peer in (common, rare):
            peer.is_reading = False
            peer.says(Interested())
        world.pass_time(0.1)
        rare.says(blocks(Request, 1, 0, 4))
        common.says(blocks(Request, 0, 0, 2))
        waited_s = 0.0
        while not common.unread_bytes and waited_s < 3.0:
            world.pass_time(0.25)
            waited_s += 0.25
            length, rare.unread_bytes = rare.unread_bytes, 0
            world.tell(BlocksSent(rare.number, length))
            rare.says(blocks(Request, 1, 0, 2))
        assert 1.0 <= waited_s <= 1.5

    def test_of_two_who_want_what_is_equally_rare_the_one_that_has_less_comes_first(self) -> None:
        world = self.limited_world()
        busy = self.reading_nothing(world)
        rich, poor = world.connect("*  *"), world.connect("*   ")
        for peer in (rich, poor):
            peer.is_reading = False
            peer.says(Interested())
        world.pass_time(0.1)
        rich.says(blocks(Request, 1, 0, 2))
        poor.says(blocks(Request, 2, 0, 2))
        while busy.unread_bytes:
            length, busy.unread_bytes = busy.unread_bytes, 0
            world.tell(BlocksSent(busy.number, length))
        assert (rich.unread_bytes, poor.unread_bytes) == (0, 2 * BLOCK_BYTES)


class TestOrderOfOnePeer:
    """In a crowd (of two) under a limit; piece 0 others have, the others nobody else has."""

    SETTINGS = replace(
        TestUnderALimit.AHEAD,
        limited_slots_min=1,
        crowd_per_slot=1,
        crowd_slot_bytes_per_s=1,
        passed_over_s=2.0,
        serve_ahead_s=1.0,
        serve_alone_s=0.0,
        turn_patience_s=60.0,
    )

    def pieces_sent(self, requests: str, settings: EngineSettings = SETTINGS) -> list[int]:
        """What leaves, a piece a second, where a peer asks for `requests` while another's piece leaves."""
        world = World(pieces=6, blocks=BLOCKS, have="***** ", settings=settings)
        world.tell(UploadLimited(float(BLOCKS * BLOCK_BYTES)))
        world.connect("*     ")
        busy, peer = world.connect("     *"), world.connect("     *")
        for one in (busy, peer):
            one.is_reading = False
            one.says(Interested())
        world.pass_time(0.1)
        busy.says(blocks(Request, 3, 0, BLOCKS))
        for piece in requests:
            peer.says(
                blocks(Request, int(piece), 0, BLOCKS // 2),
                blocks(Request, int(piece), BLOCKS // 2, BLOCKS // 2),
            )
        for _ in range(4 * len(requests)):
            for one in (busy, peer):
                length, one.unread_bytes = one.unread_bytes, 0
                if length:
                    world.tell(BlocksSent(one.number, length))
        return [piece for piece, _ in itertools.groupby(piece for piece, _, _ in peer.got)]

    def test_what_the_fewest_have_leaves_first(self) -> None:
        assert self.pieces_sent("012") == [1, 2, 0]

    def test_what_was_asked_first_is_passed_over_only_so_long(self) -> None:
        assert self.pieces_sent("01234") == [1, 2, 0, 3, 4]

    def test_elsewhere_than_in_a_crowd_it_is_sent_as_asked(self) -> None:
        assert self.pieces_sent("012", replace(self.SETTINGS, crowd_per_slot=3, limited_slots_min=2)) == [
            0,
            1,
            2,
        ]

    def test_on_a_line_where_a_piece_takes_long_it_is_sent_as_asked(self) -> None:
        assert self.pieces_sent("012", replace(self.SETTINGS, passed_over_s=0.9)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("bytes_per_s", "is_declined"), [(float(BLOCK_BYTES), True), (1e9, False), (None, False)]
)
def test_beside_somebody_who_claims_everything_a_piece_leaves_once_where_the_line_is_slow(
    bytes_per_s: float | None, is_declined: bool
) -> None:
    world = World(pieces=4, blocks=BLOCKS, have="****", settings=NARROW)
    assert world.connect("****").drop_reason == "both of us have everything"
    world.tell(UploadLimited(bytes_per_s))
    one, two, three = (world.connect("    ") for _ in range(3))
    for peer in (one, two, three):
        peer.is_reading = False
        peer.says(Interested())
    world.pass_time(1)
    one.says(blocks(Request, 0, 0, BLOCKS))
    three.says(blocks(Request, 1, 0, BLOCKS))
    assert two.is_unchoked
    two.says(blocks(Request, 0, 0, 1))
    assert bool(rejected(two)) is is_declined
