"""Holepunching at the engine's door: those who want to meet, and the one who brings them together."""

from __future__ import annotations

import pytest

from swarm.base.endpoint import Endpoint
from swarm.engine.commands import Dial
from swarm.engine.events import CandidatesFound, DialFailed, OwnAddressSeen
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import LOCAL_IDS, ExtendedHandshake, encode_extended_handshake
from swarm.wire.peer.holepunch import (
    Holepunch,
    HolepunchError,
    HolepunchKind,
    decode_holepunch,
    encode_holepunch,
)
from swarm.wire.peer.messages import Extended
from swarm.wire.peer.pex import Contact, ContactFlags, PeerExchange, encode_peer_exchange
from tests.unit.engine.world import FakePeer, World

THEIR_ID = 99
BEHIND_NAT = Endpoint("20.2.2.2", 6881)
RENDEZVOUS, CONNECT, ERROR = HolepunchKind.RENDEZVOUS, HolepunchKind.CONNECT, HolepunchKind.ERROR


def join(
    world: World, host: str, *, holepunch: int = THEIR_ID, is_outgoing: bool = True, port: int | None = None
) -> FakePeer:
    peer = world.connect(endpoint=Endpoint(host, 6881), is_outgoing=is_outgoing, has_extended=True)
    claims = ExtendedHandshake({"ut_pex": 5, "ut_holepunch": holepunch}, listen_port=port)
    peer.says(Extended(0, encode_extended_handshake(claims)))
    return peer


def heard(peer: FakePeer) -> list[Holepunch]:
    return [
        decode_holepunch(message.payload)
        for message in peer.heard
        if isinstance(message, Extended) and message.extended_id == THEIR_ID
    ]


def says(peer: FakePeer, kind: HolepunchKind, endpoint: Endpoint, error: int = 0) -> list[Endpoint]:
    """Returns whom we dial then."""
    payload = encode_holepunch(Holepunch(kind, endpoint, error))
    commands = peer.says(Extended(LOCAL_IDS["ut_holepunch"], payload))
    return [command.endpoint for command in commands if isinstance(command, Dial)]


def tell_of(peer: FakePeer, endpoint: Endpoint, *, can_holepunch: bool = True) -> None:
    flags = ContactFlags.HOLEPUNCH if can_holepunch else ContactFlags(0)
    payload = encode_peer_exchange(PeerExchange([Contact(endpoint, flags)]))
    peer.says(Extended(LOCAL_IDS["ut_pex"], payload))


def fail(world: World, endpoint: Endpoint = BEHIND_NAT) -> None:
    world.tell(DialFailed(endpoint, "no answer"))


class TestRelay:
    def test_both_are_told_of_each_other(self) -> None:
        world = World()
        one, two = join(world, "20.1.1.1"), join(world, "20.2.2.2")
        says(one, RENDEZVOUS, two.endpoint)
        assert heard(one) == [Holepunch(CONNECT, two.endpoint)]
        assert heard(two) == [Holepunch(CONNECT, one.endpoint)]
        assert world.engine.rendezvous_counts.relayed == 1

    def test_peers_that_came_to_us_are_known_by_the_port_they_named(self) -> None:
        world = World()
        one = join(world, "20.1.1.1", is_outgoing=False, port=5001)
        two = join(world, "2a00:1450::2", is_outgoing=False, port=5002)
        says(one, RENDEZVOUS, Endpoint("2a00:1450::2", 5002))
        assert heard(one) == [Holepunch(CONNECT, Endpoint("2a00:1450::2", 5002))]
        assert heard(two) == [Holepunch(CONNECT, Endpoint("20.1.1.1", 5001))]

    @pytest.mark.parametrize(
        ("endpoint", "error"),
        [
            (Endpoint("20.3.3.3", 6881), HolepunchError.NOT_CONNECTED),
            (Endpoint("20.2.2.2", 6882), HolepunchError.NOT_CONNECTED),
            (Endpoint("20.2.2.2", 0), HolepunchError.NO_SUCH_PEER),
            (Endpoint("224.0.0.1", 6881), HolepunchError.NO_SUCH_PEER),
            (Endpoint("::", 6881), HolepunchError.NO_SUCH_PEER),
            (Endpoint("20.4.4.4", 6881), HolepunchError.NO_SUPPORT),
            (Endpoint("20.1.1.1", 6881), HolepunchError.NO_SELF),
            (Endpoint("20.9.9.9", 6881), HolepunchError.NO_SELF),
            # Somebody of our own network, which is no business of a stranger.
            (Endpoint("192.168.1.5", 6881), HolepunchError.NOT_CONNECTED),
        ],
    )
    def test_what_cannot_be_done_is_answered_with_the_reason(
        self, endpoint: Endpoint, error: HolepunchError
    ) -> None:
        world = World()
        world.tell(OwnAddressSeen("20.9.9.9", "tracker example.org"))
        one, two = join(world, "20.1.1.1"), join(world, "20.2.2.2")
        join(world, "20.4.4.4", holepunch=0)
        near = join(world, "192.168.1.5")
        says(one, RENDEZVOUS, endpoint)
        assert heard(one) == [Holepunch(ERROR, endpoint, error)]
        assert heard(two) == heard(near) == []

    def test_who_does_not_say_that_it_can_is_ignored(self) -> None:
        world = World()
        one, two = join(world, "20.1.1.1", holepunch=0), join(world, "20.2.2.2")
        says(one, RENDEZVOUS, two.endpoint)
        assert heard(one) == heard(two) == []

    def test_flood_of_requests_is_ignored_beyond_the_first_few(self) -> None:
        world = World()
        one, two = join(world, "20.1.1.1"), join(world, "20.2.2.2")
        for _ in range(50):
            says(one, RENDEZVOUS, two.endpoint)
        assert len(heard(two)) == world.settings.holepunch_burst
        world.pass_time(world.settings.holepunch_refill_s)
        says(one, RENDEZVOUS, two.endpoint)
        assert len(heard(two)) == world.settings.holepunch_burst + 1

    @pytest.mark.parametrize("raw", [b"", b"\0\0\x01\x02", b"\0\x09\x01\x02\x03\x04\0\x50"])
    def test_malformed_messages_are_ignored(self, raw: bytes) -> None:
        world = World()
        one = join(world, "20.1.1.1")
        one.says(Extended(LOCAL_IDS["ut_holepunch"], raw))
        assert one.drop_reason is None and heard(one) == []
        assert world.engine.rendezvous_counts.ignored == 1

    def test_private_torrent_is_no_relay(self) -> None:
        world = World(is_private=True)
        one, two = join(world, "20.1.1.1"), join(world, "20.2.2.2")
        says(one, RENDEZVOUS, two.endpoint)
        assert heard(one) == heard(two) == [] and says(two, CONNECT, BEHIND_NAT) == []


class TestMeeting:
    def test_relay_is_asked_when_a_dial_fails_and_a_connect_is_dialled_at_once(self) -> None:
        world = World()
        relay = join(world, "20.1.1.1")
        tell_of(relay, BEHIND_NAT)
        assert world.dialled == [BEHIND_NAT] and heard(relay) == []
        fail(world)
        assert heard(relay) == [Holepunch(RENDEZVOUS, BEHIND_NAT)]
        assert says(relay, CONNECT, BEHIND_NAT) == [BEHIND_NAT]
        world.connect(endpoint=BEHIND_NAT, is_outgoing=True)
        counts = world.engine.rendezvous_counts
        assert (counts.asked, counts.dialled, counts.reached) == (1, 1, 1)

    def test_connect_that_the_host_had_no_place_for_is_forgotten(self) -> None:
        world = World()
        relay = join(world, "20.1.1.1")
        assert says(relay, CONNECT, BEHIND_NAT) == [BEHIND_NAT]
        world.tell(DialFailed(BEHIND_NAT, "there are enough connections", is_tried=False))
        tell_of(relay, BEHIND_NAT)
        assert world.dialled == [BEHIND_NAT, BEHIND_NAT]
        fail(world)
        assert heard(relay) == [Holepunch(RENDEZVOUS, BEHIND_NAT)]

    def test_nobody_is_asked_again_when_that_fails_too(self) -> None:
        world = World()
        relay = join(world, "20.1.1.1")
        tell_of(relay, BEHIND_NAT)
        fail(world)
        assert says(relay, CONNECT, BEHIND_NAT) == [BEHIND_NAT]
        fail(world)
        world.pass_time(30)
        fail(world)
        assert len(heard(relay)) == 1
        assert world.engine.rendezvous_counts.reached == 0

    @pytest.mark.parametrize("can_holepunch", [False, True])
    def test_only_who_told_us_that_it_can_is_a_relay(self, can_holepunch: bool) -> None:
        world = World()
        teller = join(world, "20.1.1.1", holepunch=0 if can_holepunch else THEIR_ID)
        bystander = join(world, "20.5.5.5")
        tell_of(teller, BEHIND_NAT, can_holepunch=can_holepunch)
        fail(world)
        assert heard(teller) == heard(bystander) == []

    def test_next_relay_is_asked_when_the_first_cannot_help(self) -> None:
        world = World(settings=EngineSettings(holepunch_relays_max=2))
        relays = [join(world, f"20.1.1.{number}") for number in range(3)]
        for relay in relays:
            tell_of(relay, BEHIND_NAT)
        fail(world)
        for relay in relays:
            says(relay, ERROR, BEHIND_NAT, HolepunchError.NOT_CONNECTED)
        assert [len(heard(relay)) for relay in relays] == [1, 1, 0]
        assert world.engine.rendezvous_counts.refused == 2

    def test_relay_that_was_not_asked_cannot_refuse(self) -> None:
        world = World()
        one, two = join(world, "20.1.1.1"), join(world, "20.1.1.2")
        tell_of(one, BEHIND_NAT)
        fail(world)
        says(two, ERROR, BEHIND_NAT, HolepunchError.NOT_CONNECTED)
        assert world.engine.rendezvous_counts.refused == 0

    def test_who_is_wanted_by_another_dials_it(self) -> None:
        world = World()
        assert says(join(world, "20.1.1.1"), CONNECT, BEHIND_NAT) == [BEHIND_NAT]

    def test_such_an_address_is_tried_once(self) -> None:
        world = World()
        says(join(world, "20.1.1.1"), CONNECT, BEHIND_NAT)
        fail(world)
        world.pass_time(100)
        assert world.dialled == [BEHIND_NAT]

    @pytest.mark.parametrize(
        "endpoint",
        [
            Endpoint("127.0.0.1", 22),
            Endpoint("192.168.1.1", 80),
            Endpoint("fe80::1", 80),
            Endpoint("::1", 22),
            Endpoint("255.255.255.255", 80),
            Endpoint("20.3.3.3", 0),
            Endpoint("20.5.5.5", 6881),  # connected already
            Endpoint("20.9.9.9", 6881),  # ourselves
        ],
    )
    def test_nobody_sends_us_where_we_have_no_business(self, endpoint: Endpoint) -> None:
        world = World()
        world.tell(OwnAddressSeen("20.9.9.9", "tracker example.org"))
        join(world, "20.5.5.5")
        assert says(join(world, "20.1.1.1"), CONNECT, endpoint) == []
        assert world.engine.rendezvous_counts.ignored == 1

    def test_address_being_dialled_is_not_dialled_twice(self) -> None:
        world = World()
        world.tell(CandidatesFound([BEHIND_NAT], "tracker"))
        assert says(join(world, "20.1.1.1"), CONNECT, BEHIND_NAT) == []

    def test_nobody_sends_us_to_many(self) -> None:
        world = World()
        relay = join(world, "20.1.1.1")
        for number in range(100):
            says(relay, CONNECT, Endpoint(f"30.1.1.{number}", 6881))
        assert len(world.dialled) == world.settings.holepunch_burst
