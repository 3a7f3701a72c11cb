"""Items of BEP 44: its vectors, forgeries, versions, and the bounds of the store."""

from __future__ import annotations

import pytest

from swarm.dht.item_store import ItemStore, PutRefused
from swarm.dht.items import ImmutableItem, MutableItem, signed_bytes
from swarm.wire import krpc

# BEP 44 "Test Vectors"
PUBLIC_KEY = bytes.fromhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")
SIGNATURE = bytes.fromhex(
    "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff"
    "1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01"
)
SALTED = bytes.fromhex(
    "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d"
    "df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08"
)
VALUE = b"12:Hello World!"
ITEM = MutableItem(PUBLIC_KEY, VALUE, 1, SIGNATURE)
SEED = b"\x07" * 32


def test_vectors_of_the_bep_hold() -> None:
    assert signed_bytes(VALUE, 1) == b"3:seqi1e1:v12:Hello World!"
    assert signed_bytes(VALUE, 1, b"foobar") == b"4:salt6:foobar3:seqi1e1:v12:Hello World!"
    assert ITEM.is_authentic
    assert ITEM.target.hex() == "4a533d47ec9c7d95b1ad75f576cffc641853b750"
    salted = MutableItem(PUBLIC_KEY, VALUE, 1, SALTED, b"foobar")
    assert salted.is_authentic
    assert salted.target.hex() == "411eba73b6f087ca51a3795d9c8c938d365e32c1"
    assert ImmutableItem(VALUE).target.hex() == "e5f96f6f38320f0f33959cb4d3d656452117aadb"


@pytest.mark.parametrize(
    "item",
    [
        MutableItem(PUBLIC_KEY, VALUE, 2, SIGNATURE),
        MutableItem(PUBLIC_KEY, b"12:Hello World?", 1, SIGNATURE),
        MutableItem(PUBLIC_KEY, VALUE, 1, SALTED),
        MutableItem(PUBLIC_KEY, VALUE, 1, SIGNATURE, b"foobar"),
        MutableItem(PUBLIC_KEY, VALUE, 1, b"\x31" + SIGNATURE[1:]),
        MutableItem(PUBLIC_KEY, VALUE, 1, bytes(64)),
        MutableItem(PUBLIC_KEY, b"1:v" + VALUE, 1, SIGNATURE),
        MutableItem(bytes(32), VALUE, 1, SIGNATURE),
    ],
)
def test_forgeries_are_seen(item: MutableItem) -> None:
    assert not item.is_authentic
    store = ItemStore(item_s=7200.0, items_max=10)
    with pytest.raises(PutRefused) as caught:
        store.put(item, bytes(20), 0.0)
    assert caught.value.code == krpc.INVALID_SIGNATURE
    assert len(store) == 0


def test_signed_items_are_authentic() -> None:
    item = MutableItem.signed(SEED, b"i1e", 5, b"salt")
    assert item.is_authentic and len(item.signature) == 64
    assert MutableItem.signed(SEED, b"i1e", 6).public_key == item.public_key


def refusal(store: ItemStore, item: MutableItem, cas: int | None = None) -> int | None:
    try:
        store.put(item, bytes(20), 1.0, cas=cas)
    except PutRefused as refused:
        return refused.code
    return None


def test_versions_only_go_up() -> None:
    store = ItemStore(item_s=7200.0, items_max=10)
    old, new = (MutableItem.signed(SEED, b"i%de" % seq, seq) for seq in (1, 2))
    assert refusal(store, new) is None
    assert refusal(store, old) == krpc.SEQ_TOO_LOW
    assert refusal(store, MutableItem.signed(SEED, b"i9e", 2)) == krpc.SEQ_TOO_LOW
    assert refusal(store, new) is None
    assert store.get(new.target, 2.0) == new


def test_cas_must_match_what_is_stored() -> None:
    store = ItemStore(item_s=7200.0, items_max=10)
    first, second = (MutableItem.signed(SEED, b"i%de" % seq, seq) for seq in (1, 2))
    # "If there is no current value, the cas field SHOULD be ignored."
    assert refusal(store, first, cas=7) is None
    assert refusal(store, second, cas=0) == krpc.CAS_MISMATCH
    assert refusal(store, second, cas=1) is None


def test_items_expire_unless_they_are_put_again() -> None:
    store = ItemStore(item_s=100.0, items_max=10)
    one, two = ImmutableItem(b"i1e"), ImmutableItem(b"i2e")
    store.put(one, bytes(20), 0.0)
    store.put(two, bytes(20), 0.0)
    store.put(two, bytes(20), 80.0)
    assert store.get(one.target, 101.0) is None
    store.sweep(101.0)
    assert len(store) == 1 and store.get(two.target, 101.0) == two


def test_store_is_bounded_and_keeps_the_nearest() -> None:
    store = ItemStore(item_s=100.0, items_max=20)
    items = [ImmutableItem(b"i%de" % number) for number in range(200)]
    for item in items:
        store.put(item, bytes(20), 0.0)
    assert len(store) == 20
    nearest = sorted(items, key=lambda item: item.target)[:20]
    assert all(store.get(item.target, 1.0) == item for item in nearest)
