"""The blocks that one link sends: in line for their turn, then in the transport's hands, then gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.bucket import Bucket
from swarm.session.connections.throttle import Throttle
from swarm.wire.peer.protocol import BLOCK_HEAD_BYTES

if TYPE_CHECKING:
    from swarm.storage.chunks import Chunk

#: A block and its head, as they lie in a chunk.
WIRE_BLOCK_BYTES = BLOCK_BYTES + BLOCK_HEAD_BYTES
#: Takes bytes of content that have left, or will not any more, and the chunks that are not needed any more.
OnSent = Callable[[int, "Sequence[Chunk]"], None]


class Outbox:
    """Writes blocks as far as the transport and the upload limit let it, and says what has left.

    The transport sends from the memory that it is given, without a copy: a chunk stays pinned until the last
    of its bytes is out.

    Args:
        throttle: the upload limit of all links.
        batch_bytes: no more than this is written at a time in a turn of the limit.
        on_sent: gets what `put` took over, once.
        on_bug: a turn went wrong half-way: nothing can be sent any more.
    """

    __slots__ = (
        "_batch_bytes",
        "_in_line",
        "_is_full",
        "_is_in_ring",
        "_on_bug",
        "_on_sent",
        "_own_bucket",
        "_throttle",
        "_transport",
        "_unreported_bytes",
        "_writing",
        "_written_bytes",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        throttle: Throttle,
        batch_bytes: int,
        *,
        on_sent: OnSent,
        on_bug: Callable[[Exception], None],
    ) -> None:
        self._transport = transport
        self._throttle = throttle
        self._batch_bytes = batch_bytes
        self._on_sent = on_sent
        self._on_bug = on_bug
        #: Of all that the link has written, other frames too.
        self._written_bytes = 0
        #: Blocks that wait for their turn under a limit: (frames, chunk, bytes of content).
        self._in_line: deque[tuple[memoryview, Chunk, int]] = deque()
        #: Chunks in the transport's hands, and where in the stream of bytes each ends.
        self._writing: deque[tuple[Chunk, int]] = deque()
        #: Content written since `on_sent` was last told of it.
        self._unreported_bytes = 0
        #: The transport takes no more for now.
        self._is_full = False
        #: The throttle will call `_take_turn`.
        self._is_in_ring = False
        #: The limit of the link's torrent; None before its first block, and for a link without limits.
        self._own_bucket: Bucket | None = None

    def passed(self, size_bytes: int) -> None:
        """The link has written other frames, which leave between the blocks."""
        self._written_bytes += size_bytes

    def put(self, frames: memoryview, chunk: Chunk, length: int, own_bucket: Bucket | None) -> None:
        """Send blocks that lie in wire form in `chunk`, which is pinned for them.

        Args:
            length: bytes of content in `frames`.
            own_bucket: the limit of the link's torrent; None where the link has no limits.
        """
        self._own_bucket = own_bucket
        if self._in_line or (own_bucket is not None and self._throttle.is_limiting(own_bucket)):
            self._in_line.append((frames, chunk, length))
            self._ask_for_turn()
            return
        self._transport.write(frames)
        self._note_written(frames, chunk, length)
        if not self._is_full:
            self._report()

    def _note_written(self, frames: memoryview, chunk: Chunk, length: int) -> None:
        self._written_bytes += len(frames)
        self._writing.append((chunk, self._written_bytes))
        self._unreported_bytes += length

    def _report(self) -> None:
        """Say what has left; chunks whose bytes are not all out stay pinned."""
        left = self._written_bytes - self._transport.get_write_buffer_size()
        chunks = []
        while self._writing and self._writing[0][1] <= left:
            chunks.append(self._writing.popleft()[0])
        length, self._unreported_bytes = self._unreported_bytes, 0
        if length or chunks:
            self._on_sent(length, chunks)

    # -- under a limit --------------------------------------------------------------------------

    def _ask_for_turn(self) -> None:
        if self._in_line and not self._is_in_ring and not self._is_full:
            assert self._own_bucket is not None
            self._is_in_ring = True
            self._throttle.wait(self._take_turn, self._own_bucket)

    def _take_turn(self, size_bytes: int) -> tuple[int, bool]:
        """The throttle lets us send up to `size_bytes` (see `throttle.Turn`); a bug costs this link alone."""
        try:
            return self._send_waiting(size_bytes)
        except Exception as error:
            self._on_bug(error)
            return 0, False

    def _send_waiting(self, size_bytes: int) -> tuple[int, bool]:
        """Send up to `size_bytes` of what waits, in whole blocks, but at least one."""
        moved = 0
        runs: list[memoryview] = []
        gathered = 0
        while self._in_line and moved < size_bytes and not self._is_full:
            frames, chunk, length = self._in_line[0]
            if moved and size_bytes - moved < min(len(frames), WIRE_BLOCK_BYTES):
                # At a low limit one block is a turn, and two would be seen in ten seconds.
                break
            self._in_line.popleft()
            blocks = max(1, (size_bytes - moved) // WIRE_BLOCK_BYTES)
            part = blocks * WIRE_BLOCK_BYTES
            if chunk.source is not None and part < len(frames):
                self._in_line.appendleft((frames[part:], chunk, length - blocks * BLOCK_BYTES))
                frames, length = frames[:part], blocks * BLOCK_BYTES
                # Each part gives the chunk back.
                chunk.pins += 1
            moved += len(frames)
            self._note_written(frames, chunk, length)
            # Together: each write of its own wakes whoever reads.
            runs.append(frames)
            gathered += len(frames)
            if gathered >= self._batch_bytes:
                self._transport.write(_together(runs))
                runs, gathered = [], 0
        if runs:
            self._transport.write(_together(runs))
        if moved and not self._is_full:
            # Once a turn, not once a run: what the engine hands over next waits for the turn after this.
            self._report()
        # A full transport wakes us in `resume`; until then others take the turns.
        self._is_in_ring = bool(self._in_line) and not self._is_full
        return moved, self._is_in_ring

    # -- the transport --------------------------------------------------------------------------

    def pause(self) -> None:
        """The transport is full."""
        self._is_full = True

    def resume(self) -> None:
        """The transport has room again."""
        self._is_full = False
        self._report()
        self._ask_for_turn()

    def give_up(self) -> None:
        """The link is gone: nothing more leaves, and all that `put` took over is given back."""
        self._throttle.leave(self._take_turn)
        chunks = [chunk for chunk, _ in self._writing]
        self._writing.clear()
        length, self._unreported_bytes = self._unreported_bytes, 0
        for _, chunk, waiting in self._in_line:
            chunks.append(chunk)
            length += waiting
        self._in_line.clear()
        self._on_sent(length, chunks)


def _together(runs: Sequence[memoryview]) -> memoryview | bytes:
    # Not `writelines`: until CPython 3.13.1 asyncio's own knows no full transport (CVE-2024-12254), and until
    # 3.13.5 none that was closed. Under a limit a copy is little.
    return runs[0] if len(runs) == 1 else b"".join(runs)
