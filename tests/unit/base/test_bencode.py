"""Strict bencode: what is taken, what is refused, and what it may cost."""

from __future__ import annotations

import pytest

from swarm.base import bencode
from swarm.base.errors import BencodeError
from swarm.base.ids import InfoHash


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"i0e", 0),
        (b"i-1e", -1),
        (b"i10e", 10),
        (b"i18446744073709551615e", 2**64 - 1),
        (b"i-9223372036854775808e", -(2**63)),
        (b"0:", b""),
        (b"3:\x00:e", b"\x00:e"),
        (b"le", []),
        (b"l0:le4:spami3ee", [b"", [], b"spam", 3]),
        (b"de", {}),
        (b"d1:ai1e1:bl1:cee", {b"a": 1, b"b": [b"c"]}),
        (b"d0:de1:ad0:0:ee", {b"": {}, b"a": {b"": b""}}),
    ],
)
def test_decode_reads_what_bep_3_says(raw: bytes, value: bencode.Value) -> None:
    assert bencode.decode(raw) == value
    assert bencode.encode(value) == raw


def test_decode_takes_unsorted_keys() -> None:
    assert bencode.decode(b"d1:bi1e1:ai2ee") == {b"b": 1, b"a": 2}


@pytest.mark.parametrize(
    "raw",
    [
        # What the package itself takes.
        b"i1_0e", b"i 1e", b"i1 e", b"i+1e", b"1 :a", b" 1:a", b"1_0:0123456789", b"d1:ai1e1:ai2ee",
        # Integers.
        b"i-0e", b"i-01e", b"i01e", b"ie", b"i-e", b"i--1e", b"i1", b"i", b"i1.0e", b"i\xb2e", b"i\xd9\xa1e",
        b"i" + b"9" * 22 + b"e", b"i" + b"9" * 100_000 + b"e",
        # Strings.
        b"1:", b"2:a", b"01:a", b"00:", b"+1:a", b"-1:a", b"1", b"1a", b":", b"999999999:a",
        b"9" * 5000 + b":a",
        # Lists and dictionaries.
        b"l", b"li1e", b"l1:", b"lxe", b"l01:ae", b"d", b"d1:a", b"d1:ae", b"di1ei2ee", b"dle", b"d1:ai1e",
        b"d1:axe",
        b"d01:ai1ee", b"d1:a1:b1:a1:ce",
        # Neither.
        b"", b"e", b"x", b" ", b"\n", b"<html>", b"\xff\xfe",
        # Behind the end.
        b"i1ei2e", b"de\n", b"0:0:",
    ],
)  # fmt: skip
def test_decode_refuses_what_no_encoder_writes(raw: bytes) -> None:
    with pytest.raises(BencodeError):
        bencode.decode(raw)


def test_error_says_what_and_where() -> None:
    with pytest.raises(BencodeError, match="the key 'a' comes twice at byte 7") as caught:
        bencode.decode(b"d1:ai1e1:ai2ee")
    assert caught.value.offset == 7


def test_depth_is_limited_in_lists_and_dictionaries() -> None:
    assert bencode.decode(b"l" * 5 + b"e" * 5, max_depth=5)
    for bomb in (b"l" * 6 + b"e" * 6, b"d1:a" * 5 + b"de" + b"e" * 5):
        with pytest.raises(BencodeError, match="nested deeper than 5 levels"):
            bencode.decode(bomb, max_depth=5)


def test_nesting_of_megabytes_is_refused_at_its_start() -> None:
    with pytest.raises(BencodeError, match="nested deeper") as caught:
        bencode.decode(b"l" * (10 * 1024 * 1024))
    assert caught.value.offset == bencode.MAX_DEPTH


def test_size_is_limited_before_anything_is_read() -> None:
    with pytest.raises(BencodeError, match="11 bytes are more than the 10"):
        bencode.decode(b"9:123456789", max_bytes=10)


@pytest.mark.parametrize("entry", [b"le", b"de", b"0:", b"i1e", b"1:a"])
def test_number_of_values_is_limited(entry: bytes) -> None:
    assert bencode.decode(b"l" + entry * 10 + b"e", max_values=10)
    with pytest.raises(BencodeError, match="too many values"):
        bencode.decode(b"l" + entry * 11 + b"e", max_values=10)


def test_number_of_values_is_limited_across_containers_and_in_dictionaries() -> None:
    with pytest.raises(BencodeError, match="too many values"):
        bencode.decode(b"l" + b"li1ei2ee" * 4 + b"e", max_values=10)
    with pytest.raises(BencodeError, match="too many values"):
        bencode.decode(b"d" + b"".join(b"2:%02di1e" % number for number in range(11)) + b"e", max_values=10)


def test_prefix_ends_where_the_value_does() -> None:
    raw = b"d8:msg_typei1e5:piecei0ee" + b"data that is e no bencode"
    value, end = bencode.decode_prefix(raw)
    assert value == {b"msg_type": 1, b"piece": 0}
    assert raw[end:] == b"data that is e no bencode"


def test_span_is_that_of_the_value_as_written() -> None:
    raw = b"d1:zi1e4:infod1:bi1e1:ai2ee3:end0:e"
    start, end = bencode.decode_with_spans(raw)[1][b"info"]
    assert raw[start:end] == b"d1:bi1e1:ai2ee"


@pytest.mark.parametrize(
    "raw", [b"le", b"i1e", b"d4:infoi1e", b"d4:infoi1eex", b"d4:infoi1e4:infoi1ee", b"di1ei1ee"]
)
def test_spans_are_of_valid_dictionaries_only(raw: bytes) -> None:
    with pytest.raises(BencodeError):
        bencode.decode_with_spans(raw)


def test_encode_sorts_keys_as_raw_bytes() -> None:
    assert bencode.encode({b"b": 1, b"B": 2, b"\xff": 3, b"a-": 4, b"a": 5}) == (
        b"d1:Bi2e1:ai5e2:a-i4e1:bi1e1:\xffi3ee"
    )


def test_encode_writes_text_subclasses_and_tuples() -> None:
    value: bencode.Encodable = [InfoHash(b"h" * 20), "ü", (1, True)]
    assert bencode.encode(value) == b"l20:" + b"h" * 20 + b"2:\xc3\xbcli1ei1eee"


def test_encode_writes_verbatim_bytes_as_they_are() -> None:
    assert bencode.encode({b"info": bencode.Verbatim(b"d1:bi1e1:ai2ee")}) == b"d4:infod1:bi1e1:ai2eee"


def test_encode_has_no_floats() -> None:
    with pytest.raises(TypeError, match="bencode has no float"):
        bencode.encode([1.5])
