"""When a peer hears of our new pieces: who waits for one at once, the others with the next message."""

from __future__ import annotations

from swarm.engine.events import PieceUnreadable
from swarm.wire.peer.extended import ExtendedHandshake, encode_extended_handshake
from swarm.wire.peer.messages import Choke, Extended, Have, Interested, NotInterested, Unchoke
from tests.unit.engine.world import FakePeer, World

SPEAKS_DONT_HAVE = Extended(0, encode_extended_handshake(ExtendedHandshake({"lt_donthave": 9})))


def world_with_piece_zero_to_come(pieces: int = 4) -> tuple[World, FakePeer]:
    """A world that gets its first piece when the peer `sends`; there is more to be had from nobody."""
    world = World(pieces=pieces)
    return world, world.connect("*" + " " * (pieces - 1), is_unchoking=True)


def haves(peer: FakePeer) -> list[int]:
    return [message.piece for message in peer.heard if isinstance(message, Have)]


def test_who_lacks_the_piece_hears_of_it_at_once() -> None:
    world, giver = world_with_piece_zero_to_come()
    lacking = world.connect("    ")
    giver.sends()
    assert haves(lacking) == [0]


def test_seed_hears_of_it_at_once_for_it_may_be_an_only_one() -> None:
    world = World()
    seed = world.seed()
    seed.sends(2)
    assert len(haves(seed)) == 1


def test_seed_that_is_our_only_peer_for_a_while_hears_of_it_within_the_delay() -> None:
    world = World()
    seed = world.seed()
    world.pass_time(2 * world.settings.tick_s)
    seed.sends(2)
    assert not haves(seed)
    world.pass_time(world.settings.have_delay_s)
    assert len(haves(seed)) == 1


def test_seed_is_no_longer_our_only_peer_as_soon_as_another_comes() -> None:
    world = World()
    seed = world.seed()
    world.pass_time(2 * world.settings.tick_s)
    world.connect("    ")
    seed.sends(2)
    assert len(haves(seed)) == 1


def test_what_was_told_with_another_message_wakes_nobody() -> None:
    world = World(pieces=64)
    seed = world.seed()
    world.pass_time(2 * world.settings.tick_s)
    seed.sends(16)
    first_at = world.now
    world.pass_time(world.settings.have_delay_s / 2)
    # The next requests take along what it is to hear of these.
    seed.sends(16)
    assert 0 < len(haves(seed)) <= 8
    at = world.engine.next_wakeup(world.now)
    assert at is not None and at > first_at + world.settings.have_delay_s


def test_who_has_the_piece_hears_of_it_within_the_delay() -> None:
    world, giver = world_with_piece_zero_to_come()
    owner = world.connect("**  ")
    giver.sends()
    assert haves(owner) == []
    world.pass_time(world.settings.have_delay_s)
    assert haves(owner) == [0]


def test_what_was_not_told_goes_ahead_of_the_next_message() -> None:
    world, giver = world_with_piece_zero_to_come()
    owner = world.connect("**  ")
    giver.sends()
    owner.says(Interested())
    assert owner.heard[-2:] == [Have(0), Unchoke()]
    world.pass_time(world.settings.have_delay_s)
    assert haves(owner) == [0]


def test_who_waits_for_a_slot_hears_of_it_before_he_is_unchoked() -> None:
    world = World(pieces=8, have="****    ")
    giver = world.connect("****  * ", is_unchoking=True)
    others = [world.connect("        ") for _ in range(world.settings.unchoke_slots + 1)]
    for other in others:
        other.says(Interested())
    world.pass_time(world.settings.slot_delay_s)
    waiting = next(other for other in others if not other.is_unchoked)
    served = next(other for other in others if other.is_unchoked)
    giver.sends()
    assert (haves(served), haves(waiting)) == ([6], [])
    served.says(NotInterested())
    assert waiting.heard[-2:] == [Have(6), Unchoke()]


def test_piece_that_is_lost_before_it_was_told_is_never_told() -> None:
    world, giver = world_with_piece_zero_to_come()
    owner = world.connect("**  ", has_extended=True)
    owner.says(SPEAKS_DONT_HAVE)
    giver.sends()
    giver.says(Choke())
    world.verified.discard(0)
    world.tell(PieceUnreadable(0))
    world.pass_time(world.settings.have_delay_s)
    assert haves(owner) == []
    assert not [one for one in owner.heard if isinstance(one, Extended) and one.extended_id == 9]
