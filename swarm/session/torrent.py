"""One torrent of a session: the handle that users of the library hold."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.base.bitfield import Bitfield
from swarm.base.errors import StorageError, SwarmError
from swarm.base.ids import InfoHash
from swarm.engine.download.picker import UNWANTED
from swarm.engine.events import DownloadHeld
from swarm.engine.stats import PeerStats
from swarm.metainfo.files import Layout
from swarm.metainfo.torrent import Metainfo
from swarm.session.bugs import failure, watch
from swarm.session.course import Course
from swarm.session.finding.sources import SourceStatus, Totals
from swarm.session.keeping.claim import Claim
from swarm.session.keeping.doubts import Doubts
from swarm.session.keeping.hold import Hold
from swarm.session.keeping.inspection import Inspection
from swarm.session.keeping.partial_blocks import PartialBlocks
from swarm.session.keeping.state import ResumeKeeper, resume_path
from swarm.session.notices import Notice, Notices, PeerNews
from swarm.session.progress import Progress, State
from swarm.session.reading import Reading
from swarm.session.runner import Runner
from swarm.session.selection import Selection
from swarm.session.settings import SessionSettings
from swarm.storage import resume
from swarm.storage.disk import Disk
from swarm.storage.faults import storage_error
from swarm.storage.files import ContentFiles
from swarm.storage.pieces import PieceStore

if TYPE_CHECKING:
    from swarm.session.explaining import HostFacts, Reason


class Torrent:
    """A torrent that is being downloaded or seeded; `Session.add` makes it.

    Args:
        is_seeding_only: the content is the user's own: it is never written to, and must be complete.
        on_failed: it cannot go on; whoever hears of it stops what others do for it, and calls `failed`.
    """

    def __init__(
        self,
        metainfo: Metainfo,
        content: Path,
        selection: Selection,
        settings: SessionSettings,
        disk: Disk,
        *,
        is_seeding_only: bool,
        is_allocating: bool,
        on_failed: Callable[[Torrent, SwarmError], None],
    ) -> None:
        self.metainfo = metainfo
        self.content = content
        self.is_seeding_only = is_seeding_only
        self._settings = settings
        self._selection = selection
        self._disk = disk
        self._on_failed = partial(on_failed, self)
        self._layout = Layout(metainfo.files)
        self.files = ContentFiles(
            content,
            self._layout,
            part_path=content.with_name(f".{content.name[:100]}.{metainfo.info_hash.hex()[:8]}.part"),
            unwanted=selection.unwanted(metainfo),
            is_reading_only=is_seeding_only,
            is_allocating=is_allocating,
            on_changed=self._file_changed,
        )
        self._loop = asyncio.get_running_loop()
        self._finishing: asyncio.Task[None] | None = None
        self._course = Course(metainfo.name)
        self._inspection = Inspection(metainfo, self._layout, self.files, disk)
        self._notices = Notices()
        self.runner: Runner | None = None
        #: How it stands with the trackers and the other sources of peers; none before it has joined.
        self.sources: Callable[[], list[SourceStatus]] = list
        #: Our limits as they stand; the session, which sets them, gives it.
        self.host_facts: Callable[[], HostFacts] | None = None
        self._keeper = ResumeKeeper(
            resume_path(settings.state_dir, metainfo.info_hash, content),
            self.files,
            self._record,
            lambda: self._have,
            self._pieces_of,
            self.notice,
            on_failed=self._on_failed,
            save_s=settings.resume_save_s,
            sync_s=settings.sync_s,
        )
        self._doubts = Doubts(
            self.files,
            lambda: self._have,
            self._pieces_of,
            lambda pieces: asyncio.ensure_future(self._inspection.matching(pieces)),
            lambda: self.runner,
            on_lost=self._keeper.lost,
            on_done=self.pieces_verified,
            on_notice=self.notice,
            on_failed=self._on_failed,
            retry_s=settings.room_probe_s,
        )
        self._hold = Hold(
            self.files.free_bytes,
            self._missing_bytes,
            self._held,
            self.notice,
            on_failed=self._on_failed,
            probe_s=settings.room_probe_s,
            # What was allocated is room that the system does not count as free.
            room_bytes=0 if is_allocating else settings.room_to_go_on_bytes,
        )
        self._partials = PartialBlocks(metainfo.geometry)
        self._claim = Claim(self._keeper.path, content, self.wanted_paths)
        self._have = Bitfield(metainfo.geometry.piece_count)
        self._reading = Reading(
            metainfo,
            self._layout,
            self.files,
            disk,
            self._course,
            selection,
            have=lambda: self._have,
            is_settled=lambda: self.runner is not None,
            is_right=lambda piece: self.runner is None or self.runner.is_right(piece),
            is_seeding_only=is_seeding_only,
        )
        #: Files that somebody has changed before we joined the swarm.
        self._changed_early: dict[int, None] = {}

    # -- what users see -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.metainfo.name

    @property
    def info_hash(self) -> InfoHash:
        return self.metainfo.info_hash

    @property
    def wanted_paths(self) -> frozenset[tuple[str, ...]]:
        """The files that it may write to, below `content`."""
        return self._selection.paths(self.metainfo)

    @property
    def state(self) -> State:
        return self._course.state

    def snapshot(self) -> Progress:
        """How it stands now."""
        geometry = self.metainfo.geometry
        engine = self.runner.engine if self.runner is not None else None
        if engine is None:
            stats = None
            done = geometry.pieces_bytes(self._have)
            missing = geometry.total_bytes - done
        else:
            stats = engine.stats(asyncio.get_running_loop().time())
            done, missing = stats.done_bytes, stats.missing_bytes
        return Progress(
            state=self.state,
            name=self.name,
            done_bytes=done,
            wanted_bytes=done + missing,
            total_bytes=geometry.total_bytes,
            checked_bytes=self._inspection.checked_bytes,
            checking_bytes=self._inspection.checking_bytes,
            downloaded_bytes=stats.downloaded_bytes if stats else 0,
            uploaded_bytes=stats.uploaded_bytes if stats else 0,
            wasted_bytes=stats.wasted_bytes if stats else 0,
            failed_pieces=stats.failed_pieces if stats else 0,
            down_bytes_per_s=stats.down_bytes_per_s if stats else 0.0,
            up_bytes_per_s=stats.up_bytes_per_s if stats else 0.0,
            peers=stats.peers if stats else 0,
            seeds=stats.seeds if stats else 0,
            pieces_done=self._have.count,
            pieces_total=geometry.piece_count,
            seconds=self._course.seconds,
            paused_reason=self._paused_reason,
        )

    @property
    def _paused_reason(self) -> str:
        # The last piece may be written, and all be here, before the hold has seen that there is room.
        return self._hold.reason if self.state == "paused" else ""

    def totals(self) -> Totals:
        """What trackers are told."""
        now = self.snapshot()
        engine = self.runner.engine if self.runner is not None else None
        return Totals(
            now.uploaded_bytes,
            now.downloaded_bytes,
            now.total_bytes - now.done_bytes,
            is_complete=engine is not None and engine.is_complete,
        )

    def peers(self) -> list[PeerStats]:
        """One row a connected peer."""
        if self.runner is None or self.runner.engine is None:
            return []
        return self.runner.engine.peers(asyncio.get_running_loop().time())

    def explain(self) -> list[Reason]:
        """Why it does not go faster, what matters most first; empty where everybody gives all we ask for."""
        from swarm.session.explaining import Checking, DiskHeld, Ended, HostFacts, Reason, of_download

        if self._course.is_over:
            return [Reason(1.0, Ended(str(self.error or "it was stopped")))]
        if self._paused_reason:
            return [Reason(1.0, DiskHeld(self._paused_reason))]
        engine = self.runner.engine if self.runner is not None else None
        if engine is None:
            checked, checking = self._inspection.checked_bytes, self._inspection.checking_bytes
            return [Reason(1.0, Checking(checked, checking))]
        facts = HostFacts() if self.host_facts is None else self.host_facts()
        return of_download(engine.explain(self._loop.time()), facts, self.sources())

    async def progress(self, interval_s: float = 1.0) -> AsyncIterator[Progress]:
        """Yield a snapshot now and every `interval_s`, one more when it is complete, until it ends."""
        async for _ in self._course.beats(interval_s):
            yield self.snapshot()

    async def completed(self) -> None:
        """Wait until everything wanted is here and verified.

        Raises:
            StorageError: the disk failed. DataMismatchError: content to be seeded is not complete.
            SwarmError: it was stopped before.
        """
        await self._course.completed()

    async def read(self, offset: int, length: int) -> bytes:
        """`length` bytes of the content (its files end to end) from `offset` on, once they are verified.

        It waits for what is on its way; what somebody else has changed on disk is verified again first, and
        fetched again where it does not match. Reading selects nothing: what nobody will fetch is refused.

        Raises:
            IndexError: the range goes beyond the content.
            SettingsError: some of it is not here, and belongs to files that were not selected.
            StorageError: the disk failed, or a seed's content is not what it was.
            SwarmError: the torrent ended before the bytes were here.
        """
        return await self._reading.read(offset, length)

    @property
    def error(self) -> SwarmError | None:
        """Why it failed, if it did."""
        return self._course.error

    def notices(self) -> list[Notice]:
        """Take what it had to say since the last call."""
        return self._notices.take()

    # -- life -----------------------------------------------------------------------------------

    def notice(self, level: str, text: str) -> None:
        """Note something for the user."""
        self._notices.note(level, text)

    def peer_news(self, news: PeerNews) -> None:
        """Note what became of a peer."""
        self._notices.peer_news(news)

    async def prepare(self, *, skip_verify: bool) -> Bitfield:
        """Find out which pieces are there already, hashing as little as possible.

        Raises:
            DataMismatchError, StorageError
        """
        geometry = self.metainfo.geometry
        await self._patiently(lambda: self._disk.run(self._enter))
        # Whatever happens to them from here on is noticed.
        await self._disk.run(self.files.settle_all)
        trust = await self._inspection.trust(self._keeper.path, self.notice)
        if skip_verify:
            self._have = Bitfield(geometry.piece_count, is_full=True)
        else:
            self._have = trust.verified
            if not trust.is_content_unchanged:
                await self._patiently(
                    lambda: self._inspection.check(self._have, is_whole=self.is_seeding_only)
                )
        if self.is_seeding_only and not self._have.is_full:
            raise self._inspection.mismatch(self._have)
        if not self.is_seeding_only:
            await self._patiently(lambda: self._disk.run(self.files.create_empty))
        self._partials.believe(trust.partials, self._have)
        if self.is_seeding_only:
            self._keeper.start(self._have)
        else:
            self._keeper.start(trust.synced)
            if self._have.count != trust.synced.count:
                self.files.note_all_dirty()
                self._keeper.touch()
        return self._have

    def _enter(self) -> None:
        """Make the place ours before anything is read of it; in a thread."""
        if self.is_seeding_only:
            try:
                self.content.stat()
            except OSError as error:
                raise storage_error(error, self.content) from None
            self.files.check_readable()
            return
        try:
            self._claim.stake()
        except OSError as error:
            reason = storage_error(error, self._claim.path)
            self.notice("warning", f"other processes cannot be kept off the download: {reason}")
        self.files.take_from_part()

    async def load_partials(self, store: PieceStore) -> None:
        """Fetch the blocks of incomplete pieces that an orderly stop has kept; for `begin`."""
        await self._disk.run(lambda: self._partials.load(store))

    def _keep_partials(self, runner: Runner) -> None:
        """In a thread, when all has stopped."""
        if runner.engine is not None and not self.is_seeding_only and self.state != "failed":
            self._partials.keep(runner.engine.partial_blocks(), runner.store, self.notice)

    def begin(self, runner: Runner, *, client: str, listen_port: int | None) -> None:
        """The content is known: join the swarm.

        Raises:
            SwarmError: it has failed meanwhile.
        """
        if self.error is not None:
            raise self.error
        self.runner = runner
        priorities = (
            bytes((UNWANTED,)) * len(self._have)
            if self.is_seeding_only
            else self._selection.priorities(self.metainfo, self._layout)
        )
        runner.start(
            self._have,
            priorities,
            settings=self._settings.engine,
            client=client,
            listen_port=listen_port,
            is_sequential=self._selection.is_sequential,
            partials=self._partials.take(),
        )
        assert runner.engine is not None
        for index in self._changed_early:
            self._doubts.suspect(index)
        if runner.engine.is_complete and (self.is_seeding_only or not self._changed_early):
            self._finished()
            return
        self._course.state = "downloading"
        self._course.advance()
        if runner.engine.is_complete:
            self.became_complete()

    def became_complete(self) -> None:
        """Every piece was verified; now look whether the files are still where they were written."""
        if self._finishing is None or self._finishing.done():
            self._finishing = self._loop.create_task(self._finish(), name=f"completing {self.name}")
            watch(self._finishing, self._on_failed)

    async def _finish(self) -> None:
        for index in await self._disk.run(self.files.gone):
            self._doubts.suspect(index)
        await self._doubts.settled()
        if self.runner is not None and self.runner.engine is not None and self.runner.engine.is_complete:
            self._finished()

    def _finished(self) -> None:
        self._course.complete()
        self._keeper.touch()
        if not self.is_seeding_only and self._have.is_full and self._selection.files is None:
            # Nothing lies beside the files any more.
            self._disk.submit(self.files.remove_part_file, self._part_file_removed)

    def _part_file_removed(self, nothing: None, error: BaseException | None) -> None:
        if isinstance(error, StorageError):
            self.notice("warning", str(error))
        elif error is not None:
            self._on_failed(failure(error, f"completing {self.name}"))

    @property
    def seconds_to_complete(self) -> float | None:
        """From being added to being complete; None before."""
        return self._course.seconds_to_complete

    def pieces_verified(self) -> None:
        """There is more that may be read, and worth saving."""
        self._keeper.touch()
        self._course.advance()

    # -- what others do to our files ------------------------------------------------------------

    def _file_changed(self, index: int) -> None:
        """In any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
            self._loop.call_soon_threadsafe(self._suspect, index)

    def _suspect(self, index: int) -> None:
        if self._course.is_over:
            return
        if self.runner is None:
            # What was hashed before the change is looked at again.
            self._changed_early[index] = None
        else:
            self._doubts.suspect(index)

    def _pieces_of(self, index: int) -> Iterable[int]:
        """The pieces that hold bytes of a file; of the part file those of all that is not selected."""
        if index != ContentFiles.PART:
            return self._layout.pieces_of(index, self.metainfo.geometry)
        unwanted = sorted(self._selection.unwanted(self.metainfo))
        return dict.fromkeys(piece for one in unwanted for piece in self._pieces_of(one))

    def piece_lost(self, piece: int) -> None:
        """`piece` cannot be read any more."""
        self._keeper.lost(piece)

    # -- a disk without room --------------------------------------------------------------------

    def short_of_room(self, error: StorageError) -> None:
        """A good piece could not be written: wait for room, and seed meanwhile."""
        assert self.runner is not None
        self._hold.begin(error, self.runner.store.write_kept)

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`, as soon as the disk has room for it."""
        if self._settings.is_waiting_for_room:
            await self._hold.insist(work)
        else:
            await work()

    def _held(self, reason: str) -> None:
        if self._course.is_over:
            return
        if self.state != "seeding":
            self._course.state = "paused" if reason else "checking" if self.runner is None else "downloading"
        if self.runner is not None:
            self.runner.tell(DownloadHeld(bool(reason)))

    def _missing_bytes(self) -> int:
        now = self.snapshot()
        return now.wanted_bytes - now.done_bytes

    def failed(self, error: SwarmError) -> None:
        """It cannot go on."""
        self._course.fail(error)

    def _record(self, synced: Bitfield) -> resume.ResumeRecord:
        stats = self.snapshot()
        return resume.ResumeRecord(
            info_hash=self.info_hash,
            content_path=str(self.content),
            verified=self._have.copy(),
            synced=synced,
            signature=[],
            is_clean=False,
            saved_at_ns=time.time_ns(),
            boot_id=resume.boot_id(),
            downloaded_bytes=stats.downloaded_bytes,
            uploaded_bytes=stats.uploaded_bytes,
            partials=dict(self._partials.masks),
        )

    async def shut(self) -> None:
        """Stop exchanging and save what is known; the disk must have no jobs of ours any more."""
        try:
            await self._save_all()
        except Exception as error:
            # Whoever closes the session has other torrents to close.
            self.failed(failure(error, f"saving the state of {self.name}"))
        finally:
            self.files.close()
            self._claim.release()
            self._course.stop()

    async def _save_all(self) -> None:
        await self._hold.stop()
        await self._doubts.stop()
        if self._finishing is not None:
            self._finishing.cancel()
            await asyncio.gather(self._finishing, return_exceptions=True)
        await self._keeper.stop()
        runner = self.runner
        if runner is not None:
            await self._disk.run(lambda: self._keep_partials(runner))
            if self._have.count or self._partials.masks or os.path.exists(self._keeper.path):
                await self._keeper.save(is_clean=True)
