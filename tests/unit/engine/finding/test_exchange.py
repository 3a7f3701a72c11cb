"""Peer exchange at the engine's door: whom we tell of whom, and whom of theirs we dial."""

from __future__ import annotations

import pytest

from swarm.base.endpoint import Endpoint
from swarm.engine.events import DialFailed
from swarm.engine.finding.hearsay import is_in_sight
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import LOCAL_IDS, ExtendedHandshake, encode_extended_handshake
from swarm.wire.peer.messages import Extended, KeepAlive
from swarm.wire.peer.pex import (
    Contact,
    ContactFlags,
    PeerExchange,
    decode_peer_exchange,
    encode_peer_exchange,
)
from tests.unit.engine.world import FakePeer, World

#: What the fakes call the extension; ours is another number.
THEIR_ID = 77
REACHABLE = ContactFlags.REACHABLE


def introduce(peer: FakePeer, *, pex: int = THEIR_ID, port: int | None = None, **claims: bool) -> FakePeer:
    """`peer` says which extensions it has, and where it listens."""
    handshake = ExtendedHandshake(extensions={"ut_pex": pex}, listen_port=port, **claims)  # type: ignore[arg-type]
    peer.says(Extended(0, encode_extended_handshake(handshake)))
    return peer


def join(world: World, have: str = "", **options: object) -> FakePeer:
    """A peer that we dialled and that speaks PEX."""
    options = {"is_outgoing": True, **options}
    return introduce(world.connect(have or None, has_extended=True, **options))  # type: ignore[arg-type]


def told(peer: FakePeer) -> list[PeerExchange]:
    return [
        decode_peer_exchange(message.payload)
        for message in peer.heard
        if isinstance(message, Extended) and message.extended_id == THEIR_ID
    ]


def tells(peer: FakePeer, *added: Endpoint | Contact, dropped: tuple[Endpoint, ...] = ()) -> None:
    contacts = [contact if isinstance(contact, Contact) else Contact(contact) for contact in added]
    payload = encode_peer_exchange(PeerExchange(contacts, dropped))
    peer.says(Extended(LOCAL_IDS["ut_pex"], payload))


def public(count: int, network: int = 20) -> list[Endpoint]:
    """Addresses of the wide world, each of a host of its own."""
    return [Endpoint(f"{network}.1.{number >> 8}.{number & 255}", 6881) for number in range(count)]


class TestTelling:
    def test_first_message_comes_soon_and_names_all_but_the_one_who_is_told(self) -> None:
        world = World()
        one, two = join(world), join(world)
        assert told(one) == []
        world.pass_time(2)
        assert told(one) == [PeerExchange([Contact(two.endpoint, REACHABLE)], [])]
        assert told(two) == [PeerExchange([Contact(one.endpoint, REACHABLE)], [])]

    def test_next_comes_a_minute_later_with_the_changes_alone(self) -> None:
        world = World()
        one, two = join(world), join(world)
        world.pass_time(2)
        three = join(world)
        two.leaves()
        world.pass_time(50)
        assert len(told(one)) == 1
        world.pass_time(12)
        assert told(one)[1:] == [PeerExchange([Contact(three.endpoint, REACHABLE)], [two.endpoint])]

    def test_nothing_is_sent_where_nothing_has_changed(self) -> None:
        world = World()
        one, _ = join(world), join(world)
        world.pass_time(170)
        assert len(told(one)) == 1

    def test_who_came_and_went_meanwhile_is_not_mentioned(self) -> None:
        world = World()
        one, _ = join(world), join(world)
        world.pass_time(2)
        join(world).leaves()
        world.pass_time(120)
        assert len(told(one)) == 1

    def test_after_a_long_silence_a_change_is_told_at_once(self) -> None:
        world = World()
        one, two = join(world), join(world)
        world.pass_time(150)
        two.leaves()
        world.pass_time(1.5)
        assert told(one)[-1] == PeerExchange([], [two.endpoint])

    def test_flags_say_what_peers_are(self) -> None:
        world = World(pieces=2)
        one = join(world)
        seed = world.connect("**", has_extended=True)
        claims = ExtendedHandshake({"ut_holepunch": 9}, listen_port=5000, prefers_encryption=True)
        seed.says(Extended(0, encode_extended_handshake(claims)))
        world.pass_time(2)
        flags = ContactFlags.UPLOAD_ONLY | ContactFlags.HOLEPUNCH | ContactFlags.PREFERS_ENCRYPTION
        assert told(one) == [PeerExchange([Contact(Endpoint(seed.endpoint.host, 5000), flags)], [])]

    def test_where_an_incoming_link_came_from_is_told_to_nobody(self) -> None:
        world = World()
        one = join(world)
        join(world, is_outgoing=False)
        world.pass_time(100)
        assert told(one) == []

    def test_no_more_than_fifty_are_told_a_minute_and_in_the_end_all(self) -> None:
        world = World(settings=EngineSettings(connections_max=200))
        one = join(world)
        others = {join(world).endpoint for _ in range(120)}
        world.pass_time(2)
        assert [len(message.added) for message in told(one)] == [50]
        world.pass_time(130)
        assert [len(message.added) for message in told(one)] == [50, 50, 20]
        assert {contact.endpoint for message in told(one) for contact in message.added} == others
        for number in [number for number in world.peers if number != one.number]:
            world.peers[number].leaves()
        one.says(KeepAlive())
        world.pass_time(170)
        assert [len(message.dropped) for message in told(one)] == [0, 0, 0, 50, 50, 20]

    def test_who_does_not_speak_it_or_has_switched_it_off_is_told_nothing(self) -> None:
        world = World()
        join(world)
        silent = introduce(world.connect(has_extended=True), pex=0)
        changed = join(world)
        introduce(changed, pex=0)
        world.pass_time(100)
        assert told(silent) == told(changed) == []

    def test_local_addresses_are_told_on_the_local_network_alone(self) -> None:
        world = World()
        near = join(world)
        far = join(world, endpoint=Endpoint("20.1.1.1", 6881))
        world.pass_time(2)
        assert [contact.endpoint for contact in told(near)[0].added] == [far.endpoint]
        assert told(far) == []

    @pytest.mark.parametrize(
        "options", [{"is_private": True}, {"settings": EngineSettings(is_exchanging=False)}]
    )
    def test_private_or_switched_off_nothing_is_told_offered_or_believed(
        self, options: dict[str, object]
    ) -> None:
        world = World(**options)  # type: ignore[arg-type]
        one, two = join(world), join(world)
        tells(one, *public(3))
        world.pass_time(150)
        assert told(one) == told(two) == [] and world.dialled == []
        (greeting,) = (message for message in one.heard if isinstance(message, Extended))
        assert b"ut_pex" not in greeting.payload and b"ut_holepunch" not in greeting.payload


class TestBelieving:
    def test_addresses_are_dialled(self) -> None:
        world = World()
        tells(join(world), *public(3), Endpoint("2a00:1450::5", 7))
        assert set(world.dialled) == {*public(3), Endpoint("2a00:1450::5", 7)}

    @pytest.mark.parametrize(
        "endpoint",
        [
            Endpoint("0.0.0.0", 1),
            Endpoint("224.0.0.5", 1),
            Endpoint("255.255.255.255", 1),
            Endpoint("ff02::1", 1),
            Endpoint("::", 1),
            Endpoint("127.0.0.1", 22),
            Endpoint("::1", 22),
        ],
    )
    def test_impossible_addresses_are_passed_over(self, endpoint: Endpoint) -> None:
        world = World()
        tells(join(world), endpoint)
        assert world.dialled == []

    def test_stranger_cannot_send_us_into_our_own_network(self) -> None:
        world = World()
        inside = [Endpoint("192.168.1.1", 80), Endpoint("10.0.0.77", 80), Endpoint("fe80::1", 80)]
        tells(join(world, endpoint=Endpoint("20.1.1.1", 6881)), *inside)
        assert world.dialled == []
        tells(join(world), *inside[:2])
        assert set(world.dialled) == set(inside[:2])

    def test_known_and_connected_peers_are_not_dialled_again(self) -> None:
        world = World()
        one, two = join(world), join(world)
        came = introduce(world.connect(has_extended=True), port=5000)
        tells(one, two.endpoint, Endpoint(came.endpoint.host, 5000))
        assert world.dialled == []

    def test_one_host_is_dialled_once_whatever_its_ports(self) -> None:
        world = World()
        one = join(world)
        tells(one, Endpoint("20.1.1.1", 1), Endpoint("20.1.1.1", 2))
        tells(one, Endpoint("20.1.1.1", 3))
        assert len(world.dialled) == 1

    def test_seed_does_not_dial_seeds(self) -> None:
        world = World(have="****")
        seed, leech = public(2)
        tells(join(world), Contact(seed, ContactFlags.UPLOAD_ONLY), leech)
        assert world.dialled == [leech]

    def test_flood_in_one_message_is_bounded(self) -> None:
        settings = EngineSettings(dials_per_s=0.001, dial_burst=1)
        world = World(settings=settings)
        tells(join(world), *public(10_000))
        assert world.engine.stats(world.now).candidates + len(world.dialled) == settings.pex_untried_max

    def test_all_sources_together_get_no_more_than_their_share(self) -> None:
        settings = EngineSettings(candidates_max=300, dials_per_s=0.001, dial_burst=1)
        world = World(settings=settings)
        for network in range(20, 30):
            tells(join(world, endpoint=Endpoint(f"{network}.9.9.9", 1)), *public(100, network))
        assert 148 <= world.engine.stats(world.now).candidates <= 150

    def test_too_many_messages_are_not_read_and_in_the_end_drop_the_peer(self) -> None:
        world = World()
        one = join(world)
        for number in range(20):
            if one.drop_reason is None:
                tells(one, *public(1, 20 + number))
        assert one.drop_reason == "it floods us with peer exchange"
        assert len(world.dialled) == world.settings.pex_burst

    def test_nonsense_is_passed_over_until_it_is_too_much(self) -> None:
        world = World()
        one = join(world)
        for _ in range(world.settings.pex_abuses_max):
            one.says(Extended(LOCAL_IDS["ut_pex"], b"nonsense"))
        assert one.drop_reason is None
        one.says(Extended(LOCAL_IDS["ut_pex"], b""))
        assert one.drop_reason == "it floods us with peer exchange"

    def test_honest_peer_may_send_one_a_minute_for_ever(self) -> None:
        world = World(settings=EngineSettings(dial_failures_max=1, pex_failures_max=100))
        one = join(world)
        for number in range(60):
            world.pass_time(60)
            told_of = Endpoint(f"20.1.{number}.1", 1)
            tells(one, told_of)
            world.tell(DialFailed(told_of, "no answer"))
        assert one.drop_reason is None and len(set(world.dialled)) == 60

    def test_who_told_of_nobody_who_answers_is_believed_no_more(self) -> None:
        world = World(settings=EngineSettings(dial_burst=100, half_open_max=100, connections_max=300))
        liar = join(world, endpoint=Endpoint("30.1.1.1", 1))
        lies = public(world.settings.pex_failures_max)
        tells(liar, *lies)
        for endpoint in lies:
            world.tell(DialFailed(endpoint, "no answer"))
        fresh = Endpoint("40.1.1.1", 1)
        tells(liar, fresh)
        # Nor when it comes again under another name.
        liar.leaves()
        tells(join(world, endpoint=Endpoint("30.1.1.1", 2)), fresh)
        assert fresh not in world.dialled
        tells(join(world, endpoint=Endpoint("31.1.1.1", 1)), fresh)
        assert fresh in world.dialled

    def test_whom_the_host_had_no_place_for_is_not_held_against_who_named_it(self) -> None:
        world = World(settings=EngineSettings(dial_burst=100, half_open_max=100, connections_max=300))
        one = join(world, endpoint=Endpoint("30.1.1.1", 1))
        named = public(world.settings.pex_failures_max)
        tells(one, *named)
        for endpoint in named:
            world.tell(DialFailed(endpoint, "there are enough connections", is_tried=False))
        fresh = Endpoint("40.1.1.1", 1)
        tells(one, fresh)
        assert fresh in world.dialled

    def test_seeds_named_to_a_leecher_do_not_count_once_it_is_a_seed(self) -> None:
        world = World(settings=EngineSettings(half_open_max=1))
        seed, one = world.seed(), join(world, endpoint=Endpoint("30.1.1.1", 1))
        named = public(world.settings.pex_untried_max)
        tells(one, *(Contact(endpoint, ContactFlags.UPLOAD_ONLY) for endpoint in named))
        seed.sends()
        assert world.verified.is_full
        (leech,) = public(1, 40)
        tells(one, leech)
        (first,) = world.dialled
        world.tell(DialFailed(first, "no answer"))
        world.pass_time(1)
        assert world.dialled == [first, leech]

    def at_its_limit(self) -> tuple[World, FakePeer, Endpoint, list[Endpoint]]:
        """Who has named as many as it may, which of them is being dialled, and the others, who wait."""
        world = World(settings=EngineSettings(half_open_max=1, connections_max=300))
        one = join(world, endpoint=Endpoint("30.1.1.1", 1))
        named = public(world.settings.pex_untried_max)
        tells(one, *named)
        (first,) = world.dialled
        return world, one, first, [endpoint for endpoint in named if endpoint != first]

    def test_those_who_come_to_us_themselves_speak_for_who_named_them(self) -> None:
        world, one, first, waiting = self.at_its_limit()
        for endpoint in waiting:
            came = world.connect(endpoint=Endpoint(endpoint.host, 50_000), has_extended=True)
            introduce(came, port=endpoint.port)
        tells(one, *public(1, 40))
        world.tell(DialFailed(first, "no answer"))
        world.pass_time(1)
        assert world.dialled == [first, *public(1, 40)]

    def test_the_banned_do_not_count_among_those_that_wait(self) -> None:
        world, one, first, waiting = self.at_its_limit()
        for endpoint in waiting:
            world.engine._book.ban(endpoint, None)
        tells(one, *public(1, 40))
        world.tell(DialFailed(first, "no answer"))
        world.pass_time(1)
        assert world.dialled == [first, *public(1, 40)]

    def test_addresses_to_which_no_way_leads_from_here_are_not_held_against_who_named_them(self) -> None:
        world = World(settings=EngineSettings(dial_burst=100, half_open_max=100, connections_max=300))
        one = join(world, endpoint=Endpoint("30.1.1.1", 1))
        named = [Endpoint(f"2a00:1450::1:{number:x}", 1) for number in range(world.settings.pex_failures_max)]
        tells(one, *named)
        for endpoint in named:
            world.tell(DialFailed(endpoint, "network is unreachable", has_way=False))
        tells(one, *public(1))
        assert sorted(world.dialled) == sorted([*named, *public(1)])

    def test_who_is_back_where_he_was_may_be_named_again(self) -> None:
        world = World(settings=EngineSettings(dial_failures_max=1))
        one = join(world, endpoint=Endpoint("30.1.1.1", 1))
        (named,) = public(1)
        tells(one, named)
        world.tell(DialFailed(named, "no answer"))
        tells(one, Endpoint(named.host, named.port + 1))
        assert world.dialled == [named]
        tells(one, named)
        assert world.dialled == [named, named]

    def test_one_who_answers_restores_belief(self) -> None:
        world = World(settings=EngineSettings(dial_burst=100, half_open_max=100, connections_max=300))
        one = join(world, endpoint=Endpoint("30.1.1.1", 1))
        good, *bad = public(world.settings.pex_failures_max + 1)
        tells(one, good, *bad)
        for endpoint in bad:
            world.tell(DialFailed(endpoint, "no answer"))
        world.connect(endpoint=good, is_outgoing=True)
        fresh = Endpoint("40.1.1.1", 1)
        tells(one, fresh)
        assert fresh in world.dialled


@pytest.mark.parametrize(
    ("contact", "viewer", "is_seen"),
    [
        ("20.1.1.1", "30.1.1.1", True),
        ("20.1.1.1", "192.168.1.1", True),
        ("192.168.1.1", "20.1.1.1", False),
        ("192.168.1.1", "10.1.1.1", True),
        ("192.168.1.1", "127.0.0.1", True),
        ("127.0.0.1", "192.168.1.1", False),
        ("::1", "127.0.0.1", True),
        ("fe80::1", "2a00:1450::1", False),
        ("fe80::1%3", "fe80::2%3", False),
    ],
)
def test_who_may_know_of_whom(contact: str, viewer: str, is_seen: bool) -> None:
    assert is_in_sight(Endpoint(contact, 1), Endpoint(viewer, 1)) is is_seen
