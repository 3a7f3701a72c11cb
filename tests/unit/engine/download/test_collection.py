"""Our own pieces, won and lost: what everybody is told, and when the torrent is complete."""

from __future__ import annotations

from swarm.engine.events import PieceUnreadable
from swarm.wire.peer.extended import ExtendedHandshake, encode_extended_handshake
from swarm.wire.peer.messages import Extended, Have, Unchoke
from tests.unit.engine.world import FakePeer, World

SPEAKS_DONT_HAVE = Extended(0, encode_extended_handshake(ExtendedHandshake({"lt_donthave": 9})))


def losses_told(peer: FakePeer) -> list[Extended]:
    return [message for message in peer.heard if isinstance(message, Extended) and message.extended_id == 9]


def test_piece_that_was_lost_before_is_lost_once() -> None:
    world = World(have="****")
    speaker, other = world.connect("    ", has_extended=True), world.connect("    ")
    speaker.says(SPEAKS_DONT_HAVE)
    for _ in range(2):
        world.verified.discard(1)
        world.tell(PieceUnreadable(1))
    assert world.have == "* **"
    assert len(losses_told(speaker)) == 1 and not losses_told(other)


def test_torrent_that_lost_a_piece_and_won_it_back_is_complete_again() -> None:
    world = World(have="****")
    world.verified.discard(1)
    world.tell(PieceUnreadable(1))
    assert not world.engine.is_complete and (world.completed_count, world.reopened_count) == (0, 1)
    world.seed().sends()
    assert world.have == "****" and world.completed_count == 1


def test_pieces_hashed_together_are_told_in_one_go() -> None:
    world = World(pieces=2, blocks=1, has_quick_disk=False)
    watcher = world.connect("  ")
    seed = world.seed()
    seed.sends()
    world.has_quick_disk = True
    seed.says(Unchoke())
    assert [message.piece for message in watcher.heard if isinstance(message, Have)] == [0, 1]
