"""What a node answers: contents, limits, and nothing that would help an attack."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from swarm.base.endpoint import Endpoint, encode_compact
from swarm.base.ids import NodeId
from swarm.dht import scrape
from swarm.dht.commands import Command, SendDatagram
from swarm.dht.identity import id_for, packed_address
from swarm.dht.items import ImmutableItem, MutableItem
from swarm.dht.node import DhtNode
from swarm.dht.settings import DhtSettings
from swarm.wire import krpc
from swarm.wire.krpc import Body, Failure, Query, Response
from tests.unit.dht.network import SETTINGS

ASKER = Endpoint("77.1.2.3", 4000)
OTHER = Endpoint("78.1.2.3", 4000)
HASH, THEIR_ID = b"h" * 20, b"\x99" * 20
SEED = b"\x07" * 32


def node(settings: DhtSettings = SETTINGS, *, is_v6: bool = False, **changes: Any) -> DhtNode:
    return DhtNode(
        NodeId(b"\x11" * 20),
        is_v6=is_v6,
        settings=replace(settings, **changes),
        rng=random.Random(1),
        now=0.0,
    )


def sent_to(commands: Sequence[Command], endpoint: Endpoint) -> list[bytes]:
    return [c.payload for c in commands if isinstance(c, SendDatagram) and c.endpoint == endpoint]


def reply(
    asked: DhtNode, body: Body, source: Endpoint = ASKER, now: float = 1.0, *, is_read_only: bool = True
) -> Response | Failure:
    """The one answer to `body`; read-only, so that no ping goes with it."""
    question = krpc.encode_query(Query(b"tt", THEIR_ID, body, is_read_only))
    (datagram,) = sent_to(asked.received(question, source, now), source)
    answer = krpc.decode(datagram)
    assert isinstance(answer, Response | Failure)
    assert answer.transaction == b"tt"
    return answer


def answer_to(asked: DhtNode, body: Body, source: Endpoint = ASKER, now: float = 1.0) -> Response:
    answer = reply(asked, body, source, now)
    assert isinstance(answer, Response), answer
    assert answer.node_id == asked.own_id
    assert answer.address == encode_compact(source)
    return answer


def error_of(asked: DhtNode, body: Body, source: Endpoint = ASKER, now: float = 1.0) -> int:
    answer = reply(asked, body, source, now)
    assert isinstance(answer, Failure), answer
    return answer.code


def with_nodes(asked: DhtNode, count: int) -> DhtNode:
    """Let `count` nodes answer its pings, so that they are in its table."""
    rng = random.Random(2)
    for number in range(count):
        is_v6 = asked._is_v6
        there = Endpoint(f"2001:db8:{number:x}::1" if is_v6 else f"{number % 100 + 11}.7.7.7", 6881)
        for datagram in sent_to(asked.add_candidates([there], float(number)), there):
            query = krpc.decode(datagram)
            answer = Response(query.transaction, id_for(packed_address(there.host), rng))
            asked.received(krpc.encode_response(answer), there, float(number))
    return asked


def announce(asked: DhtNode, source: Endpoint, port: int = 6881, *, is_seed: bool = False) -> None:
    token = answer_to(asked, krpc.GetPeers(HASH), source).token
    assert token is not None
    answer_to(asked, krpc.AnnouncePeer(HASH, port, token, is_seed=is_seed), source)


def test_ping_is_answered_with_our_id_and_their_address() -> None:
    assert answer_to(node(), krpc.Ping()).node_id == b"\x11" * 20


def test_find_node_names_the_nearest_eight() -> None:
    asked = with_nodes(node(), 40)
    found = krpc.decode_contacts(answer_to(asked, krpc.FindNode(HASH)).nodes, is_v6=False)
    distance = int.from_bytes(HASH, "big").__xor__
    nearest = sorted(asked.contacts(), key=lambda contact: distance(int.from_bytes(contact.node_id, "big")))
    assert found == nearest[:8]


def test_nodes_of_both_families_are_named_when_wanted() -> None:
    four, six = with_nodes(node(), 20), with_nodes(node(is_v6=True), 20)
    four.know_other_family(six)
    answer = answer_to(four, krpc.FindNode(HASH, krpc.WANT_V4 | krpc.WANT_V6))
    assert (len(answer.nodes), len(answer.nodes6)) == (8 * 26, 8 * 38)
    answer = answer_to(four, krpc.FindNode(HASH, krpc.WANT_V6))
    assert (len(answer.nodes), len(answer.nodes6)) == (0, 8 * 38)
    assert answer_to(four, krpc.FindNode(HASH)).nodes6 == b""
    answer = answer_to(six, krpc.FindNode(HASH), Endpoint("2001:db8::9", 1))
    assert (len(answer.nodes), len(answer.nodes6)) == (0, 8 * 38)


def test_announced_peers_are_handed_out_with_nodes_and_token() -> None:
    asked = with_nodes(node(), 20)
    announce(asked, OTHER, 7000)
    answer = answer_to(asked, krpc.GetPeers(HASH))
    assert answer.values == [encode_compact(Endpoint("78.1.2.3", 7000))]
    assert answer.token and len(answer.nodes) == 8 * 26
    assert answer_to(asked, krpc.GetPeers(HASH), now=3000.0).values == []


def test_implied_port_is_the_one_the_datagram_came_from() -> None:
    asked = node()
    token = answer_to(asked, krpc.GetPeers(HASH)).token or b""
    answer_to(asked, krpc.AnnouncePeer(HASH, 0, token, is_port_implied=True))
    assert answer_to(asked, krpc.GetPeers(HASH), OTHER).values == [encode_compact(ASKER)]


def test_token_of_another_address_or_hash_or_time_stores_nothing() -> None:
    asked = node()
    token = answer_to(asked, krpc.GetPeers(HASH)).token or b""
    assert error_of(asked, krpc.AnnouncePeer(HASH, 1, token), OTHER) == 203
    assert error_of(asked, krpc.AnnouncePeer(b"x" * 20, 1, token)) == 203
    assert error_of(asked, krpc.AnnouncePeer(HASH, 1, b"aoeusnth")) == 203
    assert error_of(asked, krpc.AnnouncePeer(HASH, 1, token), now=700.0) == 203
    assert asked.stats().stored_peers == 0
    assert asked.stats().refused == {"wrong token": 4}
    assert error_of(asked, krpc.Put(token, b"1:x"), now=700.0) == 203
    assert asked.stats().stored_items == 0


def test_scrape_counts_seeds_and_others_apart() -> None:
    asked = with_nodes(node(), 20)
    for number in range(30):
        announce(asked, Endpoint(f"79.1.{number}.1", 5000), is_seed=number < 10)
    answer = answer_to(asked, krpc.GetPeers(HASH, is_scrape=True))
    assert round(scrape.estimate(answer.seeds_filter)) == 10
    assert round(scrape.estimate(answer.peers_filter)) == 20
    assert answer_to(asked, krpc.GetPeers(b"x" * 20, is_scrape=True)).seeds_filter == b""
    without = answer_to(asked, krpc.GetPeers(HASH, is_without_seeds=True), Endpoint("127.0.0.1", 1))
    assert len(without.values) == 20


def test_immutable_item_is_kept_and_given() -> None:
    asked = node()
    item = ImmutableItem(b"d1:bi1e1:ai2ee")
    token = answer_to(asked, krpc.Get(item.target)).token or b""
    answer_to(asked, krpc.Put(token, item.value))
    assert answer_to(asked, krpc.Get(item.target), OTHER).value == item.value


def put(asked: DhtNode, item: MutableItem, cas: int | None = None) -> Response | Failure:
    token = answer_to(asked, krpc.Get(item.target)).token or b""
    body = krpc.Put(token, item.value, item.public_key, item.salt, item.seq, item.signature, cas)
    return reply(asked, body)


def test_mutable_item_is_kept_given_and_only_if_newer() -> None:
    asked = node()
    item = MutableItem.signed(SEED, b"5:value", 4, b"salt")
    assert isinstance(put(asked, item), Response)
    answer = answer_to(asked, krpc.Get(item.target), OTHER)
    given = MutableItem(answer.public_key, answer.value or b"", answer.seq or 0, answer.signature, b"salt")
    assert given == item
    answer = answer_to(asked, krpc.Get(item.target, seq=4), OTHER)
    assert (answer.seq, answer.value, answer.public_key) == (4, None, b"")


def test_puts_are_refused_with_the_codes_of_bep_44() -> None:
    asked = node()
    put(asked, MutableItem.signed(SEED, b"i1e", 5))
    old = put(asked, MutableItem.signed(SEED, b"i0e", 4))
    mismatch = put(asked, MutableItem.signed(SEED, b"i2e", 6), cas=3)
    forged = put(asked, replace(MutableItem.signed(SEED, b"i2e", 6), value=b"i3e"))
    codes = [answer.code for answer in (old, mismatch, forged) if isinstance(answer, Failure)]
    assert codes == [302, 301, 206]


def test_sample_of_info_hashes_stays_the_same_for_a_while() -> None:
    asked = with_nodes(node(), 20)
    local = Endpoint("127.0.0.1", 1)
    for number in range(100):
        info_hash = number.to_bytes(20, "big")
        token = answer_to(asked, krpc.GetPeers(info_hash), local).token or b""
        answer_to(asked, krpc.AnnouncePeer(info_hash, 1, token), local)
    first = answer_to(asked, krpc.SampleInfohashes(HASH), local)
    assert (first.total, first.interval_s) == (100, 300)
    assert first.samples is not None and 20 <= len(first.samples) // 20 <= 50
    assert answer_to(asked, krpc.SampleInfohashes(HASH), local, now=200.0).samples == first.samples
    assert answer_to(asked, krpc.SampleInfohashes(HASH), local, now=400.0).samples != first.samples
    assert answer_to(node(), krpc.SampleInfohashes(HASH)).samples == b""


def test_answers_to_the_unproven_are_small_and_to_all_within_the_datagram() -> None:
    asked = with_nodes(node(), 20)
    for number in range(300):
        announce(asked, Endpoint(f"79.{number // 200}.{number % 200}.1", 5000))
    item = MutableItem.signed(SEED, b"990:" + bytes(990), 1)
    put(asked, item)
    bodies: list[Body] = [
        krpc.Ping(),
        krpc.FindNode(HASH),
        krpc.FindNode(HASH, 3),
        krpc.GetPeers(HASH),
        krpc.GetPeers(HASH, is_scrape=True),
        krpc.GetPeers(b"x" * 20),
        krpc.SampleInfohashes(HASH),
        krpc.Get(HASH),
    ]
    proven = Endpoint("79.0.0.1", 5000)
    for body in bodies:
        question = krpc.encode_query(Query(b"tt", THEIR_ID, body, True))
        (small,) = sent_to(asked.received(question, Endpoint("99.9.9.9", 9), 2.0), Endpoint("99.9.9.9", 9))
        (large,) = sent_to(asked.received(question, proven, 2.0), proven)
        assert len(small) <= 6 * len(question), body
        assert len(small) <= len(large) <= krpc.ANSWER_BYTES_MAX, body
    assert len(answer_to(asked, krpc.GetPeers(HASH), proven, 2.0).values) > 60


def test_large_items_for_the_unproven_are_few() -> None:
    asked = node()
    item = ImmutableItem(b"990:" + bytes(990))
    token = answer_to(asked, krpc.Get(item.target)).token or b""
    answer_to(asked, krpc.Put(token, item.value))
    given = 0
    for number in range(200):
        answer = answer_to(asked, krpc.Get(item.target), Endpoint(f"99.9.{number}.9", 9))
        given += answer.value is not None
    assert 20 < given < 40
    # Whoever has shown that it receives our answers gets it always.
    assert answer_to(asked, krpc.Get(item.target), ASKER).value == item.value


def test_flood_from_one_source_is_dropped_and_others_are_served() -> None:
    asked = node(DhtSettings(source_queries_per_s=10.0, source_queries_burst=20))
    question = krpc.encode_query(Query(b"tt", THEIR_ID, krpc.Ping(), True))
    answered = sum(bool(asked.received(question, Endpoint(ASKER.host, port), 1.0)) for port in range(1, 1001))
    assert answered == 20
    assert asked.received(question, OTHER, 1.0)
    assert asked.received(question, ASKER, 2.0)
    assert asked.stats().refused["too many from one source"] == 980


def test_flood_from_many_sources_stays_within_the_upload_limit() -> None:
    asked = with_nodes(node(DhtSettings(answer_bytes_per_s=1000.0, answer_burst_bytes=5000)), 20)
    question = krpc.encode_query(Query(b"tt", THEIR_ID, krpc.FindNode(HASH), True))
    sent = 0
    for number in range(5000):
        source = Endpoint(f"90.{number // 250}.{number % 250}.1", 1)
        sent += sum(map(len, sent_to(asked.received(question, source, 100.0 + number / 1000), source)))
    assert sent <= 5000 + 5 * 1000 + 400
    assert asked.stats().refused["too many in all"] > 4000


def test_malformed_queries_get_an_error_and_other_rubbish_nothing() -> None:
    asked = node()
    (datagram,) = sent_to(asked.received(b"d1:ade1:q4:ping1:t2:aa1:y1:qe", ASKER, 1.0), ASKER)
    answer = krpc.decode(datagram)
    assert isinstance(answer, Failure) and answer.code == 203
    (datagram,) = sent_to(
        asked.received(b"d1:ad2:id20:%be1:q4:hmmm1:t2:aa1:y1:qe" % THEIR_ID, ASKER, 1.0), ASKER
    )
    answer = krpc.decode(datagram)
    assert isinstance(answer, Failure) and answer.code == 204
    for rubbish in (b"", b"rubbish", b"d1:y1:qe", b"d1:rde1:t2:aa1:y1:re"):
        assert asked.received(rubbish, ASKER, 1.0) == []
    assert asked.stats().refused == {"malformed": 6}


def test_datagrams_of_another_family_or_from_port_0_are_dropped() -> None:
    question = krpc.encode_query(Query(b"tt", THEIR_ID, krpc.Ping()))
    asked = node()
    for source in (Endpoint("2001:db8::1", 1), Endpoint("1.2.3.4", 0), Endpoint("no address", 1)):
        assert asked.received(question, source, 1.0) == []
    assert asked.received(memoryview(question), ASKER, 1.0)


def test_longest_answer_stays_within_the_datagram() -> None:
    asked = with_nodes(node(is_v6=True), 20)
    for number in range(100):
        announce(asked, Endpoint(f"2001:db8:1:{number:x}::1", 5000))
    source = Endpoint("2001:db8:1:1::1", 65535)
    for is_scrape in (False, True):
        body = krpc.GetPeers(HASH, is_scrape=is_scrape)
        question = krpc.encode_query(Query(b"t" * krpc.TRANSACTION_BYTES_MAX, THEIR_ID, body, True))
        (answer,) = sent_to(asked.received(question, source, 3.0), source)
        assert 950 <= len(answer) <= krpc.ANSWER_BYTES_MAX
