"""What trackers answer, and the URLs that ask them. Vectors: libtorrent, rqbit, real answers, BEP 48."""

from __future__ import annotations

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.wire.tracker.announce import (
    INTERVAL_DEFAULT_S,
    PEERS_MAX,
    AnnounceRequest,
    ScrapeEntry,
    readable,
    tracker_name,
)
from swarm.wire.tracker.http import (
    announce_url,
    decode_announce,
    decode_scrape,
    scrape_request_url,
    scrape_url,
)

REQUEST = AnnounceRequest(
    info_hash=InfoHash(bytes.fromhex("123456789abcdef123456789abcdef123456789a")),
    peer_id=PeerId(b"-SW0100-abcdefghijkl"),
    port=6881,
    uploaded_bytes=1,
    downloaded_bytes=2,
    left_bytes=3,
    key=0xBEEF,
)


class TestAnnounceUrl:
    def test_carries_every_field_percent_coded(self) -> None:
        assert announce_url("http://t.example:6969/announce", REQUEST) == (
            "http://t.example:6969/announce?info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A"
            "&peer_id=-SW0100-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=3&compact=1&numwant=80"
            "&key=0000BEEF"
        )

    def test_codes_bytes_that_mean_something_in_a_url(self) -> None:
        info_hash = InfoHash(bytes.fromhex("a2a15537542b22925ad10486bf7a8b2a9c42f0d1"))
        assert (
            scrape_request_url("http://t/scrape", [info_hash])
            == "http://t/scrape?info_hash=%A2%A1U7T%2B%22%92Z%D1%04%86%BFz%8B%2A%9CB%F0%D1"
        )

    @pytest.mark.parametrize(
        ("url", "start"),
        [
            ("http://t/announce?passkey=1", "http://t/announce?passkey=1&info_hash="),
            ("http://t/announce?", "http://t/announce?info_hash="),
            ("http://t/announce?a=1&", "http://t/announce?a=1&info_hash="),
            ("http://t/announce#top", "http://t/announce?info_hash="),
        ],
    )
    def test_extends_a_query_that_is_there(self, url: str, start: str) -> None:
        assert announce_url(url, REQUEST).startswith(start)

    def test_adds_event_and_tracker_id_where_there_are_any(self) -> None:
        request = AnnounceRequest(
            REQUEST.info_hash, REQUEST.peer_id, 1, 0, 0, 0, "stopped", num_want=0, key=1, tracker_id=b"a&b"
        )
        assert announce_url("http://t/a", request).endswith(
            "&numwant=0&key=00000001&event=stopped&trackerid=a%26b"
        )


@pytest.mark.parametrize(
    ("announce", "scrape"),
    [
        ("http://example.com/announce", "http://example.com/scrape"),
        ("http://example.com/x/announce", "http://example.com/x/scrape"),
        ("http://example.com/announce.php", "http://example.com/scrape.php"),
        ("http://example.com/a", None),
        ("http://example.com/announce?x2%0644", "http://example.com/scrape?x2%0644"),
        ("http://example.com/announce?x=2/4", None),
        ("http://example.com/x%064announce", None),
        ("", None),
    ],
)
def test_scrape_url_follows_the_convention(announce: str, scrape: str | None) -> None:
    assert scrape_url(announce) == scrape


class TestAnswers:
    def test_named_peers_are_kept_apart(self) -> None:
        response = decode_announce(
            b"d5:peersld7:peer id20:aaaaaaaaaaaaaaaaaaaa2:ip13:test_hostname4:porti1000ee"
            b"d7:peer id20:bbbbaabbaabbaabbaabb2:ip12:another_host4:porti1001eeee"
        )
        assert response.peers == ()
        assert response.named_peers == (("test_hostname", 1000), ("another_host", 1001))

    @pytest.mark.parametrize(
        ("raw", "peers"),
        [
            (
                bytes.fromhex("64353a706565727331323a01020304301009080706201065"),
                ["1.2.3.4:12304", "9.8.7.6:8208"],
            ),
            (
                bytes.fromhex(
                    "64363a70656572733633363a20010db8000000000000000000000001301020010db80000000000000000"
                    "00000002201065"
                ),
                ["[2001:db8::1]:12304", "[2001:db8::2]:8208"],
            ),
            (
                b"d8:intervali1800e5:peers6:iiiipp6:peers618:iiiiiiiiiiiiiiiippe",
                ["105.105.105.105:28784", "[6969:6969:6969:6969:6969:6969:6969:6969]:28784"],
            ),
            (
                b"d5:peersld2:ip9:127.0.0.14:porti100eed2:ip39:6969:6969:6969:6969:6969:6969:6969:6969"
                b"4:porti101eeee",
                ["127.0.0.1:100", "[6969:6969:6969:6969:6969:6969:6969:6969]:101"],
            ),
            (b"d5:peersld2:ip16:::ffff:10.0.0.994:porti9eeee", ["10.0.0.99:9"]),
            (b"d5:peersld2:ip9:fe80::1%34:porti9eed2:ip13:::%fb:1.2.3.44:porti9eeee", []),
        ],
        ids=["compact", "peers6", "both", "dictionaries", "mapped", "zones"],
    )
    def test_peers_in_every_form(self, raw: bytes, peers: list[str]) -> None:
        assert [str(peer) for peer in decode_announce(raw).peers] == peers

    def test_a_real_answer(self) -> None:
        response = decode_announce(
            bytes.fromhex(
                "64383a636f6d706c65746569346531303a696e636f6d706c657465693365383a696e74657276616c6931383030"
                "6531323a6d696e20696e74657276616c693138303065353a706565727334323a2ebd1b641a1f51d54c0546cc34"
                "2190401a1f626ee9c6c8d5cb0d92131a1fac4e689a3c6b180f3d5746db65"
            )
        )
        assert (response.seeds, response.leechers) == (4, 3)
        assert (response.interval_s, response.min_interval_s) == (1800, 1800)
        assert response.peers[0] == Endpoint("46.189.27.100", 6687)
        assert response.peers[-1] == Endpoint("24.15.61.87", 18139)
        assert len(response.peers) == 7

    def test_interval_and_min_interval(self) -> None:
        response = decode_announce(b"d8:intervali1042e12:min intervali10e5:peers0:e")
        assert (response.interval_s, response.min_interval_s) == (1042, 10)

    def test_warning(self) -> None:
        assert decode_announce(b"d5:peers0:15:warning message12:test messagee").warning == "test message"

    @pytest.mark.parametrize(
        ("raw", "address"),
        [
            (b"d5:peers0:11:external ip4:\x01\x02\x03\x04e", "1.2.3.4"),
            (
                b"d5:peers0:11:external ip16:" + bytes.fromhex("f102030400000000000000000000ffff") + b"e",
                "f102:304::ffff",
            ),
            (
                b"d5:peers0:11:external ip16:" + bytes.fromhex("00000000000000000000ffff01020304") + b"e",
                "1.2.3.4",
            ),
            (b"d5:peers0:11:external ip3:abce", None),
        ],
    )
    def test_external_ip(self, raw: bytes, address: str | None) -> None:
        assert decode_announce(raw).external_ip == address

    @pytest.mark.parametrize("size", [8, 256, 257])
    def test_tracker_id_is_bounded(self, size: int) -> None:
        raw = b"d5:peers0:10:tracker id%d:%se" % (size, b"x" * size)
        assert decode_announce(raw).tracker_id == (b"x" * size if size <= 256 else None)

    @pytest.mark.parametrize(
        "entry",
        [
            b"d2:ip11:example.com4:porti-1ee",
            b"d2:ip11:example.com4:porti65536ee",
            b"d7:peer id20:abababababababababab4:porti1337ee",
            b"d7:peer id20:abababababababababab2:ip4:abcde",
            b"d2:ip3:a b4:porti1ee",
            b"d2:ip4:a\x1b[m4:porti1ee",
            b"d2:ip300:" + b"a" * 300 + b"4:porti1ee",
            b"i5e",
        ],
    )
    def test_a_bad_peer_is_left_out(self, entry: bytes) -> None:
        response = decode_announce(b"d5:peersl" + entry + b"ee")
        assert response.peers == () and response.named_peers == ()

    @pytest.mark.parametrize(
        "compact",
        [b"\x01\x02\x03\x04\x00\x00", b"\x00\x00\x00\x00\x1a\xe1", b"\xe0\x00\x00\x01\x1a\xe1"],
        ids=["port 0", "0.0.0.0", "multicast"],
    )
    def test_an_address_that_cannot_be_dialled_is_left_out(self, compact: bytes) -> None:
        assert decode_announce(b"d5:peers6:" + compact + b"e").peers == ()

    def test_a_megabyte_of_peers_is_cut(self) -> None:
        raw = b"d5:peers999996:" + b"\x01\x02\x03\x04\x1a\xe1" * 166_666 + b"e"
        assert len(decode_announce(raw).peers) == PEERS_MAX

    @pytest.mark.parametrize(
        ("interval", "expected"),
        [
            (b"i0e", 0),
            (b"i-1e", INTERVAL_DEFAULT_S),
            (b"i1099511627776e", 2**32 - 1),
            (b"4:1800", INTERVAL_DEFAULT_S),
        ],
    )
    def test_an_odd_interval_is_bounded(self, interval: bytes, expected: int) -> None:
        assert decode_announce(b"d8:interval" + interval + b"5:peers0:e").interval_s == expected

    def test_a_newline_after_the_answer_is_forgiven(self) -> None:
        assert decode_announce(b"d8:intervali1800e5:peers0:e\n").interval_s == 1800

    def test_control_characters_in_a_warning_are_escaped(self) -> None:
        warning = decode_announce(b"d5:peers0:15:warning message7:\x1b[2J\r\n\0e").warning
        assert warning == "\\x1b[2J\\r\\n\\x00"


class TestFailures:
    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            (b"d5:peers0:14:failure reason12:test messagee", "test message"),
            (b"d14:failure reasoni5ee", "refused without a reason"),
            (b"d14:failure reason7:\x1b[2Jab\xffe", "\\x1b[2Jab\\xff"),
            (b"d5:peers7:\x01\x02\x03\x040\x10\x01e", "peers of 7 bytes"),
            (b"d6:peers619:" + b"\x01" * 19 + b"e", "peers6 of 19 bytes"),
            (b"<html><body>Welcome to nginx!</body></html>", "HTML instead of bencode"),
            (b"", "an empty answer"),
            (b"le", "not a tracker's answer"),
            (b"l" * 5000 + b"e" * 5000, "not a tracker's answer"),
            (b"d14:failure reason119:The tracker was unable toe\n", "not a tracker's answer"),
            (b"d5:peersl" + b"de" * 300_000 + b"ee", "not a tracker's answer"),
        ],
        ids=lambda value: ascii(value[:30]) if isinstance(value, bytes) else "",
    )
    def test_says_what_is_wrong(self, raw: bytes, message: str) -> None:
        with pytest.raises(TrackerError) as raised:
            decode_announce(raw)
        assert message in str(raised.value)

    @pytest.mark.parametrize(
        ("retry", "retry_in_s", "is_final"),
        [
            (b"i10e", 600.0, False),
            (b"2:10", 600.0, False),
            (b"5:never", None, True),
            (b"i-3e", None, False),
            (b"4:soon", None, False),
        ],
    )
    def test_retry_in_is_kept(self, retry: bytes, retry_in_s: float | None, is_final: bool) -> None:
        with pytest.raises(TrackerError) as raised:
            decode_announce(b"d14:failure reason4:full8:retry in" + retry + b"e")
        assert (raised.value.retry_in_s, raised.value.is_final) == (retry_in_s, is_final)


class TestScrape:
    def test_the_example_of_bep_48(self) -> None:
        raw = (
            b"d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei11e10:downloadedi13772e10:incompletei19ee"
            b"20:yyyyyyyyyyyyyyyyyyyyd8:completei21e10:downloadedi206e10:incompletei20eeee"
        )
        assert decode_scrape(raw) == {
            InfoHash(b"x" * 20): ScrapeEntry(11, 19, 13772),
            InfoHash(b"y" * 20): ScrapeEntry(21, 20, 206),
        }

    def test_a_hash_with_a_nul_and_numbers_nobody_asked_for(self) -> None:
        raw = (
            b"d5:filesd20:aaa\0aaaaaaaaaaaaaaaad8:completei4e10:incompletei5e10:downloadedi6e"
            b"11:downloadersi6eeee"
        )
        assert decode_scrape(raw) == {InfoHash(b"aaa\0" + b"a" * 16): ScrapeEntry(4, 5, 6, 6)}

    def test_odd_entries_count_nothing(self) -> None:
        raw = b"d5:filesd3:abcde20:" + b"b" * 20 + b"i5e20:" + b"c" * 20 + b"d8:completei-1eeee"
        assert decode_scrape(raw) == {InfoHash(b"c" * 20): ScrapeEntry(0, 0, 0)}

    @pytest.mark.parametrize("raw", [b"d14:failure reason5:nopee", b"d5:filesi3ee", b"de", b"x"])
    def test_failures(self, raw: bytes) -> None:
        with pytest.raises(TrackerError):
            decode_scrape(raw)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://t.example:6969/0123secret/announce", "t.example:6969"),
        ("http://user:password@t.example/announce", "t.example"),
        ("http://[::1]:6969/announce", "[::1]:6969"),
        ("http://[::1", "http://[::1"),
        ("nonsense\x1b", "nonsense\\x1b"),
    ],
)
def test_tracker_name_shows_no_secret(url: str, name: str) -> None:
    assert tracker_name(url) == name


def test_readable_keeps_letters_and_escapes_direction_marks() -> None:
    assert readable("größer \u202e 漢".encode()) == "größer \\u202e 漢"
    assert len(readable(b"a" * 10_000)) == 200
