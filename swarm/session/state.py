"""Keeps one torrent's resume data no more than a few seconds behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from swarm.base.bitfield import Bitfield
from swarm.base.errors import StorageError
from swarm.base.ids import InfoHash
from swarm.storage import resume
from swarm.storage.files import ContentFiles


def resume_path(state_dir: Path, info_hash: InfoHash, content: Path) -> Path:
    """Where the resume data of one torrent in one place lives."""
    place = hashlib.sha1(os.fsencode(content)).hexdigest()[:8]
    return state_dir / f"{info_hash}-{place}.resume"


class ResumeKeeper:
    """Saves a record soon after something changed, and syncs content to the disk now and then.

    Args:
        snapshot: makes the record to save; called on the loop.
        on_notice: (level, text) for the user.
    """

    def __init__(
        self,
        path: Path,
        files: ContentFiles,
        snapshot: Callable[[Bitfield], resume.ResumeRecord],
        have: Callable[[], Bitfield],
        on_notice: Callable[[str, str], None],
        *,
        save_s: float,
        sync_s: float,
    ) -> None:
        self.path = path
        self._files = files
        self._snapshot = snapshot
        self._have = have
        self._on_notice = on_notice
        self._save_s = save_s
        self._sync_s = sync_s
        self._task: asyncio.Task[None] | None = None
        self._is_dirty = False
        self._saving = asyncio.Lock()
        self._synced = Bitfield(0)
        self._synced_at = float("-inf")
        self._has_warned = False

    def start(self, synced: Bitfield) -> None:
        """`synced`: the pieces known to be on the disk already."""
        self._synced = synced.copy()
        self._synced_at = asyncio.get_running_loop().time()

    def touch(self) -> None:
        """Something worth saving has happened; nothing runs while nothing does."""
        self._is_dirty = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        # It ends only when the disk has it all: what came last must survive a power cut as well.
        while self._is_dirty or self._synced.count != self._have().count:
            await asyncio.sleep(self._save_s)
            if loop.time() - self._synced_at >= self._sync_s:
                await self._sync()
                self._is_dirty = True
            if self._is_dirty:
                await self.save(is_clean=False)

    async def _sync(self) -> None:
        synced = self._have().copy()
        self._synced_at = asyncio.get_running_loop().time()
        try:
            # A thread of its own: a slow disk must not keep the hashing threads waiting.
            await asyncio.to_thread(self._files.sync)
        except StorageError as error:
            self._warn(error)
            return
        self._synced = synced

    async def save(self, *, is_clean: bool) -> None:
        """Write the record now; where the caller is cancelled, it is written all the same."""
        await asyncio.shield(asyncio.ensure_future(self._save(is_clean=is_clean)))

    async def _save(self, *, is_clean: bool) -> None:
        async with self._saving:
            await self._save_alone(is_clean=is_clean)

    async def _save_alone(self, *, is_clean: bool) -> None:
        self._is_dirty = False
        record = self._snapshot(self._synced)
        record.is_clean = is_clean
        try:
            record.signature = await asyncio.to_thread(self._files.signature)
            await resume.save(self.path, record)
        except StorageError as error:
            self._is_dirty = True
            self._warn(error)

    def _warn(self, error: StorageError) -> None:
        if not self._has_warned:
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
