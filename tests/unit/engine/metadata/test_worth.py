"""Who can give the metadata, and whose place is for others: seen at the desk alone."""

from __future__ import annotations

import random

from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.engine.events import PeerConnected
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.metadata.peer import MetadataPeer
from swarm.engine.metadata.worth import MetadataWorth
from swarm.engine.settings import EngineSettings

SETTINGS = EngineSettings(connections_max=4)
#: When who came at 0 and has not helped is of no use.
LATE = SETTINGS.metadata_useless_s


class Desk:
    """The desk, and peers of which every second one was dialled by us."""

    def __init__(self, count: int) -> None:
        self.book = PeerBook(PeerId(b"-SW0100-ourselves..."), SETTINGS, random.Random(1), 0.0)
        self.peers: dict[int, MetadataPeer] = {}
        self.worth = MetadataWorth(self.peers, self.book, SETTINGS)
        for number in range(count):
            came = PeerConnected(
                number,
                Endpoint(f"203.0.113.{number}", 6881),
                PeerId(b"-XX0000-%012d" % number),
                is_outgoing=number % 2 == 0,
                has_fast=True,
                has_extended=True,
            )
            self.peers[number] = MetadataPeer(came, SETTINGS, 0.0)

    def others_wait(self) -> None:
        self.book.found([Endpoint("203.0.113.99", 6881)], "tracker", 0.0)

    def leaving(self, now: float) -> list[int]:
        return [peer.number for peer in self.worth.leaving(now)]


def test_nobody_leaves_while_there_is_room_or_nobody_waits() -> None:
    full, roomy = Desk(4), Desk(3)
    roomy.others_wait()
    assert full.leaving(LATE) == roomy.leaving(LATE) == []


def test_half_of_the_useless_leave_where_others_wait() -> None:
    desk = Desk(4)
    desk.others_wait()
    assert desk.leaving(LATE - 1) == []
    assert desk.leaving(LATE) == [0, 1]
    desk.peers[0].helped_at = LATE
    desk.peers[1].asked[0] = LATE
    assert desk.leaving(LATE) == [2]


def test_only_who_came_by_itself_yields_to_one_that_we_dial() -> None:
    desk = Desk(4)
    assert desk.worth.idle(LATE - 1) is None
    assert desk.worth.idle(LATE) is desk.peers[1]
    desk.peers[1].helped_at = LATE
    assert desk.worth.idle(LATE) is desk.peers[3]


def test_there_is_hope_while_somebody_who_was_never_late_is_asked() -> None:
    desk = Desk(0)
    assert not desk.worth.is_dearth
    desk = Desk(2)
    assert desk.worth.is_dearth
    desk.peers[0].asked[0] = 0.0
    assert not desk.worth.is_dearth
    desk.peers[0].late.add(0)
    assert desk.worth.is_dearth
