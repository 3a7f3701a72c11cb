"""Keeps one torrent's resume data no more than a few seconds behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from swarm.base.bitfield import Bitfield
from swarm.base.errors import StorageError, SwarmError
from swarm.base.ids import InfoHash
from swarm.session.bugs import watch
from swarm.session.keeping.content import Content
from swarm.storage import resume
from swarm.storage.files import ABSENT


def resume_path(state_dir: Path, info_hash: InfoHash, content: Path) -> Path:
    """Where the resume data of one torrent in one place lives."""
    return state_dir / f"{info_hash}-{place_name(content)}.resume"


def place_name(content: Path | str) -> str:
    """What stands for a place in the names of our own files."""
    return hashlib.sha1(os.fsencode(content)).hexdigest()[:8]


class ResumeKeeper:
    """Saves a record soon after something changed, and syncs content to the disk now and then.

    Args:
        snapshot: makes the record to save; called on the loop.
        on_notice: (level, text) for the user.
        on_failed: nothing is kept any more.
        in_doubt: the pieces that are being verified again, or will be.
    """

    def __init__(
        self,
        path: Path,
        content: Content,
        snapshot: Callable[[Bitfield], resume.ResumeRecord],
        on_notice: Callable[[str, str], None],
        *,
        on_failed: Callable[[SwarmError], None],
        in_doubt: Callable[[], Iterable[int]] = tuple,
        save_s: float,
        sync_s: float,
    ) -> None:
        self.path = path
        self._content = content
        self._snapshot = snapshot
        self._on_notice = on_notice
        self._on_failed = on_failed
        self._in_doubt = in_doubt
        self._save_s = save_s
        self._sync_s = sync_s
        self._task: asyncio.Task[None] | None = None
        self._is_dirty = False
        self._saving = asyncio.Lock()
        self._synced = Bitfield(0)
        #: What will be synced when the sync under way has succeeded.
        self._syncing = Bitfield(0)
        self._synced_at = float("-inf")
        #: Pieces that were written before a sync that failed. Linux throws such pages away and reports
        #: success from then on ("fsyncgate"): only hashing can tell what is on the disk.
        self._doubtful = Bitfield(0)
        self._has_warned = False

    def start(self, synced: Bitfield) -> None:
        """`synced`: the pieces known to be on the disk already."""
        self._synced = synced.copy()
        self._syncing = synced.copy()
        self._doubtful = Bitfield(len(synced))
        self._synced_at = asyncio.get_running_loop().time()

    def lost(self, piece: int) -> None:
        """`piece` is not on the disk any more; it must be written and synced anew."""
        self._synced.discard(piece)
        self._syncing.discard(piece)

    def touch(self) -> None:
        """Something worth saving has happened; nothing runs while nothing does."""
        self._is_dirty = True
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._keep(), name=f"keeping {self.path.name}")
            watch(self._task, self._on_failed)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        # It ends only when the disk has it all: what came last must survive a power cut as well.
        while self._is_dirty or any(piece not in self._synced for piece in self._trusted()):
            await asyncio.sleep(self._save_s)
            if loop.time() - self._synced_at >= self._sync_s:
                await self.sync()
                self._is_dirty = True
            if self._is_dirty:
                await self.save(is_clean=False)

    def _trusted(self) -> Bitfield:
        """What we have, without what a failed sync may have lost, or somebody else may have changed."""
        trusted = self._content.have.copy()
        for piece in (*self._doubtful, *self._in_doubt()):
            trusted.discard(piece)
        return trusted

    async def sync(self) -> None:
        """Force what was written to the disk; a failure is told to the user and remembered."""
        self._syncing = self._trusted()
        self._synced_at = asyncio.get_running_loop().time()
        try:
            # A thread of its own: a slow disk must not keep the hashing threads waiting.
            await asyncio.to_thread(self._content.files.sync)
        except StorageError as error:
            for piece in self._content.have:
                if piece not in self._synced:
                    self._doubtful.add(piece)
            self._warn(error)
            return
        self._synced = self._syncing.copy()

    async def save(self, *, is_clean: bool, is_unsure: bool = False) -> None:
        """Write the record now; where the caller is cancelled, it is written all the same.

        The arguments are those of `ResumeRecord`.
        """
        await asyncio.shield(asyncio.ensure_future(self._save(is_clean=is_clean, is_unsure=is_unsure)))

    async def _save(self, *, is_clean: bool, is_unsure: bool) -> None:
        async with self._saving:
            await self._save_alone(is_clean=is_clean, is_unsure=is_unsure)

    async def _save_alone(self, *, is_clean: bool, is_unsure: bool) -> None:
        self._is_dirty = False
        record = self._snapshot(self._synced.copy())
        record.verified = self._trusted()
        in_doubt = (*self._doubtful, *self._in_doubt())
        for piece in in_doubt:
            record.synced.discard(piece)
        # Where something is in doubt the next run has to look: what is not verified may be there.
        record.is_unsure = is_unsure or bool(in_doubt)
        # What others write to the files from now on is not ours, and they may be writing just now.
        record.is_clean = is_clean
        try:
            await asyncio.to_thread(self._sign, record)
            # Meanwhile a file may have been found changed, and been taken as it is, to be verified again.
            for piece in record.verified.without(self._trusted()):
                record.verified.discard(piece)
                record.synced.discard(piece)
            await resume.save(self.path, record)
        except StorageError as error:
            self._is_dirty = True
            # Of the last record it is said even if it was said before: who leaves should know how it ended.
            self._warn(error, is_last=is_clean)

    def _sign(self, record: resume.ResumeRecord) -> None:
        """Note how the files look, and nothing of those that are not as we left them; in a thread.

        Nobody may have read such a file since, so that nothing is in doubt: the next run has to look.
        """
        record.signature = self._content.files.signature()
        for index, signed in enumerate(record.signature):
            if signed == ABSENT:
                for piece in self._content.pieces_of(index):
                    record.verified.discard(piece)
                    record.synced.discard(piece)

    def _warn(self, error: StorageError, *, is_last: bool = False) -> None:
        if is_last or not self._has_warned:
            self._has_warned = True
            self._on_notice("warning", f"the state of the download cannot be saved: {error}")

    async def stop(self) -> None:
        """End the keeping; the caller saves the last record itself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        async with self._saving:
            pass  # a save that was under way is done
