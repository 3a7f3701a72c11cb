"""The causes that hold a transfer back, in words: one line each, with the option that would help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, assert_never

from swarm.base.units import format_count, format_size, format_span
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

_WORD_START = r"(?<=[a-z])(?=[A-Z])"


def lines(reasons: Sequence[Reason]) -> list[str]:
    """For people: a line for each cause, with how much it holds the transfer back."""
    if not reasons:
        return ["everybody gives all that we ask for"]
    return [f"{100 * weight:3.0f}%  {text_of(cause)}" for weight, cause in reasons]


def fields(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    """For programs: each cause with its name, its weight (0 to 1), its figures, and the line for people."""
    return [
        {
            "cause": re.sub(_WORD_START, "_", type(cause).__name__).lower(),
            "weight": round(weight, 3),
            **asdict(cause),
            "text": text_of(cause),
        }
        for weight, cause in reasons
    ]


def text_of(cause: Cause) -> str:
    """The line for one cause."""
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
        case MissingPieces():
            return _missing(cause)
        case NothingForUs(peers, of):
            return f"{_who(peers, of)} {_verb(peers, 'has', 'have')} nothing that is missing here"
        case Choked(peers, of, up_limit):
            serving = "it serves others, first those who give to it"
            if peers > 1:
                serving = "they serve others, first those who give to them"
            limit = "" if up_limit is None else f" (we give no more than {_rate(up_limit)}: --up)"
            return f"choked by {_who(peers, of)}: {serving}{limit}"
        case Unanswered(peers, of):
            asked = _verb(peers, "was asked and sends", "were asked and send")
            return f"{_who(peers, of)} {asked} nothing; others are asked as well"
        case NothingToAsk(peers, of):
            idle = _verb(peers, "is idle: all that it", "are idle: all that they")
            return f"{_who(peers, of)} {idle} could send is asked of others already"
        case SlowPeers(peers, of, rate):
            return (
                f"their limit: {_who(peers, of)} {_verb(peers, 'sends', 'send')} {_rate(rate)}, "
                "with more asked for"
            )
        case RequestWindow(peers, of, blocks, rate):
            far = _verb(peers, "is far away and takes", "are far away and take")
            return (
                f"the request window: {_who(peers, of)} {far} {blocks} requests at a time, "
                f"which makes {_rate(rate)}"
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
            fail = _verb(failing, "fails", "fail")
            return f"{_who(failing, of, 'source')} of peers {fail}: {who}: {error}{when}"
        case NoSources():
            return "no source of peers: name some with --tracker or --peer"
        case SeekingMetadata(peers, done, total):
            come = "none of it" if total is None else f"{format_size(done)} of {format_size(total)}"
            return (
                f"the metadata of the magnet link comes first: {come} is here, {format_count(peers, 'peer')}"
            )
        case Ended(reason):
            return reason
        case _:
            assert_never(cause)


def _missing(cause: MissingPieces) -> str:
    if cause.of == 1:
        what = f"the last missing piece ({cause.example})"
    elif cause.pieces == cause.of:
        what = f"any of the {cause.of} missing pieces (such as {cause.example})"
    else:
        what = f"{cause.pieces} of the {cause.of} missing pieces (such as {cause.example})"
    counted = ""
    if cause.seeds_elsewhere is not None:
        counted = f"; a tracker counts {format_count(cause.seeds_elsewhere, 'seed')}"
    return f"nobody connected has {what}{counted}"


def _who(count: int, of: int, what: str = "peer") -> str:
    """`count` of `of` peers (or `what`), in words; at least one."""
    if of == 1:
        return f"the only {what}"
    return f"all {of} {what}s" if count == of else f"{count} of {of} {what}s"


def _verb(count: int, singular: str, plural: str) -> str:
    return singular if count == 1 else plural


def _rate(bytes_per_s: float) -> str:
    return f"{format_size(bytes_per_s)}/s"


def _addresses(count: int) -> str:
    return format_count(count, "address", "addresses")
