"""Any message comes back; any bytes are a message or the one error."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from swarm.base import bencode
from swarm.wire import krpc
from swarm.wire.krpc import Body, Failure, KrpcError, Query, Response

ids = st.binary(min_size=20, max_size=20)
tokens = st.binary(max_size=40)
transactions = st.binary(min_size=1, max_size=krpc.TRANSACTION_BYTES_MAX) | st.binary(min_size=2, max_size=2)
wants = st.integers(0, 3)
numbers = st.integers(0, krpc.SEQ_MAX)
values = st.recursive(
    st.integers(-(2**63), 2**63) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=5), inner, max_size=4),
    max_leaves=10,
).map(lambda value: bencode.encode(value))
keys = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=64, max_size=64)

bodies: st.SearchStrategy[Body] = st.one_of(
    st.just(krpc.Ping()),
    st.builds(krpc.FindNode, ids, wants),
    st.builds(krpc.GetPeers, ids, wants, st.booleans(), st.booleans()),
    st.builds(krpc.AnnouncePeer, ids, st.integers(1, 65535), tokens, st.just(False), st.booleans()),
    st.builds(krpc.AnnouncePeer, ids, st.just(0), tokens, st.just(True), st.booleans()),
    st.builds(krpc.Get, ids, wants, st.none() | numbers),
    st.builds(krpc.Put, tokens, values),
    st.builds(
        krpc.Put, tokens, values, keys, st.binary(max_size=64), numbers, signatures, st.none() | numbers
    ),
    st.builds(krpc.SampleInfohashes, ids, wants),
)
queries = st.builds(Query, transactions, ids, bodies, st.booleans())
responses = st.builds(
    Response,
    transactions,
    ids,
    address=st.sampled_from([b"", b"123456", b"123456789012345678"]),
    nodes=st.binary(min_size=26, max_size=26).map(lambda node: node * 3) | st.just(b""),
    nodes6=st.binary(min_size=38, max_size=38) | st.just(b""),
    values=st.lists(st.binary(min_size=6, max_size=6), max_size=5),
    token=st.none() | tokens,
    value=st.none() | values,
    seq=st.none() | numbers,
    samples=st.none() | ids,
).map(lambda response: response)
failures = st.builds(Failure, transactions, st.integers(0, 1000), st.text(max_size=20))


@given(queries)
def test_queries_come_back(query: Query) -> None:
    assert krpc.decode(krpc.encode_query(query)) == query


@given(responses)
def test_responses_come_back(response: Response) -> None:
    assert krpc.decode(krpc.encode_response(response)) == response


@given(failures)
def test_failures_come_back(failure: Failure) -> None:
    assert krpc.decode(krpc.encode_failure(failure)) == failure


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda raw: b"d" + raw + b"e"))
def test_any_bytes_are_a_message_or_the_one_error(raw: bytes) -> None:
    with contextlib.suppress(KrpcError):
        krpc.decode(raw)


@given(
    queries.map(krpc.encode_query) | responses.map(krpc.encode_response),
    st.lists(
        st.tuples(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=4
    ),
)
def test_mutated_messages_are_messages_or_the_one_error(
    raw: bytes, changes: list[tuple[int, bytes, int]]
) -> None:
    for at, inserted, cut in changes:
        at %= len(raw) + 1
        raw = raw[:at] + inserted + raw[at + cut :]
    with contextlib.suppress(KrpcError):
        krpc.decode(raw)


@given(st.binary(max_size=400), st.booleans())
def test_any_contacts_are_read(raw: bytes, is_v6: bool) -> None:
    for contact in krpc.decode_contacts(raw, is_v6=is_v6):
        assert len(contact.node_id) == 20
        assert 0 < contact.endpoint.port < 65536
        assert krpc.encode_contact(contact) in raw
