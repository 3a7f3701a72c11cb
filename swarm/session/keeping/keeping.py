"""Knows what one torrent has on disk: finds it out at the start, keeps it true, saves it at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.base.bitfield import Bitfield
from swarm.base.errors import StorageError, SwarmError
from swarm.engine.events import DownloadHeld
from swarm.engine.stats import EngineStats
from swarm.metainfo.files import Layout
from swarm.metainfo.torrent import Metainfo
from swarm.session.bugs import failure
from swarm.session.course import Course
from swarm.session.keeping.claim import Claim
from swarm.session.keeping.content import Content, part_path
from swarm.session.keeping.doubts import Doubts
from swarm.session.keeping.hold import Hold
from swarm.session.keeping.inspection import Inspection
from swarm.session.keeping.partial_blocks import PartialBlocks
from swarm.session.keeping.state import ResumeKeeper, resume_path
from swarm.session.selection import Selection
from swarm.session.settings import SessionSettings
from swarm.storage import resume
from swarm.storage.disk import Disk
from swarm.storage.faults import storage_error
from swarm.storage.files import ContentFiles
from swarm.storage.pieces import PieceStore

if TYPE_CHECKING:
    from swarm.session.runner import Runner


class Keeping:
    """The one door to this room for a torrent: it has the room's desks, and calls each when it is needed.

    Args:
        place: the content itself, a file or a folder.
        course: the states of the torrent; a full disk pauses it.
        is_seeding_only: the content is the user's own: it is never written to, and must be complete.
        on_notice: (level, text) for the user.
        on_failed: nothing can be kept any more.
    """

    def __init__(
        self,
        metainfo: Metainfo,
        place: Path,
        selection: Selection,
        course: Course,
        settings: SessionSettings,
        disk: Disk,
        *,
        is_seeding_only: bool,
        is_allocating: bool,
        on_notice: Callable[[str, str], None],
        on_failed: Callable[[SwarmError], None],
    ) -> None:
        self._metainfo = metainfo
        self._place = place
        self._course = course
        self._disk = disk
        self.is_seeding_only = is_seeding_only
        self._is_waiting_for_room = settings.is_waiting_for_room
        self._on_notice = on_notice
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        unwanted = selection.unwanted(metainfo)
        self._runner: Runner | None = None
        #: Some of it may have been hashed, which is on no record yet.
        self._is_hashed_in_part = False
        #: The end has come: what a slow disk's threads say from now on begins nothing any more.
        self._is_ending = False
        self.files = ContentFiles(
            place,
            Layout(metainfo.files),
            part_path=part_path(place, metainfo.info_hash),
            unwanted=unwanted,
            is_reading_only=is_seeding_only,
            is_allocating=is_allocating,
            open_files=disk.open_files,
            on_changed=self._file_changed,
        )
        self._content = Content(self.files, metainfo.geometry, unwanted)
        self.inspection = Inspection(metainfo, self.files, disk)
        self._keeper = ResumeKeeper(
            resume_path(settings.state_dir, metainfo.info_hash, place),
            self._content,
            self._record,
            on_notice,
            on_failed=on_failed,
            in_doubt=lambda: self._doubts.pieces(),
            save_s=settings.resume_save_s,
            sync_s=settings.sync_s,
        )
        self._doubts = Doubts(
            self._content,
            self.inspection,
            self._keeper,
            course,
            on_notice,
            on_failed=on_failed,
            retry_s=settings.room_probe_s,
        )
        self._hold = Hold(
            self.files.free_bytes,
            self._missing_bytes,
            self._held,
            on_notice,
            on_failed=on_failed,
            probe_s=settings.room_probe_s,
            # What was allocated is room that the system does not count as free.
            room_bytes=0 if is_allocating else settings.room_to_go_on_bytes,
        )
        self._partials = PartialBlocks(metainfo.geometry)
        self._claim = Claim(settings.state_dir, metainfo.info_hash, place, lambda: selection.paths(metainfo))

    @property
    def have(self) -> Bitfield:
        """The pieces that are verified."""
        return self._content.have

    @property
    def paused_reason(self) -> str:
        """What a download waits for that the disk has no room for; "" where it does not."""
        # The last piece may be written, and all be here, before the hold has seen that there is room.
        return self._hold.reason if self._course.state == "paused" else ""

    # -- before it joins its swarm --------------------------------------------------------------

    async def prepare(self, *, skip_verify: bool) -> None:
        """Find out which pieces are there already, hashing as little as possible.

        Raises:
            DataMismatchError, StorageError
        """
        content = self._content
        await self._patiently(lambda: self._disk.run(self._enter))
        trust = await self.inspection.trust(self._keeper.path, self._on_notice)
        if skip_verify:
            content.have = Bitfield(content.geometry.piece_count, is_full=True)
        else:
            content.have = trust.verified
            if not trust.is_content_unchanged:
                self._keeper.start(trust.synced)
                self._is_hashed_in_part = True
                await self._patiently(
                    lambda: self.inspection.check(content.have, is_whole=self.is_seeding_only)
                )
        if self.is_seeding_only and not content.have.is_full:
            raise self.inspection.mismatch(content.have)
        if not self.is_seeding_only:
            await self._patiently(lambda: self._disk.run(self.files.create_empty))
        self._partials.believe(trust.partials, content.have)
        # The user's own content too may have been put there a moment ago.
        self._keeper.start(trust.synced)
        if content.have.count != trust.synced.count:
            self.files.note_all_unsynced()
            self._keeper.touch()

    def _enter(self) -> None:
        """Make the place ours before anything is read of it; in a thread."""
        if self.is_seeding_only:
            try:
                self._place.stat()
            except OSError as error:
                raise storage_error(error, self._place) from None
            self.files.check_readable()
        else:
            try:
                self._claim.stake()
            except OSError as error:
                reason = storage_error(error, self._claim.path)
                self._on_notice("warning", f"other processes cannot be kept off the download: {reason}")
            self.files.take_from_part()
        # Whatever happens to them from here on is noticed.
        self.files.settle_all()

    async def load_partials(self, store: PieceStore) -> None:
        """Fetch the blocks of incomplete pieces that an orderly stop has kept."""
        if self._partials.masks:
            await self._disk.run(lambda: self._partials.load(store))

    def take_partials(self) -> dict[int, int]:
        """piece -> mask of the blocks that were fetched; they are the engine's from now on."""
        return self._partials.take()

    # -- while it runs --------------------------------------------------------------------------

    def begin(self, runner: Runner) -> bool:
        """The torrent is in its swarm; whether files were changed meanwhile, and are looked at again."""
        self._runner = runner
        return self._doubts.begin(runner.serving)

    @property
    def is_settled(self) -> bool:
        """It is known what is on disk: what is not verified must be fetched."""
        return self._runner is not None

    def is_right(self, piece: int) -> bool:
        """Nobody has changed `piece` on disk, as far as we know."""
        return self._runner is None or self._runner.serving.is_right(piece)

    def verified(self) -> None:
        """Pieces were verified and written."""
        if not self._is_ending:
            self._keeper.touch()

    def lost(self, piece: int) -> None:
        """`piece` cannot be read any more."""
        self._keeper.lost(piece)

    async def find_gone(self) -> None:
        """Look whether the files are still where they were written, and verify again what is not."""
        for index in await self._disk.run(self.files.gone):
            self._doubts.suspect(index)
        await self._doubts.settled()

    def completed(self, *, is_whole: bool) -> None:
        """Everything wanted is here; `is_whole`: and that is all there is."""
        self._keeper.touch()
        if is_whole and not self.is_seeding_only and self.have.is_full:
            # Nothing lies beside the files any more.
            self._disk.submit(self.files.remove_part_file, self._part_file_removed)

    def reopened(self) -> None:
        """Something wanted is missing again."""
        self._course.reopen()
        # It may be the disk without room that has not been seen to have any yet.
        self._held(self._hold.reason)

    def _part_file_removed(self, nothing: None, error: BaseException | None) -> None:
        if isinstance(error, StorageError):
            self._on_notice("warning", str(error))
        elif error is not None:
            self._on_failed(failure(error, f"completing {self._metainfo.name}"))

    def _file_changed(self, index: int) -> None:
        """Somebody else has changed a file; in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
            self._loop.call_soon_threadsafe(self._suspect, index)

    def _suspect(self, index: int) -> None:
        if not (self._course.is_over or self._is_ending):
            self._doubts.suspect(index)

    # -- a disk without room --------------------------------------------------------------------

    def short_of_room(self, error: StorageError) -> None:
        """A good piece could not be written: wait for room, and seed meanwhile."""
        assert self._runner is not None
        if not self._is_ending:
            self._hold.begin(error, self._runner.store.write_kept)

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`; if the disk has no room for it, wait and try again (unless the settings say to fail)."""
        if self._is_waiting_for_room:
            await self._hold.insist(work)
        else:
            await work()

    def _held(self, reason: str) -> None:
        course, runner = self._course, self._runner
        if course.is_over:
            return
        if course.state != "seeding":
            course.state = "paused" if reason else "checking" if runner is None else "downloading"
        if runner is not None:
            runner.tell(DownloadHeld(bool(reason)))

    def _missing_bytes(self) -> int:
        stats = self._stats()
        if stats is not None:
            return stats.missing_bytes
        geometry = self._content.geometry
        return geometry.total_bytes - geometry.pieces_bytes(self.have)

    def _stats(self) -> EngineStats | None:
        engine = self._runner.engine if self._runner is not None else None
        return None if engine is None else engine.stats(self._loop.time())

    # -- the end --------------------------------------------------------------------------------

    async def save_all(self) -> None:
        """Save what is known; the disk should have no jobs of ours any more."""
        self._is_ending = True
        await self._hold.stop()
        await self._doubts.stop()
        await self._keeper.stop()
        runner = self._runner
        if runner is not None:
            # Somebody may have made room, and nobody has looked since.
            await runner.store.write_kept()
            await self._disk.run(lambda: self._keep_partials(runner))
            if self.have.count or self._partials.masks or os.path.exists(self._keeper.path):
                await self._keeper.save(is_clean=True)
        elif self._is_hashed_in_part:
            # Of what is not verified nobody knows yet whether it is there.
            await self._keeper.save(is_clean=True, is_unsure=True)

    def _keep_partials(self, runner: Runner) -> None:
        """In a thread, when all has stopped."""
        if runner.engine is not None and not self.is_seeding_only and self._course.state != "failed":
            self._partials.keep(runner.engine.partial_blocks(), runner.store, self._on_notice)

    def _record(self, synced: Bitfield) -> resume.ResumeRecord:
        stats = self._stats()
        return resume.ResumeRecord(
            info_hash=self._metainfo.info_hash,
            content_path=str(self._place),
            verified=self.have.copy(),
            synced=synced,
            signature=[],
            is_clean=False,
            saved_at_ns=time.time_ns(),
            boot_id=resume.boot_id(),
            downloaded_bytes=stats.downloaded_bytes if stats else 0,
            uploaded_bytes=stats.uploaded_bytes if stats else 0,
            partials=dict(self._partials.masks),
        )

    def close(self) -> None:
        """Let go of the files, and of their place."""
        self.files.close()
        self._claim.release()
