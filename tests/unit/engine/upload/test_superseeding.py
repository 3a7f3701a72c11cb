"""Super-seeding (BEP 16): pieces are shown one by one, and nobody waits for ever."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.base.blocks import BLOCK_BYTES
from swarm.engine.events import PieceUnreadable, UploadLimited
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import (
    LOCAL_IDS,
    ExtendedHandshake,
    encode_dont_have,
    encode_extended_handshake,
)
from swarm.wire.peer.messages import (
    AllowedFast,
    BitfieldMessage,
    Extended,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    NotInterested,
    Reject,
    Request,
    Suggest,
)
from tests.unit.engine.world import FakePeer, World, read_drawing

PATIENCE_S = EngineSettings().super_seed_patience_s
PIECE_BYTES = 2 * BLOCK_BYTES


def seeding(pieces: int = 8, *, ahead_pieces: int = 2) -> World:
    ahead_bytes = ahead_pieces * PIECE_BYTES
    chosen = EngineSettings(is_super_seeding=True, super_seed_ahead_bytes=ahead_bytes)
    return World(pieces=pieces, have="*" * pieces, settings=chosen)


def shown(peer: FakePeer) -> list[int]:
    return [message.piece for message in peer.heard if isinstance(message, Have)]


def crowd(world: World, count: int) -> list[FakePeer]:
    """Newcomers with nothing, as many as keep the line busy."""
    peers = [world.connect() for _ in range(count)]
    for peer in peers:
        peer.says(HaveNone(), Interested())
    return peers


def newest(peer: FakePeer) -> int:
    return shown(peer)[-1]


def test_newcomer_hears_of_nothing_and_then_of_one_piece() -> None:
    first, second, third = crowd(seeding(), 3)
    assert isinstance(first.heard[0], HaveNone)
    assert not [one for one in first.heard if isinstance(one, HaveAll | BitfieldMessage | AllowedFast)]
    assert [len(shown(peer)) for peer in (second, third)] == [1, 1]
    pieces = [*shown(first), *shown(second), *shown(third)]
    assert len(set(pieces)) == len(pieces)


def test_newcomer_without_fast_extension_gets_no_bitfield() -> None:
    peer = seeding().connect(has_fast=False)
    assert peer.heard and all(isinstance(message, Have) for message in peer.heard)


def test_next_piece_is_shown_when_another_peer_has_the_last() -> None:
    world = seeding(16)
    carrier, other, *_ = crowd(world, 6)
    piece, before = newest(carrier), len(shown(carrier))
    carrier.says(Have(piece))
    assert len(shown(carrier)) == before
    other.says(Have(piece))
    assert len(shown(carrier)) == before + 1


def test_piece_that_was_not_shown_is_refused() -> None:
    world = seeding()
    peer, *_ = crowd(world, 3)
    world.pass_time(1.0)
    hidden = next(piece for piece in range(8) if piece not in shown(peer))
    peer.says(Request(hidden, 0, PIECE_BYTES), Request(newest(peer), 0, PIECE_BYTES))
    assert [(reject.piece, reject.length) for reject in peer.heard if isinstance(reject, Reject)] == [
        (hidden, PIECE_BYTES)
    ]
    assert {piece for piece, _, _ in peer.got} == {newest(peer)}


def test_only_peer_is_shown_piece_after_piece_without_waiting() -> None:
    world = seeding(8)
    (peer,) = crowd(world, 1)
    for _ in range(7):
        piece = next(piece for piece in shown(peer) if not peer.have[piece])
        peer.says(Have(piece))
    assert sorted(shown(peer)) == list(range(8))


def test_two_who_pass_nothing_on_get_everything_by_turns() -> None:
    world = seeding(12)
    peers = crowd(world, 2)
    for _ in range(12):
        for peer in peers:
            lacking = [piece for piece in shown(peer) if not peer.have[piece]]
            if lacking:
                peer.says(Have(lacking[0]))
    for peer in peers:
        assert all(peer.have[piece] or piece in shown(peer) for piece in range(12))
    assert abs(len(shown(peers[0])) - len(shown(peers[1]))) <= 1


def test_who_has_waited_for_long_is_shown_what_another_does_not_fetch() -> None:
    world = seeding(2)
    idle, eager = crowd(world, 2)
    assert (len(shown(idle)), len(shown(eager))) == (1, 1)
    eager.says(Have(newest(eager)))
    assert len(shown(eager)) == 1
    world.pass_time(PATIENCE_S + 2.0)
    assert sorted(shown(eager)) == [0, 1]


def test_piece_of_one_who_left_is_shown_to_another() -> None:
    world = seeding(2)
    first, second = crowd(world, 2)
    assert (len(shown(first)), len(shown(second))) == (1, 1)
    first.leaves()
    assert sorted(shown(second)) == [0, 1]


def test_piece_that_its_only_owner_took_along_has_to_leave_again() -> None:
    world = seeding(4)
    stays, goes = crowd(world, 2)
    goes.says(Have(0), Have(1))
    stays.says(Have(2))
    goes.leaves()
    stays.says(Have(3))
    # Else it would have ended by now, and a newcomer would hear of all.
    newcomer = world.connect()
    assert isinstance(newcomer.heard[0], HaveNone)


@pytest.mark.parametrize("is_seed", [False, True])
def test_everything_is_told_once_a_copy_is_out(is_seed: bool) -> None:
    world = seeding(4)
    extended = world.connect(has_extended=True)
    upload_only = b"11:upload_onlyi1e"
    handshake = ExtendedHandshake(extensions={"ut_pex": LOCAL_IDS["ut_pex"]}, client="X")
    extended.says(HaveNone(), Extended(0, encode_extended_handshake(handshake)))
    assert not any(upload_only in one.payload for one in extended.heard if isinstance(one, Extended))
    other = world.connect()
    if is_seed:
        other.says(HaveAll())
    else:
        other.says(HaveNone(), Have(0), Have(1), Have(2))
        assert len(shown(extended)) < 4
        extended.says(Have(3))
    told = set(shown(extended)) | set(extended.have)
    assert told == {0, 1, 2, 3} and len(shown(extended)) == len(set(shown(extended)))
    assert any(upload_only in one.payload for one in extended.heard if isinstance(one, Extended))
    assert isinstance(world.connect().heard[0], HaveAll)


def test_unreadable_piece_ends_the_pretence() -> None:
    world = seeding(4)
    peer, *_ = crowd(world, 3)
    world.verified.discard(2)
    world.tell(PieceUnreadable(2))
    assert set(shown(peer)) >= {0, 1, 3}


def test_idle_line_suggests_nothing_that_was_not_shown() -> None:
    world = seeding(8)
    world.tell(UploadLimited(1e6))
    peers = crowd(world, 3)
    world.pass_time(2.0)
    assert not any(isinstance(message, Suggest) for peer in peers for message in peer.heard)


def test_quick_single_leecher_does_not_flood_us_with_its_interest() -> None:
    world = seeding(3000)
    (peer,) = crowd(world, 1)
    told = 0
    while peer.drop_reason is None:
        fresh = shown(peer)[told:]
        told += len(fresh)
        peer.says(*(Have(piece) for piece in fresh), NotInterested())
        peer.says(Interested())
    assert peer.drop_reason == "both of us have everything"


def test_leecher_with_the_setting_is_like_any_other() -> None:
    world = World(pieces=4, have="**  ", settings=EngineSettings(is_super_seeding=True))
    assert isinstance(world.connect().heard[0], BitfieldMessage)


class _Swarm:
    """Peers of any kind about one super-seed: they fetch, pass on or not, come, go and lose pieces."""

    def __init__(self, pieces: int) -> None:
        self.world = seeding(pieces)
        self.pieces = pieces
        self.peers: list[FakePeer] = []

    def act(self, kind: str, which: int, piece: int) -> None:
        piece %= self.pieces
        if kind == "come" and len(self.peers) < 6:
            self.peers.append(self.world.connect())
        elif kind == "come with":
            peer = self.world.connect()
            have = read_drawing("".join(" *"[at % 3 == piece % 3] for at in range(self.pieces)))
            peer.says(BitfieldMessage(have.to_bytes()), Interested())
            self.peers.append(peer)
        elif kind == "time":
            self.world.pass_time(1.0)
        elif self.peers:
            peer = self.peers[which % len(self.peers)]
            if peer.drop_reason is not None or kind == "go":
                self.peers.remove(peer)
                if peer.drop_reason is None:
                    peer.leaves()
            elif kind == "got" and not peer.have[piece]:
                peer.says(Have(piece))
            elif kind == "lose" and peer.have[piece]:
                peer.says(Extended(LOCAL_IDS["lt_donthave"], encode_dont_have(piece)))

    def finish(self) -> None:
        """All others sit still; one fetches from us what it is shown, and must get it all."""
        peer = self.world.connect()
        peer.says(HaveNone(), Interested())
        for _ in range(4 * self.pieces):
            for piece in shown(peer):
                if not peer.have[piece]:
                    peer.says(Have(piece))
            if peer.have.is_full or peer.heard_of(HaveAll):
                return
            self.world.pass_time(PATIENCE_S + 1.0)
        raise AssertionError(f"it was shown {shown(peer)} and no more")


ACTS = st.tuples(
    st.sampled_from(["come", "come", "come with", "go", "got", "got", "got", "got", "lose", "time"]),
    st.integers(0, 20),
    st.integers(0, 20),
)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 9), st.lists(ACTS, max_size=50))
def test_whatever_others_do_a_newcomer_gets_everything_from_us(
    pieces: int, acts: list[tuple[str, int, int]]
) -> None:
    swarm = _Swarm(pieces)
    for act in acts:
        swarm.act(*act)
    swarm.finish()
