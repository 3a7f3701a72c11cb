"""The numbers of a DHT node, each with its unit and its reason."""

from __future__ import annotations

from swarm.base.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class DhtSettings:
    """How one node behaves. Spans in seconds, sizes in bytes."""

    #: Ask and be answered, but never be in others' tables (BEP 43): short-lived or unreachable nodes.
    is_read_only: bool = False

    #: K of BEP 5: nodes in an answer, nodes that an announce goes to.
    closest_count: int = 8
    #: Places in the buckets nearest to the root, then K: a wide top saves a hop (docs/decisions).
    bucket_sizes: tuple[int, ...] = (128, 64, 32, 16)
    #: BEP 5: what was not heard for so long is questionable; a bucket not asked in for so long is refreshed.
    good_s: float = 900.0
    #: Queries in a row that a node leaves unanswered before it is bad.
    failures_max: int = 2
    #: Nodes of one /24 (IPv4) or /64 (IPv6) in a bucket: one owner must not fill it.
    neighbours_max: int = 2
    #: Maintenance looks around so often: sweeps, pings of the questionable, one refresh.
    tick_s: float = 10.0
    #: Questionable nodes pinged at each look: a table of 250 is round in 14 minutes.
    pings_per_tick: int = 3
    #: Newcomers pinged before they are believed, a second and at once: a forged source costs a victim a ping.
    newcomers_per_s: float = 5.0
    newcomers_burst: int = 16

    #: Questions of one lookup under way at the same time.
    alpha: int = 4
    #: Questions of one lookup in all; honest ones need some 30.
    lookup_queries_max: int = 250
    #: Candidates that a lookup remembers; liars name more.
    candidates_max: int = 128
    #: Questions of one lookup to nodes whose id does not fit their address (BEP 42).
    unfit_queries_max: int = 16
    #: A slow answer frees its place for another question: after this, adapted to the round trips seen.
    slow_s: float = 1.0
    slow_min_s: float = 0.25
    slow_max_s: float = 2.5
    #: An answer is given up after so many times that.
    giving_up_factor: float = 3.0

    #: A token is valid for one to two of these (BEP 5: "every five minutes ... up to ten minutes old").
    token_s: float = 300.0
    #: Stored peers are forgotten after this: two announces of BEP 5's usual 15 minutes.
    peer_s: float = 1800.0
    #: Peers of one info-hash: BEP 33 wants less than 6,000; an answer holds some 90.
    peers_per_torrent_max: int = 2000
    #: Ports of one address that share one info-hash: homes behind one address, not floods.
    ports_per_address_max: int = 16
    #: Peers stored in all, and info-hashes: some 10 bytes each, and 20 (of one peer) or 150 bytes.
    peers_max: int = 200_000
    torrents_max: int = 20_000
    #: BEP 44: "MAY expire in 2 hours".
    item_s: float = 7200.0
    #: Items stored: 1.3 KB each at most.
    items_max: int = 1000
    #: BEP 51: a sample stays the same for so long.
    sample_interval_s: int = 300

    #: Queries of one address (IPv6: one /64) answered a second, and at once.
    source_queries_per_s: float = 20.0
    source_queries_burst: int = 200
    #: Addresses whose queries are counted; twice as many at most are remembered.
    sources_max: int = 4096
    #: Bytes of answers a second, and at once; None for no limit (a bootstrap node).
    answer_bytes_per_s: float | None = 8 * 1024
    answer_burst_bytes: int = 256 * 1024
    #: An answer to an address that has not proved itself is at most so many times its question.
    unproven_ratio_max: float = 6.0
    #: Items (BEP 44) cannot be cut to that: those that are larger get so many bytes a second together.
    unproven_item_bytes_per_s: float = 2 * 1024
    unproven_item_burst_bytes: int = 32 * 1024

    #: Voters on our external address whose word is kept, and how many must agree.
    votes_max: int = 32
    votes_needed: int = 5
    #: Endpoints of one operation that are reported: a flood of lies must not cost memory.
    found_peers_max: int = 5000
