"""A magnet link whose metadata is being fetched: the host of its engine, and the handle users hold."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.errors import MetainfoError, SwarmError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.metadata.engine import MetadataCommand, MetadataCompleted, MetadataEngine, MetadataEvent
from swarm.engine.settings import EngineSettings
from swarm.metainfo.builder import TorrentOptions, build_metainfo
from swarm.metainfo.magnet import Magnet
from swarm.metainfo.torrent import Metainfo
from swarm.session.bugs import watch
from swarm.session.connections.link_host import Dialler, LinkHost
from swarm.session.connections.peer_link import PeerLink
from swarm.session.finding.sources import SourceStatus
from swarm.session.notices import Notice, Notices
from swarm.session.torrent_source import understood
from swarm.wire.peer.handshake import Handshake

if TYPE_CHECKING:
    from swarm.session.explaining import Reason
    from swarm.session.finding.discovery import Discovery
    from swarm.storage.chunks import Chunk

FetchState: TypeAlias = Literal["searching", "fetching", "complete", "failed", "stopped"]


@dataclass(slots=True, frozen=True)
class FetchProgress:
    """A snapshot.

    Args:
        state: "searching" until a peer has named the size, then "fetching".
        done_bytes, total_bytes: of the metadata; the total is None while it is not known.
        candidates: addresses known and not connected.
        seconds: since the fetch began.
    """

    state: FetchState
    name: str
    peers: int
    candidates: int
    done_bytes: int
    total_bytes: int | None
    seconds: float


def metainfo_of(info: bytes, options: TorrentOptions) -> tuple[bytes, Metainfo]:
    """The .torrent around an info dictionary of strangers, and what it says.

    Args:
        info: any bytes: a right hash only shows that they are what whoever made the link meant.

    Raises:
        MetainfoError: no info dictionary, no torrent that can be read.
    """
    raw = build_metainfo(info, options)
    metainfo = Metainfo.parse(raw)
    # A dictionary and more keys behind it would make another torrent, with trackers that nobody named.
    if metainfo.info_bytes != info:
        raise MetainfoError("the metadata is no info dictionary")
    return raw, metainfo


class MetadataFetch(LinkHost):
    """Fetches the metadata of one magnet link; `Session.fetch_metadata` makes it.

    Its links stay open when it is complete: a torrent added to the session with this metainfo goes on
    with them. `close` lets them go.

    Args:
        seek_peers: ask the sources for more.
        save: keep what peers have sent for the next time.
        on_close: what the session does at the end.

    Attributes:
        raw: the .torrent made of the metadata and of what the link says, once it is complete.
    """

    geometry = None

    def __init__(
        self,
        magnet: Magnet,
        peer_id: PeerId,
        dialler: Dialler,
        *,
        settings: EngineSettings,
        rng: random.Random,
        client: str,
        listen_port: int | None,
        dht_port: int | None,
        seek_peers: Callable[[], None],
        on_node: Callable[[Endpoint], None],
        save: Callable[[bytes], None],
        on_close: Callable[[MetadataFetch], Awaitable[None]],
    ) -> None:
        self._notices = Notices()
        # Of its limits none is ever set: no blocks travel before the torrent has begun.
        super().__init__(
            Handshake(magnet.info_hash, peer_id, has_dht=dht_port is not None),
            dialler,
            on_peer=self._notices.peer_news,
            seek_peers=seek_peers,
            on_node=on_node,
        )
        self.magnet = magnet
        self.raw = b""
        self.engine = MetadataEngine(
            magnet.info_hash,
            peer_id,
            settings=settings,
            rng=rng,
            now=self._loop.time(),
            client=client,
            listen_port=listen_port,
            dht_port=dht_port,
        )
        #: Who looks for its peers; None where nobody does.
        self.discovery: Discovery | None = None
        self._save = save
        self._on_close = on_close
        self._begun_at = time.monotonic()
        #: Looks for its peers, as long as that takes.
        self._task: asyncio.Task[None] | None = None
        #: Makes a torrent of the metadata.
        self._reading: asyncio.Task[None] | None = None
        self._result: asyncio.Future[Metainfo] = self._loop.create_future()
        # Where nobody waits for it, a failure is no news to the loop.
        self._result.add_done_callback(lambda result: result.cancelled() or result.exception())

    # -- what users see -------------------------------------------------------------------------

    @property
    def info_hash(self) -> InfoHash:
        return self.magnet.info_hash

    @property
    def name(self) -> str:
        """The torrent's name; what the link calls it until that is known."""
        if self._result.done() and not self._result.cancelled() and self._result.exception() is None:
            return self._result.result().name
        return self.magnet.name or str(self.info_hash)

    @property
    def state(self) -> FetchState:
        if self._result.done():
            if self._result.cancelled():
                return "stopped"
            return "complete" if self._result.exception() is None else "failed"
        return "searching" if self.engine.stats().total_bytes is None else "fetching"

    def snapshot(self) -> FetchProgress:
        """How it stands now."""
        stats = self.engine.stats()
        seconds = time.monotonic() - self._begun_at
        return FetchProgress(
            self.state,
            self.name,
            stats.peers,
            stats.candidates,
            stats.done_bytes,
            stats.total_bytes,
            seconds,
        )

    def explain(self) -> list[Reason]:
        """Why the metadata is not here yet, what matters most first."""
        from swarm.session.explaining import of_fetch

        stats = self.engine.stats()
        return of_fetch(stats.peers, stats.candidates, stats.done_bytes, stats.total_bytes, self.sources())

    def sources(self) -> list[SourceStatus]:
        """How it stands with the trackers and the other sources of peers."""
        return [] if self.discovery is None else self.discovery.status()

    async def metainfo(self) -> Metainfo:
        """Wait for the metadata.

        Raises:
            MetainfoError: it is there and right, but no torrent that can be read. SwarmError: it was closed.
        """
        try:
            return await asyncio.shield(self._result)
        except asyncio.CancelledError:
            if self._result.cancelled():
                raise SwarmError(f"{self.name} was stopped before its metadata was there") from None
            raise

    def notices(self) -> list[Notice]:
        """Take what it had to say since the last call."""
        return self._notices.take()

    async def close(self) -> None:
        """Give up; where it is complete, let its links go."""
        await self._on_close(self)

    # -- life -----------------------------------------------------------------------------------

    def notice(self, level: str, text: str) -> None:
        """Note something for the user."""
        self._notices.note(level, text)

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do `work`, which finds peers; a failure of it fails the fetch."""
        self._task = self._loop.create_task(work(), name=f"fetching the metadata of {self.info_hash}")
        watch(self._task, self.failed)

    def completed(self, info: bytes, *, is_new: bool) -> None:
        """`info` hashes to our info-hash; where it `is_new` it is worth keeping for the next time."""
        name = f"reading the metadata of {self.info_hash}"
        self._reading = self._loop.create_task(self._read(info, is_new=is_new), name=name)
        watch(self._reading, self.failed)

    async def _read(self, info: bytes, *, is_new: bool) -> None:
        options = TorrentOptions(
            trackers=tuple((url,) for url in self.magnet.trackers),
            web_seeds=self.magnet.web_seeds,
            created_by="",
        )
        try:
            self.raw, metainfo = await understood(info, partial(metainfo_of, options=options))
        except MetainfoError as error:
            self.failed(error)
            return
        if is_new:
            self._save(info)
        if not self._result.done():
            self._result.set_result(metainfo)

    def failed(self, error: SwarmError) -> None:
        """It cannot go on."""
        if not self._result.done():
            self._result.set_exception(error)

    async def stop(self) -> None:
        """End its work; the session sees to the links."""
        self.is_stopped = True
        self._result.cancel()
        self._stop_timer()
        if self._task is not None:
            self._task.cancel()
        # What peers have sent is to be kept: that is not given up.
        ending = (task for task in (self._task, self._reading) if task is not None)
        await asyncio.gather(*ending, return_exceptions=True)
        self._links.clear()

    # -- the engine's door ----------------------------------------------------------------------

    def tell(self, event: MetadataEvent) -> None:
        if self.is_stopped:
            return
        now = self._loop.time()
        try:
            self._carry_out(self.engine.handle(event, now))
            wakeup_at = self.engine.next_wakeup(now)
        except Exception as error:
            reason = self._upset(error, event, f"fetching the metadata of {self.info_hash}")
            if reason is not None:
                self.failed(reason)
            return
        self._wake_up_at(wakeup_at)

    def _carry_out(self, commands: Iterable[MetadataCommand]) -> None:
        rest = iter(commands)
        try:
            for command in rest:
                if isinstance(command, MetadataCompleted):
                    self.completed(command.info, is_new=True)
                else:
                    self._carry_out_on_links(command)
        except Exception:
            # As in `Runner`: the engine takes the rest for done.
            self._carry_out(rest)
            raise

    def link_sent(self, link: PeerLink, length: int, chunks: Sequence[Chunk]) -> None:
        """No blocks are sent."""
