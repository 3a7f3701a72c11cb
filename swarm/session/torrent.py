"""One torrent of a session: the handle that users of the library hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.base.errors import StorageError, SwarmError
from swarm.base.ids import InfoHash
from swarm.engine.download.picker import UNWANTED
from swarm.engine.stats import PeerStats
from swarm.engine.torrent import TorrentEngine
from swarm.metainfo.torrent import Metainfo
from swarm.session.bugs import failure, watch
from swarm.session.connections.throttle import checked_rate
from swarm.session.course import Course
from swarm.session.finding.sources import SourceStatus, Totals
from swarm.session.keeping.keeping import Keeping
from swarm.session.notices import Notice, Notices, PeerNews
from swarm.session.progress import Progress, State
from swarm.session.reading import Reading
from swarm.session.runner import Runner
from swarm.session.selection import Selection
from swarm.session.settings import SessionSettings
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles
from swarm.storage.pieces import PieceStore

if TYPE_CHECKING:
    from swarm.session.connections.links import Links
    from swarm.session.explaining import Reason
    from swarm.session.finding.discovery import Discovery
    from swarm.session.finding.peer_finder import PeerFinder


class Torrent:
    """A torrent that is being downloaded or seeded; `Session.add` makes it, `Session.remove` ends it.

    It goes through the states of `state`: "checking" what is on disk, "downloading" ("paused" while a disk is
    full, from where it goes on by itself), "seeding"; in the end "stopped", or "failed" with an `error`.

    Args:
        content: where the file or folder lies, absolute.
        selection: which files are wanted, and in which order.
        disk, links, finder: the session's.
        is_seeding_only: the content is the user's own: it is never written to, and must be complete.
        is_allocating: reserve a file's disk space when it is first written.

    Attributes:
        metainfo: what the .torrent says. content, is_seeding_only: as given.
    """

    def __init__(
        self,
        metainfo: Metainfo,
        content: Path,
        selection: Selection,
        settings: SessionSettings,
        disk: Disk,
        links: Links,
        finder: PeerFinder,
        *,
        is_seeding_only: bool,
        is_allocating: bool,
    ) -> None:
        self.metainfo = metainfo
        self.content = content
        self.is_seeding_only = is_seeding_only
        self._settings = settings
        self._selection = selection
        self._links = links
        self._finder = finder
        self._loop = asyncio.get_running_loop()
        self._course = Course(metainfo.name)
        self._notices = Notices()
        self._keeping = Keeping(
            metainfo,
            content,
            selection,
            self._course,
            settings,
            disk,
            is_seeding_only=is_seeding_only,
            is_allocating=is_allocating,
            on_notice=self.notice,
            on_failed=self.failed,
        )
        self._reading = Reading(metainfo, self._keeping, disk, self._course, selection)
        self._finishing: asyncio.Task[None] | None = None
        #: Who exchanges its pieces; None before it has joined its swarm.
        self.runner: Runner | None = None
        #: Who looks for its peers; None before it has joined.
        self.discovery: Discovery | None = None

    # -- what users see -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name of its file or folder, made safe as part of a path."""
        return self.metainfo.name

    @property
    def info_hash(self) -> InfoHash:
        """What identifies it among all torrents."""
        return self.metainfo.info_hash

    @property
    def files(self) -> ContentFiles:
        """Its files on disk."""
        return self._keeping.files

    @property
    def wanted_paths(self) -> frozenset[tuple[str, ...]]:
        """The files that were selected, each as the parts of its path below `content`."""
        return self._selection.paths(self.metainfo)

    @property
    def state(self) -> State:
        """How far it has come (see the class)."""
        return self._course.state

    def snapshot(self) -> Progress:
        """Its figures now."""
        geometry = self.metainfo.geometry
        have, inspection = self._keeping.have, self._keeping.inspection
        engine = self._engine
        if engine is None:
            stats = None
            done = geometry.pieces_bytes(have)
            missing = geometry.total_bytes - done
        else:
            stats = engine.stats(self._loop.time())
            done, missing = stats.done_bytes, stats.missing_bytes
        return Progress(
            state=self.state,
            name=self.name,
            done_bytes=done,
            wanted_bytes=done + missing,
            total_bytes=geometry.total_bytes,
            checked_bytes=inspection.checked_bytes,
            checking_bytes=inspection.checking_bytes,
            downloaded_bytes=stats.downloaded_bytes if stats else 0,
            uploaded_bytes=stats.uploaded_bytes if stats else 0,
            wasted_bytes=stats.wasted_bytes if stats else 0,
            failed_pieces=stats.failed_pieces if stats else 0,
            down_bytes_per_s=stats.down_bytes_per_s if stats else 0.0,
            up_bytes_per_s=stats.up_bytes_per_s if stats else 0.0,
            peers=stats.peers if stats else 0,
            seeds=stats.seeds if stats else 0,
            pieces_done=have.count,
            pieces_total=geometry.piece_count,
            seconds=self._course.seconds,
            paused_reason=self._keeping.paused_reason,
        )

    @property
    def _engine(self) -> TorrentEngine | None:
        return self.runner.engine if self.runner is not None else None

    def totals(self) -> Totals:
        """The figures that trackers are told."""
        now = self.snapshot()
        engine = self._engine
        return Totals(
            now.uploaded_bytes,
            now.downloaded_bytes,
            now.total_bytes - now.done_bytes,
            is_complete=engine is not None and engine.is_complete,
        )

    def peers(self) -> list[PeerStats]:
        """How each connected peer stands, in the order in which they came; none before it has joined."""
        return [] if self._engine is None else self._engine.peers(self._loop.time())

    def sources(self) -> list[SourceStatus]:
        """How each tracker and each other source of peers does; none before it has joined its swarm."""
        return [] if self.discovery is None else self.discovery.status()

    def explain(self) -> list[Reason]:
        """Why it does not go faster: causes with their figures, what matters most first.

        Empty where every peer sends as fast as it is asked to.
        """
        from swarm.session.explaining import Checking, DiskHeld, Ended, HostFacts, Reason, of_download

        if self._course.is_over:
            return [Reason(1.0, Ended(str(self.error or "it was stopped")))]
        if self._keeping.paused_reason:
            return [Reason(1.0, DiskHeld(self._keeping.paused_reason))]
        runner, engine = self.runner, self._engine
        if runner is None or engine is None:
            inspection = self._keeping.inspection
            return [Reason(1.0, Checking(inspection.checked_bytes, inspection.checking_bytes))]
        facts = HostFacts.of(self._links, runner)
        return of_download(engine.explain(self._loop.time()), facts, self.sources())

    async def progress(self, interval_s: float = 1.0) -> AsyncIterator[Progress]:
        """Yield a snapshot now, every `interval_s` seconds, and once more at the moment it is complete.

        It goes on while the torrent seeds, and ends after a last snapshot when it is stopped or has failed:
        whoever waits only for the download should `break` in state "seeding".
        """
        async for _ in self._course.beats(interval_s):
            yield self.snapshot()

    async def completed(self) -> None:
        """Wait until all that was selected is on disk and verified.

        Raises:
            StorageError: the disk failed.
            DataMismatchError: content that is only to be seeded is not complete, or not what it should be.
            SwarmError: it was removed, or the session closed, before.
        """
        await self._course.completed()

    async def read(self, offset: int, length: int) -> bytes:
        """Read `length` bytes of the content from `offset` on, and wait until they are verified.

        Offsets count through all files of the torrent, one behind the other (`Metainfo.files` has where each
        begins). What another program has changed on disk is verified again first, and fetched again where it
        no longer matches. Reading does not change what is downloaded, nor in which order.

        Raises:
            IndexError: the range goes beyond the content.
            SettingsError: some of it is missing, and lies in files that were not selected.
            StorageError: the disk failed, or the content of a seed is not what it was.
            SwarmError: the torrent ended before the bytes were here.
        """
        return await self._reading.read(offset, length)

    @property
    def error(self) -> SwarmError | None:
        """Why it failed; None unless `state` is "failed"."""
        return self._course.error

    def notices(self) -> list[Notice]:
        """Take what it had to say since the last call, oldest first; each notice is given once."""
        return self._notices.take()

    def set_limits(self, *, up_bytes_per_s: float | None, down_bytes_per_s: float | None) -> None:
        """Limit what it sends and receives from now on; None takes a limit away.

        The lower of these and the session's limits holds, and what `Session.set_limits` says of them is true
        here as well.

        Raises:
            SettingsError: a limit is below one block (16 KiB) a second; both limits are then what they were.
            SwarmError: the torrent is still being checked, or has ended.
        """
        runner = self.runner
        if runner is None or runner.is_stopped:
            raise SwarmError(f"{self.name} {'has not started yet' if runner is None else 'has ended'}")
        up, down = checked_rate(up_bytes_per_s), checked_rate(down_bytes_per_s)
        now = self._loop.time()
        runner.up_bucket.set_rate(up, now)
        runner.down_bucket.set_rate(down, now)
        self._links.up_throttle.wake()
        self._links.down_throttle.wake()
        runner.upload_limited(self._links.up_throttle.rate)

    # -- life -----------------------------------------------------------------------------------

    async def prepare(self, *, skip_verify: bool) -> None:
        """Find out which pieces are there already, hashing as little as possible.

        Raises:
            DataMismatchError, StorageError
        """
        await self._keeping.prepare(skip_verify=skip_verify)

    async def load_partials(self, store: PieceStore) -> None:
        """Fetch the blocks of incomplete pieces that an orderly stop has kept; for `begin`."""
        await self._keeping.load_partials(store)

    def begin(self, runner: Runner, *, client: str, listen_port: int | None) -> None:
        """The content is known: join the swarm.

        Raises:
            SwarmError: it has failed meanwhile.
        """
        if self.error is not None:
            raise self.error
        self.runner = runner
        have = self._keeping.have
        priorities = (
            bytes((UNWANTED,)) * len(have)
            if self.is_seeding_only
            else self._selection.priorities(self.metainfo, self.files.layout)
        )
        runner.start(
            have,
            priorities,
            settings=self._settings.engine,
            client=client,
            listen_port=listen_port,
            is_sequential=self._selection.is_sequential,
            partials=self._keeping.take_partials(),
        )
        assert runner.engine is not None
        is_in_doubt = self._keeping.begin(runner)
        if runner.engine.is_complete and (self.is_seeding_only or not is_in_doubt):
            self._finished()
            return
        self._course.state = "downloading"
        self._course.advance()
        if runner.engine.is_complete:
            self._begin_to_finish()

    def _begin_to_finish(self) -> None:
        """Every piece was verified; now look whether the files are still where they were written."""
        if self._finishing is None or self._finishing.done():
            self._finishing = self._loop.create_task(self._finish(), name=f"completing {self.name}")
            watch(self._finishing, self.failed)

    async def _finish(self) -> None:
        await self._keeping.find_gone()
        if self._engine is not None and self._engine.is_complete:
            self._finished()

    def _finished(self) -> None:
        self._course.complete()
        self._keeping.completed(is_whole=self._selection.files is None)

    @property
    def seconds_to_complete(self) -> float | None:
        """The seconds from being added to being complete; None before."""
        return self._course.seconds_to_complete

    def failed(self, error: SwarmError) -> None:
        """It cannot go on: nothing more is fetched that could not be kept; what is known stays."""
        self._course.fail(error)
        if self.runner is not None:
            self.runner.stop()
        self._finder.leave(self.info_hash)

    async def shut(self) -> None:
        """Save what is known; nothing is exchanged any more, and the disk should have no jobs of ours."""
        try:
            if self._finishing is not None:
                self._finishing.cancel()
                await asyncio.gather(self._finishing, return_exceptions=True)
            await self._keeping.save_all()
        except Exception as error:
            # Whoever closes the session has other torrents to close.
            self._course.fail(failure(error, f"saving the state of {self.name}"))
        finally:
            self._keeping.close()
            self._course.stop()

    # -- what its runner tells it ---------------------------------------------------------------

    def pieces_verified(self) -> None:
        """They were written, too."""
        self._keeping.verified()
        self._course.advance()

    def piece_lost(self, piece: int) -> None:
        """`piece` cannot be read any more."""
        self._keeping.lost(piece)

    def became_complete(self) -> None:
        """Everything wanted is verified."""
        self._begin_to_finish()
        self._finder.completed(self.info_hash)

    def reopened(self) -> None:
        """Something wanted is missing again, and fetched as before."""
        self._keeping.reopened()
        self._finder.reopened(self.info_hash)

    def short_of_room(self, error: StorageError) -> None:
        """A good piece could not be written: wait for room, and seed meanwhile."""
        self._keeping.short_of_room(error)

    def notice(self, level: str, text: str) -> None:
        """Note something for the user."""
        self._notices.note(level, text)

    def peer_news(self, news: PeerNews) -> None:
        """Note what became of a peer."""
        self._notices.peer_news(news)
