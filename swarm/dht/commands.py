"""Commands: what each call of a `DhtNode` returns, for its host to carry out or to pass on.

An *operation* is what the host has asked for (a lookup, an announce, ...); the host gives each a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TypeAlias

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.ids import NodeId
from swarm.dht.items import ImmutableItem, Item, MutableItem
from swarm.wire.krpc import Contact

__all__ = [
    "Command",
    "Contact",
    "DhtStats",
    "IdentityChanged",
    "ImmutableItem",
    "ItemFound",
    "LookupOutcome",
    "MutableItem",
    "OperationEnded",
    "PeersFound",
    "SamplesFound",
    "SendDatagram",
]


@dataclass(slots=True)
class SendDatagram:
    """Send these bytes; nothing is expected to say whether they arrive."""

    endpoint: Endpoint
    payload: bytes


@dataclass(slots=True)
class PeersFound:
    """Peers that this operation had not found before."""

    operation: int
    endpoints: Sequence[Endpoint]


@dataclass(slots=True)
class ItemFound:
    """An item whose hash or signature is right; of a mutable one, newer versions may follow."""

    operation: int
    item: Item


@dataclass(slots=True)
class SamplesFound:
    """A node's sample of its info-hashes (BEP 51).

    Args:
        info_hashes: 20 bytes each.
        total: how many `source` holds in all, as it says.
        interval_s: seconds after which its sample will be another one.
    """

    operation: int
    source: Contact
    info_hashes: Sequence[bytes]
    total: int
    interval_s: int


@dataclass(slots=True)
class LookupOutcome:
    """How an operation went.

    Args:
        hops: nodes asked one after the other to reach the nearest one, itself included; 0 if nobody answered.
        queries: questions sent.
        answers: nodes that answered.
        closest: the nearest of them, nearest first; at most K.
        announced_count: nodes that accepted the announce, or the item.
        seeds, leechers: estimates of a scrape (BEP 33); 0 for other operations.
        errors: (code, text) of nodes that answered with an error; the text is not escaped.
    """

    hops: int = 0
    queries: int = 0
    answers: int = 0
    closest: Sequence[Contact] = ()
    announced_count: int = 0
    seeds: int = 0
    leechers: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class OperationEnded:
    """Nothing more will come of this operation; its number may be used again."""

    operation: int
    outcome: LookupOutcome


@dataclass(slots=True)
class IdentityChanged:
    """Others agree on our address, and our id fits it by now (BEP 42). To be saved with the contacts."""

    own_id: NodeId
    external_host: str


Command: TypeAlias = SendDatagram | PeersFound | ItemFound | SamplesFound | OperationEnded | IdentityChanged


@dataclass(slots=True)
class DhtStats:
    """A node's state in numbers; queries and answers are counted from its beginning.

    Args:
        refused: datagrams that were not answered or believed, by reason.
    """

    good_nodes: int
    questionable_nodes: int
    stored_peers: int
    stored_torrents: int
    stored_items: int
    queries_out: int
    queries_in: int
    answers_in: int
    answers_out: int
    refused: dict[str, int]
