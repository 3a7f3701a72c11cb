"""A scenario as a value: who takes part, what they have, when they come, what goes wrong."""

from __future__ import annotations

from dataclasses import field, replace

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.dataclass import dataclass
from swarm.base.errors import SettingsError
from swarm.engine.settings import EngineSettings
from swarm.sim.behaviors import BEHAVIORS
from swarm.sim.disk import DiskSpeed
from swarm.sim.network import Line
from swarm.tracker.announce import TrackerSettings

#: More would need more memory than a desktop has.
PEERS_MAX = 20_000
PIECES_MAX = 1_000_000

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Group:
    """Clients of one kind.

    Args:
        role: how the report calls them.
        has: which part of the pieces they bring, as two shares of the torrent; (0, 1) is a seed.
        arrives_s: they come one by one within this span, at random; (0, 0) is all at once.
        behavior: a key of `behaviors.BEHAVIORS`.
        leaves_when_copied: gone for good as soon as the others hold every piece together.
        leaves_when_done: gone for good as soon as it has everything itself.
        churn_share: so many of them go away once, in the middle, and come back.
        has_fast: they know BEP 6.
    """

    role: str
    count: int
    line: Line
    has: tuple[float, float] = (0.0, 0.0)
    arrives_s: tuple[float, float] = (0.0, 0.0)
    behavior: str = "honest"
    disk: DiskSpeed = field(default_factory=DiskSpeed)
    leaves_when_copied: bool = False
    leaves_when_done: bool = False
    churn_share: float = 0.0
    has_fast: bool = True

    @property
    def is_seed(self) -> bool:
        return self.has == (0.0, 1.0) and BEHAVIORS[self.behavior].is_honest

    @property
    def is_leech(self) -> bool:
        """Are they expected to complete?"""
        return not self.is_seed and BEHAVIORS[self.behavior].is_honest


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong until `until_s`: lines that fail, disks that fail."""

    until_s: float
    link_losses_per_s: float = 2.0
    disk_fault_share: float = 0.02


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world to be run.

    Args:
        patience: it has failed when it needs longer than this many bounds (and two minutes) after the
            last disturbance.
        quantum_blocks: blocks that travel as one; larger ones make a large world cheaper.
    """

    name: str
    groups: tuple[Group, ...]
    total_bytes: int = 64 * MIB
    piece_length: int = 256 << 10
    #: Without peer exchange, unless a scenario is about it: the tracker here tells everybody of all.
    settings: EngineSettings = field(default_factory=lambda: EngineSettings(is_exchanging=False))
    quantum_blocks: int = 1
    patience: float = 4.0
    faults: Faults | None = None
    #: How the tracker behaves.
    tracker: TrackerSettings = field(default_factory=TrackerSettings)

    def __post_init__(self) -> None:
        if not 1 <= self.client_count <= PEERS_MAX:
            raise SettingsError(f"a scenario has 1 to {PEERS_MAX} peers, not {self.client_count}")
        if self.total_bytes < 1 or self.piece_length < BLOCK_BYTES or self.piece_length % BLOCK_BYTES:
            raise SettingsError(
                f"{self.total_bytes} bytes in pieces of {self.piece_length}: pieces are made of {BLOCK_BYTES}"
            )
        if self.geometry.piece_count > PIECES_MAX:
            raise SettingsError(f"{self.geometry.piece_count} pieces, at most {PIECES_MAX} are simulated")
        for group in self.groups:
            line = group.line
            if line.up_bytes_per_s < BLOCK_BYTES or line.down_bytes_per_s < BLOCK_BYTES:
                raise SettingsError(
                    f"the lines of {group.role!r} need a block of {BLOCK_BYTES} bytes a second"
                )

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.total_bytes, self.piece_length)

    @property
    def client_count(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def peers(self) -> int:
        """What `--peers` was, or would be."""
        return sum(group.count for group in self.groups if group.is_leech)

    def with_faults(self, faults: Faults) -> Scenario:
        """The same, but at first things go wrong."""
        return replace(self, faults=faults)

    def brought_pieces(self, group: Group) -> range:
        """The pieces that each of `group` has on its disk when it comes."""
        count = self.geometry.piece_count
        first, last = group.has
        return range(round(first * count), round(last * count))

    @property
    def bound_s(self) -> float:
        """No protocol can be faster than this, to the last finisher.

        Three things take their time: what only seeds have must leave them once; the slowest line down (or
        disk) must take what its owner lacks; all that is lacking must leave somebody's line up. For one
        seeder and N equal leechers that is max(F/u_s, F/d, N F/(u_s + N u_l)); see Kumar and Ross,
        "Peer-assisted file distribution: the minimum distribution time", 2006. Nobody downloads before
        he comes, and a disk that writes does not read.
        """
        geometry = self.geometry
        leeches = [group for group in self.groups if group.is_leech and group.count]
        seeds = [group for group in self.groups if group.is_seed and group.count]
        brought = {piece for group in leeches for piece in self.brought_pieces(group)}
        only_seeds_bytes = sum(
            geometry.piece_bytes(piece) for piece in range(geometry.piece_count) if piece not in brought
        )
        seed_up = sum(group.count * group.line.up_bytes_per_s for group in seeds)
        #: Who gives, and what he has to write meanwhile.
        giving = [(group, 0) for group in seeds]
        missing_bytes = 0
        alone_s = 0.0
        for group in leeches:
            lacks = self.total_bytes - sum(map(geometry.piece_bytes, self.brought_pieces(group)))
            missing_bytes += group.count * lacks
            if group.behavior == "honest":
                giving.append((group, lacks))
            # `arrives_s` is the span of arrivals: the last comes at its end.
            pace = min(group.line.down_bytes_per_s, group.disk.write_bytes_per_s)
            alone_s = max(alone_s, group.arrives_s[1] + lacks / pace)
        seed_s = only_seeds_bytes / seed_up if only_seeds_bytes else 0.0
        return max(seed_s, alone_s, _given_after_s(giving, missing_bytes))


def _given_after_s(giving: list[tuple[Group, int]], missing_bytes: int) -> float:
    """When those in `giving` can have sent so much together, if none of their lines ever stands still."""

    def sent_bytes(span_s: float) -> float:
        return sum(group.count * _up_bytes(group, lacks, span_s) for group, lacks in giving)

    # It grows with the span: double that until it is enough, then halve what it must lie in.
    low_s, high_s = 0.0, 1.0
    while sent_bytes(high_s) < missing_bytes:
        low_s, high_s = high_s, 2 * high_s
    for _ in range(60):
        middle_s = (low_s + high_s) / 2
        if sent_bytes(middle_s) < missing_bytes:
            low_s = middle_s
        else:
            high_s = middle_s
    return high_s


def _up_bytes(group: Group, lacks: int, span_s: float) -> float:
    """What one of `group` can send within `span_s`, if his disk writes meanwhile what he lacks."""
    line_bytes = span_s * group.line.up_bytes_per_s
    if group.disk.read_bytes_per_s == float("inf"):
        return line_bytes
    reading_s = max(0.0, span_s - lacks / group.disk.write_bytes_per_s)
    return min(line_bytes, reading_s * group.disk.read_bytes_per_s)
