"""The routing table: the nodes that we know, many near to us and few far away (BEP 5).

Bucket *n* holds nodes whose ids share exactly *n* leading bits with ours; the last bucket, in which our own
id lies, holds all that share more, and is the only one that is ever split. The first buckets are larger than
K (`DhtSettings.bucket_sizes`). A node gets into the table only by answering a question of ours, so that no
forged datagram can put one there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from swarm.base.endpoint import Endpoint
from swarm.dht.identity import fits, is_local, owner_of, packed_address
from swarm.dht.settings import DhtSettings
from swarm.wire.krpc import Contact

_ID_BITS = 160


class Node:
    """A node that has answered us.

    Attributes:
        number: its id as a number; the distance of two nodes is the XOR of theirs.
        compact: its entry in `nodes` or `nodes6` (26 or 38 bytes).
        packed: its address (4 or 16 bytes).
        heard_at: when it last answered or asked us something.
        failure_count: questions in a row that it has left unanswered.
        group: the network of which one owner easily has many addresses, its /24 or /64; empty for local ones.
        owner: whose it is; each owner has one node at most (`identity.owner_of`).
        is_fit: its id fits its address (BEP 42).
    """

    __slots__ = (
        "compact",
        "endpoint",
        "failure_count",
        "group",
        "heard_at",
        "is_fit",
        "number",
        "owner",
        "packed",
    )

    def __init__(self, node_id: bytes, endpoint: Endpoint, packed: bytes, now: float) -> None:
        self.number = int.from_bytes(node_id, "big")
        self.compact = node_id + packed + endpoint.port.to_bytes(2, "big")
        self.endpoint = endpoint
        self.packed = packed
        self.heard_at = now
        self.failure_count = 0
        self.group = b"" if is_local(packed) else packed[:3] if len(packed) == 4 else packed[:8]
        self.owner = owner_of(packed, endpoint.port)
        self.is_fit = fits(node_id, packed)

    @property
    def node_id(self) -> bytes:
        return self.compact[:20]

    @property
    def contact(self) -> Contact:
        return Contact(self.compact[:20], self.endpoint)


class _Bucket:
    """Nodes in the table, and nodes that wait for one of their places, the latest last."""

    __slots__ = ("nodes", "replacements")

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.replacements: list[Node] = []


class RoutingTable:
    """Nodes by their distance from `own_id` (20 bytes)."""

    __slots__ = (
        "_asked_at",
        "_buckets",
        "_by_endpoint",
        "_number",
        "_numbers",
        "_owners",
        "_range_count",
        "_settings",
        "own_id",
    )

    def __init__(self, own_id: bytes, settings: DhtSettings) -> None:
        self.own_id = own_id
        self._number = int.from_bytes(own_id, "big")
        self._settings = settings
        self._buckets = [_Bucket()]
        #: Range -> when a lookup last went into it; see `refresh_target`.
        self._asked_at: dict[int, float] = {}
        self._range_count = 1
        self._by_endpoint: dict[Endpoint, Node] = {}
        self._numbers: set[int] = set()
        #: Owner -> its node.
        self._owners: dict[bytes, Node] = {}

    def __len__(self) -> int:
        return len(self._by_endpoint)

    def __iter__(self) -> Iterator[Node]:
        for bucket in self._buckets:
            yield from bucket.nodes

    def get(self, endpoint: Endpoint) -> Node | None:
        """The node at `endpoint`, None where none is in the table."""
        return self._by_endpoint.get(endpoint)

    def is_good(self, node: Node, now: float) -> bool:
        """BEP 5: it has answered us at some time, and answered or asked us within the last 15 minutes."""
        return node.failure_count == 0 and now - node.heard_at < self._settings.good_s

    def answered(self, node_id: bytes, endpoint: Endpoint, now: float) -> None:
        """A node has answered a question of ours: it is good, and is let in if there is a place for it."""
        node = self._by_endpoint.get(endpoint)
        if node is not None:
            if node.node_id == node_id:
                node.heard_at = now
                node.failure_count = 0
                return
            # It was started anew with another id, or it lies; in both cases the old id is gone.
            self._remove(node)
        if node_id != self.own_id:
            self._insert(Node(node_id, endpoint, packed_address(endpoint.host), now))

    def heard(self, node_id: bytes, endpoint: Endpoint, now: float) -> bool:
        """A node has asked us something; returns whether it is unknown and there may be a place for it."""
        node = self._by_endpoint.get(endpoint)
        if node is not None:
            if node.compact.startswith(node_id):
                node.heard_at = now
            return False
        depth = self._depth_of(int.from_bytes(node_id, "big"))
        bucket = self._buckets[depth]
        is_last = depth == len(self._buckets) - 1
        return node_id != self.own_id and (
            is_last or len(bucket.nodes) < self._size(depth) or not bucket.replacements
        )

    def failed(self, endpoint: Endpoint) -> None:
        """A node has left a question unanswered; one that is bad by now is replaced."""
        node = self._by_endpoint.get(endpoint)
        if node is None:
            return
        node.failure_count += 1
        bucket = self._buckets[self._depth_of(node.number)]
        # BEP 5 keeps a bad node until another one can take its place; we give it a few more tries.
        if node.failure_count >= self._settings.failures_max and (
            bucket.replacements or node.failure_count >= 2 * self._settings.failures_max
        ):
            self._remove(node)
            while bucket.replacements and not self._admit(bucket, bucket.replacements.pop()):
                pass

    def closest(self, target: bytes, count: int) -> list[Node]:
        """At most `count` nodes without failures, those nearest to `target` (20 bytes) first."""
        goal = int.from_bytes(target, "big")
        buckets = self._buckets
        depth = _ID_BITS - (goal ^ self._number).bit_length()
        if depth >= len(buckets):
            depth = len(buckets) - 1
        # Nearest to the target is its own bucket, then all deeper ones alike, then those before it by turns.
        found = [node for node in buckets[depth].nodes if not node.failure_count]
        if len(found) > 1:
            found.sort(key=lambda node: node.number ^ goal)
        if len(found) >= count:
            return found[:count]
        deeper = [node for bucket in buckets[depth + 1 :] for node in bucket.nodes if not node.failure_count]
        deeper.sort(key=lambda node: node.number ^ goal)
        found += deeper
        while len(found) < count and depth:
            depth -= 1
            wider = [node for node in buckets[depth].nodes if not node.failure_count]
            wider.sort(key=lambda node: node.number ^ goal)
            found += wider
        return found[:count]

    def questionable(self, now: float, count: int) -> list[Node]:
        """At most `count` nodes that are not good, silent longest first: are they still there?"""
        doubtful = [node for node in self if not self.is_good(node, now)]
        doubtful.sort(key=lambda node: node.heard_at)
        return doubtful[:count]

    def refresh_target(self, now: float, random_bits: int) -> bytes | None:
        """A random id in a range of ids into which no lookup has gone for long; None if there is none.

        A range is all ids that share exactly so many leading bits with ours; the last range also holds those
        that share more, our neighbours. BEP 5 refreshes buckets, which are its ranges. Ours are larger, and
        yet a node must know its way in every range. The range returned counts as asked from now on, and so
        does, at first, one of which we know K nodes already.

        Args:
            random_bits: 160 random bits.
        """
        counts = [0] * (_ID_BITS + 1)
        for node in self:
            counts[_ID_BITS - (node.number ^ self._number).bit_length()] += not node.failure_count
        self._range_count = self._count_ranges(counts)
        for depth in range(self._range_count - 1, -1, -1):
            asked_at = self._asked_at.get(depth)
            if asked_at is None and counts[depth] >= self._settings.closest_count:
                self._asked_at[depth] = now
            elif asked_at is None or now - asked_at >= self._settings.good_s:
                self._asked_at[depth] = now
                return self._id_in(depth, random_bits)
        return None

    def asked_for(self, target: bytes, now: float) -> None:
        """A lookup for `target` begins: the range in which it lies needs no refresh."""
        depth = _ID_BITS - (int.from_bytes(target, "big") ^ self._number).bit_length()
        # A lookup that begins with an empty table teaches us nothing of the range.
        if len(self) and depth < self._range_count:
            self._asked_at[depth] = now

    def renamed(self, own_id: bytes) -> None:
        """Our id is another one: sort all nodes anew around it."""
        nodes = sorted(self, key=lambda node: node.heard_at, reverse=True)
        self.own_id = own_id
        self._number = int.from_bytes(own_id, "big")
        self._buckets = [_Bucket()]
        self._asked_at.clear()
        self._range_count = 1
        self._by_endpoint.clear()
        self._numbers.clear()
        self._owners.clear()
        for node in nodes:
            self._insert(node)

    def restore(self, contacts: Sequence[Contact], now: float) -> None:
        """Take up the nodes of a saved table: questionable, but good enough to begin with."""
        for contact in contacts:
            known = self._by_endpoint.get(contact.endpoint)
            if known is not None:
                # It may have failed us while we had no network.
                known.failure_count = 0
            elif contact.node_id != self.own_id:
                node = Node(contact.node_id, contact.endpoint, packed_address(contact.endpoint.host), now)
                node.heard_at = now - self._settings.good_s
                self._insert(node)

    def counts(self, now: float) -> tuple[int, int]:
        """How many nodes are good, and how many are not."""
        good = sum(1 for node in self if self.is_good(node, now))
        return good, len(self) - good

    def _id_in(self, depth: int, random_bits: int) -> bytes:
        """A random id in range `depth`."""
        low = _ID_BITS - depth
        number = self._number >> low << low | random_bits & (1 << low) - 1
        if depth < self._range_count - 1:
            flipped = 1 << (low - 1)
            number = number & ~flipped | ~self._number & flipped
        return number.to_bytes(20, "big")

    def _count_ranges(self, counts: Sequence[int]) -> int:
        """How many ranges there are: the last one begins where our nearest K nodes are."""
        known = 0
        for depth in range(_ID_BITS, 0, -1):
            known += counts[depth]
            if known >= self._settings.closest_count:
                return depth + 1
        return 1

    def _depth_of(self, number: int) -> int:
        return min(_ID_BITS - (number ^ self._number).bit_length(), len(self._buckets) - 1)

    def _size(self, depth: int) -> int:
        sizes = self._settings.bucket_sizes
        return sizes[depth] if depth < len(sizes) else self._settings.closest_count

    def _insert(self, node: Node) -> None:
        rival = self._owners.get(node.owner)
        if rival is not None:
            # One node for each owner: the one that is there stays as long as it answers.
            if rival.failure_count == 0:
                return
            self._remove(rival)
        while True:
            depth = self._depth_of(node.number)
            bucket = self._buckets[depth]
            if node.number in self._numbers:
                # Its id is taken: the node that had it first keeps it until it is removed.
                return
            if len(bucket.nodes) < self._size(depth):
                if not self._admit(bucket, node):
                    self._keep_as_replacement(bucket, node)
                return
            if depth < len(self._buckets) - 1 or not self._split():
                break
        self._replace_or_keep(bucket, node)

    def _replace_or_keep(self, bucket: _Bucket, node: Node) -> None:
        """The bucket is full: `node` replaces one that has failed, or one whose id does not fit (BEP 42)."""
        weak = [other for other in bucket.nodes if other.failure_count or not other.is_fit]
        if weak:
            weakest = max(weak, key=lambda other: (other.failure_count, not other.is_fit))
            if weakest.failure_count or node.is_fit:
                self._remove(weakest)
                if self._admit(bucket, node):
                    return
        self._keep_as_replacement(bucket, node)

    def _keep_as_replacement(self, bucket: _Bucket, node: Node) -> None:
        kept = [other for other in bucket.replacements if other.endpoint != node.endpoint]
        kept.append(node)
        bucket.replacements = kept[-self._settings.closest_count :]

    def _admit(self, bucket: _Bucket, node: Node) -> bool:
        """Add `node` to a bucket with room; False where its owner, or its group, has its places already."""
        if node.owner in self._owners:
            return False
        group = node.group
        if group and sum([other.group == group for other in bucket.nodes]) >= self._settings.neighbours_max:
            return False
        bucket.nodes.append(node)
        self._by_endpoint[node.endpoint] = node
        self._numbers.add(node.number)
        self._owners[node.owner] = node
        return True

    def _remove(self, node: Node) -> None:
        self._buckets[self._depth_of(node.number)].nodes.remove(node)
        del self._by_endpoint[node.endpoint]
        self._numbers.discard(node.number)
        del self._owners[node.owner]

    def _split(self) -> bool:
        """Split the last bucket in two; False where the id has no more bits."""
        depth = len(self._buckets) - 1
        if depth >= _ID_BITS - 1:
            return False
        bucket = self._buckets[depth]
        nearer = _Bucket()
        self._buckets.append(nearer)
        for name in ("nodes", "replacements"):
            nodes = getattr(bucket, name)
            setattr(bucket, name, [node for node in nodes if self._depth_of(node.number) == depth])
            setattr(nearer, name, [node for node in nodes if self._depth_of(node.number) > depth])
        # The farther half may now hold more nodes than its size allows.
        for node in bucket.nodes[self._size(depth) :]:
            self._remove(node)
        return True
