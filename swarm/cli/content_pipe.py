"""`swarm leech --stdout`: content goes to stdout, in order, as it is verified."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarm.session.torrent import Torrent

#: What is read and written at a time.
_STEP_BYTES = 1 << 20


class ContentPipe:
    """Writes one file of a torrent to stdout.

    Args:
        file: offset in the content and length, in bytes.
    """

    def __init__(self, file: tuple[int, int]) -> None:
        self._offset, self._length = file
        self._descriptor = sys.stdout.fileno()

    async def pump(self, torrent: Torrent) -> None:
        """Write everything.

        Raises:
            SwarmError: the torrent ended before, or the disk failed.
            BrokenPipeError, OSError: nobody reads any more.
        """
        at, end = self._offset, self._offset + self._length
        while at < end:
            data = await torrent.read(at, min(_STEP_BYTES, end - at))
            await self._write(data)
            at += len(data)

    async def _write(self, data: bytes) -> None:
        # A reader may pause for ever, so this is a daemon thread, which does not keep the process from ending
        # as that of an executor would. A non-blocking stdout would be so for other processes as well.
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()

        def tell(error: OSError | None) -> None:
            if written.cancelled():
                return
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)

        def work() -> None:
            failure: OSError | None = None
            left = memoryview(data)
            try:
                while left:
                    left = left[os.write(self._descriptor, left) :]
            except OSError as error:
                failure = error
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, failure)

        threading.Thread(target=work, name="swarm-stdout", daemon=True).start()
        await written
