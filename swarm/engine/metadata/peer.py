"""What is known of one peer while the metadata is fetched."""

from __future__ import annotations

from swarm.engine.allowance import Allowance
from swarm.engine.events import PeerConnected
from swarm.engine.settings import EngineSettings


class MetadataPeer:
    """One link's state."""

    __slots__ = (
        "asked",
        "connected_at",
        "depth",
        "endpoint",
        "extended_id",
        "heard_at",
        "helped_at",
        "is_outgoing",
        "late",
        "number",
        "patience",
        "peer_id",
        "rests_until",
        "said_at",
        "total_bytes",
        "unasked_count",
    )

    def __init__(self, event: PeerConnected, settings: EngineSettings, now: float) -> None:
        self.number = event.peer
        self.endpoint = event.endpoint
        self.peer_id = event.peer_id
        self.is_outgoing = event.is_outgoing
        self.connected_at = self.heard_at = self.said_at = self.helped_at = now
        #: Its number for `ut_metadata`; 0: it does not speak that.
        self.extended_id = 0
        #: The size that it claims; None: it has none, or one that cannot be.
        self.total_bytes: int | None = None
        #: piece -> since when; and those that we gave up, whose answers may still come.
        self.asked: dict[int, float] = {}
        self.late: set[int] = set()
        self.depth = settings.metadata_depth_start
        #: What it may send without any use.
        self.patience = Allowance(settings.useless_burst, settings.useless_refill_s)
        self.rests_until = float("-inf")
        self.unasked_count = 0
