"""The host of one torrent's engine: carries out its commands with links, files and threads."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.endpoint import Endpoint
from swarm.base.errors import StorageError, SwarmError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.commands import (
    AnnounceCompleted,
    AnnounceReopened,
    Command,
    ForgetBlocks,
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
from swarm.metainfo.pads import Pads
from swarm.session.bugs import failure
from swarm.session.connections.link_host import Dialler, LinkHost
from swarm.session.connections.peer_link import PeerLink
from swarm.session.notices import PeerNews
from swarm.session.serving import Serving
from swarm.storage.chunks import Chunk, ChunkReader
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles
from swarm.storage.pieces import PieceHashed, PieceStore
from swarm.wire.peer.handshake import Handshake
from swarm.wire.peer.protocol import BLOCK_HEAD_BYTES, encode_block_head


class RunTorrent(Protocol):
    """The torrent that an engine is run for, as far as it hears of it."""

    def pieces_verified(self) -> None:
        """Pieces were verified and written."""

    def became_complete(self) -> None:
        """Everything wanted is there."""

    def reopened(self) -> None:
        """Something wanted is missing again."""

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
        pads = Pads(files.layout.files, geometry)
        #: Most torrents have no padding.
        self._pad_blocks = pads.blocks if pads else None
        self.store = PieceStore(
            files,
            geometry,
            piece_hashes,
            disk,
            self._pieces_hashed,
            self._broke,
            torrent.short_of_room if is_waiting_for_room else None,
            zero_blocks=self._pad_blocks,
        )
        chunks = ChunkReader(files, geometry, disk, BLOCK_HEAD_BYTES, encode_block_head)
        self.serving = Serving(chunks, self._links, self)
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
            known_blocks=self._pad_blocks,
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

    def _carry_out(self, commands: Iterable[Command]) -> None:
        complete: list[tuple[int, bool]] = []
        rest = iter(commands)
        try:
            for command in rest:
                match command:
                    case StoreBlocks(run, mask):
                        self.store.store(run.piece, run.begin, run.parts, mask)
                    case SendBlocks():
                        self.serving.send(command)
                    case HashPiece(piece, with_block_digests):
                        complete.append((piece, with_block_digests))
                    case ForgetBlocks(piece):
                        self.store.forget(piece)
                    case AnnounceCompleted():
                        self._torrent.became_complete()
                    case AnnounceReopened():
                        self._torrent.reopened()
                    case _:
                        self._carry_out_on_links(command)
        except Exception:
            # A bug of ours may cost no more than one peer's link, and the engine takes the rest for done.
            self._carry_out((*(HashPiece(*piece) for piece in complete), *rest))
            raise
        if complete:
            self.store.hash_and_write(complete)

    # -- serving --------------------------------------------------------------------------------

    def has(self, piece: int) -> bool:
        return self.engine is not None and piece in self.engine.have

    def link_sent(self, link: PeerLink, length: int, chunks: Sequence[Chunk]) -> None:
        self.serving.sent(chunks)
        if length and link.number in self._links:
            self._sent_bytes[link.number] = self._sent_bytes.get(link.number, 0) + length
            if not self._is_in_engine:
                number, total = self._sent_bytes.popitem()
                self.tell(BlocksSent(number, total))

    def unreadable(self, lost: PieceUnreadable, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, StorageError):
            self._broke(error)
            return
        piece = lost.piece
        self._torrent.piece_lost(piece)
        if self.has(piece):
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
        self.serving.stop()
