"""Canonical peer priority, and what we take for our own address."""

from __future__ import annotations

import pytest

from swarm.base.endpoint import Endpoint, parse_host_port
from swarm.engine.events import CandidatesFound, OwnAddressSeen
from swarm.engine.finding.priority import VOTERS_MAX, OwnAddress, crc32c, peer_priority
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import BitfieldMessage, Unchoke
from tests.unit.engine.world import FakePeer, World

ALL_ONES = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"


def test_crc_is_castagnoli_s() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    ("one", "other", "priority"),
    [
        # BEP 40, "Examples".
        ("123.213.32.10:0", "98.76.54.32:0", 0xEC2D7224),
        ("123.213.32.10:0", "123.213.32.234:0", 0x99568189),
        # What libtorrent's own test expects: one address and two ports, one /24, /16, neither.
        ("230.12.123.3:1234", "230.12.123.3:300", 0xAE8B7034),
        ("230.12.123.1:1234", "230.12.123.3:300", 0x99C54D79),
        ("230.12.23.1:1234", "230.12.123.3:300", 0x21FD5F80),
        ("230.120.23.1:1234", "230.12.123.3:300", 0xFA9A860E),
        (f"[{ALL_ONES}]:1234", f"[{ALL_ONES}]:300", 0xAE8B7034),
        (f"[{ALL_ONES}]:1234", "[ffff:0fff:ffff:ffff:ffff:ffff:ffff:ffff]:300", 0x59D71F38),
        (f"[{ALL_ONES}]:1234", "[ffff:ffff:0fff:ffff:ffff:ffff:ffff:ffff]:300", 0x081D5282),
        # Where the BEP's text would have it otherwise we agree with libtorrent.
        (f"[{ALL_ONES}]:1234", "[ffff:ffff:ff0f:ffff:ffff:ffff:ffff:ffff]:300", 0xC5F972BE),
        (f"[{ALL_ONES}]:1234", "[ffff:ffff:ffff:0fff:ffff:ffff:ffff:ffff]:300", 0x9FF50BD0),
    ],
)
def test_both_ends_find_the_same_number(one: str, other: str, priority: int) -> None:
    a, b = Endpoint(*parse_host_port(one)), Endpoint(*parse_host_port(other))
    assert peer_priority(a, b) == peer_priority(b, a) == priority


def test_two_families_have_no_priority() -> None:
    with pytest.raises(ValueError, match="no priority"):
        peer_priority(Endpoint("1.2.3.4", 1), Endpoint("::2", 1))


class TestOwnAddress:
    def test_one_peer_s_word_is_not_enough_and_two_of_one_host_are_one(self) -> None:
        own = OwnAddress(6881)
        assert not own.seen("8.8.8.8", "1.1.1.1")
        assert not own.seen("8.8.8.8", "1.1.1.1")
        assert own.seen_from(Endpoint("1.1.1.1", 5)) is None
        assert own.priority(Endpoint("1.1.1.1", 5)) is None

    def test_two_peers_or_a_tracker_or_the_dht_are_believed(self) -> None:
        own = OwnAddress(6881)
        own.seen("8.8.8.8", "1.1.1.1")
        assert own.seen("8.8.8.8", "2.2.2.2")
        assert own.seen_from(Endpoint("1.1.1.1", 5)) == Endpoint("8.8.8.8", 6881)
        assert own.seen("2a00:1450::1", "tracker example.org")
        assert own.seen_from(Endpoint("2001:4860::8", 5)) == Endpoint("2a00:1450::1", 6881)
        own = OwnAddress(6881)
        assert own.seen("8.8.8.8", "dht IPv4") and own.seen("2a00:1450::1", "dht IPv6")
        assert own.seen_from(Endpoint("1.1.1.1", 5)) == Endpoint("8.8.8.8", 6881)

    def test_what_a_tracker_sees_over_one_family_does_not_take_back_what_it_saw_over_the_other(self) -> None:
        own = OwnAddress(6881)
        own.seen("8.8.8.8", "tracker example.org")
        own.seen("2a00:1450::1", "tracker example.org")
        assert not own.seen("9.9.9.9", "1.1.1.1") and not own.seen("9.9.9.9", "2.2.2.2")
        assert own.seen_from(Endpoint("5.5.5.5", 1)) == Endpoint("8.8.8.8", 6881)

    def test_most_votes_win(self) -> None:
        own = OwnAddress(6881)
        for number in range(3):
            own.seen("8.8.8.8", f"1.1.1.{number}")
        for number in range(2):
            assert not own.seen("9.9.9.9", f"2.2.2.{number}")
        assert own.seen_from(Endpoint("1.1.1.1", 5)) == Endpoint("8.8.8.8", 6881)

    @pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "::", "ff02::1", "example.org", ""])
    def test_nonsense_is_no_vote(self, host: str) -> None:
        assert not OwnAddress(1).seen(host, "tracker a")

    def test_voters_are_bounded(self) -> None:
        own = OwnAddress(1)
        for number in range(10 * VOTERS_MAX):
            own.seen("8.8.8.8", f"1.1.{number >> 8}.{number & 255}")
        assert len(own._votes) == VOTERS_MAX


class TestFullTorrent:
    """With all places taken a newcomer may have that of an idle peer of lower priority (BEP 40)."""

    OWN = "30.30.30.30"

    def full(self, *, is_own_known: bool = True) -> tuple[World, list[FakePeer]]:
        """Three peers, of ascending priority."""
        world = World(settings=EngineSettings(connections_max=3))
        if is_own_known:
            world.tell(OwnAddressSeen(self.OWN, "tracker example.org"))
        return world, [world.connect(endpoint=endpoint) for endpoint in self.ranked()[1:4]]

    def ranked(self) -> list[Endpoint]:
        own = Endpoint(self.OWN, 6881)
        return sorted(
            (Endpoint(f"40.{number}.1.1", 6881) for number in range(5)),
            key=lambda endpoint: peer_priority(own, endpoint),
        )

    def test_lowest_yields_to_a_higher_one(self) -> None:
        world, peers = self.full()
        world.pass_time(40)
        newcomer = world.connect(endpoint=self.ranked()[4])
        assert newcomer.drop_reason is None
        assert [peer.drop_reason is not None for peer in peers] == [True, False, False]
        assert peers[0].drop_reason == "its place is for a peer of higher priority"

    def test_lower_one_is_turned_away(self) -> None:
        world, peers = self.full()
        world.pass_time(40)
        assert world.connect(endpoint=self.ranked()[0]).drop_reason == "there are enough connections"
        assert all(peer.drop_reason is None for peer in peers)

    def test_nobody_yields_in_the_first_half_minute_or_while_our_address_is_unknown(self) -> None:
        world, _ = self.full()
        world.pass_time(20)
        assert world.connect(endpoint=self.ranked()[4]).drop_reason is not None
        world, _ = self.full(is_own_known=False)
        world.pass_time(40)
        assert world.connect(endpoint=self.ranked()[4]).drop_reason is not None

    def test_who_gives_or_takes_keeps_its_place(self) -> None:
        world, peers = self.full()
        world.pass_time(40)
        peers[0].says(BitfieldMessage(b"\xf0"), Unchoke())
        assert peers[0].asked
        assert world.connect(endpoint=self.ranked()[4]).drop_reason is None
        assert [peer.drop_reason is not None for peer in peers] == [False, True, False]

    def test_place_is_not_given_twice(self) -> None:
        world, _ = self.full()
        world.pass_time(40)
        world.tell(CandidatesFound([Endpoint("50.1.1.1", 1)], "tracker"))
        world.connect(endpoint=self.ranked()[4])
        assert world.dialled == [] and len(world.peers) == 3
