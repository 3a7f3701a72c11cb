"""Verifies again what somebody else may have changed on disk, and has it fetched again where it is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from swarm.base.bitfield import Bitfield
from swarm.base.errors import StorageError, SwarmError
from swarm.session.bugs import watch
from swarm.storage.files import ContentFiles

#: Pieces verified at a time: those that peers wait for are never far behind.
_BATCH_PIECES = 32


class Server(Protocol):
    """The runner: it serves no piece between the two calls."""

    def doubt(self, pieces: Iterable[int]) -> None: ...
    def settle(self, piece: int, *, is_good: bool) -> None: ...
    def settle_rest(self) -> None: ...


class Doubts:
    """Files under suspicion, and the one task that goes through them.

    Args:
        pieces_of: file -> its pieces.
        check: which of these pieces match (see `storage.check`).
        on_lost: told of each piece that does not, before its peers are.
        on_done: what was found out is worth saving.
        on_failed: nothing can be found out.
        retry_s: after so long it is looked again where that was not possible.
    """

    def __init__(
        self,
        files: ContentFiles,
        have: Callable[[], Bitfield],
        pieces_of: Callable[[int], Iterable[int]],
        check: Callable[[Sequence[int]], asyncio.Future[Bitfield]],
        server: Callable[[], Server | None],
        *,
        on_lost: Callable[[int], None],
        on_done: Callable[[], None],
        on_notice: Callable[[str, str], None],
        on_failed: Callable[[SwarmError], None],
        retry_s: float,
    ) -> None:
        self._files = files
        self._have = have
        self._pieces_of = pieces_of
        self._check = check
        self._server = server
        self._on_lost = on_lost
        self._on_done = on_done
        self._on_notice = on_notice
        self._on_failed = on_failed
        self._retry_s = retry_s
        self._suspects: dict[int, None] = {}
        self._task: asyncio.Task[None] | None = None

    def suspect(self, index: int) -> None:
        """File `index` is not as we left it; on the loop."""
        self._suspects[index] = None
        self._doubt(index)
        if self._task is None or self._task.done():
            settling = self._settle_all()
            self._task = asyncio.get_running_loop().create_task(settling, name="verifying what was changed")
            watch(self._task, self._on_failed)

    def _doubt(self, index: int) -> list[int]:
        have = self._have()
        pieces = [piece for piece in self._pieces_of(index) if piece in have]
        server = self._server()
        if server is not None:
            server.doubt(pieces)
        return pieces

    async def settled(self) -> None:
        """Wait until nothing is in doubt any more."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _settle_all(self) -> None:
        while self._suspects:
            index = next(iter(self._suspects))
            del self._suspects[index]
            await self._settle(index)
        server = self._server()
        if server is not None:
            server.settle_rest()
        self._on_done()

    async def _settle(self, index: int) -> None:
        # First the look, then the hashing: a change in between is noticed as the next one.
        await asyncio.to_thread(self._files.settle, index)
        pieces = self._doubt(index)
        lost = 0
        for at in range(0, len(pieces), _BATCH_PIECES):
            batch = pieces[at : at + _BATCH_PIECES]
            good = await self._matching(batch)
            server = self._server()
            for piece in batch:
                if piece not in good:
                    lost += 1
                    self._on_lost(piece)
                if server is not None:
                    server.settle(piece, is_good=piece in good)
        said = f"{lost} of {len(pieces)} pieces do not match any more" if lost else "its content is right"
        self._on_notice(
            "warning" if lost else "info",
            f"{self._files.path_of(index)} was changed by somebody else: {said}",
        )

    async def _matching(self, pieces: Sequence[int]) -> Bitfield:
        while True:
            try:
                return await self._check(pieces)
            except StorageError:
                # For want of descriptors nothing can be said; whoever waits for these pieces waits on.
                await asyncio.sleep(self._retry_s)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
