"""KRPC messages: the BEPs' own examples, captured ones, and those that are wrong."""

from __future__ import annotations

import pytest

from swarm.base import bencode
from swarm.base.endpoint import Endpoint
from swarm.wire import krpc
from swarm.wire.krpc import Body, Contact, Failure, KrpcError, Query, Response, decode

A = b"abcdefghij0123456789"
M = b"mnopqrstuvwxyz123456"
S = b"s" * 64


@pytest.mark.parametrize(
    ("datagram", "query"),
    [
        (b"d1:ad2:id20:%be1:q4:ping1:t2:aa1:y1:qe" % A, Query(b"aa", A, krpc.Ping())),
        (
            b"d1:ad2:id20:%b6:target20:%be1:q9:find_node1:t2:aa1:y1:qe" % (A, M),
            Query(b"aa", A, krpc.FindNode(M)),
        ),
        (
            b"d1:ad2:id20:%b9:info_hash20:%be1:q9:get_peers1:t2:aa1:y1:qe" % (A, M),
            Query(b"aa", A, krpc.GetPeers(M)),
        ),
        (
            b"d1:ad2:id20:%b12:implied_porti1e9:info_hash20:%b4:porti6881e5:token8:aoeusnthe"
            b"1:q13:announce_peer1:t2:aa1:y1:qe" % (A, M),
            Query(b"aa", A, krpc.AnnouncePeer(M, 0, b"aoeusnth", is_port_implied=True)),
        ),
        # BEP 32
        (
            b"d1:ad2:id20:%b6:target20:%b4:wantl2:n42:n6ee1:q9:find_node1:t2:aa1:y1:qe" % (A, M),
            Query(b"aa", A, krpc.FindNode(M, krpc.WANT_V4 | krpc.WANT_V6)),
        ),
        # BEP 33
        (
            b"d1:ad2:id20:%b9:info_hash20:%b6:noseedi1e6:scrapei1ee1:q9:get_peers1:t2:aa1:y1:qe" % (A, M),
            Query(b"aa", A, krpc.GetPeers(M, is_scrape=True, is_without_seeds=True)),
        ),
        # BEP 43
        (
            b"d1:ad2:id20:%be1:q4:ping2:roi1e1:t2:aa1:y1:qe" % A,
            Query(b"aa", A, krpc.Ping(), is_read_only=True),
        ),
        # BEP 44
        (
            b"d1:ad2:id20:%b3:seqi7e6:target20:%be1:q3:get1:t2:aa1:y1:qe" % (A, M),
            Query(b"aa", A, krpc.Get(M, seq=7)),
        ),
        (
            b"d1:ad2:id20:%b5:token1:x1:vli1e1:aee1:q3:put1:t2:aa1:y1:qe" % A,
            Query(b"aa", A, krpc.Put(b"x", b"li1e1:ae")),
        ),
        # BEP 51
        (
            b"d1:ad2:id20:%b6:target20:%be1:q17:sample_infohashes1:t2:aa1:y1:qe" % (A, M),
            Query(b"aa", A, krpc.SampleInfohashes(M)),
        ),
        # unsorted keys, and what others append
        (b"d1:y1:q1:t2:aa1:q4:ping1:ad2:id20:%bee" % A, Query(b"aa", A, krpc.Ping())),
        (b"d1:ad2:id20:%be1:q4:ping1:t2:aa1:y1:qeXX" % A, Query(b"aa", A, krpc.Ping())),
        # a method of tomorrow
        (
            b"d1:ad2:id20:%b6:target20:%be1:q10:frobnicate1:t2:aa1:y1:qe" % (A, M),
            Query(b"aa", A, krpc.FindNode(M)),
        ),
    ],
)
def test_queries_are_read(datagram: bytes, query: Query) -> None:
    assert decode(datagram) == query


BODIES: list[Body] = [
    krpc.Ping(),
    krpc.FindNode(M),
    krpc.FindNode(M, krpc.WANT_V6),
    krpc.GetPeers(M),
    krpc.GetPeers(M, krpc.WANT_V4 | krpc.WANT_V6, is_scrape=True, is_without_seeds=True),
    krpc.AnnouncePeer(M, 6881, b"token", is_seed=True),
    krpc.AnnouncePeer(M, 0, b"token", is_port_implied=True),
    krpc.Get(M),
    krpc.Get(M, krpc.WANT_V4, seq=0),
    krpc.Put(b"token", b"5:value"),
    krpc.Put(b"token", b"d1:ai1ee", bytes(32), b"salt", 3, bytes(64), 2),
    krpc.SampleInfohashes(M),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
@pytest.mark.parametrize("transaction", [b"aa", b"abcd", b"12345678", b"xyz", b"\x00" * 32])
@pytest.mark.parametrize("is_read_only", [False, True])
def test_queries_are_written_canonically(body: Body, transaction: bytes, is_read_only: bool) -> None:
    query = Query(transaction, A, body, is_read_only)
    datagram = krpc.encode_query(query)
    assert bencode.encode(bencode.decode(datagram)) == datagram
    assert decode(datagram) == query
    assert bencode.decode(datagram)[b"v"] == krpc.VERSION  # type: ignore[call-overload, index]


def test_usual_query_is_read_like_any_other() -> None:
    # The short way and the long way must not differ: an unknown key makes it take the long one.
    for body in (krpc.Ping(), krpc.FindNode(M), krpc.GetPeers(M)):
        for transaction in (b"aa", b"1:y1", b"ab1d", b"12345678"):
            short = krpc.encode_query(Query(transaction, A, body))
            assert decode(short) == decode(short[:-1] + b"1:z0:e") == Query(transaction, A, body)


def test_transaction_of_a_false_length_is_not_taken_for_another() -> None:
    with pytest.raises(KrpcError):
        decode(b"d1:ad2:id20:%be1:q4:ping1:t2:abcd1:y1:qe" % A)


def test_responses_are_read() -> None:
    response = decode(b"d1:rd2:id20:%b5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re" % A)
    assert response == Response(b"aa", A, token=b"aoeusnth", values=[b"axje.u", b"idhtnm"])
    response = decode(
        bytes.fromhex("64323a6970363a7c1f4b151ae1313a7264323a696432303a") + M + b"e1:t2:aa1:y1:re"
    )
    assert response == Response(b"aa", M, address=bytes((124, 31, 75, 21, 0x1A, 0xE1)))


def test_captured_find_node_response_is_read() -> None:
    nodes = bytes.fromhex("67a312defb7d429086bfdcd5a209684ee13f59615cbe360bc8d5") * 8
    datagram = b"d1:rd2:id20:%b5:nodes208:%be1:t2:\x00\x051:v4:JB\x00\x001:y1:re" % (A, nodes)
    response = decode(datagram)
    assert isinstance(response, Response)
    contacts = krpc.decode_contacts(response.nodes, is_v6=False)
    assert contacts == [Contact(nodes[:20], Endpoint("92.190.54.11", 51413))] * 8
    assert b"".join(map(krpc.encode_contact, contacts)) == nodes


def test_contacts_of_ipv6_are_read_and_written() -> None:
    contacts = [Contact(A, Endpoint("2001:db8::1", 6881)), Contact(M, Endpoint("2001:db8::2", 1))]
    raw = b"".join(map(krpc.encode_contact, contacts))
    assert len(raw) == 2 * krpc.CONTACT_V6_BYTES
    assert krpc.decode_contacts(raw + b"\0" * 38, is_v6=True) == contacts


@pytest.mark.parametrize(
    "response",
    [
        Response(b"aa", A, address=b"123456"),
        Response(b"aa", A, nodes=b"n" * 26, nodes6=b"m" * 38, token=b"t", values=[b"axje.u"]),
        Response(b"aa", A, seeds_filter=b"s" * 256, peers_filter=b"p" * 256, token=b"t"),
        Response(
            b"aa",
            A,
            nodes=b"n" * 26,
            token=b"t",
            value=b"le",
            public_key=b"k" * 32,
            seq=9,
            signature=b"s" * 64,
        ),
        Response(b"aa", A, nodes=b"n" * 26, samples=M * 3, interval_s=300, total=1000),
        Response(b"aa", A, samples=b""),
    ],
)
def test_responses_are_written_canonically(response: Response) -> None:
    datagram = krpc.encode_response(response)
    assert bencode.encode(bencode.decode(datagram)) == datagram
    assert decode(datagram) == response


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        (b"5:nodes9:def456...", "nodes", b""),
        (b"5:nodesl1:xe", "nodes", b""),
        (b"6:nodes627:" + b"x" * 27, "nodes6", b""),
        (b"6:values6:axje.u", "values", []),
        (b"6:valuesl5:axje.e", "values", []),
        (b"6:valuesli1ei2e6:axje.ue", "values", [b"axje.u"]),
        (b"5:token65:" + b"x" * 65, "token", None),
        (b"5:tokeni5e", "token", None),
        (b"7:samples21:" + b"x" * 21, "samples", None),
        (b"8:intervali-1e7:samples0:", "interval_s", 0),
        (b"3:numi-1e7:samples0:", "total", 0),
        (b"3:seqi-1e1:v1:x", "seq", None),
        (b"1:k31:" + b"k" * 31 + b"1:v1:x", "public_key", b""),
        (b"1:v1001:" + b"v" * 1001, "value", None),
        (b"4:BFpe1:x4:BFsd1:x", "seeds_filter", b""),
    ],
)
def test_answers_with_odd_fields_lose_only_those(fields: bytes, name: str, value: object) -> None:
    before = fields.startswith((b"4:BF",))
    inner = fields + b"2:id20:" + A if before else b"2:id20:" + A + fields
    response = decode(b"d1:rd%be1:t2:aa1:y1:re" % inner)
    assert isinstance(response, Response)
    assert getattr(response, name) == value


def test_value_is_kept_as_it_was_written() -> None:
    # Its keys are not sorted; hashes and signatures are over these very bytes (BEP 44).
    value = b"d1:bi1e1:ai2ee"
    query = decode(b"d1:ad2:id20:%b5:token1:x1:v%be1:q3:put1:t2:aa1:y1:qetail" % (A, value))
    assert isinstance(query, Query) and isinstance(query.body, krpc.Put)
    assert query.body.value == value
    response = decode(b"d1:rd2:id20:%b1:v%be1:t2:aa1:y1:re" % (A, value))
    assert isinstance(response, Response)
    assert response.value == value


def test_failures_are_read_and_written() -> None:
    assert decode(b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee") == Failure(
        b"aa", 201, "A Generic Error Ocurred"
    )
    failure = Failure(b"aa", 203, "wrong token")
    for address in (b"", b"123456"):
        datagram = krpc.encode_failure(failure, address)
        assert bencode.encode(bencode.decode(datagram)) == datagram
        assert decode(datagram) == failure


PUT = b"1:k32:" + b"k" * 32


@pytest.mark.parametrize(
    ("arguments", "method", "code"),
    [
        (b"d2:id19:abcdefghij012345678e", b"4:ping", 203),
        (b"d2:id21:abcdefghij0123456789xe", b"4:ping", 203),
        (b"d2:idi7ee", b"4:ping", 203),
        (b"l20:%be" % A, b"4:ping", 203),
        (b"d2:id20:%be" % A, b"i5e", 203),
        (b"d2:id20:%be" % A, b"10:frobnicate", 204),
        (b"d2:id20:%be" % A, b"9:get_peers", 203),
        (b"d2:id20:%be" % A, b"9:find_node", 203),
        (b"d2:id20:%b9:info_hash10:short-hashe" % A, b"9:get_peers", 203),
        (b"d2:id20:%b9:info_hash20:%b4:porti0e5:token1:xe" % (A, M), b"13:announce_peer", 203),
        (b"d2:id20:%b9:info_hash20:%b4:porti65536e5:token1:xe" % (A, M), b"13:announce_peer", 203),
        (b"d2:id20:%b9:info_hash20:%b4:porti-1e5:token1:xe" % (A, M), b"13:announce_peer", 203),
        (b"d2:id20:%b9:info_hash20:%b4:porti6881ee" % (A, M), b"13:announce_peer", 203),
        (b"d2:id20:%b1:v1:xe" % A, b"3:put", 203),
        (b"d2:id20:%b5:token1:xe" % A, b"3:put", 203),
        (b"d2:id20:%b5:token1:x1:v997:%be" % (A, b"v" * 997), b"3:put", 205),
        (b"d2:id20:%b%b4:salt65:%b5:token1:x1:v1:xe" % (A, PUT, b"s" * 65), b"3:put", 207),
        (b"d2:id20:%b%b3:seqi1e3:sig63:%b5:token1:x1:v1:xe" % (A, PUT, b"s" * 63), b"3:put", 206),
        (b"d2:id20:%b%b3:seqi-1e3:sig64:%b5:token1:x1:v1:xe" % (A, PUT, b"s" * 64), b"3:put", 203),
        (b"d2:id20:%b%b3:sig64:%b5:token1:x1:v1:xe" % (A, PUT, b"s" * 64), b"3:put", 203),
        (b"d2:id20:%b1:k31:%b5:token1:x1:v1:xe" % (A, b"k" * 31), b"3:put", 203),
        (b"d2:id20:%b3:seqi9223372036854775808e6:target20:%be" % (A, M), b"3:get", 203),
    ],
)
def test_wrong_queries_are_to_be_answered_with_an_error(arguments: bytes, method: bytes, code: int) -> None:
    with pytest.raises(KrpcError) as caught:
        decode(b"d1:a%b1:q%b1:t2:aa1:y1:qe" % (arguments, method))
    assert (caught.value.code, caught.value.transaction) == (code, b"aa")


def test_largest_value_and_salt_are_taken() -> None:
    arguments = b"d2:id20:%b%b4:salt64:%b3:seqi1e3:sig64:%b5:token1:x1:v996:%be" % (
        A, PUT, b"s" * 64, b"s" * 64, b"v" * 996,
    )  # fmt: skip
    query = decode(b"d1:a%b1:q3:put1:t2:aa1:y1:qe" % arguments)
    assert isinstance(query, Query) and isinstance(query.body, krpc.Put)
    assert len(query.body.value) == krpc.VALUE_BYTES_MAX


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"d",
        b"GET / HTTP/1.0\r\n\r\n",
        b"l4:pinge",
        b"d1:ad2:id20:%be1:q4:ping1:y1:qe" % A,
        b"d1:ad2:id20:%be1:q4:ping1:ti5e1:y1:qe" % A,
        b"d1:ad2:id20:%be1:q4:ping1:t0:1:y1:qe" % A,
        b"d1:ad2:id20:%be1:q4:ping1:t300:%b1:y1:qe" % (A, b"x" * 300),
        b"d1:ad2:id20:%be1:q4:ping1:t2:aae" % A,
        b"d1:ad2:id20:%be1:q4:ping1:t2:aa1:y1:ze" % A,
        b"d1:ad2:id200:abcdefghije1:q4:ping1:t2:aa1:y1:qe",
        b"d1:t2:aa1:y1:re",
        b"d1:rd2:id19:abcdefghij012345678e1:t2:aa1:y1:re",
        b"d1:rle1:t2:aa1:y1:re",
        b"d1:e15:Malformed Error1:t2:aa1:y1:ee",
        b"d1:ei5e1:t2:aa1:y1:ee",
        b"d1:eli201ee1:t2:aa1:y1:ee",
        b"d1:el1:x1:xe1:t2:aa1:y1:ee",
        b"d1:a" + b"l" * 2000 + b"e" * 2001,
        b"d1:x65000:" + b"x" * 65000 + b"e",
        # a uTP SYN that came to the wrong door
        bytes.fromhex("4100000100000000000000000000000000010000"),
    ],
)
def test_what_is_no_message_is_to_be_dropped(datagram: bytes) -> None:
    with pytest.raises(KrpcError) as caught:
        decode(datagram)
    assert caught.value.transaction is None
