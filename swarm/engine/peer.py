"""What the engine knows of one connected peer; the desks share it, and each slot is written by one of them.

A desk's own notes on a peer are here too, and not in a table of the desk: so they cost one look, and go when
the peer goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from swarm.base.bitfield import Bitfield
from swarm.base.endpoint import Endpoint
from swarm.base.ids import client_name
from swarm.engine.allowance import Allowance
from swarm.engine.download.pipeline import Pipeline
from swarm.engine.events import PeerConnected
from swarm.engine.rates import Rate
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Message, Request

#: Of what most peers never have any.
NO_PIECES: frozenset[int] = frozenset()


def with_piece(pieces: AbstractSet[int], piece: int) -> AbstractSet[int]:
    """`pieces` with `piece` added: the same set changed in place, or a new one instead of `NO_PIECES`."""
    if isinstance(pieces, set):
        pieces.add(piece)
        return pieces
    return {piece}


class Peer:
    """One link's state, each slot below the desk that writes it. Masks of blocks are ints (`base/blocks`)."""

    __slots__ = (
        "allowed_fast_in",
        "allowed_fast_out",
        "am_choking",
        "am_interested",
        "asked",
        "asked_blocks",
        "asked_since",
        "choked_requests",
        "client",
        "connected_at",
        "declined",
        "download",
        "endpoint",
        "extensions",
        "flipped_at_count",
        "forgiven",
        "found_nothing",
        "fresh",
        "has_dht",
        "has_extended",
        "has_fast",
        "has_told_node",
        "have",
        "heard_at",
        "interesting",
        "is_miser",
        "is_only",
        "is_outgoing",
        "is_snubbed",
        "is_stalled",
        "is_taker",
        "is_upload_only",
        "last_block_at",
        "last_served_at",
        "listens_at",
        "number",
        "passed_over",
        "patience",
        "peer_choking",
        "peer_id",
        "peer_interested",
        "pipeline",
        "prefers_encryption",
        "queue",
        "queued_blocks",
        "refused",
        "said_at",
        "sending_bytes",
        "suggested_at",
        "unasked_blocks",
        "unchoked_at",
        "untold",
        "unused_slot_s",
        "upload",
    )

    def __init__(self, event: PeerConnected, piece_count: int, settings: EngineSettings, now: float) -> None:
        self.number = event.peer
        self.endpoint = event.endpoint
        self.peer_id = event.peer_id
        self.is_outgoing = event.is_outgoing
        self.has_fast = event.has_fast
        self.has_extended = event.has_extended
        self.has_dht = event.has_dht
        self.connected_at = now

        # The coordinator.
        self.heard_at = now
        self.said_at = now

        # `conversation`: it told us where its DHT node is; once is enough.
        self.has_told_node = False
        # `extensions`: what it calls itself, and whether it wants nothing of anybody (BEP 21).
        self.client = client_name(event.peer_id)
        self.is_upload_only = False
        # `conduct`.
        self.extensions: dict[str, int] = {}
        #: What it may send without any use, and how much we had when it was last interested or not.
        self.patience = Allowance(settings.useless_burst, settings.useless_refill_s)
        self.flipped_at_count = -1
        # `upkeep`: it has everything, and has been our only peer for a while. Nobody else could send sooner
        # what is asked of it.
        self.is_only = False

        # `finding/addresses`.
        #: Where others reach it: what we dialled, or the port that an incoming peer named. None: unknown.
        self.listens_at: Endpoint | None = event.endpoint if event.is_outgoing else None
        self.prefers_encryption = False

        # BEP 3: "Connections start out choked and not interested."
        # `download/holdings`.
        self.have = Bitfield(piece_count)
        #: How many pieces it has that we want and miss.
        self.interesting = 0
        self.am_interested = False
        # `download/haves`: pieces of ours that it is to hear of with the next message, or soon.
        self.untold: tuple[Message, ...] = ()
        # `download/picker`.
        #: Since then it has nothing to start: of what was on offer, and of what it refused.
        self.found_nothing: tuple[int, AbstractSet[int]] | None = None
        #: What it has gained since.
        self.fresh: list[int] = []
        # `download/debts`: what we asked it for.
        self.asked: dict[int, int] = {}
        self.asked_blocks = 0
        #: Blocks that we asked for and took back, by cancel or because it choked: they may still come.
        self.forgiven: dict[int, int] = {}
        #: Its requests were given to others as well; it may still answer them.
        self.is_stalled = False
        # `download/requests`: how that goes.
        self.peer_choking = True
        self.asked_since = now
        self.last_block_at = now
        self.is_snubbed = False
        self.pipeline = Pipeline(settings, now)
        self.unasked_blocks = 0
        self.allowed_fast_in: AbstractSet[int] = NO_PIECES
        #: Pieces whose requests it rejected while it did not choke us.
        self.refused: AbstractSet[int] = NO_PIECES
        self.download = Rate(now, settings.rate_window_s)

        # `upload/slots`.
        self.am_choking = True
        self.peer_interested = False
        #: So long it had a slot, in turns that are over, since it last took anything.
        self.unused_slot_s = 0.0
        # `upload/choker`.
        self.unchoked_at = 0.0
        #: It took much of us and gave next to nothing.
        self.is_taker = False
        # `upload/uploads`: what it asked us for.
        self.queue: list[Request] = []
        self.queued_blocks = 0
        self.sending_bytes = 0
        self.choked_requests = 0
        self.last_served_at = now
        self.upload = Rate(now, settings.rate_window_s)
        # `upload/turns`: so often in a row something rarer was sent before what it has asked for first.
        self.passed_over = 0
        # `upload/spreading`.
        #: Pieces that we would not give it, for others have or get them.
        self.declined: AbstractSet[int] = NO_PIECES
        #: It passes nothing on of what only we have.
        self.is_miser = False
        # `upload/suggestions`.
        self.suggested_at = float("-inf")
        # `greeting`.
        self.allowed_fast_out: AbstractSet[int] = NO_PIECES

    @property
    def is_seed(self) -> bool:
        return self.have.is_full

    @property
    def comes_last(self) -> bool:
        """It is served after all others, as it seems to pass nothing on."""
        return self.is_taker or self.is_miser

    def __repr__(self) -> str:
        return f"<Peer {self.number} {self.endpoint} has {self.have.count}>"


#: How a desk speaks to a peer; the coordinator passes its own.
Send = Callable[[Peer, Sequence[Message]], None]
