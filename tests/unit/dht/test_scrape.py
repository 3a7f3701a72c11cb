"""Filters that count swarms (BEP 33)."""

from __future__ import annotations

import ipaddress

import pytest

from swarm.dht.scrape import estimate, filter_of, is_in, union

#: BEP 33 "Test Vectors"
FILTER = bytes.fromhex(
    "f6c3f5eaa07ffd91bde89f777f26fb2bff37bdb8fb2bbaa2fd3ddde7bacfff75ee7ccbaefe5eedb1fbfaff67f6abff5e43ddbca3fd9b9ffd"
    "f4ffd3e9dff12d1bdf59db53dbe9fa5b7ff3b8fdfcde1afb8bedd7be2f3ee71ebbbfe93bcdeefe148246c2bc5dbff7e7efdcf24fd8dc7adf"
    "fd8fffdfddfff7a4bbeedf5cb95ce81fc7fcff1ff4ffffdfe5f7fdcbb7fd79b3fa1fc77bfe07fff905b7b7ffc7fefeffe0b8370bb0cd3f5b"
    "7f2bd93feb4386cfdd6f7fd5bfaf2e9ebffffeecd67adbf7c67f17efd5d75eba6ffeba7fff47a91eb1bfbb53e8abfb5762abe8ff237279bf"
    "efbfeef5ffc5febfdfe5adffadfee1fb737ffffbfd9f6aeffeee76b6fd8f72ef"
)  # fmt: skip
V4 = [ipaddress.ip_address(f"192.0.2.{n}").packed for n in range(256)]
V6 = [ipaddress.ip_address(f"2001:db8::{n:x}").packed for n in range(1000)]


def test_filter_of_the_bep_comes_out() -> None:
    assert filter_of(V4 + V6) == FILTER
    assert estimate(FILTER) == pytest.approx(1224.9308, abs=1e-4)


def test_one_address_sets_the_two_bits_of_the_bep() -> None:
    found = filter_of([bytes((192, 168, 1, 1))])
    assert [at for at in range(256) if found[at]] and sum(octet.bit_count() for octet in found) == 2
    assert estimate(found) == pytest.approx(1.0002, abs=1e-4)


def test_union_holds_what_either_holds() -> None:
    assert union(filter_of(V4), filter_of(V6)) == FILTER
    assert union(b"", FILTER) == union(FILTER, b"") == FILTER
    assert union(b"", b"") == b""


def test_membership_has_no_false_negatives() -> None:
    found = filter_of(V4[:100])
    assert all(is_in(address, found) for address in V4[:100])
    assert sum(is_in(address, found) for address in V6) < 50
    assert not is_in(V4[0], b"")


def test_empty_and_full_filters_have_an_estimate() -> None:
    # The formula says 0.5 of an empty one; nobody is nobody.
    assert estimate(b"") == estimate(bytes(256)) == 0.0
    assert estimate(b"\xff" * 256) > 7000
