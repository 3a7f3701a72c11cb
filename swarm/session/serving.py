"""Reads the blocks that peers get and hands them to their links; holds back what may have been changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.errors import StorageError
from swarm.engine.commands import SendBlocks
from swarm.engine.events import PieceUnreadable
from swarm.session.connections.peer_link import PeerLink
from swarm.storage.chunks import Chunk, ChunkReader
from swarm.storage.faults import ContentChangedError, is_shortage


class Host(Protocol):
    """The runner, as far as it is asked or told of what is served."""

    is_stopped: bool

    def has(self, piece: int) -> bool:
        """Is `piece` verified?"""

    def tell(self, event: PieceUnreadable) -> None:
        """Give the engine an event."""

    def link_sent(self, link: PeerLink, length: int, chunks: Sequence[Chunk]) -> None:
        """So many bytes are not on their way any more."""

    def unreadable(self, lost: PieceUnreadable, error: BaseException | None) -> None:
        """The disk no longer gives us a piece."""


class Serving:
    """Carries out `SendBlocks`.

    Args:
        chunks: reads from the disk, many blocks at a time.
        links: by number; the runner's own dictionary.
    """

    def __init__(self, chunks: ChunkReader, links: Mapping[int, PeerLink], host: Host) -> None:
        self._chunks = chunks
        self._links = links
        self._host = host
        #: Pieces that may have been changed on disk -> what peers wait for meanwhile.
        self._doubted: dict[int, list[SendBlocks]] = {}

    def send(self, command: SendBlocks) -> None:
        """Send a run chunk by chunk; each part goes out as soon as it is in memory."""
        link = self._links.get(command.peer)
        if link is None:
            return
        piece, begin, end = command.piece, command.begin, command.begin + command.length
        if piece in self._doubted:
            self._doubted[piece].append(command)
            return
        if not self._chunks.has_heads_for(piece, begin, command.length, command.block_bytes):
            done = partial(self._was_read, link, command, True)
            self._chunks.get_odd(piece, begin, command.length, command.block_bytes, done)
            return
        while begin < end:
            number = self._chunks.chunk_of(begin)
            part_end = min(end, self._chunks.end_of(number))
            part = SendBlocks(link.number, piece, begin, part_end - begin, BLOCK_BYTES)
            self._chunks.get(piece, number, partial(self._was_read, link, part, False))
            begin = part_end

    def _was_read(
        self,
        link: PeerLink,
        command: SendBlocks,
        is_odd: bool,
        chunk: Chunk | None,
        error: BaseException | None,
    ) -> None:
        """`is_odd`: `chunk` is the run and no more (`get_odd`)."""
        if chunk is None:
            self._not_read(command, link, error)
        elif self.is_right(command.piece):
            memory = chunk.memory if is_odd else self._chunks.run_of(chunk, command.begin, command.length)
            link.send_blocks(memory, chunk, command.length)
        else:
            self._withhold(command, chunk)

    def is_right(self, piece: int) -> bool:
        """Nobody has changed `piece` since its blocks were asked of the disk, as far as we know."""
        return piece not in self._doubted and self._host.has(piece)

    def _withhold(self, command: SendBlocks, chunk: Chunk) -> None:
        """These may have been read after the file was taken as it is and before it was hashed again."""
        self._chunks.unpin(chunk)
        self._chunks.forget(command.piece)
        if command.piece in self._doubted:
            self._doubted[command.piece].append(command)
        elif not self._host.is_stopped:
            self._refuse(command)

    def _not_read(self, command: SendBlocks, link: PeerLink, error: BaseException | None) -> None:
        if isinstance(error, ContentChangedError) and not self._host.is_stopped:
            self._chunks.forget(command.piece)
            if command.piece in self._doubted:
                # Whether it is still right is being found out.
                self._doubted[command.piece].append(command)
            elif self.is_right(command.piece):
                # That was found out before this thread came to say so.
                self.send(command)
            else:
                self._refuse(command)
            return
        if isinstance(error, StorageError) and is_shortage(error):
            # The piece is there, only no descriptor is; this link's is the first to become free.
            self._host.link_sent(link, command.length, ())
            link.close(error.reason)
            return
        self._give_up(command)
        self._chunks.forget(command.piece)
        self._host.unreadable(_lost(command), error)

    def _give_up(self, command: SendBlocks) -> None:
        """These blocks will not be sent: their share of the window is free again."""
        link = self._links.get(command.peer)
        if link is not None:
            self._host.link_sent(link, command.length, ())

    def _refuse(self, command: SendBlocks) -> None:
        """What was asked for is not here any more."""
        self._give_up(command)
        self._host.tell(_lost(command))

    # -- what somebody else has changed ---------------------------------------------------------

    def doubt(self, pieces: Iterable[int]) -> None:
        """Serve none of these until `settle` says that they are right: their file was changed."""
        for piece in pieces:
            self._doubted.setdefault(piece, [])
            self._chunks.forget(piece)

    def settle(self, piece: int, *, is_good: bool) -> None:
        """`piece` was hashed again: serve who waits for it, or offer it no longer and fetch it again."""
        waiting = self._doubted.pop(piece, [])
        if self._host.is_stopped:
            return
        for command in waiting:
            if is_good:
                self.send(command)
                continue
            self._refuse(command)
        if not is_good:
            self._host.tell(PieceUnreadable(piece))

    def settle_rest(self) -> None:
        """Nothing is in doubt any more."""
        for piece in list(self._doubted):
            self.settle(piece, is_good=self._host.has(piece))

    def sent(self, chunks: Iterable[Chunk]) -> None:
        """Links need these no longer."""
        for chunk in chunks:
            self._chunks.unpin(chunk)

    def stop(self) -> None:
        """Give the memory back that nobody waits for."""
        self._chunks.shrink()


def _lost(command: SendBlocks) -> PieceUnreadable:
    """A piece of which the blocks that were to be sent are not here."""
    return PieceUnreadable(command.piece, command.peer, command.begin, command.length, command.block_bytes)
