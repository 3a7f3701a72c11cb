"""Each slot of a peer is written by one desk alone."""

from __future__ import annotations

import sys
from collections import defaultdict

import pytest

import swarm.engine.torrent
from swarm.engine.peer import Peer
from tests.sim.worlds import disturbed, ran, small


def test_each_slot_of_a_peer_is_written_by_one_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    writers: dict[str, set[str]] = defaultdict(set)

    class Watched(Peer):
        __slots__ = ()

        def __setattr__(self, name: str, value: object) -> None:
            writers[name].add(sys._getframe(1).f_globals["__name__"])
            super().__setattr__(name, value)

    monkeypatch.setattr(swarm.engine.torrent, "Peer", Watched)
    for name in ("seeder-leaves", "free-riders", "poisoners"):
        ran(disturbed(small(name, 8)), 1)
    for modules in writers.values():
        modules.discard(Peer.__module__)
    assert writers["peer_choking"] and writers["untold"] and writers["refused"], "little was seen"
    assert {slot: modules for slot, modules in writers.items() if len(modules) > 1} == {}
