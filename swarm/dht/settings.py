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
    #: Places in the first buckets, which hold the nodes farthest from us; the others have K. Wide first
    #: buckets save a hop (decision 011).
    bucket_sizes: tuple[int, ...] = (128, 64, 32, 16)
    #: BEP 5: a node not heard of for so long is questionable; a bucket not searched for so long is refreshed.
    good_s: float = 900.0
    #: Queries in a row that a node leaves unanswered before it is bad.
    failures_max: int = 2
    #: Nodes of one /24 (IPv4) or /64 (IPv6) in one bucket: one owner must not fill it.
    neighbours_max: int = 2
    #: Between two rounds of maintenance: drop what is old, ping questionable nodes, refresh a bucket.
    tick_s: float = 10.0
    #: Questionable nodes pinged in one round: a table of 250 takes 14 minutes.
    pings_per_tick: int = 3
    #: Unknown nodes that ask us are pinged before they are believed: so many a second, and at once. Where the
    #: source address was forged, each ping hits a victim.
    newcomers_per_s: float = 5.0
    newcomers_burst: int = 16

    #: Questions of one lookup that await their answers at the same time.
    alpha: int = 4
    #: Questions of one lookup in all; among honest nodes some 30 are enough.
    lookup_queries_max: int = 250
    #: Nodes that a lookup remembers; liars name more.
    candidates_max: int = 128
    #: Questions of one lookup to nodes whose id does not fit their address (BEP 42).
    unfit_queries_max: int = 16
    #: An answer that takes longer is slow, and another question is sent in its place. This is the first
    #: guess; the span follows the round trips seen, between the least and the most.
    slow_s: float = 1.0
    slow_min_s: float = 0.25
    slow_max_s: float = 2.5
    #: An answer is no longer waited for after so many times that span.
    giving_up_factor: float = 3.0

    #: A token is valid for one to two of these (BEP 5: "every five minutes ... up to ten minutes old").
    token_s: float = 300.0
    #: Stored peers are forgotten after this: two announces of BEP 5's usual 15 minutes.
    peer_s: float = 1800.0
    #: Peers stored of one info-hash: BEP 33 wants fewer than 6,000; an answer has room for some 90.
    peers_per_torrent_max: int = 2000
    #: Peers stored of one info-hash at one address: enough for a home behind a NAT, not for a flood.
    ports_per_address_max: int = 16
    #: Peers and info-hashes stored in all: some 10 bytes a peer, 20 or 150 an info-hash of one peer or more.
    peers_max: int = 200_000
    torrents_max: int = 20_000
    #: BEP 44: "MAY expire in 2 hours".
    item_s: float = 7200.0
    #: Items stored: 1.3 KB each at most.
    items_max: int = 1000
    #: BEP 51: a sample stays the same for so long.
    sample_interval_s: int = 300

    #: Queries of one address (IPv6: of one /64) that are answered: so many a second, and at once.
    source_queries_per_s: float = 20.0
    source_queries_burst: int = 200
    #: Addresses whose queries are counted; at most twice as many are remembered.
    sources_max: int = 4096
    #: Bytes of all answers: so many a second, and at once. None for no limit (a bootstrap node).
    answer_bytes_per_s: float | None = 8 * 1024
    answer_burst_bytes: int = 256 * 1024
    #: To an address that has not proved that it receives what we send, an answer is at most so many times as
    #: long as the question: otherwise whoever forges a victim's address could amplify a flood through us.
    unproven_ratio_max: float = 6.0
    #: Items (BEP 44) cannot be cut to that: all longer ones together get so many bytes a second, and at once.
    unproven_item_bytes_per_s: float = 2 * 1024
    unproven_item_burst_bytes: int = 32 * 1024

    #: Nodes whose word on our external address is kept, and how many of them must agree.
    votes_max: int = 32
    votes_needed: int = 5
    #: Peers that one operation reports: a flood of lies must not fill the memory.
    found_peers_max: int = 5000
