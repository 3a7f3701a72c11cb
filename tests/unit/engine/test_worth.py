"""Who is worth a place: seen at the desk alone."""

from __future__ import annotations

import random

import pytest

from swarm.engine.download.availability import Availability
from swarm.engine.download.holdings import Holdings
from swarm.engine.download.picker import Picker
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings
from swarm.engine.upload.spreading import Spreading
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.engine.worth import Worth
from tests.unit.engine.world import inside_of, read_drawing

SETTINGS = EngineSettings()


class Desk:
    """The desk of a torrent of which we `have` some, and want what has a priority."""

    def __init__(self, have: str = "    ", priorities: str = "1111") -> None:
        ours = read_drawing(have)
        rng = random.Random(1)
        availability = Availability(len(have))
        picker = Picker(ours, bytes(map(int, priorities)), availability, rng)
        super_seeding = SuperSeeding(
            ours, availability, 1 << 14, SETTINGS, rng, lambda *_: None, lambda _: None
        )
        self.holdings = Holdings(
            availability, picker, Spreading(ours, SETTINGS), super_seeding, lambda *_: None
        )
        self.peers: dict[int, Peer] = {}
        self.worth = Worth(ours, self.peers, picker, self.holdings, self._drop)
        #: Why each has left.
        self.left: dict[int, str] = {}

    def _drop(self, peer: Peer, reason: str, now: float, *, is_welcome: bool = False) -> None:
        assert is_welcome
        del self.peers[peer.number]
        self.left[peer.number] = reason

    def peer(self, have: str | None = "    ", *, is_upload_only: bool = False) -> Peer:
        """One that has said what it has; None: it has not."""
        peer = inside_of(len(self.peers) + 1, "    ")
        peer.is_upload_only = is_upload_only
        self.peers[peer.number] = peer
        if have is not None:
            self.holdings.introduced(peer, read_drawing(have))
        return peer


@pytest.mark.parametrize(
    ("have", "priorities", "theirs", "is_upload_only", "reason"),
    [
        ("****", "1111", "****", False, "both of us have everything"),
        ("**  ", "1100", "****", False, "we have all that we want"),
        ("**  ", "1100", "  **", True, "both of us have all that we want"),
        ("*   ", "1100", "* **", True, "it has nothing for us"),
        ("*   ", "1100", "****", True, None),
        ("*   ", "1100", "*   ", False, None),
        ("****", "1111", "*** ", False, None),
        ("****", "1111", None, True, None),
    ],
)
def test_two_that_want_nothing_of_each_other_part(
    have: str, priorities: str, theirs: str | None, is_upload_only: bool, reason: str | None
) -> None:
    desk = Desk(have, priorities)
    peer = desk.peer(theirs, is_upload_only=is_upload_only)
    desk.worth.part_if_useless(peer, 0.0)
    assert desk.left.get(peer.number) == reason


def test_one_that_only_gives_and_wants_something_all_the_same_is_kept() -> None:
    desk = Desk("****")
    peer = desk.peer("*** ", is_upload_only=True)
    peer.peer_interested = True
    desk.worth.part_if_useless(peer, 0.0)
    assert not desk.left


def test_of_all_only_the_useless_are_parted_from() -> None:
    desk = Desk("****")
    for theirs in ("****", "*   ", "****"):
        desk.peer(theirs)
    desk.worth.part_from_useless(0.0)
    assert desk.left.keys() == {1, 3}


@pytest.mark.parametrize(
    ("have", "theirs", "is_dearth"),
    [
        ("*   ", [], False),
        ("*   ", ["*   ", "    "], True),
        ("*   ", ["*   ", "**  "], False),
        ("****", ["*   "], False),
    ],
)
def test_dearth_is_where_nobody_has_what_we_lack(have: str, theirs: list[str], is_dearth: bool) -> None:
    desk = Desk(have)
    for pieces in theirs:
        desk.peer(pieces)
    assert desk.worth.is_dearth == is_dearth


@pytest.mark.parametrize(
    ("have", "theirs", "is_upload_only", "was_useless"),
    [
        ("*   ", "*   ", True, True),
        ("*   ", "*   ", False, False),
        ("*   ", "**  ", True, False),
        ("****", "*   ", True, False),
    ],
)
def test_useless_was_who_wants_nothing_and_had_nothing_for_us(
    have: str, theirs: str, is_upload_only: bool, was_useless: bool
) -> None:
    desk = Desk(have)
    assert desk.worth.was_useless(desk.peer(theirs, is_upload_only=is_upload_only)) == was_useless
