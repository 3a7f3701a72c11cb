"""Puts into words why a transfer does not go faster: one line a cause, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, assert_never

from swarm.base.units import format_size, format_span
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
from swarm.wire.tracker.announce import tracker_name

_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])")


def lines(reasons: Sequence[Reason]) -> list[str]:
    """For people: how much each cause holds back, and what it is."""
    if not reasons:
        return ["everybody gives all that we ask for"]
    return [f"{100 * weight:3.0f}%  {text_of(cause)}" for weight, cause in reasons]


def fields(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    """For programs: each cause with its name, weight and figures, and the line for people."""
    return [
        {
            "cause": _WORD_START.sub("_", type(cause).__name__).lower(),
            "weight": round(weight, 3),
            **asdict(cause),
            "text": text_of(cause),
        }
        for weight, cause in reasons
    ]


def text_of(cause: Cause) -> str:
    """One line."""
    match cause:
        case NothingWanted():
            return "everything wanted is here"
        case NoPeers(0, 0):
            return "no peers, and no address of any is known"
        case NoPeers(candidates, dialling):
            return f"no peers: {dialling} being tried now, {_addresses(candidates)} to be tried later"
        case FewPeers(peers, candidates):
            more = f"{_addresses(candidates)} to be tried" if candidates else "no further address is known"
            return f"few peers: only {peers}, {more}"
        case MissingPieces(pieces, of, example, seeds):
            who = "" if seeds is None else f", though a tracker counts {_count(seeds, 'seed')}"
            return (
                f"nobody connected has {pieces} of the {of} missing pieces (such as {example}){who}: "
                "somebody who has them must come"
            )
        case NothingForUs(peers, of):
            return f"{peers} of {_peers(of)} have nothing that is missing here"
        case Choked(peers, of, up_limit):
            help_ = "" if up_limit is None else f": give them more than {_rate(up_limit)} (--up)"
            return f"choked by {peers} of {_peers(of)}, who serve those that give to them{help_}"
        case Unanswered(peers, of):
            return f"{peers} of {_peers(of)} were asked and send nothing; others are asked as well"
        case NothingToAsk(peers, of):
            return f"{peers} of {_peers(of)} are idle: all that they could send is asked of others already"
        case SlowPeers(peers, of, rate):
            return f"their limit: {peers} of {_peers(of)} send {_rate(rate)} and are asked for more"
        case RequestWindow(peers, of, blocks, rate):
            return (
                f"the request window: {peers} of {_peers(of)} are far away and take {blocks} requests at a "
                f"time, which makes {_rate(rate)}"
            )
        case UnwrittenPieces(waiting, _, hashing_share):
            if hashing_share is not None and hashing_share > 0.5:
                return f"hashing: {format_size(waiting)} wait for the processor"
            return f"the disk: {format_size(waiting)} wait to be written"
        case PieceMemory(_, limit):
            return f"memory: the pieces begun take all of their {format_size(limit)}"
        case Checking(checked, checking):
            return f"hashing what is on disk first: {format_size(checked)} of {format_size(checking)}"
        case DiskHeld(reason):
            return f"the disk: {reason}"
        case OurLimit(rate):
            return f"our limit: no more than {_rate(rate)} is wanted (--down)"
        case SourcesFailing(failing, of, name, error, next_s):
            who = f"tracker {tracker_name(name)}" if "://" in name else name
            when = "" if next_s is None else f"; next try in {format_span(next_s)}"
            return f"{failing} of {_count(of, 'source')} of peers fail: {who}: {error}{when}"
        case NoSources():
            return "no source of peers: name some with --tracker or --peer"
        case SeekingMetadata(peers, done, total):
            come = "none of it" if total is None else f"{format_size(done)} of {format_size(total)}"
            return f"the metadata of the magnet link comes first: {come} is here, {_peers(peers)}"
        case Ended(reason):
            return reason
        case _:
            assert_never(cause)


def _rate(bytes_per_s: float) -> str:
    return f"{format_size(bytes_per_s)}/s"


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _peers(count: int) -> str:
    return _count(count, "peer")


def _addresses(count: int) -> str:
    return f"{count} address{'' if count == 1 else 'es'}"
