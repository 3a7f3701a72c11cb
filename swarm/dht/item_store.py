"""Items that others asked us to keep (BEP 44)."""

from __future__ import annotations

from swarm.base.dataclass import dataclass
from swarm.dht.items import ImmutableItem, Item, MutableItem
from swarm.wire import krpc


@dataclass(slots=True)
class _Kept:
    item: Item
    put_at: float


class PutRefused(Exception):
    """An item that is not kept; `code` is the error of BEP 44."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class ItemStore:
    """A bounded number of items; the furthest from us make room: they are not ours to keep."""

    __slots__ = ("_item_s", "_items", "_items_max")

    def __init__(self, *, item_s: float, items_max: int) -> None:
        self._item_s = item_s
        self._items_max = items_max
        self._items: dict[bytes, _Kept] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, target: bytes, now: float) -> Item | None:
        kept = self._items.get(target)
        return None if kept is None or now - kept.put_at > self._item_s else kept.item

    def put(self, item: Item, own_id: bytes, now: float, *, cas: int | None = None) -> None:
        """Keep `item`, or let it live on.

        Raises:
            PutRefused: an older or other version, a wrong signature, no match with `cas`.
        """
        target = item.target
        if isinstance(item, MutableItem):
            self._check(item, self.get(target, now), cas)
        elif not isinstance(self.get(target, now), ImmutableItem | None):
            raise PutRefused(krpc.GENERIC_ERROR, "there is a mutable item")
        self._items[target] = _Kept(item, now)
        if len(self._items) > self._items_max:
            self._make_room(own_id, now)

    def sweep(self, now: float) -> None:
        """Forget what nobody put again."""
        for target in [name for name, kept in self._items.items() if now - kept.put_at > self._item_s]:
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
