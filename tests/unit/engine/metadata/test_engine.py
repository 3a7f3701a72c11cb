"""Fetching metadata: honest peers, slow ones, liars about its bytes and about its size."""

from __future__ import annotations

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.engine.events import CandidatesFound, DialFailed, PeerLost
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import HANDSHAKE_ID, LOCAL_IDS, decode_extended_handshake
from swarm.wire.peer.messages import BitfieldMessage, Extended, Have, HaveNone, KeepAlive
from swarm.wire.peer.metadata import (
    METADATA_BYTES_MAX,
    MetadataData,
    MetadataReject,
    MetadataRequest,
)
from swarm.wire.peer.pex import Contact, PeerExchange, encode_peer_exchange
from tests.unit.engine.metadata.metadata_world import KIB16, OWN_ID, MetadataWorld, info_of, liar
from tests.unit.engine.world import World

ADDRESS = Endpoint("10.9.9.9", 6881)


class TestGreeting:
    def test_a_peer_is_told_that_we_have_nothing_and_who_we_are(self) -> None:
        peer = MetadataWorld(info_of(10)).connect(is_introduced=False)
        assert peer.heard[0] == HaveNone()
        assert isinstance(peer.heard[1], Extended) and peer.heard[1].extended_id == HANDSHAKE_ID
        said = decode_extended_handshake(peer.heard[1].payload)
        assert said.extensions["ut_metadata"] == 3
        assert said.metadata_bytes is None and said.listen_port == 6881

    def test_without_extensions_nothing_is_said(self) -> None:
        world = MetadataWorld(info_of(10))
        assert world.connect(has_extended=False, has_fast=False, is_introduced=False).heard == []


class TestHonestPeers:
    @pytest.mark.parametrize("total_bytes", [1, KIB16 - 1, KIB16, KIB16 + 1, 4_000_070])
    def test_one_peer_gives_all(self, total_bytes: int) -> None:
        world = MetadataWorld(info_of(total_bytes))
        world.connect(world.right)
        world.settle()
        assert world.completed == [world.right]
        assert world.engine.info == world.right
        assert world.engine.stats().done_bytes == total_bytes

    def test_several_are_asked_for_different_pieces_at_once(self) -> None:
        world = MetadataWorld(info_of(40 * KIB16))
        one, other = world.connect(world.right), world.connect(world.right)
        assert one.asked and other.asked and not set(one.asked) & set(other.asked)
        world.settle()
        assert world.completed

    def test_more_is_asked_of_who_answers(self) -> None:
        world = MetadataWorld(info_of(100 * KIB16))
        peer = world.connect(world.right)
        first = len(peer.asked)
        for piece in list(peer.asked):
            peer.answer(piece)
        assert first < len(peer.asked) <= world.settings.metadata_depth_max

    def test_a_slow_peers_pieces_are_asked_of_another(self) -> None:
        world = MetadataWorld(info_of(3 * KIB16))
        slow, quick = world.connect(world.right), world.connect(world.right)
        assert slow.asked == [0, 1, 2] and quick.asked == []
        world.pass_time(world.settings.metadata_hurry_s + world.settings.tick_s)
        assert quick.asked == [0, 1, 2]
        quick.answer(0)
        slow.answer(0)
        world.settle()
        assert world.completed and not world.banned

    def test_what_comes_late_still_counts(self) -> None:
        world = MetadataWorld(info_of(3 * KIB16))
        slow = world.connect(world.right)
        world.pass_time(world.settings.metadata_timeout_s + 2)
        world.settle()
        assert world.completed and slow.drop_reason is None

    def test_who_leaves_is_made_up_for(self) -> None:
        world = MetadataWorld(info_of(3 * KIB16))
        leaver = world.connect(world.right)
        leaver.answer(1)
        other = world.connect(world.right)
        leaver.leaves()
        assert other.asked == [0, 2] or other.asked == [2, 0]
        world.settle()
        assert world.completed

    def test_who_rejects_rests_and_is_asked_again_later(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        peer = world.connect(world.right)
        peer.rejects()
        world.pass_time(world.settings.metadata_rest_s / 2)
        assert peer.asked == []
        world.pass_time(world.settings.metadata_rest_s)
        assert peer.asked == [0]
        world.settle()
        assert world.completed

    def test_who_gets_the_metadata_later_says_so_then(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        peer = world.connect(None)
        assert peer.asked == []
        peer.info = world.right
        peer.introduces()
        world.settle()
        assert world.completed

    def test_nothing_is_asked_of_who_does_not_speak_it(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        world.connect(world.right, is_introduced=False)
        world.pass_time(60)
        assert not world.completed

    def test_our_answers_are_rejects_before_and_pieces_after(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        peer = world.connect(world.right)
        peer.sends(MetadataRequest(0))
        world.settle()
        peer.sends(MetadataRequest(0))
        assert peer.answers == [MetadataReject(0), MetadataData(0, KIB16, world.right)]


class TestLiars:
    def test_one_that_alone_sent_wrong_bytes_is_banned(self) -> None:
        world = MetadataWorld(info_of(2 * KIB16))
        bad = world.connect(liar(world.right, 1))
        world.settle()
        assert not world.completed and world.banned == [bad.endpoint]
        assert bad.drop_reason == "its metadata is not that of the torrent"
        world.connect(world.right)
        world.settle()
        assert world.completed

    def test_among_several_the_liar_and_only_the_liar_is_found(self) -> None:
        world = MetadataWorld(info_of(60 * KIB16))
        peers = [world.connect(world.right) for _ in range(3)]
        bad = world.connect(liar(world.right, *range(60)))
        # All take part, so that nobody knows whose piece was wrong.
        world.settle(lambda busy: world.rng.choice(busy))
        world.settle()
        assert world.completed and world.banned == [bad.endpoint]
        assert all(peer.drop_reason is None for peer in peers)

    def test_liars_in_the_majority_only_cost_time(self) -> None:
        world = MetadataWorld(info_of(40 * KIB16))
        bad = [world.connect(liar(world.right, number)) for number in range(6)]
        honest = world.connect(world.right)
        for _ in range(20):
            world.settle(lambda busy: world.rng.choice(busy))
            world.pass_time(world.settings.metadata_draft_s)
        assert world.completed and honest.endpoint not in world.banned
        assert set(world.banned) <= {one.endpoint for one in bad}

    def test_a_liar_that_left_is_banned_when_it_is_proven(self) -> None:
        world = MetadataWorld(info_of(40 * KIB16))
        bad, honest = world.connect(liar(world.right, *range(40))), world.connect(world.right)
        while not (world.completed or honest.asked == [] == bad.asked):
            if bad.asked:
                bad.answer(bad.asked[0])
            if honest.asked:
                honest.answer(honest.asked[0])
            if bad.number in world.helpers and world.engine._downloads.has_testimony_of(bad.number):
                bad.leaves()
                bad.asked.clear()
        assert world.completed and world.banned == [bad.endpoint]

    @pytest.mark.parametrize("claimed", [1, KIB16 + 1, METADATA_BYTES_MAX])
    def test_a_wrong_size_does_not_keep_others_from_helping(self, claimed: int) -> None:
        world = MetadataWorld(info_of(3 * KIB16))
        world.connect(None).introduces(claimed)
        world.connect(world.right)
        world.settle()
        assert world.completed

    @pytest.mark.parametrize("claimed", [0, -1, METADATA_BYTES_MAX + 1, 2**31, 2**63])
    def test_a_size_that_cannot_be_is_no_size(self, claimed: int) -> None:
        world = MetadataWorld(info_of(3 * KIB16))
        peer = world.connect(None)
        peer.introduces(claimed)
        world.pass_time(30)
        assert peer.asked == [] and world.engine.stats().total_bytes is None

    def test_silent_peers_with_many_sizes_do_not_stop_it(self) -> None:
        world = MetadataWorld(info_of(3 * KIB16))
        for size in range(1, 20):
            world.connect(None).introduces(KIB16 * size)
        world.connect(world.right)
        for _ in range(10):
            world.settle()
            world.pass_time(world.settings.metadata_draft_s)
        assert world.completed

    def test_no_more_tries_at_a_time_than_allowed(self) -> None:
        world = MetadataWorld(info_of(3 * KIB16))
        for size in range(1, 20):
            world.connect(None).introduces(KIB16 * size)
        asked = [peer for peer in world.helpers.values() if peer.asked]
        assert len(asked) == world.settings.metadata_drafts_max

    def test_one_that_changes_its_word_on_the_size_is_dropped(self) -> None:
        world = MetadataWorld(info_of(3 * KIB16))
        one, other = world.connect(world.right), world.connect(world.right)
        one.introduces(KIB16)
        other.introduces()
        assert one.drop_reason == "it changed its word on the size of the metadata"
        assert other.drop_reason is None
        other.sends(MetadataData(0, 2 * KIB16, bytes(KIB16)))
        assert other.drop_reason == "it changed its word on the size of the metadata"

    def test_a_piece_that_came_with_a_wrong_size_is_asked_of_others(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        bad = [world.connect(world.right) for _ in range(2)]
        world.pass_time(world.settings.metadata_hurry_s + world.settings.tick_s)
        assert [peer.asked for peer in bad] == [[0], [0]]
        for peer in bad:
            peer.sends(MetadataData(0, 2 * KIB16, bytes(KIB16)))
            assert peer.drop_reason == "it changed its word on the size of the metadata"
        world.connect(world.right)
        world.settle()
        assert world.completed

    def test_floods_of_pieces_nobody_asked_for_end_the_link(self) -> None:
        world = MetadataWorld(info_of(3 * KIB16), settings=EngineSettings(metadata_unasked_max=4))
        peer = world.connect(None)
        for _ in range(4):
            peer.sends(MetadataData(0, KIB16, bytes(KIB16)))
        assert peer.drop_reason is None
        peer.sends(MetadataData(0, KIB16, bytes(KIB16)))
        assert peer.drop_reason == "it sends metadata that nobody asked for"

    def test_floods_of_requests_end_the_link(self) -> None:
        world = MetadataWorld(info_of(KIB16), settings=EngineSettings(metadata_requests_spare=4))
        peer = world.connect(None)
        for _ in range(20):
            if peer.drop_reason is None:
                peer.sends(MetadataRequest(0))
        assert peer.drop_reason == "it floods us with requests for the metadata"
        assert len(peer.answers) <= 8

    def test_nonsense_ends_the_link(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        peer = world.connect(world.right)
        peer.says(Extended(3, b"hello"))
        assert peer.drop_reason is not None and "not bencode" in peer.drop_reason


class TestPeers:
    def test_candidates_are_dialled_and_tried_again(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        world.tell(CandidatesFound([ADDRESS], "dht"))
        assert world.dialled == [ADDRESS]
        world.tell(DialFailed(ADDRESS, "no answer"))
        world.pass_time(2 * world.settings.redial_s)
        assert world.dialled == [ADDRESS, ADDRESS]

    def test_peer_that_takes_connections_and_closes_them_is_dialled_later_and_later(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        world.tell(CandidatesFound([ADDRESS], "user"))
        dialled_at = [world.now]
        for count in range(2, 7):
            world.connect(None, endpoint=ADDRESS, is_outgoing=True, is_introduced=False).leaves()
            while len(world.dialled) < count:
                world.pass_time(1)
            dialled_at.append(world.now)
        assert dialled_at[1] - dialled_at[0] >= 0.8 * world.settings.user_redial_s
        assert dialled_at[-1] - dialled_at[-2] >= 3 * world.settings.redial_s

    def test_third_breach_of_the_protocol_bans_an_address(self) -> None:
        world = MetadataWorld(info_of(KIB16), settings=EngineSettings(offences_max=3))
        first = world.connect(world.right, endpoint=Endpoint("203.0.113.5", 1))
        first.says(Extended(3, b"hello"))
        for port in (2, 3):
            assert not world.banned
            peer = world.connect(world.right, endpoint=Endpoint("203.0.113.5", port))
            world.tell(PeerLost(peer.number, "a message of 4294967295 bytes", is_offence=True))
        assert [endpoint.host for endpoint in world.banned] == ["203.0.113.5"]
        assert world.connect(endpoint=Endpoint("203.0.113.5", 4)).drop_reason == "it is banned"

    def test_ourselves_and_twice_the_same_are_refused(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        assert world.connect(peer_id=OWN_ID).drop_reason == "it is ourselves"
        first = world.connect(peer_id=PeerId(b"-XX0000-the same one"))
        second = world.connect(peer_id=PeerId(b"-XX0000-the same one"))
        assert first.drop_reason is None and second.drop_reason == "it is connected already"

    @pytest.mark.parametrize(("other_id", "stays"), [(b"-AA", "outgoing"), (b"-ZZ", "incoming")])
    def test_of_crossed_dials_the_greater_ids_stays(self, other_id: bytes, stays: str) -> None:
        world = MetadataWorld(info_of(KIB16))
        peer_id = PeerId(other_id.ljust(20, b"x"))
        incoming = world.connect(endpoint=Endpoint("10.0.0.1", 40000), peer_id=peer_id)
        outgoing = world.connect(
            endpoint=Endpoint("10.0.0.1", 6881), peer_id=peer_id, is_outgoing=True, is_introduced=False
        )
        kept = outgoing if stays == "outgoing" else incoming
        assert list(world.helpers.values()) == [kept]

    def test_more_are_sought_when_none_are_left(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        world.connect(None).leaves()
        assert world.seek_count == 1

    def test_more_are_sought_when_those_to_dial_have_failed(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        address = Endpoint("10.9.9.1", 6881)
        world.tell(CandidatesFound([address], "tracker"))
        assert world.seek_count == 0
        world.tell(DialFailed(address, "refused"))
        assert world.seek_count == 1

    @pytest.mark.parametrize("is_claimed", [False, True])
    def test_more_are_sought_ever_less_often_while_nobody_here_gives_it(self, is_claimed: bool) -> None:
        world = MetadataWorld(info_of(KIB16))
        peers = [world.connect(world.right if is_claimed else None) for _ in range(2)]
        counts = []
        for _ in range(40):
            world.pass_time(10)
            counts.append(world.seek_count)
            for peer in peers:
                peer.says(KeepAlive())
        # In 400 s after some 30, 60 more, 120 more.
        assert counts[1] == 0 and counts[4] == 1 and counts[-1] == 3
        peers[0].info = world.right
        peers[0].introduces()
        world.settle()
        world.pass_time(1000)
        assert world.completed and world.seek_count == 3

    def test_useless_peers_give_their_places_to_others(self) -> None:
        settings = EngineSettings(connections_max=4, dialled_share=1.0)
        world = MetadataWorld(info_of(KIB16), settings=settings)
        mute = [world.connect(None) for _ in range(4)]
        others = [Endpoint(f"20.1.{number}.1", 1) for number in range(4)]
        world.tell(CandidatesFound(others, "dht"))
        assert world.dialled == []
        world.pass_time(world.settings.metadata_useless_s + world.settings.choke_round_s)
        assert len(world.dialled) == 2
        assert any(peer.drop_reason == "it cannot give the metadata" for peer in mute)

    def test_links_are_kept_alive_and_dead_ones_dropped(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        peer = world.connect(None)
        world.pass_time(world.settings.keep_alive_s + world.settings.choke_round_s)
        assert KeepAlive() in peer.heard
        world.pass_time(world.settings.idle_s)
        assert peer.drop_reason == "nothing was heard from it for too long"

    def test_nothing_wakes_an_engine_without_peers(self) -> None:
        world = MetadataWorld(info_of(KIB16))
        assert world.engine.next_wakeup(world.now) is None


class TestHandOver:
    """What a torrent's engine makes of peers and addresses from before."""

    def test_it_goes_on_with_the_book_and_tells_what_it_has(self) -> None:
        before = MetadataWorld(info_of(KIB16))
        before.tell(CandidatesFound([ADDRESS], "user"))
        peer_id = PeerId(b"-XX1230-000000000001")
        before.connect(before.right, endpoint=ADDRESS, is_outgoing=True, peer_id=peer_id)
        before.settle()
        after = World(have="*  *", info=before.engine.info, book=before.engine.book)
        peer = after.connect(
            endpoint=ADDRESS, is_outgoing=True, peer_id=peer_id, has_extended=True, is_greeted=True
        )
        # A bitfield may come first only, and it has heard that we have nothing.
        assert [one for one in peer.heard if isinstance(one, Have)] == [Have(0), Have(3)]
        assert not any(isinstance(one, BitfieldMessage | HaveNone) for one in peer.heard)
        (said,) = [one for one in peer.heard if isinstance(one, Extended)]
        assert decode_extended_handshake(said.payload).metadata_bytes == KIB16
        # Named by the user: it is dialled again, however the link ended.
        peer.leaves()
        after.pass_time(100)
        assert after.dialled == [ADDRESS]

    def test_private_torrent_leaves_peers_that_no_tracker_named(self) -> None:
        before = MetadataWorld(info_of(KIB16))
        other, tracked = Endpoint("10.8.8.8", 1), Endpoint("10.7.7.7", 1)
        before.tell(CandidatesFound([ADDRESS, other], "dht"))
        before.tell(CandidatesFound([tracked], "tracker t"))
        before.connect(before.right, endpoint=ADDRESS, is_outgoing=True)
        before.tell(DialFailed(other, "no answer"))
        before.tell(DialFailed(tracked, "no answer"))
        before.settle()
        after = World(is_private=True, info=before.engine.info, book=before.engine.book)
        peer = after.connect(endpoint=ADDRESS, is_outgoing=True, is_greeted=True)
        assert peer.drop_reason == "the torrent is private, and no tracker named it"
        after.pass_time(100)
        assert set(after.dialled) == {tracked}


class TestPeerExchange:
    def tell_of(self, world: MetadataWorld, *addresses: Endpoint) -> None:
        payload = encode_peer_exchange(PeerExchange([Contact(address) for address in addresses]))
        world.connect(world.right, is_introduced=False).says(Extended(LOCAL_IDS["ut_pex"], payload))

    def test_peers_that_peers_name_are_dialled(self) -> None:
        world = MetadataWorld(info_of(10))
        self.tell_of(world, ADDRESS, Endpoint("224.0.0.1", 1))
        assert world.dialled == [ADDRESS]

    def test_not_where_it_is_switched_off(self) -> None:
        world = MetadataWorld(info_of(10), settings=EngineSettings(is_exchanging=False))
        self.tell_of(world, ADDRESS)
        assert world.dialled == []

    def test_flood_drops_the_peer(self) -> None:
        world = MetadataWorld(info_of(10))
        peer = world.connect(world.right, is_introduced=False)
        for _ in range(world.settings.pex_abuses_max + 1):
            peer.says(Extended(LOCAL_IDS["ut_pex"], b"nonsense"))
        assert peer.drop_reason == "it floods us with peer exchange"
