"""Whatever peers, disk and user do, the engine keeps its promises; and when they behave, it completes.

The promises themselves are in `World.check` and `FakePeer.hears`, which look after every event.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import BLOCK_BYTES
from swarm.base.endpoint import Endpoint
from swarm.engine.events import (
    CandidatesFound,
    DialFailed,
    DownloadHeld,
    PieceNotWritten,
    PieceUnreadable,
)
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import LOCAL_IDS, encode_dont_have
from swarm.wire.peer.messages import (
    AllowedFast,
    BitfieldMessage,
    Cancel,
    Choke,
    Extended,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    Message,
    NotInterested,
    Reject,
    Request,
    Unchoke,
)
from tests.unit.engine.world import RIGHT, Block, FakePeer, World

PIECES = 6
BLOCKS = 3
#: The last piece has one block, and that one is short.
TOTAL_BYTES = (PIECES - 1) * BLOCKS * BLOCK_BYTES + 1000
#: Small, so that its limits are met.
SETTINGS = EngineSettings(
    unchoke_slots=2,
    connections_max=8,
    in_flight_bytes_max=4 * BLOCKS * BLOCK_BYTES,
    request_depth_start=4,
    request_depth_min=2,
    random_first_pieces=1,
    served_queue_max=6,
    send_window_min=2 * BLOCK_BYTES,
    allowed_fast_count=2,
)
#: A seed alone has more than enough time within this.
FINISH_S = 150

pieces = st.integers(0, PIECES - 1)


class Swarm(RuleBasedStateMachine):
    """Peers honest and not, a slow disk, a fickle user."""

    def __init__(self) -> None:
        super().__init__()
        self.liars: set[Endpoint] = set()

    @initialize(
        have=st.sets(pieces, max_size=PIECES),
        priorities=st.just("") | st.text("012", min_size=PIECES, max_size=PIECES),
        seed=st.integers(0, 9),
        is_sequential=st.booleans(),
        known=st.none() | st.dictionaries(st.integers(0, PIECES - 2), st.integers(0, 2**BLOCKS - 2)),
    )
    def begin(
        self, have: set[int], priorities: str, seed: int, is_sequential: bool, known: dict[int, int] | None
    ) -> None:
        drawing = "".join("*" if piece in have else " " for piece in range(PIECES))
        self.world = World(
            PIECES,
            BLOCKS,
            have=drawing,
            priorities=priorities,
            settings=SETTINGS,
            seed=seed,
            has_quick_disk=False,
            is_sequential=is_sequential,
            total_bytes=TOTAL_BYTES,
            known=known,
        )

    def peer(self, data: st.DataObject) -> FakePeer:
        return data.draw(st.sampled_from(list(self.world.peers.values())), label="peer")

    def has_peers(self) -> bool:
        return bool(self.world.peers)

    # Peers come and go.

    @rule(
        first=st.sampled_from(["bitfield", "all", "none", "nothing"]),
        bits=st.integers(0, 2**PIECES - 1),
        has_fast=st.booleans(),
        is_unchoking=st.booleans(),
        is_liar=st.booleans(),
        is_reading=st.booleans(),
    )
    def connect(
        self, first: str, bits: int, has_fast: bool, is_unchoking: bool, is_liar: bool, is_reading: bool
    ) -> None:
        peer = self.world.connect(has_fast=has_fast)
        if peer.drop_reason is not None:
            return
        peer.is_reading = is_reading
        if is_liar:
            self.liars.add(peer.endpoint)
        have = Bitfield.from_bytes(bytes([bits << (8 - PIECES)]), PIECES)
        said: list[Message] = []
        if first == "all" and has_fast:
            said.append(HaveAll())
        elif first == "none" and has_fast:
            said.append(HaveNone())
        elif first == "bitfield":
            said.append(BitfieldMessage(have.to_bytes()))
        if is_unchoking:
            said.append(Unchoke())
        if said:
            peer.says(*said)

    @precondition(has_peers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.peer(data).leaves()

    # What they say.

    @precondition(has_peers)
    @rule(data=st.data(), rejects=st.booleans())
    def choke(self, data: st.DataObject, rejects: bool) -> None:
        peer = self.peer(data)
        asked = list(peer.asked)
        peer.says(Choke())
        if peer.has_fast and rejects:
            void = [block for block in asked if block[0] not in peer.allowed_fast and block in peer.asked]
            for block in void:
                peer.says(reject(self.world, block))

    @precondition(has_peers)
    @rule(data=st.data())
    def unchoke(self, data: st.DataObject) -> None:
        self.peer(data).says(Unchoke())

    @precondition(has_peers)
    @rule(data=st.data(), piece=pieces)
    def tell_have(self, data: st.DataObject, piece: int) -> None:
        self.peer(data).says(Have(piece))

    @precondition(has_peers)
    @rule(data=st.data(), piece=pieces)
    def tell_dont_have(self, data: st.DataObject, piece: int) -> None:
        self.peer(data).says(Extended(LOCAL_IDS["lt_donthave"], encode_dont_have(piece)))

    @precondition(has_peers)
    @rule(data=st.data(), piece=pieces)
    def allow_fast(self, data: st.DataObject, piece: int) -> None:
        peer = self.peer(data)
        if peer.has_fast:
            peer.says(AllowedFast(piece))

    @precondition(has_peers)
    @rule(data=st.data(), share=st.integers(1, 5), is_wrong=st.booleans(), is_reversed=st.booleans())
    def answer(self, data: st.DataObject, share: int, is_wrong: bool, is_reversed: bool) -> None:
        peer = self.peer(data)
        blocks = list(peer.asked)[-share:] if is_reversed else list(peer.asked)[:share]
        if blocks:
            peer.sends_blocks(blocks, filler=self.filler(peer, is_wrong))

    @precondition(has_peers)
    @rule(data=st.data(), is_wrong=st.booleans())
    def answer_late(self, data: st.DataObject, is_wrong: bool) -> None:
        peer = self.peer(data)
        if peer.taken_back:
            peer.sends_blocks(list(peer.taken_back)[:2], filler=self.filler(peer, is_wrong))

    @precondition(has_peers)
    @rule(data=st.data(), piece=pieces, block=st.integers(0, BLOCKS - 1), is_wrong=st.booleans())
    def send_unasked(self, data: st.DataObject, piece: int, block: int, is_wrong: bool) -> None:
        peer = self.peer(data)
        if peer.have[piece]:
            block = min(block, self.world.geometry.block_count(piece) - 1)
            peer.sends_blocks([(piece, block)], filler=self.filler(peer, is_wrong))

    @precondition(has_peers)
    @rule(data=st.data(), share=st.integers(1, 4))
    def reject(self, data: st.DataObject, share: int) -> None:
        peer = self.peer(data)
        if peer.has_fast and peer.asked:
            peer.says(*(reject(self.world, block) for block in list(peer.asked)[:share]))

    @precondition(has_peers)
    @rule(data=st.data(), is_interested=st.booleans())
    def want(self, data: st.DataObject, is_interested: bool) -> None:
        self.peer(data).says(Interested() if is_interested else NotInterested())

    @precondition(has_peers)
    @rule(data=st.data(), piece=pieces, first=st.integers(0, BLOCKS - 1), count=st.integers(1, BLOCKS))
    def request(self, data: st.DataObject, piece: int, first: int, count: int) -> None:
        begin, length = self.run(piece, first, count)
        self.peer(data).says(Request(piece, begin, length))

    @precondition(has_peers)
    @rule(data=st.data(), piece=pieces, first=st.integers(0, BLOCKS - 1), count=st.integers(1, BLOCKS))
    def cancel(self, data: st.DataObject, piece: int, first: int, count: int) -> None:
        begin, length = self.run(piece, first, count)
        self.peer(data).says(Cancel(piece, begin, length))

    @precondition(has_peers)
    @rule(data=st.data())
    def read_on(self, data: st.DataObject) -> None:
        self.peer(data).reads_on()

    # Disk, user, clock.

    @precondition(lambda self: self.world.to_hash)
    @rule()
    def hash_piece(self) -> None:
        self.world.hash_next(is_shuffled=True)

    @precondition(lambda self: self.world.to_hash)
    @rule()
    def fail_to_write(self) -> None:
        piece, _ = self.world.to_hash.pop(0)
        del self.world.memory[piece]
        self.world.tell(PieceNotWritten(piece))

    @precondition(lambda self: self.world.verified.count)
    @rule(data=st.data())
    def fail_to_read(self, data: st.DataObject) -> None:
        piece = data.draw(st.sampled_from(list(self.world.verified)), label="piece")
        self.world.verified.discard(piece)
        self.world.tell(PieceUnreadable(piece))

    @rule(is_held=st.booleans())
    def hold(self, is_held: bool) -> None:
        self.world.tell(DownloadHeld(is_held))

    @rule(last=st.integers(1, 4), source=st.sampled_from(["tracker", "user"]))
    def find_candidates(self, last: int, source: str) -> None:
        self.world.tell(CandidatesFound([Endpoint(f"10.9.0.{last}", 6881)], source))

    @precondition(lambda self: self.world.dialled)
    @rule(is_reached=st.booleans())
    def finish_dial(self, is_reached: bool) -> None:
        endpoint = self.world.dialled.pop(0)
        if is_reached:
            self.world.connect(endpoint=endpoint, is_outgoing=True)
        else:
            self.world.tell(DialFailed(endpoint, "refused"))

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 11.0, 25.0, 70.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @invariant()
    def only_liars_are_banned(self) -> None:
        if hasattr(self, "world"):
            assert self.liars.issuperset(self.world.banned), "an honest peer was banned"

    def teardown(self) -> None:
        """The faults stop and a seed comes: everything wanted arrives, whatever the others go on doing."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.tell(DownloadHeld(False))
        while world.to_hash:
            world.hash_next()
        world.has_quick_disk = True
        if len(world.peers) >= SETTINGS.connections_max:
            next(iter(world.peers.values())).leaves()
        seed = world.seed()
        for _ in range(FINISH_S):
            if world.engine.is_complete:
                break
            seed.sends()
            world.pass_time(1)
        assert world.engine.is_complete, "a seed is there, and yet it never completed"
        self.only_liars_are_banned()

    # Small things.

    def filler(self, peer: FakePeer, is_wrong: bool) -> int:
        return peer.number % 250 + 1 if is_wrong and peer.endpoint in self.liars else RIGHT

    def run(self, piece: int, first: int, count: int) -> tuple[int, int]:
        """(begin, length) of a run that starts at block `first`, cut to what `piece` has."""
        blocks = self.world.geometry.block_count(piece)
        first = min(first, blocks - 1)
        count = min(count, blocks - first)
        return first * BLOCK_BYTES, self.world.geometry.run_bytes(piece, first, count)


def reject(world: World, block: Block) -> Reject:
    piece, number = block
    return Reject(piece, number * BLOCK_BYTES, world.geometry.run_bytes(piece, number, 1))


Swarm.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
#: Found by pytest under this name.
TestSwarm = Swarm.TestCase
