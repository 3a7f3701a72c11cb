"""20 nodes of three makes in one DHT: what one stores, the others find."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest

from swarm.base import bencode
from swarm.dht.items import ImmutableItem, Item, MutableItem, mutable_target
from swarm.dht.signatures import public_key_of
from tests.interop.dht_network import Network, missing, wait_until
from tools.bench.clients import NO_NODE

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

MAKES = ["swarm", "libtorrent", "npm"]
#: On a loaded machine one of them may be too slow the first time; to say it again changes nothing.
EIGHT = "eight nodes that take it"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    pytest.importorskip("libtorrent")
    lacking = missing()
    if lacking is not None and os.environ.get("CI") == "true" and lacking != NO_NODE:
        pytest.fail(lacking)
    if lacking is not None:
        pytest.skip(lacking)
    with Network(tmp_path_factory.mktemp("dht")) as running:
        yield running


def peers_of(network: Network, make: str, info_hash: str) -> set[str]:
    """What a node of that make finds."""
    match make:
        case "swarm":
            return network.swarm.peers(info_hash)
        case "libtorrent":
            return network.libtorrent[-1].peers(info_hash)
        case _:
            return set(network.npm.ask(5, "lookup", infohash=info_hash)["peers"])


def announce(network: Network, make: str, info_hash: str, port: int) -> str:
    """Have a node of that make announce a peer; the peer."""
    match make:
        case "swarm":
            wait_until(lambda: network.swarm.announce(info_hash, port) == 8, EIGHT)
            return f"127.0.0.50:{port}"
        case "libtorrent":
            network.libtorrent[0].announce(info_hash, port)
            return f"127.0.0.30:{port}"
        case _:
            network.npm.ask(0, "announce", infohash=info_hash, port=port)
            return f"127.0.0.20:{port}"


@pytest.mark.parametrize("make", MAKES)
def test_what_one_make_announces_all_find(network: Network, make: str) -> None:
    info_hash = hashlib.sha1(make.encode()).hexdigest()
    peer = announce(network, make, info_hash, 7001)
    for other in MAKES:
        # libtorrent does not tell when it has announced.
        wait_until(lambda other=other: peers_of(network, other, info_hash) == {peer}, f"peer for {other}")  # type: ignore[misc]


def put(network: Network, make: str, value: str) -> str:
    """Have a node of that make store an immutable item; its target."""
    match make:
        case "swarm":
            immutable = ImmutableItem(bencode.encode(value.encode()))
            wait_until(lambda: network.swarm.put(immutable) == 8, EIGHT)
            return immutable.target.hex()
        case "libtorrent":
            return network.libtorrent[1].put(value)
        case _:
            return str(network.npm.ask(1, "put", value=value)["target"])


def text_of(item: Item | None) -> str | None:
    """A value that is a string of text."""
    if item is None:
        return None
    value = bencode.decode(item.value)
    assert isinstance(value, bytes)
    return value.decode()


def get(network: Network, make: str, target: str) -> str | None:
    """What a node of that make finds there."""
    match make:
        case "swarm":
            return text_of(network.swarm.get(bytes.fromhex(target)))
        case "libtorrent":
            return network.libtorrent[-2].get(target)
        case _:
            value: str | None = network.npm.ask(4, "get", target=target)["value"]
            return value


@pytest.mark.parametrize("make", MAKES)
def test_an_immutable_item_of_one_make_all_can_read(network: Network, make: str) -> None:
    value = f"stored by {make}"
    target = put(network, make, value)
    assert target == hashlib.sha1(b"%d:%b" % (len(value), value.encode())).hexdigest()
    assert {other: get(network, other, target) for other in MAKES} == dict.fromkeys(MAKES, value)


def put_version(network: Network, make: str, seed: bytes, value: str, seq: int) -> None:
    """Have a node of that make store a version of the mutable item with salt "s" of `seed`."""
    match make:
        case "swarm":
            item = MutableItem.signed(seed, bencode.encode(value.encode()), seq, b"s")
            wait_until(lambda: network.swarm.put(item) == 8, EIGHT)
        case "libtorrent":
            network.libtorrent[2].put_mutable(seed, value, "s")
        case _:
            network.npm.ask(2, "put", value=value, seed=seed.hex(), salt="s", seq=seq)


def version(network: Network, make: str, public_key: bytes) -> tuple[str | None, int | None]:
    """The value and version that a node of that make finds."""
    match make:
        case "swarm":
            item = network.swarm.get(mutable_target(public_key, b"s"), b"s")
            return text_of(item), item.seq if isinstance(item, MutableItem) else None
        case "libtorrent":
            return network.libtorrent[-3].get_mutable(public_key, "s")
        case _:
            target = mutable_target(public_key, b"s").hex()
            answer = network.npm.ask(3, "get", target=target, salt="s")
            return answer["value"], answer["seq"]


def test_a_mutable_item_is_read_and_replaced_by_all_in_turn(network: Network) -> None:
    seed = hashlib.sha256(b"the owner").digest()
    public_key = public_key_of(seed)
    for seq, make in enumerate(["swarm", "libtorrent", "npm", "swarm"], 1):
        value = f"version {seq} by {make}"
        put_version(network, make, seed, value, seq)
        found = {other: version(network, other, public_key) for other in MAKES}
        assert found == dict.fromkeys(MAKES, (value, seq))


def test_samples_of_the_network_hold_what_was_announced(network: Network) -> None:
    info_hash = hashlib.sha1(b"sampled").hexdigest()
    announce(network, "swarm", info_hash, 7002)
    assert info_hash in network.swarm.samples(info_hash)
