from __future__ import annotations

import json

import pytest

from swarm.cli.explanation import fields, lines, text_of
from swarm.engine.explain import (
    Choked,
    FewPeers,
    MissingPieces,
    NoPeers,
    NothingForUs,
    NothingToAsk,
    NothingWanted,
    PieceMemory,
    RequestWindow,
    SlowPeers,
    Unanswered,
    UnwrittenPieces,
)
from swarm.session.explaining import (
    Cause,
    Checking,
    DiskHeld,
    Ended,
    NoSources,
    OurLimit,
    Reason,
    SeekingMetadata,
    SourcesFailing,
)

MIB = 1 << 20

#: What people read; and the name that programs read, which stays as it is.
WORDS: list[tuple[Cause, str, str]] = [
    (NothingWanted(), "nothing_wanted", "everything wanted is here"),
    (NoPeers(0, 0), "no_peers", "no peers, and no address of any is known"),
    (NoPeers(1, 2), "no_peers", "no peers: 2 being tried now, 1 address to be tried later"),
    (FewPeers(1, 0), "few_peers", "few peers: only 1, no further address is known"),
    (FewPeers(2, 5), "few_peers", "few peers: only 2, 5 addresses to be tried"),
    (
        MissingPieces(2, 3, 7),
        "missing_pieces",
        "nobody connected has 2 of the 3 missing pieces (such as 7)",
    ),
    (
        MissingPieces(3, 3, 7, 0),
        "missing_pieces",
        "nobody connected has any of the 3 missing pieces (such as 7); a tracker counts 0 seeds",
    ),
    (
        MissingPieces(1, 1, 7, 1),
        "missing_pieces",
        "nobody connected has the last missing piece (7); a tracker counts 1 seed",
    ),
    (NothingForUs(1, 1), "nothing_for_us", "the only peer has nothing that is missing here"),
    (NothingForUs(2, 2), "nothing_for_us", "all 2 peers have nothing that is missing here"),
    (
        Choked(7, 9),
        "choked",
        "choked by 7 of 9 peers: they serve others, first those who give to them",
    ),
    (
        Choked(1, 1, 100 << 10),
        "choked",
        "choked by the only peer: it serves others, first those who give to it "
        "(we give no more than 100 KiB/s: --up)",
    ),
    (Unanswered(1, 2), "unanswered", "1 of 2 peers was asked and sends nothing; others are asked as well"),
    (
        NothingToAsk(2, 3),
        "nothing_to_ask",
        "2 of 3 peers are idle: all that they could send is asked of others already",
    ),
    (SlowPeers(2, 9, MIB), "slow_peers", "their limit: 2 of 9 peers send 1.00 MiB/s, with more asked for"),
    (
        RequestWindow(1, 2, 250, MIB),
        "request_window",
        "the request window: 1 of 2 peers is far away and takes 250 requests at a time, "
        "which makes 1.00 MiB/s",
    ),
    (UnwrittenPieces(MIB, MIB), "unwritten_pieces", "the disk: 1.00 MiB wait to be written"),
    (UnwrittenPieces(MIB, MIB, 0.9), "unwritten_pieces", "hashing: 1.00 MiB wait for the processor"),
    (UnwrittenPieces(MIB, MIB, 0.1), "unwritten_pieces", "the disk: 1.00 MiB wait to be written"),
    (PieceMemory(MIB, MIB), "piece_memory", "memory: the pieces begun take all of their 1.00 MiB"),
    (Checking(0, MIB), "checking", "hashing what is on disk first: 0 B of 1.00 MiB"),
    (DiskHeld("/x: the disk is full"), "disk_held", "the disk: /x: the disk is full"),
    (OurLimit(MIB), "our_limit", "our limit: no more than 1.00 MiB/s is wanted (--down)"),
    (
        SourcesFailing(1, 2, "http://t.example/secret/announce", "connection refused", 90.0),
        "sources_failing",
        "1 of 2 sources of peers fails: tracker t.example: connection refused; next try in 1:30",
    ),
    (
        SourcesFailing(1, 1, "dht", "no node answers", None),
        "sources_failing",
        "the only source of peers fails: dht: no node answers",
    ),
    (NoSources(), "no_sources", "no source of peers: name some with --tracker or --peer"),
    (
        SeekingMetadata(0, 0, None),
        "seeking_metadata",
        "the metadata of the magnet link comes first: none of it is here, 0 peers",
    ),
    (
        SeekingMetadata(1, 0, MIB),
        "seeking_metadata",
        "the metadata of the magnet link comes first: 0 B of 1.00 MiB is here, 1 peer",
    ),
    (Ended("it was stopped"), "ended", "it was stopped"),
]  # fmt: skip


@pytest.mark.parametrize(("cause", "name", "text"), WORDS)
def test_each_cause_is_one_line_and_one_name(cause: Cause, name: str, text: str) -> None:
    assert text_of(cause) == text
    (found,) = fields([Reason(0.5, cause)])
    assert (found["cause"], found["text"], found["weight"]) == (name, text, 0.5)
    json.dumps(found)


def test_lines_say_how_much_each_cause_holds_back() -> None:
    assert lines([Reason(7 / 9, Choked(7, 9)), Reason(0.05, FewPeers(1, 0))]) == [
        " 78%  choked by 7 of 9 peers: they serve others, first those who give to them",
        "  5%  few peers: only 1, no further address is known",
    ]
    assert lines([]) == ["everybody gives all that we ask for"]
