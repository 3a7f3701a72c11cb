"""Why a transfer does not go faster: what the engine finds, and what only its host knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from swarm.base.dataclass import dataclass
from swarm.engine.explain import (
    ENOUGH_PEERS,
    Choked,
    EngineCause,
    FewPeers,
    MissingPieces,
    NoPeers,
    Ranked,
    RequestWindow,
    SlowPeers,
    UnwrittenPieces,
)
from swarm.engine.finding.pace import SourceState
from swarm.session.finding.sources import SourceStatus

if TYPE_CHECKING:
    from swarm.session.connections.links import Links
    from swarm.session.runner import Runner

#: What sources that fail explain while a few peers are there: less than those peers do.
_SOURCES_WEIGHT = 0.25
#: Sources that say that they work, or are about to.
_HOPEFUL = (SourceState.WORKING, SourceState.ASKING, SourceState.WAITING)


@dataclass(slots=True, frozen=True)
class Checking:
    """What is on disk is being hashed before anything is fetched."""

    checked_bytes: int
    checking_bytes: int


@dataclass(slots=True, frozen=True)
class DiskHeld:
    """The disk takes nothing at the moment; `reason` says why and what it needs."""

    reason: str


@dataclass(slots=True, frozen=True)
class OurLimit:
    """Our own limit on downloading holds links back, in bytes a second."""

    bytes_per_s: float


@dataclass(slots=True, frozen=True)
class SourcesFailing:
    """Of `of` sources of peers so many fail; `name` is one of them, asked again in `next_s` seconds."""

    failing: int
    of: int
    name: str
    error: str
    next_s: float | None


@dataclass(slots=True, frozen=True)
class NoSources:
    """Nothing is known that could name a peer."""


@dataclass(slots=True, frozen=True)
class SeekingMetadata:
    """A magnet link is no torrent yet; `total_bytes`: of its metadata, None until a peer has said it."""

    peers: int
    done_bytes: int
    total_bytes: int | None


@dataclass(slots=True, frozen=True)
class Ended:
    """It goes on no more."""

    reason: str


HostCause: TypeAlias = Checking | DiskHeld | OurLimit | SourcesFailing | NoSources | SeekingMetadata | Ended
Cause: TypeAlias = EngineCause | HostCause


class Reason(NamedTuple):
    """A cause, and how much of what could come it holds back: from 0 to 1."""

    weight: float
    cause: Cause


@dataclass(slots=True, frozen=True)
class HostFacts:
    """What the engine cannot see.

    Args:
        down_limit: our limit on downloading where it holds links back at this moment, in bytes a second.
        up_limit: our limit on uploading; None without one.
        hashing_share: the part of the work on pieces that is hashing, from 0 to 1; None before the first.
    """

    down_limit: float | None = None
    up_limit: float | None = None
    hashing_share: float | None = None

    @classmethod
    def of(cls, links: Links, runner: Runner) -> HostFacts:
        """As they stand at this moment."""
        ups = [rate for rate in (links.up_throttle.rate, runner.up_bucket.rate) if rate is not None]
        return cls(
            down_limit=links.down_throttle.holding_rate(runner.down_bucket),
            up_limit=min(ups, default=None),
            hashing_share=runner.store.hashing_share,
        )


def of_download(found: Sequence[Ranked], facts: HostFacts, sources: Sequence[SourceStatus]) -> list[Reason]:
    """Why a download does not go faster, what matters most first."""
    reasons = []
    if facts.down_limit is not None:
        reasons.append(Reason(1.0, OurLimit(facts.down_limit)))
    for weight, cause in found:
        match cause:
            case Choked():
                cause = replace(cause, up_limit=facts.up_limit)
            case UnwrittenPieces():
                cause = replace(cause, hashing_share=facts.hashing_share)
            case MissingPieces():
                counted = [status.seeds for status in sources if status.seeds is not None]
                cause = replace(cause, seeds_elsewhere=max(counted, default=None))
            case SlowPeers() | RequestWindow() if facts.down_limit is not None:
                # We do not read what they have sent.
                continue
            case NoPeers(candidates, dialling):
                reasons += of_sources(sources, 0, candidates + dialling)
            case FewPeers(peers):
                reasons += of_sources(sources, peers)
            case _:
                pass
        reasons.append(Reason(weight, cause))
    return _ranked(reasons)


def of_fetch(
    peers: int, candidates: int, done_bytes: int, total_bytes: int | None, sources: Sequence[SourceStatus]
) -> list[Reason]:
    """Why a magnet link is no torrent yet."""
    seeking = Reason(1.0, SeekingMetadata(peers, done_bytes, total_bytes))
    if peers:
        return _ranked([seeking, *of_sources(sources, peers)])
    # Why nobody is there says more than what nobody sends.
    return _ranked([*of_sources(sources, 0, candidates), Reason(1.0, NoPeers(candidates, 0)), seeking])


def of_sources(sources: Sequence[SourceStatus], peers: int, addresses: int = 0) -> list[Reason]:
    """What the sources of peers have to do with there being so few, with so many addresses known."""
    if peers >= ENOUGH_PEERS:
        return []
    share = 1.0 if not peers else _SOURCES_WEIGHT
    if not sources:
        return [Reason(share, NoSources())] if not (peers or addresses) else []
    failing = [status for status in sources if status.error or status.state not in _HOPEFUL]
    if not failing:
        return []
    first = failing[0]
    cause = SourcesFailing(len(failing), len(sources), first.name, first.error or first.state, first.next_s)
    return [Reason(share * len(failing) / len(sources), cause)]


def _ranked(reasons: Sequence[Reason]) -> list[Reason]:
    return sorted(reasons, key=lambda reason: -reason.weight)
