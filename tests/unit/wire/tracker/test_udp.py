"""Datagrams of BEP 15 and 41: their own vectors, and what goes wrong with them."""

from __future__ import annotations

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash, PeerId
from swarm.wire.tracker import udp, udp_server
from swarm.wire.tracker.announce import PEERS_MAX, AnnounceRequest, Event, ScrapeEntry

TRANSACTION = 1_000_000_009
CONNECTION = 12345
INFO_HASH = InfoHash(b"bittorrent-infohash1")
OTHER_HASH = InfoHash(b"bittorrent-infohash2")
REQUEST = AnnounceRequest(
    InfoHash(b"bittorrent-infohash1"),
    PeerId(b"-aria2-ultrafastdht-"),
    6991,
    uploaded_bytes=3,
    downloaded_bytes=1,
    left_bytes=2,
    event="started",
    num_want=-1,
    key=0xCAFE,
)
#: The announce of BEP 15 with those values, 98 bytes.
ANNOUNCE = bytes.fromhex(
    "0000000000003039000000013b9aca09"
    "626974746f7272656e742d696e666f6861736831"
    "2d61726961322d756c747261666173746468742d"
    "0000000000000001000000000000000200000000000000030000000200000000"
    "0000cafeffffffff1b4f"
)
HEAD = bytes.fromhex("000000013b9aca09")


class TestRequests:
    def test_connect(self) -> None:
        assert udp.encode_connect(TRANSACTION).hex() == "0000041727101980000000003b9aca09"

    def test_announce(self) -> None:
        assert udp.encode_announce(CONNECTION, TRANSACTION, REQUEST) == ANNOUNCE
        assert udp.encode_announce(CONNECTION, TRANSACTION, REQUEST, "/") == ANNOUNCE

    def test_announce_with_url_data(self) -> None:
        raw = udp.encode_announce(CONNECTION, TRANSACTION, REQUEST, "/dir?a=b&c=d")
        assert raw == ANNOUNCE + bytes.fromhex("020c2f6469723f613d6226633d6400")

    def test_long_url_data_is_sent_in_parts_and_cut(self) -> None:
        url_data = "/" + "x" * 2000
        raw = udp.encode_announce(CONNECTION, TRANSACTION, REQUEST, url_data)
        options = raw[98:]
        assert [options[at : at + 2].hex() for at in range(0, 1024, 257)] == ["02ff"] * 4
        assert options[4 * 257 :].hex() == "0204" + b"xxxx".hex() + "00"
        assert len(raw) < 1400

    @pytest.mark.parametrize(
        ("event", "number"), [(None, 0), ("completed", 1), ("started", 2), ("stopped", 3), ("paused", 0)]
    )
    def test_events(self, event: Event | None, number: int) -> None:
        request = AnnounceRequest(INFO_HASH, REQUEST.peer_id, 1, 0, 0, 0, event)
        assert udp.encode_announce(1, 2, request)[80:84] == number.to_bytes(4, "big")

    def test_scrape(self) -> None:
        assert udp.encode_scrape(CONNECTION, TRANSACTION, [INFO_HASH, OTHER_HASH]).hex() == (
            "0000000000003039000000023b9aca09"
            "626974746f7272656e742d696e666f6861736831626974746f7272656e742d696e666f6861736832"
        )

    @pytest.mark.parametrize("count", [0, 75])
    def test_scrape_of_none_or_too_many_is_a_bug(self, count: int) -> None:
        with pytest.raises(ValueError):
            udp.encode_scrape(1, 2, [INFO_HASH] * count)


class TestAnswers:
    def test_connection_id(self) -> None:
        raw = bytes.fromhex("000000003b9aca09ffffffffffffffff")
        assert udp.transaction_of(raw) == TRANSACTION
        assert udp.decode_connected(raw) == 2**64 - 1

    def test_announce_without_peers(self) -> None:
        raw = HEAD + bytes.fromhex("000007080000000000000001")
        assert udp.decode_announced(raw, is_v6=False).interval_s == 1800
        response = udp.decode_announced(raw, is_v6=True)
        assert (response.peers, response.seeds, response.leechers) == ((), 1, 0)

    def test_announce_over_ipv4(self) -> None:
        raw = bytes.fromhex("00000001e594dd14000006740000010100000d0d2e003f691ae15abd2e235188")
        response = udp.decode_announced(raw, is_v6=False)
        assert udp.transaction_of(raw) == 3851738388
        assert (response.interval_s, response.leechers, response.seeds) == (1652, 257, 3341)
        assert response.peers == (Endpoint("46.0.63.105", 6881), Endpoint("90.189.46.35", 20872))

    def test_announce_over_ipv6(self) -> None:
        raw = HEAD + bytes.fromhex("00000708000000010000000120010db80000000000000000000000011ae1")
        assert udp.decode_announced(raw, is_v6=True).peers == (Endpoint("2001:db8::1", 6881),)

    def test_peers_that_cannot_be_dialled_are_left_out_and_too_many_cut(self) -> None:
        none = bytes(6) + bytes.fromhex("7f0000010000") + bytes.fromhex("e00000011ae1")
        assert udp.decode_announced(HEAD + bytes(12) + none, is_v6=False).peers == ()
        many = bytes.fromhex("080808081ae1") * 10_000
        assert len(udp.decode_announced(HEAD + bytes(12) + many, is_v6=False).peers) == PEERS_MAX

    def test_scrape(self) -> None:
        raw = bytes.fromhex("000000023b9aca09000000010000000200000003000000040000000500000006")
        assert udp.decode_scraped(raw, [INFO_HASH, OTHER_HASH]) == {
            INFO_HASH: ScrapeEntry(seeds=1, downloads=2, leechers=3),
            OTHER_HASH: ScrapeEntry(seeds=4, downloads=5, leechers=6),
        }

    @pytest.mark.parametrize(
        ("text", "reason"),
        [(b"error", "error"), (b"error\0", "error"), (b"", "refused without"), (b"\x1b[2J", "\\\\x1b")],
    )
    def test_errors_are_the_tracker_s_words_escaped(self, text: bytes, reason: str) -> None:
        raw = bytes.fromhex("000000033b9aca09") + text
        with pytest.raises(TrackerError, match=reason):
            udp.decode_connected(raw)
        with pytest.raises(TrackerError, match=reason):
            udp.decode_announced(raw, is_v6=False)
        with pytest.raises(TrackerError, match=reason):
            udp.decode_scraped(raw, [INFO_HASH])

    @pytest.mark.parametrize("size", [0, 7, 8, 15])
    def test_that_are_too_short(self, size: int) -> None:
        for action in range(3):
            raw = (action.to_bytes(4, "big") + bytes(20))[:size]
            with pytest.raises(TrackerError):
                udp.decode_connected(raw)
            with pytest.raises(TrackerError):
                udp.decode_announced(raw, is_v6=False)
            with pytest.raises(TrackerError):
                udp.decode_scraped(raw, [INFO_HASH])
        assert udp.transaction_of(raw) == (0 if size >= 8 else None)

    @pytest.mark.parametrize(("size", "is_v6"), [(5, False), (7, False), (6, True), (19, True)])
    def test_lists_of_peers_that_are_none(self, size: int, is_v6: bool) -> None:
        with pytest.raises(TrackerError, match="no list of addresses"):
            udp.decode_announced(HEAD + bytes(12) + bytes(size), is_v6=is_v6)

    @pytest.mark.parametrize("row_bytes", [0, 11, 13, 24])
    def test_scrapes_of_another_size(self, row_bytes: int) -> None:
        with pytest.raises(TrackerError, match="to a scrape of 1"):
            udp.decode_scraped(bytes.fromhex("000000023b9aca09") + bytes(row_bytes), [INFO_HASH])

    def test_to_another_question(self) -> None:
        with pytest.raises(TrackerError, match="another question"):
            udp.decode_announced(bytes(16), is_v6=False)


def test_our_client_reads_what_our_tracker_writes() -> None:
    number = (7).to_bytes(4, "big")
    assert udp.decode_connected(udp_server.encode_connected(number, bytes(7) + b"\5")) == 5
    raw = udp_server.encode_announced(number, 900, 2, 1, bytes.fromhex("0a0000010050"))
    response = udp.decode_announced(raw, is_v6=False)
    assert (response.interval_s, response.seeds, response.leechers) == (900, 1, 2)
    assert response.peers == (Endpoint("10.0.0.1", 80),)
    entry = ScrapeEntry(seeds=3, leechers=4, downloads=5)
    raw = udp_server.encode_scraped(number, [entry])
    assert udp.transaction_of(raw) == 7
    assert udp.decode_scraped(raw, [INFO_HASH]) == {INFO_HASH: entry}
    with pytest.raises(TrackerError, match=r"^no$"):
        udp.decode_connected(udp_server.encode_error(number, "no"))
