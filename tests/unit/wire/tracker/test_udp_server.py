"""The UDP tracker's datagrams as the tracker reads and writes them; bytes from BEP 15 and BEP 41."""

from __future__ import annotations

import pytest

from swarm.wire.tracker.announce import ScrapeEntry
from swarm.wire.tracker.udp_server import (
    CONNECT_MAGIC,
    ERROR_TEXT_MAX,
    SLOT_BYTES,
    URL_DATA_MAX,
    encode_announced,
    encode_connected,
    encode_error,
    encode_scraped,
    read_scrape,
    read_slots,
    read_url_data,
)

TRANSACTION = bytes.fromhex("3b9aca09")


def slot(datagram: bytes) -> bytes:
    return datagram.ljust(SLOT_BYTES, b"\xee")


def announce(left: int = 2, event: int = 2, num_want: int = -1, port: int = 6991) -> bytes:
    return b"".join(
        [
            (12345).to_bytes(8, "big"),
            (1).to_bytes(4, "big"),
            TRANSACTION,
            b"h" * 20,
            b"p" * 20,
            (1).to_bytes(8, "big"),
            left.to_bytes(8, "big"),
            (3).to_bytes(8, "big"),
            event.to_bytes(4, "big"),
            bytes(4),
            (51966).to_bytes(4, "big"),
            num_want.to_bytes(4, "big", signed=True),
            port.to_bytes(2, "big"),
        ]
    )


class TestReading:
    def test_every_slot_gives_its_fields(self) -> None:
        first, second = read_slots(slot(announce()) + slot(announce(left=0, event=1, num_want=7, port=1)))
        head = ((12345).to_bytes(8, "big"), 1, TRANSACTION, b"h" * 20, b"p" * 20)
        assert first == (*head, 2, 2, -1, (6991).to_bytes(2, "big"))
        assert second == (*head, 0, 1, 7, b"\0\1")

    def test_the_announce_of_bep_15(self) -> None:
        raw = bytes.fromhex(
            "0000000000003039000000013b9aca09626974746f7272656e742d696e666f68617368312d61726961322d75"
            "6c747261666173746468742d00000000000000010000000000000002000000000000000300000002000000000000"
            "cafeffffffff1b4f"
        )
        assert len(raw) == 98
        ((_, action, _, info_hash, peer_id, left, event, num_want, port),) = read_slots(slot(raw))
        assert (action, left, event, num_want, port) == (1, 2, 2, -1, (6991).to_bytes(2, "big"))
        assert info_hash == b"bittorrent-infohash1" and peer_id == b"-aria2-ultrafastdht-"

    def test_a_connect(self) -> None:
        raw = bytes.fromhex("0000041727101980000000003b9aca09")
        ((connection, action, transaction, *_),) = read_slots(slot(raw))
        assert (connection, action, transaction) == (CONNECT_MAGIC, 0, TRANSACTION)

    def test_a_scrape_of_up_to_74(self) -> None:
        hashes = [bytes([number]) * 20 for number in range(80)]
        assert read_scrape(bytes(16) + b"".join(hashes[:2])) == hashes[:2]
        assert read_scrape(bytes(16) + b"".join(hashes)) == hashes[:74]
        assert read_scrape(bytes(16) + b"tail") == []


class TestOptions:
    @pytest.mark.parametrize(
        ("raw", "url"),
        [
            (bytes.fromhex("020c2f6469723f613d6226633d6400"), b"/dir?a=b&c=d"),
            (b"", b""),
            (b"\1\1\1\2\1x\0\2\1y", b"x"),
            (b"\2\2ab\2\2cd", b"abcd"),
            (b"\x09\2??\2\1x", b"x"),
            (b"\2", b""),
            (b"\2\5ab", b""),
            (b"\2\0", b""),
        ],
        ids=["BEP 41", "none", "nops", "two parts", "unknown one", "no length", "cut off", "empty"],
    )
    def test_url_data(self, raw: bytes, url: bytes) -> None:
        assert read_url_data(raw) == url

    def test_are_bounded(self) -> None:
        assert len(read_url_data((b"\2\xff" + b"a" * 255) * 5)) == URL_DATA_MAX
        assert read_url_data(b"\1" * 1000 + b"\2\1x") == b""


class TestAnswers:
    def test_are_those_of_bep_15(self) -> None:
        assert encode_connected(TRANSACTION, b"c" * 8) == bytes(4) + TRANSACTION + b"c" * 8
        assert encode_announced(TRANSACTION, 1800, 0, 1, b"") == bytes.fromhex(
            "000000013b9aca09000007080000000000000001"
        )
        scraped = encode_scraped(TRANSACTION, [ScrapeEntry(1, 3, 2), ScrapeEntry(4, 6, 5)])
        assert scraped == bytes.fromhex("000000023b9aca09000000010000000200000003000000040000000500000006")
        assert encode_error(TRANSACTION, "error") == bytes.fromhex("000000033b9aca096572726f72")

    def test_are_bounded(self) -> None:
        assert len(encode_error(TRANSACTION, "ä" * 1000)) == 8 + ERROR_TEXT_MAX
        assert encode_scraped(TRANSACTION, [ScrapeEntry(0, 0, 1 << 40)])[12:16] == b"\xff" * 4
