"""Ids that fit addresses, and votes on our own (BEP 42)."""

from __future__ import annotations

import ipaddress
import random

import pytest

from swarm.base.ids import NodeId
from swarm.dht.identity import Identity, crc32c, fits, id_for, is_local, is_usable


def packed(host: str) -> bytes:
    return ipaddress.ip_address(host).packed


def test_crc32c_is_castagnolis() -> None:
    # RFC 3720 B.4
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    ("host", "node_id", "is_valid"),
    [
        # BEP 42's own rows
        ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401", True),
        ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256", True),
        ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616", True),
        ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41", True),
        ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a", True),
        # first and 21st bit flipped, another salt: wrong; 22nd bit and the salt's upper bits are not checked
        ("124.31.75.21", "dfbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401", False),
        ("124.31.75.21", "5fbfb7f10c5d6a4ec8a88e4c6ab4c28b95eee401", False),
        ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee400", False),
        ("124.31.75.21", "5fbfbbf10c5d6a4ec8a88e4c6ab4c28b95eee401", True),
        ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee409", True),
        ("8.8.8.8", "00" * 20, False),
        # local networks are exempt
        ("10.0.0.1", "00" * 20, True),
        ("172.16.3.4", "00" * 20, True),
        ("192.168.1.1", "00" * 20, True),
        ("169.254.1.1", "00" * 20, True),
        ("127.0.0.1", "00" * 20, True),
        ("::1", "00" * 20, True),
        ("fe80::1", "00" * 20, True),
        ("fd00::1", "00" * 20, True),
        # by the formula, for want of published rows
        ("2001:db8:85a3::8a2e:370:7334", "dc84080000000000000000000000000000000001", True),
        ("2a00:1450:4001:81b::200e", "b65e480000000000000000000000000000000005", True),
        ("2a00:1450:4001:81b::200e", "b65e480000000000000000000000000000000004", False),
    ],
)
def test_ids_fit_their_address_or_not(host: str, node_id: str, is_valid: bool) -> None:
    assert fits(bytes.fromhex(node_id), packed(host)) is is_valid


@pytest.mark.parametrize("host", ["1.2.3.4", "203.0.113.77", "2a00:1450:4001:81b::200e"])
def test_made_ids_fit_and_differ(host: str) -> None:
    rng = random.Random(1)
    made = {id_for(packed(host), rng) for _ in range(50)}
    assert len(made) == 50
    assert all(fits(node_id, packed(host)) for node_id in made)
    assert {node_id[19] & 7 for node_id in made} == set(range(8))


def test_nobody_lives_at_multicast_or_nowhere() -> None:
    nowhere = ("0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1")
    assert not any(is_usable(packed(host)) for host in nowhere)
    assert all(is_usable(packed(host)) for host in ("1.2.3.4", "2001:db8::1"))
    assert not is_local(packed("172.32.0.1"))


def identity() -> Identity:
    return Identity(NodeId(bytes(20)), random.Random(1), votes_max=8, votes_needed=3)


def test_address_is_believed_when_enough_agree() -> None:
    own = identity()
    assert not own.vote(b"a", packed("8.8.8.8"))
    assert not own.vote(b"b", packed("8.8.8.8"))
    assert own.external_host is None
    assert own.vote(b"c", packed("8.8.8.8"))
    assert own.external_host == "8.8.8.8"
    assert fits(own.own_id, packed("8.8.8.8"))
    assert not own.vote(b"d", packed("8.8.8.8"))


def test_voter_has_one_vote_however_often_it_speaks() -> None:
    own = identity()
    assert not any(own.vote(b"a", packed("8.8.8.8")) for _ in range(20))


def test_minority_does_not_decide() -> None:
    own = identity()
    for voter in b"abcd":
        own.vote(bytes((voter,)), packed("9.9.9.9"))
    assert own.external_host == "9.9.9.9"
    assert not any(own.vote(bytes((voter,)), packed("8.8.8.8")) for voter in b"efg")
    assert own.external_host == "9.9.9.9"


def test_old_votes_make_room_when_we_have_moved() -> None:
    own = identity()
    for voter in range(8):
        own.vote(bytes((voter,)), packed("9.9.9.9"))
    changes = [own.vote(bytes((voter,)), packed("8.8.8.8")) for voter in range(100, 108)]
    assert changes.count(True) == 1
    assert own.external_host == "8.8.8.8"


def test_id_that_fits_already_is_kept() -> None:
    own_id = id_for(packed("8.8.8.8"), random.Random(5))
    own = Identity(own_id, random.Random(1), votes_max=8, votes_needed=1)
    assert own.vote(b"a", packed("8.8.8.8"))
    assert own.own_id == own_id


def test_useless_addresses_are_no_votes() -> None:
    own = Identity(NodeId(bytes(20)), random.Random(1), votes_max=8, votes_needed=1)
    assert not own.vote(b"a", packed("0.0.0.0"))
    assert not own.vote(b"a", packed("239.1.1.1"))
