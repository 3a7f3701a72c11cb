"""Verifies again what somebody else may have changed on disk, and has it fetched again where it is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from swarm.base.bitfield import Bitfield
from swarm.base.errors import StorageError, SwarmError
from swarm.session.bugs import watch
from swarm.session.course import Course
from swarm.session.keeping.content import Content
from swarm.session.keeping.state import ResumeKeeper

#: Pieces verified at a time: those that peers wait for are never far behind.
_BATCH_PIECES = 32


class Server(Protocol):
    """What serves pieces: none between the two calls."""

    def doubt(self, pieces: Iterable[int]) -> None: ...
    def settle(self, piece: int, *, is_good: bool) -> None: ...
    def settle_rest(self) -> None: ...


class Inspector(Protocol):
    """The inspection."""

    async def matching(self, pieces: Sequence[int]) -> Bitfield: ...


class Doubts:
    """Files under suspicion, and the one task that goes through them.

    Args:
        keeper: told of each piece that does not match, before its peers are.
        on_failed: nothing can be found out.
        retry_s: after so long it is looked again where that was not possible.
    """

    def __init__(
        self,
        content: Content,
        inspection: Inspector,
        keeper: ResumeKeeper,
        course: Course,
        on_notice: Callable[[str, str], None],
        *,
        on_failed: Callable[[SwarmError], None],
        retry_s: float,
    ) -> None:
        self._content = content
        self._inspection = inspection
        self._keeper = keeper
        self._course = course
        self._on_notice = on_notice
        self._on_failed = on_failed
        self._retry_s = retry_s
        #: None as long as nothing is served; whatever is changed until then is looked at afterwards.
        self._server: Server | None = None
        self._suspects: dict[int, None] = {}
        #: Of the file that is being looked at what is not verified again yet.
        self._unsettled: dict[int, None] = {}
        self._task: asyncio.Task[None] | None = None

    def begin(self, server: Server) -> bool:
        """From now on pieces are served; whether there are files to look at."""
        self._server = server
        early = list(self._suspects)
        for index in early:
            self.suspect(index)
        return bool(early)

    def pieces(self) -> list[int]:
        """All pieces in doubt; what was not looked at when it was stopped stays so."""
        of_suspects = (piece for index in self._suspects for piece in self._content.pieces_of(index))
        return [*self._unsettled, *of_suspects]

    def suspect(self, index: int) -> None:
        """File `index` is not as we left it; on the loop."""
        self._suspects[index] = None
        if self._server is None:
            return
        self._doubt(index, self._server)
        if self._task is None or self._task.done():
            settling = self._settle_all(self._server)
            self._task = asyncio.get_running_loop().create_task(settling, name="verifying what was changed")
            watch(self._task, self._on_failed)

    def _doubt(self, index: int, server: Server) -> list[int]:
        have = self._content.have
        pieces = [piece for piece in self._content.pieces_of(index) if piece in have]
        server.doubt(pieces)
        return pieces

    async def settled(self) -> None:
        """Wait until nothing is in doubt any more."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _settle_all(self, server: Server) -> None:
        while self._suspects:
            index = next(iter(self._suspects))
            self._unsettled = dict.fromkeys(self._content.pieces_of(index))
            del self._suspects[index]
            await self._settle(index, server)
            self._unsettled = {}
        server.settle_rest()
        # There is more that may be read, and worth saving.
        self._keeper.touch()
        self._course.advance()

    async def _settle(self, index: int, server: Server) -> None:
        # First the look, then the hashing: a change in between is noticed as the next one.
        await asyncio.to_thread(self._content.files.settle, index)
        pieces = self._doubt(index, server)
        lost = 0
        for at in range(0, len(pieces), _BATCH_PIECES):
            batch = pieces[at : at + _BATCH_PIECES]
            good = await self._matching(batch)
            for piece in batch:
                if piece not in good:
                    lost += 1
                    self._keeper.lost(piece)
                server.settle(piece, is_good=piece in good)
                if piece not in good:
                    # Where all has stopped nobody else does it, and the record must not say that it is there.
                    self._content.have.discard(piece)
                del self._unsettled[piece]
        said = f"{lost} of {len(pieces)} pieces do not match any more" if lost else "its content is right"
        self._on_notice(
            "warning" if lost else "info",
            f"{self._content.files.path_of(index)} was changed by somebody else: {said}",
        )

    async def _matching(self, pieces: Sequence[int]) -> Bitfield:
        while True:
            try:
                return await self._inspection.matching(pieces)
            except StorageError:
                # For want of descriptors nothing can be said; whoever waits for these pieces waits on.
                await asyncio.sleep(self._retry_s)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
