"""What the engine knows of one connected peer; the desks share it, each writes its own part."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from swarm.base.bitfield import Bitfield
from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.engine.allowance import Allowance
from swarm.engine.download.pipeline import Pipeline
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
    """One link's state. Masks of blocks are ints as in `base/blocks`."""

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

    def __init__(
        self,
        number: int,
        endpoint: Endpoint,
        peer_id: PeerId,
        *,
        is_outgoing: bool,
        has_fast: bool,
        has_extended: bool,
        has_dht: bool = False,
        piece_count: int,
        settings: EngineSettings,
        now: float,
    ) -> None:
        self.number = number
        self.endpoint = endpoint
        self.peer_id = peer_id
        self.is_outgoing = is_outgoing
        self.has_fast = has_fast
        self.has_extended = has_extended
        self.has_dht = has_dht
        #: It told us where its DHT node is; once is enough.
        self.has_told_node = False
        #: Where others reach it: what we dialled, or the port that an incoming peer named. None: unknown.
        self.listens_at: Endpoint | None = endpoint if is_outgoing else None
        self.prefers_encryption = False
        self.client = ""
        self.extensions: dict[str, int] = {}
        self.connected_at = now
        self.heard_at = now
        self.said_at = now

        #: What it may send without any use, and how much we had when it was last interested or not (conduct).
        self.patience = Allowance(settings.useless_burst, settings.useless_refill_s, now)
        self.flipped_at_count = -1

        # BEP 3: "Connections start out choked and not interested."
        self.am_choking = True
        self.am_interested = False
        self.peer_choking = True
        self.peer_interested = False
        self.is_upload_only = False
        self.have = Bitfield(piece_count)
        #: How many pieces it has that we want and miss.
        self.interesting = 0

        #: It has everything, and has been our only peer for a while (upkeep): nobody else could send sooner
        #: what is asked of it.
        self.is_only = False

        # What we asked it for (requests desk).
        self.asked: dict[int, int] = {}
        self.asked_blocks = 0
        self.asked_since = now
        self.last_block_at = now
        self.pipeline = Pipeline(settings, now)
        #: Its requests were given to others as well; it may still answer them.
        self.is_stalled = False
        self.is_snubbed = False
        #: Blocks that we asked for and took back, by cancel or because it choked: they may still come.
        self.forgiven: dict[int, int] = {}
        self.unasked_blocks = 0
        self.allowed_fast_in: AbstractSet[int] = NO_PIECES
        #: Since then it has nothing to start (picker): of what was on offer, and of what it refused.
        self.found_nothing: tuple[int, AbstractSet[int]] | None = None
        #: What it has gained since.
        self.fresh: list[int] = []
        #: Pieces whose requests it rejected while it did not choke us.
        self.refused: AbstractSet[int] = NO_PIECES
        self.download = Rate(now, settings.rate_window_s)

        # What it asked us for (uploads desk, choker).
        self.queue: list[Request] = []
        self.queued_blocks = 0
        #: So often in a row something rarer was sent before what it has asked for first (turns).
        self.passed_over = 0
        self.sending_bytes = 0
        self.choked_requests = 0
        #: Pieces that we would not give it, for others have or get them (spreading desk).
        self.declined: AbstractSet[int] = NO_PIECES
        #: It passes nothing on of what only we have (spreading desk).
        self.is_miser = False
        #: It took much of us and gave next to nothing (choker).
        self.is_taker = False
        self.allowed_fast_out: AbstractSet[int] = NO_PIECES
        self.upload = Rate(now, settings.rate_window_s)
        self.unchoked_at = 0.0
        #: So long it had a slot, in turns that are over, since it last took anything.
        self.unused_slot_s = 0.0
        self.suggested_at = float("-inf")
        self.last_served_at = now
        #: Pieces of ours that it is to hear of with the next message, or soon (haves desk).
        self.untold: tuple[Message, ...] = ()

    @property
    def is_seed(self) -> bool:
        return self.have.is_full

    @property
    def comes_last(self) -> bool:
        """It is served after all others, as it seems to pass nothing on."""
        return self.is_taker or self.is_miser

    def __repr__(self) -> str:
        return f"<Peer {self.number} {self.endpoint} has {self.have.count}>"
