"""What all that know of addresses hear together: who may come in, where it is, whether it may come again."""

from __future__ import annotations

import random
from collections.abc import Sequence

from swarm.base.endpoint import Endpoint, packed_host
from swarm.base.ids import PeerId
from swarm.engine.alarms import Alarms
from swarm.engine.events import PeerConnected
from swarm.engine.finding.addresses import Addresses
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import ExtendedHandshake
from swarm.wire.peer.messages import Message
from tests.unit.engine.world import OWN_ID, inside_of

SETTINGS = EngineSettings(connections_max=1)
THERE = Endpoint("20.1.1.1", 6881)


class Desk:
    """The addresses of a torrent with room for one peer."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.peers: dict[int, Peer] = {}
        self.book = PeerBook(OWN_ID, SETTINGS, random.Random(1), self.now)
        self.addresses = Addresses(
            self.peers, self.book, SETTINGS, self.send, Alarms(), listen_port=6881, is_private=False
        )

    def send(self, peer: Peer, messages: Sequence[Message]) -> None:
        pass

    def dial(self) -> list[Endpoint]:
        return self.book.take(len(self.peers), skip_seeds=False, now=self.now)

    def peer(self, number: int, endpoint: Endpoint, *, is_outgoing: bool) -> Peer:
        peer = inside_of(number, "    ", endpoint=endpoint, is_outgoing=is_outgoing, now=self.now)
        self.peers[number] = peer
        self.addresses.connected(peer, self.now)
        return peer

    def lose(self, peer: Peer, *, is_welcome: bool) -> None:
        del self.peers[peer.number]
        self.addresses.lost(peer, self.now, is_welcome=is_welcome, is_lost=False)


def test_dialled_peer_that_finds_no_room_is_dialled_again_later() -> None:
    desk = Desk()
    desk.book.found([THERE], "tracker", desk.now)
    assert desk.dial() == [THERE]
    desk.peer(1, Endpoint("30.1.1.1", 1), is_outgoing=False)
    event = PeerConnected(2, THERE, PeerId(b"2" * 20), is_outgoing=True, has_fast=True, has_extended=True)
    assert desk.addresses.places.entry(event, desk.now) == ("there are enough connections", None)
    assert desk.book.dialling_count == 0 and desk.book.candidate_count == 1
    desk.peers.clear()
    assert desk.dial() == []
    desk.now += 2 * SETTINGS.redial_s
    assert desk.dial() == [THERE]


def test_first_port_that_a_peer_names_is_where_it_listens() -> None:
    desk = Desk()
    desk.book.found([THERE], "tracker", desk.now)
    peer = desk.peer(1, Endpoint(THERE.host, 40_000), is_outgoing=False)
    for port in (THERE.port, 1234):
        desk.addresses.introduced(peer, ExtendedHandshake({}, listen_port=port), desk.now)
    assert peer.listens_at == THERE
    assert desk.book.candidate_count == 0, "it is here already"


def test_two_peers_that_name_our_address_are_believed_and_one_is_not() -> None:
    desk = Desk()
    own = Endpoint("50.1.1.1", 6881)
    handshake = ExtendedHandshake({}, your_ip=packed_host(own.host))
    for number, host in ((1, "30.1.1.1"), (2, "30.1.1.1"), (3, "40.1.1.1")):
        assert desk.addresses._own.seen_from(THERE) is None
        peer = desk.peer(number, Endpoint(host, number), is_outgoing=False)
        desk.addresses.introduced(peer, handshake, desk.now)
    assert desk.addresses._own.seen_from(THERE) == own


def test_who_has_served_us_may_come_again_whatever_the_link_ended_for() -> None:
    for served_bytes, is_known in ((0, False), (1, True)):
        desk = Desk()
        desk.book.found([THERE], "tracker", desk.now)
        desk.dial()
        peer = desk.peer(1, THERE, is_outgoing=True)
        peer.download.add(served_bytes)
        desk.lose(peer, is_welcome=False)
        assert desk.book.candidate_count == is_known
