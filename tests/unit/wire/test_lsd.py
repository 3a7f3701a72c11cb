"""Datagrams of BEP 14."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.errors import PeerError
from swarm.base.ids import InfoHash
from swarm.wire.lsd import (
    DATAGRAM_MAX_BYTES,
    GROUP_V4,
    GROUP_V6,
    INFO_HASHES_MAX,
    LocalAnnounce,
    decode_announce,
    encode_announce,
)

FIRST = InfoHash.parse("2c6b6858d61da9543d4231a71db4b1c9264b0685")
SECOND = InfoHash.parse("d2474e86c95b19b8bcfdb92bc12c9d44667cfa36")
ONE = (
    b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n"
    b"Infohash: 2C6B6858D61DA9543D4231A71DB4B1C9264B0685\r\ncookie: abc123\r\n\r\n\r\n"
)
TWO = ONE.replace(b"cookie", b"Infohash: D2474E86C95B19B8BCFDB92BC12C9D44667CFA36\r\ncookie")

info_hashes = st.lists(st.binary(min_size=20, max_size=20).map(InfoHash), max_size=25, unique=True)


class TestEncode:
    def test_as_in_the_bep(self) -> None:
        assert encode_announce(LocalAnnounce(6881, (FIRST,), "abc123"), GROUP_V4) == ONE
        assert encode_announce(LocalAnnounce(6881, (FIRST, SECOND), "abc123"), GROUP_V4) == TWO

    def test_names_the_group_it_goes_to(self) -> None:
        raw = encode_announce(LocalAnnounce(6881, (FIRST,)), GROUP_V6)
        assert b"\r\nHost: [ff15::efc0:988f]:6771\r\n" in raw and b"cookie" not in raw

    def test_as_many_as_there_may_be_fit_a_datagram(self) -> None:
        many = tuple(InfoHash(bytes([number]) * 20) for number in range(INFO_HASHES_MAX))
        assert len(encode_announce(LocalAnnounce(65535, many, "0" * 16), GROUP_V6)) <= DATAGRAM_MAX_BYTES
        with pytest.raises(ValueError):
            encode_announce(LocalAnnounce(1, (*many, FIRST)), GROUP_V4)


class TestDecode:
    @pytest.mark.parametrize(
        ("raw", "announce"),
        [
            (ONE, (6881, (FIRST,), "abc123")),
            (TWO, (6881, (FIRST, SECOND), "abc123")),
            (ONE.replace(b"cookie: abc123", b"X-Other: 1"), (6881, (FIRST,), "")),
            (ONE.replace(b"2C6B", b"2c6b"), (6881, (FIRST,), "abc123")),
            (ONE.replace(b"Port", b"port").replace(b"Infohash", b"INFOHASH"), (6881, (FIRST,), "abc123")),
            (ONE.removesuffix(b"\r\n"), (6881, (FIRST,), "abc123")),
            (ONE.replace(b": ", b":"), (6881, (FIRST,), "abc123")),
            (ONE.replace(b"abc123", b"c" * 65), (6881, (FIRST,), "")),
            (TWO.replace(SECOND.hex().upper().encode(), FIRST.hex().encode()), (6881, (FIRST,), "abc123")),
            (ONE.replace(b"cookie", b"Infohash: " + b"a" * 64 + b"\r\ncookie"), (6881, (FIRST,), "abc123")),
        ],
    )  # fmt: skip
    def test_what_clients_send(self, raw: bytes, announce: tuple[object, ...]) -> None:
        assert decode_announce(raw) == announce

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"\r\n\r\n",
            ONE.replace(b"BT-SEARCH", b"M-SEARCH"),
            ONE.replace(b"1.1", b"1.0"),
            ONE.rstrip(b"\r\n"),
            ONE.replace(b"Port: 6881\r\n", b""),
            ONE.replace(b"Port: 6881", b"Port: 0"),
            ONE.replace(b"Port: 6881", b"Port: 65536"),
            ONE.replace(b"Port: 6881", b"Port: -1"),
            ONE.replace(b"Port: 6881", b"Port: 6881\r\nPort: 6882"),
            ONE.replace(b"Port: 6881", b"Port: " + b"9" * 1000),
            ONE.replace(b"2C6B", b"2C6G"),
            ONE.replace(b"2C6B", b"2C6"),
            ONE.replace(b"cookie:", b"cookie"),
            ONE.replace(b"abc123", "\u00e9".encode()),
            ONE.replace(b"abc123", b"x" * DATAGRAM_MAX_BYTES),
        ],
    )
    def test_what_is_none(self, raw: bytes) -> None:
        with pytest.raises(PeerError):
            decode_announce(raw)


@given(st.integers(1, 65535), info_hashes, st.text("0123456789abcdef", max_size=64))
def test_what_is_written_is_read(port: int, known: list[InfoHash], cookie: str) -> None:
    announce = LocalAnnounce(port, tuple(known), cookie)
    raw = encode_announce(announce, GROUP_V6)
    if len(raw) <= DATAGRAM_MAX_BYTES:
        assert decode_announce(raw) == announce


@given(st.binary(max_size=1500), st.integers(0, len(TWO)), st.binary(max_size=20))
def test_any_bytes_are_an_announce_or_an_error(raw: bytes, at: int, change: bytes) -> None:
    for mutated in (raw, TWO[:at] + change + TWO[at + len(change) :], TWO[:at] + change, TWO[:at] + raw):
        with contextlib.suppress(PeerError):
            announce = decode_announce(mutated)
            assert 0 < announce.port < 65536 and len(announce.info_hashes) <= 27
