"""The host of one torrent's engine: carries out its commands with links, files and threads."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.endpoint import Endpoint
from swarm.base.errors import StorageError, SwarmError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.commands import (
    AnnounceCompleted,
    Command,
    ForgetPiece,
    HashPiece,
    SendBlocks,
    StoreBlocks,
)
from swarm.engine.events import (
    BlocksSent,
    Event,
    HashResult,
    PieceNotWritten,
    PiecesHashed,
    PieceUnreadable,
    UploadLimited,
)
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.settings import EngineSettings
from swarm.engine.torrent import TorrentEngine
from swarm.session.bugs import failure
from swarm.session.connections.link_host import Dialler, LinkHost
from swarm.session.connections.peer_link import PeerLink
from swarm.session.notices import PeerNews
from swarm.storage.disk import Disk
from swarm.storage.faults import ContentChangedError, is_shortage
from swarm.storage.files import ContentFiles
from swarm.storage.pieces import Chunk, ChunkReader, PieceHashed, PieceStore
from swarm.wire.peer.handshake import Handshake
from swarm.wire.peer.protocol import BLOCK_HEAD_BYTES, encode_block_head


class RunTorrent(Protocol):
    """The torrent that an engine is run for, as far as it hears of it."""

    def pieces_verified(self) -> None:
        """Pieces were verified and written."""

    def became_complete(self) -> None:
        """Everything wanted is there."""

    def piece_lost(self, piece: int) -> None:
        """A piece can no longer be read."""

    def short_of_room(self, error: StorageError) -> None:
        """The disk has no room for good pieces; they are kept (see `PieceStore.write_kept`)."""

    def failed(self, error: SwarmError) -> None:
        """The disk failed us, or a bug of ours; it cannot go on."""

    def notice(self, level: str, text: str) -> None: ...
    def peer_news(self, news: PeerNews) -> None: ...


class Runner(LinkHost):
    """Runs one engine in the real world.

    Everything happens on the event loop, except what `disk` does in its threads. Events reach the
    engine one at a time; what its commands bring about at once (blocks that were cached and have
    left already) is queued as the next event, so that the engine is never entered twice.

    Args:
        torrent: whom it runs the engine for.
        is_waiting_for_room: where the disk has none, good pieces are kept; else that is a failure.
        seek_peers: ask the sources for more.
        is_private: no DHT, no peer exchange (BEP 27).
        dht_port: where our DHT node listens, or None for no node.
        on_node: a peer says that its DHT node listens there.
        info: the info dictionary, for peers that come with a magnet link.
        book: the addresses known from fetching the metadata.
    """

    geometry: Geometry

    def __init__(
        self,
        info_hash: InfoHash,
        geometry: Geometry,
        piece_hashes: bytes,
        peer_id: PeerId,
        files: ContentFiles,
        disk: Disk,
        dialler: Dialler,
        torrent: RunTorrent,
        *,
        rng: random.Random,
        is_waiting_for_room: bool,
        seek_peers: Callable[[], None],
        is_private: bool = False,
        dht_port: int | None = None,
        on_node: Callable[[Endpoint], None] | None = None,
        info: bytes = b"",
        book: PeerBook | None = None,
    ) -> None:
        self._is_private = is_private
        self._dht_port = None if is_private else dht_port
        super().__init__(
            Handshake(info_hash, peer_id, has_dht=self._dht_port is not None),
            dialler,
            on_peer=torrent.peer_news,
            seek_peers=seek_peers,
            on_node=on_node,
        )
        self.info_hash = info_hash
        self.geometry = geometry
        self.engine: TorrentEngine | None = None
        self._peer_id = peer_id
        self._rng = rng
        self._info = info
        self._book = book
        self._torrent = torrent
        #: Pieces that may have been changed on disk -> what peers wait for meanwhile.
        self._doubted: dict[int, list[SendBlocks]] = {}
        self.store = PieceStore(
            files,
            geometry,
            piece_hashes,
            disk,
            self._pieces_hashed,
            self._broke,
            torrent.short_of_room if is_waiting_for_room else None,
        )
        self._chunks = ChunkReader(files, geometry, disk, BLOCK_HEAD_BYTES, encode_block_head)
        self._sent_bytes: dict[int, int] = {}
        self._is_in_engine = False
        self._waiting: list[Event] = []

    def start(
        self,
        have: Bitfield,
        priorities: bytes,
        *,
        settings: EngineSettings,
        client: str,
        listen_port: int | None,
        is_sequential: bool,
        partials: Mapping[int, int],
    ) -> None:
        """Begin to exchange; `have` was verified, and `partials` (piece -> mask of blocks) loaded."""
        self.engine = TorrentEngine(
            self.geometry,
            self.info_hash,
            self._peer_id,
            have,
            priorities,
            settings=settings,
            rng=self._rng,
            now=self._loop.time(),
            client=client,
            listen_port=listen_port,
            is_private=self._is_private,
            dht_port=self._dht_port,
            is_sequential=is_sequential,
            partials=partials,
            info=self._info,
            book=self._book,
        )
        for piece in set(partials).difference(self.engine.partial_blocks()):
            self.store.forget(piece)

    def upload_limited(self, session_bytes_per_s: float | None) -> None:
        """Tell the engine how fast blocks may leave: the session's limit or our own, whichever is tighter."""
        limits = [rate for rate in (session_bytes_per_s, self.up_bucket.rate) if rate is not None]
        self.tell(UploadLimited(min(limits, default=None)))

    # -- the engine's door ----------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Give the engine an event and carry out what follows."""
        engine = self.engine
        if engine is None or self.is_stopped:
            return
        if self._is_in_engine:
            self._waiting.append(event)
            return
        self._is_in_engine = True
        try:
            # All that this event brings about happens at one instant.
            now = self._loop.time()
            self._carry_out(engine.handle(event, now))
            while self._waiting or self._sent_bytes:
                if self._sent_bytes:
                    number, length = self._sent_bytes.popitem()
                    event = BlocksSent(number, length)
                else:
                    event = self._waiting.pop(0)
                self._carry_out(engine.handle(event, now))
            wakeup_at = engine.next_wakeup(now)
        except Exception as error:
            reason = self._upset(error, event, f"the exchange of {self.info_hash}")
            if reason is not None:
                self._torrent.failed(reason)
            return
        finally:
            self._is_in_engine = False
        self._wake_up_at(wakeup_at)

    def _carry_out(self, commands: Sequence[Command]) -> None:
        complete: list[tuple[int, bool]] = []
        for command in commands:
            match command:
                case StoreBlocks(run, mask):
                    self.store.store(run.piece, run.begin, run.parts, mask)
                case SendBlocks():
                    self._send_blocks(command)
                case HashPiece(piece, with_block_digests):
                    complete.append((piece, with_block_digests))
                case ForgetPiece(piece):
                    self.store.forget(piece)
                case AnnounceCompleted():
                    self._torrent.became_complete()
                case _:
                    self._carry_out_on_links(command)
        if complete:
            self.store.hash_and_write(complete)

    # -- serving --------------------------------------------------------------------------------

    def _send_blocks(self, command: SendBlocks) -> None:
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
        return piece not in self._doubted and self.engine is not None and piece in self.engine.have

    def _withhold(self, command: SendBlocks, chunk: Chunk) -> None:
        """These may have been read after the file was taken as it is and before it was hashed again."""
        self._chunks.unpin(chunk)
        self._chunks.forget(command.piece)
        if command.piece in self._doubted:
            self._doubted[command.piece].append(command)
        elif not self.is_stopped:
            self._refuse(command)

    def _not_read(self, command: SendBlocks, link: PeerLink, error: BaseException | None) -> None:
        if isinstance(error, ContentChangedError) and not self.is_stopped:
            self._chunks.forget(command.piece)
            if command.piece in self._doubted:
                # Whether it is still right is being found out.
                self._doubted[command.piece].append(command)
            elif self.is_right(command.piece):
                # That was found out before this thread came to say so.
                self._send_blocks(command)
            else:
                self._refuse(command)
            return
        if isinstance(error, StorageError) and is_shortage(error):
            # The piece is there, only no descriptor is; this link's is the first to become free.
            self.link_sent(link, command.length, ())
            link.close(error.reason)
            return
        self._give_up(command)
        self._unreadable(_lost(command), error)

    def _give_up(self, command: SendBlocks) -> None:
        """These blocks will not be sent: their share of the window is free again."""
        link = self._links.get(command.peer)
        if link is not None:
            self.link_sent(link, command.length, ())

    def _refuse(self, command: SendBlocks) -> None:
        """What was asked for is not here any more."""
        self._give_up(command)
        self.tell(_lost(command))

    def doubt(self, pieces: Iterable[int]) -> None:
        """Serve none of these until `settle` says that they are right: their file was changed."""
        for piece in pieces:
            self._doubted.setdefault(piece, [])
            self._chunks.forget(piece)

    def settle(self, piece: int, *, is_good: bool) -> None:
        """`piece` was hashed again: serve who waits for it, or offer it no longer and fetch it again."""
        waiting = self._doubted.pop(piece, [])
        if self.is_stopped:
            return
        for command in waiting:
            if is_good:
                self._send_blocks(command)
                continue
            self._refuse(command)
        if not is_good:
            self.tell(PieceUnreadable(piece))

    def settle_rest(self) -> None:
        """Nothing is in doubt any more."""
        for piece in list(self._doubted):
            self.settle(piece, is_good=self.engine is not None and piece in self.engine.have)

    def link_sent(self, link: PeerLink, length: int, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self._chunks.unpin(chunk)
        if length and link.number in self._links:
            self._sent_bytes[link.number] = self._sent_bytes.get(link.number, 0) + length
            if not self._is_in_engine:
                number, total = self._sent_bytes.popitem()
                self.tell(BlocksSent(number, total))

    def _unreadable(self, lost: PieceUnreadable, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, StorageError):
            self._broke(error)
            return
        piece = lost.piece
        self._chunks.forget(piece)
        self._torrent.piece_lost(piece)
        if self.engine is not None and self.engine.have.flags[piece]:
            self._torrent.notice(
                "warning", f"piece {piece} cannot be read any more and is not offered: {error}"
            )
        self.tell(lost)

    # -- pieces ---------------------------------------------------------------------------------

    def _pieces_hashed(self, results: list[PieceHashed]) -> None:
        written = [result for result in results if result.error is None]
        self.tell(
            PiecesHashed(
                [HashResult(result.piece, result.is_good, result.block_digests) for result in written]
            )
        )
        if self.is_stopped and self.engine is not None:
            # The engine hears nothing any more, but what was written is there and need not come again.
            for result in written:
                if result.is_good:
                    self.engine.have.add(result.piece)
        if any(result.is_good for result in written):
            self._torrent.pieces_verified()
        for result in results:
            if result.error is not None:
                self.tell(PieceNotWritten(result.piece))
                self._torrent.failed(result.error)
                return

    def _broke(self, error: BaseException) -> None:
        """Something of ours did: the torrent fails with a line, rather than to hang without one."""
        self._torrent.failed(failure(error, f"the exchange of {self.info_hash}"))

    # -- the end --------------------------------------------------------------------------------

    def stop(self) -> None:
        """Close all links; nothing is exchanged any more."""
        self.is_stopped = True
        self._stop_timer()
        for link in list(self._links.values()):
            with contextlib.suppress(OSError):
                link.close("the torrent was stopped")
        self._chunks.shrink()


def _lost(command: SendBlocks) -> PieceUnreadable:
    """A piece of which the blocks that were to be sent are not here."""
    return PieceUnreadable(command.piece, command.peer, command.begin, command.length, command.block_bytes)
