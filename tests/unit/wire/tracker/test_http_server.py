"""Queries that our tracker reads, and answers that it writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base import bencode
from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.wire.tracker import http_server
from swarm.wire.tracker.announce import ScrapeEntry
from swarm.wire.tracker.http import decode_announce, decode_scrape
from swarm.wire.tracker.http_server import (
    SCRAPE_MAX,
    AnnounceQuery,
    encode_announce,
    encode_announce_dictionaries,
    encode_failure,
    encode_scrape,
    parse_announce_query,
    parse_any_announce_query,
    parse_scrape_query,
    unquoted,
)

GOOD = {
    "info_hash": "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9a",
    "peer_id": "-SW0100-abcdefghijkl",
    "port": "6881",
    "uploaded": "0",
    "downloaded": "0",
    "left": "16384",
    "compact": "1",
    "numwant": "80",
    "key": "0000BEEF",
    "event": "started",
}


def query(**changed: str | None) -> bytes:
    """A good query with some fields changed, or left out where None."""
    fields = {name: value for name, value in (GOOD | changed).items() if value is not None}
    return "&".join(f"{name}={value}" for name, value in fields.items()).encode()


class TestAnnounceQuery:
    def test_reads_a_whole_query(self) -> None:
        read = parse_announce_query(query())
        assert read.info_hash.hex() == "123456789abcdef123456789abcdef123456789a"
        assert read.peer_id == b"-SW0100-abcdefghijkl"
        assert (read.port, read.left_bytes, read.event, read.num_want) == (6881, 16384, "started", 80)
        assert read.is_compact and read.wants_peer_ids

    def test_what_may_be_left_out_is_none(self) -> None:
        read = parse_announce_query(
            query(uploaded=None, downloaded=None, left=None, numwant=None, event=None, compact=None, key=None)
        )
        assert (read.left_bytes, read.event, read.num_want, read.is_compact) == (None, None, None, True)

    @pytest.mark.parametrize("event", ["", "empty"])
    def test_events_that_are_regular_announces(self, event: str) -> None:
        assert parse_announce_query(query(event=event)).event is None

    def test_a_partial_seed_says_that_it_pauses(self) -> None:
        assert parse_announce_query(query(event="paused")).event == "paused"

    def test_forms_of_the_answer(self) -> None:
        assert not parse_announce_query(query(compact="0")).is_compact
        assert not parse_announce_query(query(no_peer_id="1")).wants_peer_ids
        assert parse_announce_query(query(numwant="-1")).num_want is None

    def test_unknown_fields_may_come_often(self) -> None:
        assert parse_announce_query(query() + b"&ipv6=::1&ipv6=::2&&x").port == 6881

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("info_hash", None),
            ("info_hash", ""),
            ("info_hash", "a" * 19),
            ("info_hash", "a" * 21),
            ("info_hash", "%zz" + "a" * 19),
            ("info_hash", "a" * 19 + "%"),
            ("info_hash", "a" * 19 + "%1"),
            ("info_hash", "a" * 5000),
            ("peer_id", None),
            ("peer_id", "short"),
            ("port", None),
            ("port", ""),
            ("port", "0"),
            ("port", "-1"),
            ("port", "65536"),
            ("port", "1" + "0" * 30),
            ("port", "0x50"),
            ("port", "１"),
            ("left", "-5"),
            ("left", "1" + "0" * 30),
            ("left", "99999999999999999999"),
            ("uploaded", "x"),
            ("uploaded", "1" * 5000),
            ("downloaded", "-1"),
            ("numwant", "-2"),
            ("numwant", "many"),
            ("event", "gone"),
            ("event", "started" * 1000),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_a_bad_field_is_named(self, field: str, value: str | None) -> None:
        with pytest.raises(TrackerError, match=field):
            parse_announce_query(query(**{field: value}))

    @pytest.mark.parametrize("field", ["info_hash", "peer_id", "port", "left", "event", "numwant", "compact"])
    def test_a_field_that_decides_must_not_come_twice(self, field: str) -> None:
        with pytest.raises(TrackerError, match=f"{field} was given twice"):
            parse_announce_query(query() + f"&{field}={GOOD[field]}".encode())


#: As real clients write them: libtorrent, transmission, aria2.
LIBTORRENT = (
    b"info_hash=%124Vx%9a%bc%de%f1%23Eg%89%ab%cd%ef%124Vx%9a&peer_id=-LT20B0-abcdefghijkl&port=6881&uploaded=1"
    b"&downloaded=2&left=3&corrupt=0&key=4B1A7C99&event=started&numwant=200&compact=1&no_peer_id=1"
    b"&supportcrypto=1&redundant=0"
)
TRANSMISSION = (
    b"info_hash=%124Vx%9a%bc%de%f1%23Eg%89%ab%cd%ef%124Vx%9a&peer_id=-TR3000-abcdefghijkl&port=51413&uploaded=0"
    b"&downloaded=0&left=3&numwant=80&key=2f6d0f5b&compact=1&supportcrypto=1&event=started"
)
ARIA2 = (
    b"info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&peer_id=A2-1-36-0-abcdefghij&uploaded=0&downloaded=0"
    b"&left=3&compact=1&key=abcdefgh&numwant=50&no_peer_id=1&port=6881&event=started&supportcrypto=1"
)


def read_by(reader: Callable[[bytes], AnnounceQuery], raw: bytes) -> AnnounceQuery | str:
    try:
        return reader(raw)
    except TrackerError as error:
        return error.reason


class TestTheUsualOrder:
    """The quick reader and the strict one say the same, whatever they read."""

    @pytest.mark.parametrize("raw", [LIBTORRENT, TRANSMISSION, ARIA2, query()])
    def test_is_read_at_once(self, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        wanted = parse_any_announce_query(raw)
        monkeypatch.delattr(http_server, "parse_any_announce_query")
        assert parse_announce_query(raw) == wanted

    @given(
        st.sampled_from([LIBTORRENT, TRANSMISSION, ARIA2]),
        st.lists(
            st.sampled_from(
                b"port=1 port=0 port=65536 left=0 left=-1 event= event=stopped event=x numwant=5 numwant=-1"
                b" compact=1 compact=0 no_peer_id=1 no_peer_id=0 key=%zz ip=1.2.3.4 uploaded=x"
                b" info_hash=a x".split()
            ),
            max_size=4,
        ),
        st.data(),
    )
    def test_whatever_is_put_in_or_left_out(self, raw: bytes, more: list[bytes], data: st.DataObject) -> None:
        items = raw.split(b"&")
        for item in more:
            items.insert(data.draw(st.integers(0, len(items))), item)
        for _ in range(data.draw(st.integers(0, 2))):
            items.pop(data.draw(st.integers(0, len(items) - 1)))
        changed = b"&".join(items)
        assert read_by(parse_announce_query, changed) == read_by(parse_any_announce_query, changed)

    @given(st.sampled_from([LIBTORRENT, ARIA2]), st.integers(0, 200), st.binary(max_size=3))
    def test_whatever_is_overwritten(self, raw: bytes, at: int, part: bytes) -> None:
        changed = raw[:at] + part + raw[at + len(part) :]
        assert read_by(parse_announce_query, changed) == read_by(parse_any_announce_query, changed)


class TestScrapeQuery:
    def test_reads_several(self) -> None:
        assert parse_scrape_query(b"info_hash=" + b"a" * 20 + b"&info_hash=%62" + b"b" * 19) == [
            b"a" * 20,
            b"b" * 20,
        ]

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"info_hash=",
            b"info_hash=abc",
            b"&".join([b"info_hash=" + b"a" * 20] * (SCRAPE_MAX + 1)),
        ],
        ids=["nothing", "empty", "short", "many"],
    )
    def test_refuses(self, raw: bytes) -> None:
        with pytest.raises(TrackerError):
            parse_scrape_query(raw)


def test_unquoted_leaves_plus_alone() -> None:
    assert unquoted(b"a+b%2B%2b%00") == b"a+b++\0"


class TestAnswers:
    def test_a_compact_answer_is_canonical_bencode(self) -> None:
        raw = encode_announce(
            interval_s=900,
            min_interval_s=60,
            seeds=1,
            leechers=2,
            compact_v4=b"\x7f\0\0\x01\x1a\xe1",
            compact_v6=bytes(15) + b"\x01\x1a\xe1",
            external_ip=b"\x01\x02\x03\x04",
        )
        assert bencode.encode(bencode.decode(raw)) == raw
        response = decode_announce(raw)
        assert response.peers == (Endpoint("127.0.0.1", 6881), Endpoint("::1", 6881))
        assert (response.interval_s, response.min_interval_s) == (900, 60)
        assert (response.seeds, response.leechers, response.external_ip) == (1, 2, "1.2.3.4")

    def test_without_peers_there_is_an_empty_list(self) -> None:
        raw = encode_announce(interval_s=900, min_interval_s=60, seeds=0, leechers=0)
        assert b"5:peers0:" in raw and b"peers6" not in raw

    def test_dictionaries_with_and_without_peer_ids(self) -> None:
        raw = encode_announce_dictionaries(
            interval_s=900,
            min_interval_s=60,
            seeds=1,
            leechers=2,
            peers=[(Endpoint("10.0.0.1", 1), b"p" * 20), (Endpoint("::1", 2), None)],
            external_ip=b"\1\2\3\4",
            warning=b"beware",
        )
        assert bencode.encode(bencode.decode(raw)) == raw and b"7:peer id20:" in raw
        response = decode_announce(raw)
        assert response.peers == (Endpoint("10.0.0.1", 1), Endpoint("::1", 2))
        assert (response.interval_s, response.min_interval_s, response.seeds, response.leechers) == (
            900, 60, 1, 2,
        )  # fmt: skip
        assert (response.external_ip, response.warning) == ("1.2.3.4", "beware")

    def test_scrape(self) -> None:
        entries = {b"b" * 20: ScrapeEntry(1, 2, 3, 1), b"a" * 20: ScrapeEntry(0, 0, 0)}
        raw = encode_scrape(entries)
        assert decode_scrape(raw) == entries and bencode.encode(bencode.decode(raw)) == raw
        assert b"d8:completei1e10:downloadedi3e11:downloadersi1e10:incompletei2ee" in raw

    @pytest.mark.parametrize(
        ("error", "raw"),
        [
            (TrackerError("no"), b"d14:failure reason2:noe"),
            (TrackerError("no", retry_in_s=600), b"d14:failure reason2:no8:retry ini10ee"),
            (TrackerError("no", is_final=True), b"d14:failure reason2:no8:retry in5:nevere"),
        ],
    )
    def test_failure(self, error: TrackerError, raw: bytes) -> None:
        assert encode_failure(error) == raw
