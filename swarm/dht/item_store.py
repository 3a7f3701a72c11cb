"""Items that others asked us to keep (BEP 44)."""

from __future__ import annotations

from swarm.base.dataclass import dataclass
from swarm.dht.items import ImmutableItem, Item, MutableItem
from swarm.wire import krpc


@dataclass(slots=True)
class _Stored:
    item: Item
    put_at: float


class PutRefused(Exception):
    """An item is not stored; `code` is the error of BEP 44 that the asker gets."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class ItemStore:
    """A bounded number of items. Where there are too many, the one whose target is farthest from us goes:
    other nodes are nearer to it.

    Args:
        item_s: an item is forgotten so many seconds after it was last put.
    """

    __slots__ = ("_item_s", "_items", "_items_max")

    def __init__(self, *, item_s: float, items_max: int) -> None:
        self._item_s = item_s
        self._items_max = items_max
        self._items: dict[bytes, _Stored] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, target: bytes, now: float) -> Item | None:
        """The item stored under `target` (20 bytes), None if there is none."""
        stored = self._items.get(target)
        return None if stored is None or now - stored.put_at > self._item_s else stored.item

    def put(self, item: Item, own_id: bytes, now: float, *, cas: int | None = None) -> None:
        """Store `item`, or, if it is there already, count its life from now on.

        Args:
            cas: the version that it may replace, None for any (BEP 44 "compare and swap").

        Raises:
            PutRefused: its version is older than ours, or the same with another value; the signature is
                wrong; ours is not version `cas`.
        """
        target = item.target
        if isinstance(item, MutableItem):
            self._check(item, self.get(target, now), cas)
        elif not isinstance(self.get(target, now), ImmutableItem | None):
            raise PutRefused(krpc.GENERIC_ERROR, "there is a mutable item")
        self._items[target] = _Stored(item, now)
        if len(self._items) > self._items_max:
            self._make_room(own_id, now)

    def sweep(self, now: float) -> None:
        """Forget the items that nobody has put again in time."""
        for target in [name for name, stored in self._items.items() if now - stored.put_at > self._item_s]:
            del self._items[target]

    def _check(self, item: MutableItem, stored: Item | None, cas: int | None) -> None:
        if isinstance(stored, MutableItem):
            # BEP 44: "An implementation MUST emit 301 errors if the cas mismatches."
            if cas is not None and cas != stored.seq:
                raise PutRefused(krpc.CAS_MISMATCH, "the CAS hash mismatched, re-read value and try again")
            if item.seq < stored.seq or (item.seq == stored.seq and item.value != stored.value):
                raise PutRefused(krpc.SEQ_TOO_LOW, "sequence number less than current")
        if not item.is_authentic:
            raise PutRefused(krpc.INVALID_SIGNATURE, "invalid signature")

    def _make_room(self, own_id: bytes, now: float) -> None:
        self.sweep(now)
        if len(self._items) > self._items_max:
            own = int.from_bytes(own_id, "big")
            del self._items[max(self._items, key=lambda target: int.from_bytes(target, "big") ^ own)]
