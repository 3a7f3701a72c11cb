"""Peers come and go: what the engines of torrents and of magnet links do alike."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from swarm.base.endpoint import Endpoint
from swarm.base.errors import FloodError, PeerError
from swarm.base.ids import PeerId
from swarm.engine.commands import BanHost, Dial, DropPeer, LinkCommand, SeekPeers
from swarm.engine.company import SUSPECTS_MAX, Company
from swarm.engine.events import CandidatesFound, PeerConnected, PeerLost
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.finding.places import Places
from swarm.engine.settings import EngineSettings

NOW = 1000.0


@dataclass
class Guest:
    number: int
    endpoint: Endpoint
    peer_id: PeerId
    is_outgoing: bool = False
    connected_at: float = NOW
    has_sent: bool = False


class NobodyYields:
    def to_newcomer(self, newcomer: Endpoint, now: float) -> Guest | None:
        return None

    def idle(self, now: float) -> Guest | None:
        return None


class FirstYields(NobodyYields):
    def __init__(self, peers: dict[int, Guest]) -> None:
        self.peers = peers

    def to_newcomer(self, newcomer: Endpoint, now: float) -> Guest | None:
        return next(iter(self.peers.values()))


@dataclass
class Host:
    """A company, and what it wants done."""

    settings: EngineSettings = field(default_factory=EngineSettings)
    is_yielding: bool = False
    is_seeking: bool = True
    peers: dict[int, Guest] = field(default_factory=dict)
    commands: list[LinkCommand] = field(default_factory=list)

    def __post_init__(self) -> None:
        book = PeerBook(PeerId(b"-SW0100-ourselves..."), self.settings, random.Random(1), NOW)
        yielding = FirstYields(self.peers) if self.is_yielding else NobodyYields()
        self.company: Company[Guest] = Company(
            self.peers,
            book,
            Places(self.peers, book, self.settings, yielding),
            self.settings,
            self.commands.append,
            welcome=self.welcome,
            forget=self.forget,
            is_seeking=lambda: self.is_seeking,
            skips_seeds=lambda: False,
        )

    def welcome(self, event: PeerConnected, now: float) -> None:
        self.peers[event.peer] = Guest(event.peer, event.endpoint, event.peer_id)

    def forget(self, peer: Guest, now: float, *, is_welcome: bool, is_lost: bool) -> bool:
        del self.peers[peer.number]
        return peer.has_sent

    def connect(self, number: int) -> Guest | None:
        peer_id = PeerId(f"-XX1230-{number:012}".encode())
        endpoint = Endpoint(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 7)
        self.company.connected(PeerConnected(number, endpoint, peer_id, False, True, True), NOW)
        return self.peers.get(number)

    def taken(self, *kinds: type) -> list[LinkCommand]:
        taken = [command for command in self.commands if isinstance(command, kinds)]
        self.commands.clear()
        return taken


def test_one_who_yields_leaves_when_the_newcomer_is_in_and_nobody_is_dialled_for_the_place() -> None:
    host = Host(EngineSettings(connections_max=1), is_yielding=True)
    assert host.connect(1) is not None
    host.company.found(CandidatesFound([Endpoint("10.9.9.9", 7)], "tracker"), NOW)
    assert host.connect(2) is not None
    assert list(host.peers) == [2]
    (dropped,) = host.taken(DropPeer, Dial)
    assert isinstance(dropped, DropPeer) and dropped.peer == 1 and not dropped.is_fault


def test_newcomer_is_refused_where_all_places_are_taken_and_nobody_yields() -> None:
    host = Host(EngineSettings(connections_max=1))
    host.connect(1)
    assert host.connect(2) is None
    assert host.taken(DropPeer) == [DropPeer(2, "there are enough connections", False)]


def test_breach_ends_a_link_and_a_flood_bans_the_address() -> None:
    host = Host()
    one, two = host.connect(1), host.connect(2)
    assert one is not None and two is not None
    host.company.offended(one, PeerError("it mumbles"), NOW)
    assert host.taken(DropPeer, BanHost) == [DropPeer(1, "it mumbles", True)]
    host.company.offended(two, FloodError("it shouts"), NOW)
    assert host.taken(DropPeer, BanHost) == [
        BanHost(two.endpoint, "it shouts"),
        DropPeer(2, "it shouts", True),
    ]
    assert not host.peers


def test_liar_is_banned_when_it_is_proven_be_it_here_or_gone() -> None:
    host = Host()
    here, gone = host.connect(1), host.connect(2)
    assert here is not None and gone is not None
    gone.has_sent = True
    host.company.lost(PeerLost(2, "it left"), NOW)
    host.taken()
    host.company.convict(2, "wrong data", NOW)
    host.company.convict(1, "wrong data", NOW)
    assert host.taken(BanHost) == [BanHost(gone.endpoint, "wrong data"), BanHost(here.endpoint, "wrong data")]


def test_liar_is_banned_once_however_much_is_proven() -> None:
    host = Host()
    here, gone = host.connect(1), host.connect(2)
    assert here is not None and gone is not None
    here.has_sent = gone.has_sent = True
    host.company.lost(PeerLost(2, "it left"), NOW)
    for _piece in range(3):
        host.company.convict(1, "wrong data", NOW)
        host.company.convict(2, "wrong data", NOW)
    assert host.taken(BanHost) == [BanHost(here.endpoint, "wrong data"), BanHost(gone.endpoint, "wrong data")]


def test_of_those_gone_only_they_who_sent_something_are_suspected_and_not_for_ever() -> None:
    host = Host(is_seeking=False)
    for number in range(SUSPECTS_MAX + 3):
        guest = host.connect(number)
        assert guest is not None
        guest.has_sent = number > 0
        host.company.lost(PeerLost(number, "it left"), NOW)
    host.taken()
    for number in (0, 1, 2):
        host.company.convict(number, "wrong data", NOW)
    assert host.taken(BanHost) == []
    host.company.convict(3, "wrong data", NOW)
    assert len(host.taken(BanHost)) == 1


def test_sources_are_asked_for_more_when_a_peer_has_gone_unless_nothing_is_needed() -> None:
    host = Host()
    host.connect(1)
    host.company.lost(PeerLost(1, "it left"), NOW)
    assert host.taken(SeekPeers) == [SeekPeers()]
    host.is_seeking = False
    host.connect(2)
    host.company.lost(PeerLost(2, "it left"), NOW)
    assert host.taken(SeekPeers) == []
