"""The engine as a whole: greetings, interest, completion, loss, selection, time."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import pairwise

import pytest

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.engine.commands import BanHost, DropPeer, HashPiece
from swarm.engine.events import (
    BlocksSent,
    CandidatesFound,
    DialFailed,
    HashResult,
    MessagesReceived,
    PeerLost,
    PieceNotWritten,
    PiecesHashed,
    PieceUnreadable,
    WokenUp,
)
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import (
    LOCAL_IDS,
    ExtendedHandshake,
    decode_extended_handshake,
    encode_dont_have,
    encode_extended_handshake,
)
from swarm.wire.peer.messages import (
    BitfieldMessage,
    Extended,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    KeepAlive,
    NotInterested,
    Port,
    Request,
    Suggest,
    Unchoke,
)
from tests.unit.engine.world import OWN_ID, FakePeer, World

ADDRESS = Endpoint("10.7.7.7", 6881)
WANTS_NO_MORE = Extended(0, encode_extended_handshake(ExtendedHandshake(is_upload_only=True)))


def handshakes(peer: FakePeer) -> list[ExtendedHandshake]:
    """The extension handshakes that `peer` got."""
    return [
        decode_extended_handshake(message.payload)
        for message in peer.heard
        if isinstance(message, Extended) and message.extended_id == 0
    ]


class TestGreeting:
    @pytest.mark.parametrize(
        ("have", "has_fast", "first"),
        [
            ("****", True, HaveAll()),
            ("    ", True, HaveNone()),
            ("* * ", True, BitfieldMessage(b"\xa0")),
            ("****", False, BitfieldMessage(b"\xf0")),
            ("* * ", False, BitfieldMessage(b"\xa0")),
        ],
    )
    def test_it_says_first_what_it_has(self, have: str, has_fast: bool, first: object) -> None:
        assert World(have=have).connect(has_fast=has_fast).heard[0] == first

    def test_without_a_piece_and_the_fast_extension_it_says_nothing(self) -> None:
        assert World().connect(has_fast=False).heard == []

    def test_it_introduces_itself_where_extensions_are_spoken(self) -> None:
        (said,) = handshakes(World().connect(has_extended=True))
        assert said == ExtendedHandshake(
            extensions={"lt_donthave": 1, "ut_pex": 2, "ut_metadata": 3, "ut_holepunch": 4, "upload_only": 5},
            listen_port=6881,
            client="swarm",
            request_queue=2000,
            your_ip=bytes((10, 0, 0, 1)),
        )

    def test_seed_says_that_it_only_uploads(self) -> None:
        (said,) = handshakes(World(have="****").connect(has_extended=True))
        assert said.is_upload_only

    def test_peer_is_shown_by_the_name_it_gives_itself(self) -> None:
        world = World()
        peer = world.connect("*   ", has_extended=True)
        assert world.engine.peers(world.now)[0].client == "XX 1.2.3"
        peer.says(Extended(0, encode_extended_handshake(ExtendedHandshake(client="Other 9"))))
        (row,) = world.engine.peers(world.now)
        assert (row.client, row.endpoint, row.pieces, row.is_seed) == ("Other 9", "10.0.0.1:6881", 1, False)

    def test_broken_extension_handshake_drops_the_peer(self) -> None:
        peer = World().connect("*   ", has_extended=True)
        peer.says(Extended(0, b"nonsense"))
        assert peer.drop_reason is not None and "extension handshake" in peer.drop_reason

    def test_messages_without_consequence_are_taken(self) -> None:
        peer = World().connect("*   ")
        heard = len(peer.heard)
        peer.says(Port(6881), Suggest(0), KeepAlive(), Extended(77, b"whatever"))
        assert peer.drop_reason is None and len(peer.heard) == heard

    @pytest.mark.parametrize(
        ("peer_id", "reason"), [(OWN_ID, "it is ourselves"), (None, "it is connected already")]
    )
    def test_ourselves_and_doubles_are_turned_away(self, peer_id: PeerId | None, reason: str) -> None:
        world = World(settings=EngineSettings(crossed_dials_s=0))
        first = world.connect()
        assert world.connect(peer_id=peer_id or first.peer_id).drop_reason == reason
        assert first.drop_reason is None


class TestInterest:
    def test_it_follows_what_peers_have(self) -> None:
        world = World(have="*   ")
        peer = world.connect("*   ")
        assert not peer.is_wanted
        peer.says(Have(2))
        assert peer.is_wanted

    def test_it_ends_with_the_last_piece_of_a_peer(self) -> None:
        world = World()
        peer = world.connect("**  ", is_unchoking=True)
        peer.sends()
        assert not peer.is_wanted and world.have == "**  "
        assert [type(message) for message in peer.heard[-2:]] == [Have, NotInterested]

    def test_have_goes_to_everybody(self) -> None:
        world = World()
        peer, other = world.connect("*   ", is_unchoking=True), world.connect("    ")
        peer.sends()
        assert other.heard[-1] == Have(0)

    def test_unwanted_pieces_interest_nobody(self) -> None:
        world = World(priorities="0011")
        peer = world.connect("**  ", is_unchoking=True)
        assert not peer.is_wanted and not peer.asked

    def test_interested_peer_gets_a_free_slot_at_once(self) -> None:
        world = World(have="*   ")
        peer = world.connect("    ")
        peer.says(Interested())
        assert peer.heard[-1] == Unchoke()

    def test_have_is_counted_once(self) -> None:
        world = World()
        peer = world.connect("    ")
        peer.says(Have(1), Have(1))
        assert world.engine.peers(world.now)[0].pieces == 1


class TestCompletion:
    def test_download_completes_and_says_so_once(self) -> None:
        world = World(pieces=5, blocks=3)
        seed = world.seed()
        leecher = world.connect("     ", has_extended=True)
        leecher.says(Extended(0, b"d1:md11:lt_donthavei4eee"))
        seed.sends()
        assert world.have == "*****" and world.completed_count == 1
        assert seed.drop_reason == "both of us have everything"
        assert leecher.drop_reason is None and handshakes(leecher)[-1].is_upload_only
        stats = world.engine.stats(world.now)
        assert stats.is_complete and stats.missing_bytes == 0 and stats.wasted_bytes == 0
        assert stats.done_bytes == stats.downloaded_bytes == stats.total_bytes == 15 * BLOCK_BYTES

    def test_complete_from_the_start_is_not_announced(self) -> None:
        world = World(have="****")
        world.connect("    ")
        assert world.completed_count == 0

    @pytest.mark.parametrize("first", [HaveAll(), BitfieldMessage(b"\xf0")])
    def test_two_seeds_part(self, first: HaveAll | BitfieldMessage) -> None:
        peer = World(have="****").connect()
        peer.says(first)
        assert peer.drop_reason == "both of us have everything"

    def test_seed_parts_from_a_peer_that_becomes_one(self) -> None:
        peer = World(have="****").connect("*** ")
        peer.says(Have(3))
        assert peer.drop_reason == "both of us have everything"

    def test_seed_parts_from_a_peer_that_becomes_one_having_said_nothing_at_first(self) -> None:
        """BEP 3: a peer without pieces may leave the bitfield out."""
        peer = World(have="****").connect(has_fast=False)
        peer.says(Have(0), Have(1), Have(2))
        assert peer.drop_reason is None
        peer.says(Have(3))
        assert peer.drop_reason == "both of us have everything"


class TestPartialSeeds:
    """BEP 21: who is incomplete and wants nothing more."""

    def test_it_says_so_from_the_first_word_on(self) -> None:
        peer = World(have="**  ", priorities="1100").connect("    ", has_extended=True)
        assert handshakes(peer)[0].is_upload_only

    def test_it_parts_from_a_seed_which_is_not_dialled_any_more(self) -> None:
        world = World(priorities="1100")
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        seed = world.connect("****", is_outgoing=True, endpoint=ADDRESS, is_unchoking=True)
        seed.sends()
        assert seed.drop_reason == "we have all that we want"
        world.pass_time(1000)
        assert world.dialled == [ADDRESS]

    @pytest.mark.parametrize("message", [WANTS_NO_MORE, Extended(LOCAL_IDS["upload_only"], b"\1")])
    def test_two_of_them_part_and_dial_each_other_no_more(self, message: Extended) -> None:
        world = World(have="**  ", priorities="1100")
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        peer = world.connect("  **", is_outgoing=True, endpoint=ADDRESS, has_extended=True)
        assert peer.drop_reason is None
        peer.says(message)
        assert peer.drop_reason == "both of us have all that we want"
        world.pass_time(1000)
        assert world.dialled == [ADDRESS]

    def test_seed_parts_from_one(self) -> None:
        peer = World(have="****").connect("*** ", has_extended=True)
        peer.says(WANTS_NO_MORE)
        assert peer.drop_reason == "both of us have all that we want"

    def test_leecher_keeps_one_that_has_something_for_it(self) -> None:
        peer = World(have="*   ").connect("*** ", has_extended=True)
        peer.says(WANTS_NO_MORE)
        assert peer.drop_reason is None

    def test_leecher_parts_from_one_that_has_nothing_for_it_and_dials_it_later_and_later(self) -> None:
        world = World(have="*   ", priorities="1100")
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        spans = []
        for times in range(1, 4):
            peer = world.connect("* **", is_outgoing=True, endpoint=ADDRESS, has_extended=True)
            peer.says(WANTS_NO_MORE)
            assert peer.drop_reason == "it has nothing for us"
            parted_at = world.now
            while len(world.dialled) == times:
                world.pass_time(1)
            spans.append(world.now - parted_at)
        assert spans[0] < spans[1] < spans[2]

    def test_leecher_parts_from_one_that_has_given_all_it_has(self) -> None:
        world = World()
        peer = world.connect("**  ", has_extended=True, is_unchoking=True)
        peer.says(WANTS_NO_MORE)
        peer.sends()
        world.pass_time(2 * world.settings.choke_round_s)
        assert peer.drop_reason == "it has nothing for us"

    def test_one_that_asks_all_the_same_is_kept(self) -> None:
        peer = World(have="****").connect("*** ", has_extended=True)
        peer.says(Interested(), WANTS_NO_MORE)
        assert peer.drop_reason is None

    @pytest.mark.parametrize(
        "message",
        [
            Extended(0, encode_extended_handshake(ExtendedHandshake(is_upload_only=False))),
            Extended(LOCAL_IDS["upload_only"], b"\0"),
        ],
    )
    def test_one_may_change_its_mind(self, message: Extended) -> None:
        world = World()
        peer = world.connect("*** ", has_extended=True, is_unchoking=True)
        peer.says(WANTS_NO_MORE, message)
        peer.sends()
        world.pass_time(2 * world.settings.choke_round_s)
        assert peer.drop_reason is None

    def test_handshake_that_does_not_speak_of_it_changes_nothing(self) -> None:
        world = World()
        peer = world.connect("*** ", has_extended=True, is_unchoking=True)
        peer.says(WANTS_NO_MORE, Extended(0, encode_extended_handshake(ExtendedHandshake())))
        peer.sends()
        world.pass_time(2 * world.settings.choke_round_s)
        assert peer.drop_reason == "it has nothing for us"

    def test_who_has_all_it_wants_says_so_to_a_newcomer_that_has_not_introduced_itself_yet(self) -> None:
        world = World(priorities="1100")
        slow = world.connect("    ", has_extended=True)
        world.connect("** *", is_unchoking=True).sends()
        assert handshakes(slow)[-1].is_upload_only

    def test_who_loses_a_piece_says_so(self) -> None:
        world = World(have="****")
        peer = world.connect("    ", has_extended=True)
        peer.says(Extended(0, b"d1:md11:lt_donthavei9eee"))
        world.verified.discard(1)
        world.tell(PieceUnreadable(1))
        assert handshakes(peer)[-1].is_upload_only is False


class TestBadData:
    def test_sole_sender_of_a_bad_piece_is_banned_and_the_piece_asked_of_another(self) -> None:
        world = World(pieces=1)
        liar = world.seed()
        liar.sends(2, filler=7)
        assert world.banned == [liar.endpoint] and liar.drop_reason == "piece 0 had wrong data from it"
        world.seed().sends()
        assert world.have == "*"

    def test_liar_among_several_is_found_when_the_piece_is_good(self) -> None:
        world = World(pieces=1, blocks=4)
        honest = world.seed()
        honest.sends(2)
        honest.leaves()
        liar = world.seed()
        liar.sends(2, filler=7)
        assert world.banned == []
        third = world.seed()
        liar.leaves()
        third.sends()
        assert world.have == "*" and world.banned == [liar.endpoint]

    def test_bad_piece_of_several_is_asked_of_one_alone_with_digests(self) -> None:
        world = World(pieces=1, blocks=4)
        one = world.connect("*", is_unchoking=True)
        one.sends(2)
        one.leaves()
        two, three = world.seed(), world.seed()
        two.sends(2, filler=7)
        assert len(two.asked) == 4 and not three.asked, "one alone"
        commands = two.sends(4, at_once=True)
        assert HashPiece(0, True) in commands
        assert world.have == "*" and world.banned == [two.endpoint]

    def test_lost_liar_is_banned_all_the_same(self) -> None:
        world = World(pieces=1, has_quick_disk=False)
        liar = world.seed()
        liar.sends(filler=7)
        liar.leaves()
        commands = world.hash_next()
        assert BanHost(liar.endpoint, "piece 0 had wrong data from it") in commands

    def test_lost_liar_of_this_machine_is_known_by_its_id_when_it_comes_again(self) -> None:
        world = World(pieces=1, has_quick_disk=False)
        liar = world.connect("*", is_unchoking=True, endpoint=Endpoint("127.0.0.1", 7))
        liar.sends(filler=7)
        liar.leaves()
        world.hash_next()
        again = world.connect(endpoint=Endpoint("127.0.0.1", 8), peer_id=liar.peer_id)
        assert again.drop_reason == "it is banned"
        assert world.connect(endpoint=Endpoint("127.0.0.1", 9)).drop_reason is None

    def test_result_of_a_piece_that_nobody_hashes_is_passed_over(self) -> None:
        world = World()
        assert world.tell(PiecesHashed([HashResult(2, True)])) == []
        assert world.have == "    "


class TestDisk:
    def test_piece_that_was_not_written_is_fetched_again(self) -> None:
        world = World(pieces=1, has_quick_disk=False)
        seed = world.seed()
        seed.sends()
        world.to_hash.clear()
        world.memory.clear()
        world.tell(PieceNotWritten(0))
        assert world.have == " " and len(seed.asked) == 2
        seed.sends()
        world.hash_next()
        assert world.have == "*"

    def test_piece_that_cannot_be_read_is_taken_back_and_fetched_again(self) -> None:
        world = World(have="****")
        peer = world.connect("*** ", has_extended=True)
        peer.says(Extended(0, b"d1:md11:lt_donthavei9eee"))
        world.verified.discard(1)
        world.tell(PieceUnreadable(1))
        assert Extended(9, encode_dont_have(1)) in peer.heard
        assert peer.is_wanted and not world.engine.is_complete
        peer.says(Unchoke())
        peer.sends()
        assert world.have == "****" and world.completed_count == 1

    def test_switched_off_extension_is_not_used_any_more(self) -> None:
        world = World(have="****")
        peer = world.connect("*** ", has_extended=True)
        peer.says(Extended(0, b"d1:md11:lt_donthavei9eee"))
        peer.says(Extended(0, b"d1:md11:lt_donthavei0eee"))
        world.verified.discard(1)
        world.tell(PieceUnreadable(1))
        assert Extended(9, encode_dont_have(1)) not in peer.heard


class TestPeersLosingPieces:
    def test_peer_that_loses_a_piece_is_a_seed_no_more(self) -> None:
        """BEP 54."""
        world = World()
        peer = world.connect("****")
        peer.says(Extended(1, encode_dont_have(2)))
        assert world.engine.stats(world.now).seeds == 0
        peer.says(Unchoke())
        assert 2 not in world.asked_pieces(peer)

    @pytest.mark.parametrize("piece", [3, 4, 2**32 - 1])
    def test_piece_it_never_had_is_passed_over(self, piece: int) -> None:
        peer = World().connect("*** ")
        peer.says(Extended(1, encode_dont_have(piece)))
        assert peer.drop_reason is None

    def test_wrong_size_drops_the_peer(self) -> None:
        peer = World().connect("*** ")
        peer.says(Extended(1, b"\0"))
        assert peer.drop_reason is not None


class TestTime:
    def test_engine_without_peers_sleeps(self) -> None:
        assert World().engine.next_wakeup(1000.0) is None

    def test_idle_peers_cost_a_look_every_choke_round(self) -> None:
        world = World(have="****")
        world.connect("    ")
        world.pass_time(30)
        at = world.engine.next_wakeup(world.now)
        assert at is not None and at - world.now <= world.settings.choke_round_s
        woken = 0
        end = world.now + 100
        while (at := world.engine.next_wakeup(world.now)) is not None and at < end:
            world.now = at
            world.tell(WokenUp())
            woken += 1
        assert woken <= 10

    def test_keep_alive_is_said_in_time(self) -> None:
        world = World(have="****")
        peer = world.connect("    ")
        world.pass_time(115)
        assert peer.heard.count(KeepAlive()) == 1

    def test_silent_peer_is_dropped_and_sign_of_life_counts(self) -> None:
        world = World(have="****")
        silent, alive = world.connect("    "), world.connect("    ")
        for _ in range(3):
            world.pass_time(90)
            world.tell(MessagesReceived(alive.number, []))
        assert silent.drop_reason == "nothing was heard from it for too long"
        assert alive.drop_reason is None

    def test_choke_rounds_move_the_slots(self) -> None:
        settings = EngineSettings(unchoke_slots=2)
        world = World(have="****", settings=settings)
        peers = [world.connect("    ") for _ in range(6)]
        served = set()
        for peer in peers:
            peer.says(Interested())
        for _ in range(20):
            world.pass_time(10)
            assert sum(peer.is_unchoked for peer in peers) == 2
            for peer in peers:
                if peer.is_unchoked:
                    peer.says(Request(peer.number % 4, 0, BLOCK_BYTES))
                    served.add(peer.number)
                else:
                    world.tell(MessagesReceived(peer.number, []))
        assert len(served) == 6


class TestFindingPeers:
    def test_candidates_are_dialled_and_dialled_again_after_a_failure(self) -> None:
        world = World()
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        assert world.dialled == [ADDRESS]
        world.tell(DialFailed(ADDRESS, "refused"))
        world.pass_time(20)
        assert world.dialled == [ADDRESS, ADDRESS]

    def test_dial_that_the_host_had_no_place_for_is_no_failure_however_often(self) -> None:
        world = World()
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        for times in range(1, 3 * world.settings.dial_failures_max):
            assert world.dialled == [ADDRESS] * times
            world.tell(DialFailed(ADDRESS, "there are enough connections", is_tried=False))
            world.pass_time(20)
        # What counts begins with the first try.
        world.tell(DialFailed(ADDRESS, "no answer"))
        before = len(world.dialled)
        world.pass_time(20)
        assert len(world.dialled) == before + 1

    def test_dialled_peer_that_leaves_is_dialled_again(self) -> None:
        world = World()
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        world.connect("****", is_outgoing=True, endpoint=ADDRESS).leaves()
        world.pass_time(20)
        assert world.dialled == [ADDRESS, ADDRESS]

    def test_peer_that_broke_the_protocol_is_not_dialled_again(self) -> None:
        world = World()
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        world.connect("****", is_outgoing=True, endpoint=ADDRESS).says(HaveNone())
        world.pass_time(200)
        assert world.dialled == [ADDRESS]

    def test_peer_that_takes_connections_and_closes_them_is_dialled_later_and_later(self) -> None:
        world = World()
        world.tell(CandidatesFound([ADDRESS], "user"))
        dialled_at = [world.now]
        for count in range(2, 7):
            world.connect("****", is_outgoing=True, endpoint=ADDRESS).leaves()
            while len(world.dialled) < count:
                world.pass_time(1)
            dialled_at.append(world.now)
        pauses = [later - earlier for earlier, later in pairwise(dialled_at)]
        assert pauses[0] >= 0.8 * world.settings.user_redial_s
        assert pauses[-1] >= 3 * world.settings.redial_s
        # Whom no user has named is given up.
        world = World()
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        for _ in range(world.settings.dial_failures_max):
            world.connect("****", is_outgoing=True, endpoint=ADDRESS).leaves()
            world.pass_time(world.settings.redial_max_s)
        assert len(world.dialled) == world.settings.dial_failures_max

    def test_frames_that_are_none_are_offences_and_the_third_bans_the_address(self) -> None:
        world = World(settings=EngineSettings(offences_max=3))
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        for number in range(3):
            assert world.banned == []
            host = Endpoint(ADDRESS.host, 50_000 + number)
            peer = world.connect("****", is_outgoing=not number, endpoint=host if number else ADDRESS)
            world.peers.pop(peer.number)
            world.tell(PeerLost(peer.number, "a message of 4294967295 bytes", is_offence=True))
        assert [endpoint.host for endpoint in world.banned] == [ADDRESS.host]
        assert world.connect(endpoint=Endpoint(ADDRESS.host, 9)).drop_reason == "it is banned"
        world.pass_time(200)
        assert world.dialled == [ADDRESS], "it is dialled again"

    def test_peers_that_come_and_go_are_not_remembered(self) -> None:
        world = World()
        for _ in range(50):
            world.connect("****").leaves()
        sender = world.seed()
        sender.sends(1)
        sender.leaves()
        assert list(world.engine._company._suspects) == [sender.number]

    @pytest.mark.parametrize("is_seed", [False, True])
    def test_thousands_of_visits_leave_no_memory_behind(self, is_seed: bool) -> None:
        """What a soak shows after many minutes: whatever is kept of a visit adds up."""
        world = World(pieces=8, have="*" * 8 if is_seed else "")

        def visits(count: int) -> int:
            for number in range(count):
                peer = world.connect(
                    "*       ", has_extended=True, endpoint=Endpoint(f"10.1.{number % 250}.1", number)
                )
                peer.says(Interested())
                world.now += 0.1
                world.tell(WokenUp())
                peer.leaves()
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = visits(300)
            # What is made once, when first used, is 30 KB; a record of 100 bytes a visit would be 240 KB.
            assert visits(2400) - before < 80_000
        finally:
            tracemalloc.stop()

    def test_slots_of_a_crowd_that_leaves_are_given_away_once_not_once_for_each(self) -> None:
        """Each time costs a look at everybody: 500 that left at once held up the loop for 50 ms."""
        world = World(have="****", settings=EngineSettings(unchoke_slots=4, slot_delay_s=0.01))
        crowd = [world.connect("    ") for _ in range(12)]
        for peer in crowd:
            peer.says(Interested())
        world.pass_time(1)
        served = [peer for peer in crowd if peer.is_unchoked]
        assert len(served) == 4
        first, *others = served
        first.leaves()
        assert sum(peer.is_unchoked for peer in world.peers.values()) == 4, "one that leaves is made up for"
        for peer in others:
            peer.leaves()
        assert sum(peer.is_unchoked for peer in world.peers.values()) == 1
        world.pass_time(0.02)
        assert sum(peer.is_unchoked for peer in world.peers.values()) == 4

    def test_hours_that_passed_at_once_cost_the_links_and_not_the_download(self) -> None:
        """A machine that was suspended wakes up: nobody was heard, nothing was said, and no timer has run."""
        world = World(pieces=8)
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        asked = world.connect("*" * 8, is_outgoing=True, endpoint=ADDRESS, is_unchoking=True)
        idle = world.connect("*       ")
        asked.sends(3)
        world.now += 8 * 3600
        world.tell(WokenUp())
        assert asked.drop_reason == idle.drop_reason == "nothing was heard from it for too long"
        world.engine.check()
        world.pass_time(60)
        assert world.dialled == [ADDRESS, ADDRESS]
        world.connect("*" * 8, is_outgoing=True, endpoint=ADDRESS, is_unchoking=True).sends()
        assert world.have == "*" * 8

    def test_last_peer_that_leaves_is_missed(self) -> None:
        world = World()
        peer = world.connect("*   ")
        peer.leaves()
        assert world.seek_count == 1

    def test_more_are_sought_when_few_are_there_and_the_others_have_failed(self) -> None:
        world = World()
        world.connect("*   ")
        other = Endpoint("10.7.7.8", 6881)
        world.tell(CandidatesFound([ADDRESS, other], "tracker"))
        world.tell(DialFailed(ADDRESS, "refused"))
        assert world.seek_count == 0, "the other is being dialled"
        world.tell(DialFailed(other, "refused"))
        assert world.seek_count == 1

    def test_more_are_sought_seldom_where_nobody_has_what_we_lack(self) -> None:
        world = World(have="** *")
        useless = world.connect("** *")
        span_s = world.settings.dearth_s
        world.pass_time(0.9 * span_s)
        assert world.seek_count == 0
        world.pass_time(0.6 * span_s)
        assert world.seek_count == 1
        for _ in range(24 * 60):
            world.pass_time(60)
            useless.says(KeepAlive())
        assert 8 <= world.seek_count <= 12, "a dead swarm is no burden"
        useless.says(Have(2))
        count = world.seek_count
        world.pass_time(span_s)
        useless.says(KeepAlive())
        world.pass_time(span_s)
        assert world.seek_count == count and not useless.drop_reason

    def test_none_are_sought_while_there_are_enough(self) -> None:
        world = World()
        for _ in range(world.settings.peers_few):
            world.connect("*   ")
        world.tell(CandidatesFound([ADDRESS], "tracker"))
        world.tell(DialFailed(ADDRESS, "refused"))
        assert world.seek_count == 0

    def test_events_of_peers_that_are_gone_are_passed_over(self) -> None:
        world = World()
        for event in (PeerLost(9, "gone"), BlocksSent(9, 1), MessagesReceived(9, [Unchoke()])):
            assert world.tell(event) == []

    def test_nothing_is_done_with_what_follows_an_offence(self) -> None:
        world = World()
        peer = world.connect("****")
        commands = peer.says(HaveNone(), Unchoke())
        assert [type(command) for command in commands[:1]] == [DropPeer]
        assert not peer.asked


def test_torrent_without_a_byte_is_complete_and_keeps_its_books() -> None:
    world = World(total_bytes=0)
    world.connect().leaves()
    peer = world.connect()
    peer.says(HaveNone())
    world.pass_time(20)
    assert world.engine.is_complete and peer.drop_reason == "both of us have everything"
