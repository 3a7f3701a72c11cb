"""The engine's numbers, each with its unit and its reason; see docs for the field's other choices."""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How one torrent's engine behaves. Spans in seconds, sizes in bytes."""

    #: Connections of one torrent: enough to find every rare piece, few enough for TCP to be fair.
    connections_max: int = 55
    #: At first we dial for this share of them and keep the others for those who come to us (Mainline dialled
    #: up to 40 of 80); by and by, and after so long, for all.
    dialled_share: float = 0.5
    dialled_all_s: float = 60.0
    #: New connections a second, and at once at the start.
    dials_per_s: float = 30.0
    dial_burst: int = 30
    #: With fewer peers, and nobody left to dial but who failed last time, trackers are asked again as soon as
    #: they allow. Peers known for a while leave together when they have all, and may leave us behind.
    peers_few: int = 10
    #: None of our peers has anything that we lack: others are sought after so long, then after twice as long
    #: again, and so on; most such swarms are dead.
    dearth_s: float = 30.0
    #: Connections being made at the same time.
    half_open_max: int = 30
    #: Links of two that dialled each other at once come within a round trip or two, or a retry of it.
    crossed_dials_s: float = 10.0
    #: Addresses kept that were not dialled yet; beyond it a flood of lies would cost memory.
    candidates_max: int = 2000
    #: A peer that cannot be reached is tried again after this, then after 2.5 times as long ...
    redial_s: float = 15.0
    redial_max_s: float = 3600.0
    #: ... and forgotten after so many failures in a row.
    dial_failures_max: int = 6
    #: One that the user named is tried again sooner at first, for it may just be starting; never later than
    #: after four times `redial_s`, and never forgotten.
    user_redial_s: float = 2.0

    #: Peers on loopback addresses are many on one machine: they are not counted or banned by address.
    is_loopback_shared: bool = True

    #: Peers tell each other of peers (BEP 11), and help each other through NATs (BEP 55); never of private
    #: torrents.
    is_exchanging: bool = True
    #: BEP 11: "no more than 1 PEX message per minute", with no more than 50 added and 50 dropped;
    pex_interval_s: float = 60.0
    pex_contacts_max: int = 50
    #: what changes within this time goes with one message, the first too.
    pex_settle_s: float = 1.0
    #: Messages of a peer that are read: a few at once, for clocks and queues differ, then one in ...
    pex_burst: int = 4
    pex_refill_s: float = 45.0
    #: ... and how many more, or malformed, or overlong ones before it is dropped.
    pex_abuses_max: int = 5
    #: Addresses of one source that wait to be tried, and its failures without a success before it is not
    #: listened to any more (behind NATs many honest addresses fail, but not all).
    pex_untried_max: int = 100
    pex_failures_max: int = 30
    #: Its share of `candidates_max`: what trackers say is not crowded out.
    pex_share: float = 0.5
    #: Rendezvous (BEP 55) that one peer may ask us for or send us to: few at once, then one in ...
    holepunch_burst: int = 5
    holepunch_refill_s: float = 10.0
    #: How many relays are asked for one address, and how soon again.
    holepunch_relays_max: int = 3
    holepunch_again_s: float = 3600.0

    #: BEP 40: with all places taken a newcomer of higher priority gets that of a peer that was connected for
    #: longer than this and neither gives nor takes.
    yields_after_s: float = 30.0
    #: With all places taken, and addresses waiting to be dialled, who came to us and gave and took nothing
    #: for so long (some turns of the choker) gives its own to one that we dial ...
    idle_place_s: float = 300.0
    #: ... one in so long: honest ones that are idle do not come and go for each other.
    turnover_s: float = 30.0
    #: A link that was lost within this and moved nothing counts as a failed dial: it is tried again later and
    #: later, and given up.
    short_link_s: float = 30.0

    #: Peers served at a time. More slots split the uplink without gaining a piece (BEP 3).
    unchoke_slots: int = 8
    #: Under an upload limit: these, and one more for each so many bytes a second.
    limited_slots_min: int = 4
    slot_bytes_per_s: float = 4 << 20
    limited_slots_max: int = 20
    #: or, in a crowd, one for each so many who want something, as far as each gets so many bytes a second.
    crowd_per_slot: int = 6
    crowd_slot_bytes_per_s: float = 256 << 10
    #: What a peer may take while it gives nothing (at least so many pieces: it must have something to give),
    #: and so many times what it gave; beyond that it comes last.
    taker_bytes: int = 1 << 20
    taker_pieces: int = 4
    taker_ratio: int = 16
    #: Whom an only seed gave so many pieces that nobody else has got since passes nothing on.
    miser_pieces: int = 4
    #: A seed shows its pieces one by one from the start (BEP 16) until one copy is out.
    is_super_seeding: bool = False
    #: So many pieces a peer is shown before one of them was seen elsewhere,
    super_seed_pieces: int = 1
    #: and more while less than this is being fetched, so that the line does not stand still.
    super_seed_ahead_bytes: int = 2 << 20
    #: Who has what it was shown, and sees nothing happen for so long, is shown another piece.
    super_seed_patience_s: float = 3.0
    #: So many slots are given to the first who ask; the others by lot among all who ask within a moment.
    slots_at_once: int = 1
    slot_delay_s: float = 0.01
    #: While the line up stands still: a slot that was not used for so long is for others.
    unused_slot_s: float = 0.05
    #: BEP 3: "every ten seconds", long enough for TCP to reach its rate.
    choke_round_s: float = 10.0
    #: BEP 3: the optimistic slot moves "every 30 seconds".
    optimistic_s: float = 30.0
    #: BEP 3: newly connected peers are three times as likely to get it.
    newcomer_weight: int = 3
    newcomer_s: float = 60.0
    #: Rates that decide on slots are averages over this span (BEP 3: "a rolling 20-second average").
    rate_window_s: float = 20.0

    #: Who has a new piece of ours itself, or may not ask us for it yet, hears of it within this time.
    have_delay_s: float = 0.2

    #: The first requests to a peer of which nothing is known.
    request_depth_start: int = 32
    request_depth_min: int = 4
    #: libtorrent and we keep 2,000 requests a peer; 32 MiB fill any pipe we can serve.
    request_depth_max: int = 2000
    #: Peers that do not say (`reqq`) are not trusted with more; Transmission keeps 500.
    request_depth_unknown: int = 250
    #: How long an answer may take, besides the round trip: what waits longer others could send sooner.
    request_ahead_s: float = 0.1
    #: Of the only peer there is: nobody else could send it, and fewer turns cost less.
    request_alone_s: float = 0.4
    #: Our line stands still: how often one peer is told. And who let us wait for so long gives the only
    #: piece that was asked of it up to one who tells us so (of several it gives the last up at once).
    suggest_pause_s: float = 0.05
    give_up_s: float = 0.1
    #: Refill when this share of the depth is free: requests leave in runs, not one by one.
    refill_share: float = 0.25
    #: Pieces being received or hashed, in bytes: what a download costs in memory. Where the network is faster
    #: than hashing more would only wait for that, and memory that is used again soon is in the cache.
    #: Each of `connections_max` peers finds room for its first requests.
    in_flight_bytes_max: int = 32 << 20
    #: Of large pieces so many all the same: one is written and one hashed while others arrive.
    in_flight_pieces_min: int = 4
    #: A peer that would need longer for a whole piece shares it with others.
    whole_piece_s: float = 8.0
    #: The rest of a piece that takes no longer than this is asked for at once: it is sent at once, too.
    whole_rest_s: float = 1.0
    #: No block for so long although asked: the requests go to others as well.
    request_timeout_s: float = 20.0
    #: No block for so long: the peer has snubbed us (BEP 3: "over a minute").
    snub_s: float = 60.0
    #: No block at all in so long, although it takes requests: its place is for others.
    fake_seed_s: float = 120.0
    #: Until so many pieces are there, pick at random, to have something to trade (BEP 3).
    random_first_pieces: int = 4
    #: End game: so many peers may be asked for one block ...
    end_game_askers_max: int = 2
    #: ... and only if its first asker is expected to need this much longer than the second.
    end_game_advantage: float = 2.0
    #: Not of one from whom a block came so lately: what it owes is on its way ...
    end_game_silence_s: float = 0.25
    #: ... unless it would take so long, and does not know BEP 6.
    end_game_after_s: float = 1.0

    #: Requests of one peer that we keep (we advertise it as `reqq`).
    served_queue_max: int = 2000
    #: Requests that came while choked without being answerable; then it is a flood.
    choked_requests_max: int = 6_000
    #: Messages that change nothing (keep-alives, pieces told of twice, changes of interest without a reason):
    #: so many at once, then one in so many seconds, then it is a flood. An honest peer sends a few a second.
    useless_burst: int = 2_000
    useless_refill_s: float = 0.02
    #: Peers of one address that broke the protocol, before the address is banned.
    offences_max: int = 3
    #: Bytes handed to the host per peer before it has sent them.
    send_window_min: int = 16 * BLOCK_BYTES
    send_window_max: int = 4 << 20
    #: Under an upload limit the host gets only what it sends in this time: few peers, one after the other;
    serve_ahead_s: float = 0.02
    #: where only one peer takes anything nobody waits for the order, and fewer turns cost less; up to so
    #: many bytes, which is a good turn at any rate;
    serve_alone_s: float = 0.25
    serve_alone_bytes: int = 1 << 20
    #: whose wish is common waits no longer than this for those whose wishes are rare;
    turn_patience_s: float = 1.0
    #: in a crowd, of what one peer has asked for the rarest leaves first: so many requests are looked at, and
    #: their first waits no longer than this for the others;
    queue_looked_at: int = 8
    passed_over_s: float = 0.25
    #: more while it sends less than this share of what it may, since then it is they who are slow ...
    busy_share: float = 0.9
    #: ... up to this.
    serve_ahead_max_s: float = 10.0
    #: It asked, and takes nothing of it for so long: the slot is for others.
    send_stall_s: float = 60.0
    #: BEP 6 suggests ten pieces for newcomers that have fewer than that.
    allowed_fast_count: int = 10

    #: Nothing heard for so long: gone. Everybody sends keep-alives within 120 s.
    idle_s: float = 180.0
    #: A keep-alive after so long a silence of ours.
    keep_alive_s: float = 100.0
    #: Blocks nobody asked for, before the peer is dropped.
    unasked_blocks_max: int = 8
    #: How often the desks look at their clocks while data flows.
    tick_s: float = 1.0

    #: Pieces of metadata asked of one peer at a time: at first, and at the most (Transmission refuses more
    #: than 64).
    metadata_depth_start: int = 16
    metadata_depth_max: int = 64
    #: A piece of metadata asked for so long ago may be asked of a second peer ...
    metadata_hurry_s: float = 1.0
    #: ... and who has sent nothing that it was asked for in so long is not asked again for a while.
    metadata_timeout_s: float = 10.0
    #: So long rests who refused, or did not answer.
    metadata_rest_s: float = 30.0
    #: Peers may disagree on the size, or lie: so many tries at a time, each at most 32 MiB of memory.
    metadata_drafts_max: int = 3
    #: A try may give way to another size's after so long.
    metadata_draft_s: float = 20.0
    #: When places are short, who could not help for so long gives its own to others.
    metadata_useless_s: float = 30.0
    #: Of one link's requests for metadata so many times the number of its pieces are answered ...
    metadata_served_factor: int = 3
    #: ... so many more rejected, then it is a flood. So many unasked pieces are one, too.
    metadata_requests_spare: int = 256
    metadata_unasked_max: int = 64
