"""Any value comes back; any bytes are a value or a BencodeError."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarm.base import bencode
from swarm.base.errors import BencodeError

values: st.SearchStrategy[bencode.Value] = st.recursive(
    st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.binary(max_size=10), inner, max_size=6),
    max_leaves=30,
)
#: Bytes that look like bencode more often than random ones.
almost = st.lists(
    st.sampled_from(
        [b"i", b"e", b"l", b"d", b"0", b"1", b"2", b":", b"-", b"a", b"1:a", b"0:", b"i1e", b"\xff"]
    ),
    max_size=40,
).map(b"".join)


@given(values)
def test_decode_gives_back_what_was_encoded(value: bencode.Value) -> None:
    assert bencode.decode(bencode.encode(value)) == value


@given(values, st.binary(max_size=20))
def test_prefix_is_found_before_any_tail(value: bencode.Value, tail: bytes) -> None:
    raw = bencode.encode(value)
    assert bencode.decode_prefix(raw + tail) == (value, len(raw))


@given(st.binary(max_size=200) | almost)
def test_any_bytes_are_a_value_or_the_one_error(raw: bytes) -> None:
    try:
        value = bencode.decode(raw)
    except BencodeError:
        return
    # Only the order of keys may differ: one value has one spelling.
    assert sorted(bencode.encode(value)) == sorted(raw)


@given(values, st.data())
def test_a_cut_value_is_refused(value: bencode.Value, data: st.DataObject) -> None:
    raw = bencode.encode(value)
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    try:
        bencode.decode(cut)
    except BencodeError:
        return
    raise AssertionError(f"{cut!r} is no whole value")


@given(st.dictionaries(st.binary(max_size=10), values, min_size=1, max_size=6))
def test_spans_cut_out_each_value(value: dict[bytes, bencode.Value]) -> None:
    raw = bencode.encode(value)
    decoded, spans = bencode.decode_with_spans(raw)
    assert decoded == value
    assert {key: bencode.decode(raw[start:end]) for key, (start, end) in spans.items()} == value


@given(st.binary(max_size=100) | almost.map(lambda raw: b"d" + raw))
def test_spans_refuse_what_decode_refuses(raw: bytes) -> None:
    try:
        value = bencode.decode(raw)
    except BencodeError:
        value = None
    try:
        decoded, _ = bencode.decode_with_spans(raw)
    except BencodeError:
        assert not isinstance(value, dict)
    else:
        assert decoded == value
