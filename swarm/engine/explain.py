"""The desk that says why a download does not go faster: it looks at each peer and ranks what it finds.

Each peer is put down to one cause, so that these add up to all peers; what holds back all of them at once
(nothing wanted, nobody there, no room in memory) comes from elsewhere. Hosts add what only they know: limits,
disk, sources of peers (`session/explaining`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple, TypeAlias

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.dataclass import dataclass
from swarm.engine.download.availability import Availability
from swarm.engine.download.picker import Picker
from swarm.engine.download.requests import Requests
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.peer import Peer

#: With so many peers there is choice enough; with fewer each one that gives little is felt.
ENOUGH_PEERS = 8
#: Few peers explain less than what those that are there do.
_FEW_PEERS_WEIGHT = 0.3
#: So much of the memory for pieces waits to be hashed and written: the disk, not the network, sets the pace.
_UNWRITTEN_SHARE = 0.25
#: Blocks come within so many round trips: it is the way that takes the time, not the peer.
_ROUND_TRIPS = 1.5
#: The span over which rates are looked at, in seconds.
_SPAN_S = 5.0


@dataclass(slots=True, frozen=True)
class NothingWanted:
    """All that was chosen is here and verified."""


@dataclass(slots=True, frozen=True)
class NoPeers:
    """Nobody is connected; `candidates` addresses are known, and `dialling` are being dialled."""

    candidates: int
    dialling: int


@dataclass(slots=True, frozen=True)
class FewPeers:
    """More peers would help; so many further addresses are known."""

    peers: int
    candidates: int


@dataclass(slots=True, frozen=True)
class MissingPieces:
    """Of the pieces that we lack nobody connected has `pieces`; one of them is `example`.

    `seeds_elsewhere`: how many have everything, as a tracker counts; None where nobody knows.
    """

    pieces: int
    of: int
    example: int
    seeds_elsewhere: int | None = None


@dataclass(slots=True, frozen=True)
class NothingForUs:
    """Of `of` peers so many have nothing that we lack."""

    peers: int
    of: int


@dataclass(slots=True, frozen=True)
class Choked:
    """Of `of` peers so many have what we lack and give to others; `up_limit` is ours, in bytes a second."""

    peers: int
    of: int
    up_limit: float | None = None


@dataclass(slots=True, frozen=True)
class Unanswered:
    """Of `of` peers so many were asked and send nothing."""

    peers: int
    of: int


@dataclass(slots=True, frozen=True)
class NothingToAsk:
    """Of `of` peers so many are idle: what they have that we lack is asked of others already."""

    peers: int
    of: int


@dataclass(slots=True, frozen=True)
class SlowPeers:
    """Of `of` peers so many send as fast as they want or can, with requests of ours waiting."""

    peers: int
    of: int
    bytes_per_s: float


@dataclass(slots=True, frozen=True)
class RequestWindow:
    """Of `of` peers so many are far away, and take too few requests at a time (for `blocks` blocks)."""

    peers: int
    of: int
    blocks: int
    bytes_per_s: float


@dataclass(slots=True, frozen=True)
class UnwrittenPieces:
    """So much has arrived and waits to be hashed and written, of `limit_bytes` for pieces in memory.

    `hashing_share`: what part of that work is hashing, from 0 to 1; None where the host does not say.
    """

    waiting_bytes: int
    limit_bytes: int
    hashing_share: float | None = None


@dataclass(slots=True, frozen=True)
class PieceMemory:
    """Pieces that are not complete take all of the memory that they may: no further one is begun."""

    in_flight_bytes: int
    limit_bytes: int


PeerCause: TypeAlias = NothingForUs | Choked | Unanswered | NothingToAsk | SlowPeers | RequestWindow
EngineCause: TypeAlias = (
    NothingWanted | NoPeers | FewPeers | MissingPieces | PeerCause | UnwrittenPieces | PieceMemory
)


class Ranked(NamedTuple):
    """A cause, and how much of what could come it holds back: from 0 to 1."""

    weight: float
    cause: EngineCause


def explain(
    peers: Collection[Peer],
    picker: Picker,
    requests: Requests,
    availability: Availability,
    book: PeerBook,
    geometry: Geometry,
    now: float,
) -> list[Ranked]:
    """Why it does not go faster, what matters most first; empty where everybody gives what we ask for."""
    if not picker.wanted_missing:
        return [Ranked(1.0, NothingWanted())]
    if not peers:
        return [Ranked(1.0, NoPeers(book.candidate_count, book.dialling_count))]
    found = _by_memory(requests, geometry)
    # Without room in memory there is nothing to ask of anybody.
    found += [one for one in _by_peer(peers, now) if not (found and isinstance(one.cause, NothingToAsk))]
    found += _by_piece(picker, requests, availability)
    if len(peers) < ENOUGH_PEERS:
        weight = _FEW_PEERS_WEIGHT * (1 - len(peers) / ENOUGH_PEERS)
        found.append(Ranked(weight, FewPeers(len(peers), book.candidate_count)))
    # What matters alike stays in its order.
    return sorted(found, key=lambda one: -one.weight)


def _by_peer(peers: Collection[Peer], now: float) -> list[Ranked]:
    counts: Counter[type[PeerCause]] = Counter()
    rates: Counter[type[PeerCause]] = Counter()
    deepest = 0
    for peer in peers:
        kind = _kind_of(peer, now)
        counts[kind] += 1
        rates[kind] += round(peer.download.average(now, _SPAN_S))
        if kind is RequestWindow:
            deepest = max(deepest, peer.pipeline.depth_max)
    of = len(peers)
    causes: list[PeerCause] = [
        Choked(counts[Choked], of),
        Unanswered(counts[Unanswered], of),
        RequestWindow(counts[RequestWindow], of, deepest, rates[RequestWindow]),
        SlowPeers(counts[SlowPeers], of, rates[SlowPeers]),
        NothingForUs(counts[NothingForUs], of),
        NothingToAsk(counts[NothingToAsk], of),
    ]
    return [Ranked(cause.peers / of, cause) for cause in causes if cause.peers]


def _kind_of(peer: Peer, now: float) -> type[PeerCause]:
    """Why `peer` does not give us more."""
    if not peer.interesting:
        return NothingForUs
    if not peer.asked_blocks:
        return Choked if peer.peer_choking else NothingToAsk
    if peer.is_stalled or peer.is_snubbed:
        return Unanswered
    rate = peer.download.average(now, _SPAN_S)
    pipeline = peer.pipeline
    is_deep = peer.asked_blocks >= pipeline.depth_max * 3 // 4
    if is_deep and peer.asked_blocks * BLOCK_BYTES <= rate * pipeline.round_trip_s * _ROUND_TRIPS:
        return RequestWindow
    return SlowPeers


def _by_memory(requests: Requests, geometry: Geometry) -> list[Ranked]:
    limit = requests.memory.max_bytes
    waiting = sum(map(geometry.piece_bytes, requests.hashing))
    # A single large piece is no queue.
    if waiting >= _UNWRITTEN_SHARE * limit and len(requests.hashing) > 1:
        return [Ranked(min(1.0, waiting / limit), UnwrittenPieces(waiting, limit))]
    if requests.memory.is_short:
        return [Ranked(0.5, PieceMemory(requests.memory.used_bytes, limit))]
    return []


def _by_piece(picker: Picker, requests: Requests, availability: Availability) -> list[Ranked]:
    """Pieces that nobody has: the rest can come at full speed, but it will end there."""
    if availability.seed_count:
        return []
    begun = [piece for piece in requests.partials if not availability.of(piece)]
    unbegun, examples = picker.unavailable()
    pieces = len(begun) + unbegun
    if not pieces:
        return []
    of = picker.wanted_missing
    return [Ranked(pieces / of, MissingPieces(pieces, of, min(begun + examples)))]
