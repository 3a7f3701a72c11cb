"""Addresses: as text, as compact bytes, from near and far."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.endpoint import (
    Endpoint,
    decode_compact_v4,
    decode_compact_v6,
    encode_compact,
    host_of,
    normalized,
    parse_host_port,
)

ports = st.integers(1, 65535)


class TestText:
    @pytest.mark.parametrize(
        ("host", "port", "text"),
        [("10.0.0.1", 6881, "10.0.0.1:6881"), ("::1", 80, "[::1]:80")],
    )
    def test_address_is_read_as_it_is_written(self, host: str, port: int, text: str) -> None:
        assert str(Endpoint(host, port)) == text
        assert parse_host_port(text) == (host, port)

    def test_name_is_read_too(self) -> None:
        assert parse_host_port("tracker.example:0") == ("tracker.example", 0)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "expected HOST:PORT"),
            ("host", "expected HOST:PORT"),
            ("host:", "expected HOST:PORT"),
            (":80", "expected HOST:PORT"),
            ("[]:80", "expected HOST:PORT"),
            ("host:-1", "expected HOST:PORT"),
            ("host:٣", "expected HOST:PORT"),
            ("host:65536", "at most 65535"),
            ("::1:80", "brackets"),
        ],
    )
    def test_anything_else_is_refused_with_a_reason(self, text: str, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            parse_host_port(text)

    def test_port_of_thousands_of_digits_is_refused_in_few_words(self) -> None:
        with pytest.raises(ValueError, match=r"at most 65535, got 9{20}$"):
            parse_host_port("host:" + "9" * 5000)
        assert parse_host_port("host:00080") == ("host", 80)


class TestCompact:
    def test_known_bytes(self) -> None:
        assert encode_compact(Endpoint("1.2.3.4", 0x1AE1)) == bytes.fromhex("010203041ae1")
        assert decode_compact_v4(bytes.fromhex("b99f9d14b56797f969861090")) == [
            Endpoint("185.159.157.20", 46439),
            Endpoint("151.249.105.134", 4240),
        ]

    @given(st.lists(st.tuples(st.ip_addresses(v=4), ports), max_size=5))
    def test_v4_comes_back_as_it_went(self, pairs: list[tuple[ipaddress.IPv4Address, int]]) -> None:
        endpoints = [Endpoint(str(host), port) for host, port in pairs]
        assert decode_compact_v4(b"".join(map(encode_compact, endpoints))) == endpoints

    @given(st.lists(st.tuples(st.ip_addresses(v=6), ports), max_size=5))
    def test_v6_comes_back_as_it_went(self, pairs: list[tuple[ipaddress.IPv6Address, int]]) -> None:
        endpoints = [Endpoint(str(host), port) for host, port in pairs if not host.ipv4_mapped]
        assert decode_compact_v6(b"".join(map(encode_compact, endpoints))) == endpoints

    def test_v4_in_v6_is_v4(self) -> None:
        raw = ipaddress.ip_address("::ffff:10.0.0.1").packed + b"\x1a\xe1"
        assert decode_compact_v6(raw) == [Endpoint("10.0.0.1", 6881)]

    def test_port_0_and_a_cut_tail_are_left_out(self) -> None:
        assert decode_compact_v4(bytes.fromhex("0102030400000102030400010102")) == [Endpoint("1.2.3.4", 1)]
        assert decode_compact_v6(bytes(18)) == [] and decode_compact_v6(bytes(17)) == []


class TestPlace:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.9", "fe80::1%eth0", "fd00::1", "169.254.1.1"]
    )
    def test_own_network_is_local(self, host: str) -> None:
        assert Endpoint(host, 1).is_local

    @pytest.mark.parametrize("host", ["8.8.8.8", "2a00:1450::1", "a.name"])
    def test_the_rest_is_not(self, host: str) -> None:
        assert not Endpoint(host, 1).is_local

    def test_mapped_addresses_lose_their_mapping(self) -> None:
        assert normalized("::ffff:1.2.3.4") == "1.2.3.4"
        assert normalized("::ffff:0:1") == "::ffff:0:1" and normalized("1.2.3.4") == "1.2.3.4"

    def test_v6_is_known_by_its_colons(self) -> None:
        assert Endpoint("::1", 1).is_v6 and not Endpoint("1.2.3.4", 1).is_v6


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "ff02::1%3", "tracker.example"],
)
def test_nobody_listens_at_an_address_of_nobody_or_of_many(host: str) -> None:
    assert not Endpoint(host, 1).is_dialable


@pytest.mark.parametrize(
    "host", ["1.2.3.4", "127.0.0.1", "10.0.0.1", "223.255.255.254", "::1", "2001:db8::1"]
)
def test_somebody_may_listen_at_an_address_of_one(host: str) -> None:
    assert Endpoint(host, 1).is_dialable
    assert not Endpoint(host, 0).is_dialable and not Endpoint(host, 65_536).is_dialable


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (("10.0.0.1", 1), "10.0.0.1"),
        (("::ffff:10.0.0.1", 1, 0, 0), "10.0.0.1"),
        (("2a00:1450::1", 1, 0, 0), "2a00:1450::1"),
        (("fe80::1", 1, 0, 3), "fe80::1%3"),
        (("fe80::1%eth0", 1, 0, 3), "fe80::1%eth0"),
    ],
)
def test_zone_is_kept_where_an_address_means_nothing_without(address: tuple[object, ...], host: str) -> None:
    assert host_of(address) == host
    assert Endpoint(host, 1).is_dialable
