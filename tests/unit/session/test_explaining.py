"""Why a transfer does not go faster: what only the host knows, beside what the engine finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarm.engine.explain import (
    Choked,
    FewPeers,
    MissingPieces,
    NoPeers,
    Ranked,
    SlowPeers,
    UnwrittenPieces,
)
from swarm.session.explaining import (
    HostFacts,
    NoSources,
    OurLimit,
    Reason,
    SeekingMetadata,
    SourcesFailing,
    of_download,
    of_fetch,
    of_sources,
)
from swarm.session.finding.sources import SourceStatus

TRACKER = SourceStatus("tracker", "http://t.example/announce", "working", peers=5, seeds=2, leechers=3)
REFUSED = replace(TRACKER, state="failed", error="connection refused", next_s=30.0, seeds=None)
NOTHING = HostFacts()
FAILING = SourcesFailing(1, 1, REFUSED.name, "connection refused", 30.0)


def test_our_limit_stands_first_and_peers_are_not_blamed_for_it() -> None:
    facts = HostFacts(down_limit=1e5)
    found = [Ranked(1.0, SlowPeers(2, 2, 1e5)), Ranked(0.2, FewPeers(2, 0))]
    assert of_download(found, facts, [TRACKER]) == [(1.0, OurLimit(1e5)), (0.2, FewPeers(2, 0))]


def test_choked_peers_are_told_with_what_we_give() -> None:
    found = [Ranked(1.0, Choked(7, 9))]
    assert of_download(found, HostFacts(up_limit=1e5), []) == [(1.0, Choked(7, 9, up_limit=1e5))]


def test_what_waits_in_memory_waits_for_the_processor_or_the_disk() -> None:
    found = [Ranked(1.0, UnwrittenPieces(10, 10))]
    (reason,) = of_download(found, HostFacts(hashing_share=0.75), [])
    assert reason == (1.0, UnwrittenPieces(10, 10, hashing_share=0.75))


def test_missing_pieces_are_told_with_the_seeds_that_a_tracker_counts() -> None:
    found = [Ranked(0.5, MissingPieces(1, 2, 7))]
    assert of_download(found, NOTHING, [REFUSED]) == [(0.5, MissingPieces(1, 2, 7))]
    assert of_download(found, NOTHING, [REFUSED, TRACKER]) == [(0.5, MissingPieces(1, 2, 7, 2))]


def test_without_peers_the_sources_that_fail_are_as_much_to_blame() -> None:
    found = [Ranked(1.0, NoPeers(0, 0))]
    assert of_download(found, NOTHING, [REFUSED]) == [(1.0, FAILING), (1.0, NoPeers(0, 0))]
    assert of_download(found, NOTHING, []) == [(1.0, NoSources()), (1.0, NoPeers(0, 0))]
    assert of_download(found, NOTHING, [TRACKER]) == [(1.0, NoPeers(0, 0))]


@pytest.mark.parametrize("unreached", [NoPeers(1, 0), NoPeers(0, 1)])
def test_who_has_named_a_peer_is_not_told_to_name_one(unreached: NoPeers) -> None:
    assert of_download([Ranked(1.0, unreached)], NOTHING, []) == [(1.0, unreached)]
    assert of_sources([], 0, 1) == []


@pytest.mark.parametrize(
    ("sources", "peers", "expected"),
    [
        ([REFUSED], 0, [Reason(1.0, FAILING)]),
        ([REFUSED], 3, [Reason(0.25, FAILING)]),
        ([REFUSED], 20, []),
        ([TRACKER, REFUSED], 0, [Reason(0.5, replace(FAILING, of=2))]),
        ([replace(TRACKER, state="off")], 0, [Reason(1.0, SourcesFailing(1, 1, TRACKER.name, "off", None))]),
        ([replace(TRACKER, state="asking")], 0, []),
        ([], 3, []),
    ],
)
def test_sources_matter_where_peers_are_few(
    sources: list[SourceStatus], peers: int, expected: list[Reason]
) -> None:
    assert of_sources(sources, peers) == expected


def test_magnet_link_waits_for_peers_or_for_its_metadata() -> None:
    seeking = Reason(1.0, SeekingMetadata(0, 0, None))
    assert of_fetch(0, 3, 0, None, [TRACKER]) == [(1.0, NoPeers(3, 0)), seeking]
    assert of_fetch(0, 0, 0, None, [REFUSED]) == [(1.0, FAILING), (1.0, NoPeers(0, 0)), seeking]
    assert of_fetch(0, 3, 0, None, []) == [(1.0, NoPeers(3, 0)), seeking]
    assert of_fetch(2, 3, 5, 9, [TRACKER]) == [(1.0, SeekingMetadata(2, 5, 9))]
