"""A process that downloads with the library and prints how many pieces it has, until it is killed.

Arguments: torrent, folder, state folder, port of a peer on loopback, seconds between saves.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from swarm import Session, SessionSettings


async def main() -> None:
    torrent_path, folder, state, port, save_s = sys.argv[1:]
    settings = SessionSettings(state_dir=Path(state), resume_save_s=float(save_s), is_lsd_enabled=False)
    async with Session(port=0, bind="127.0.0.1", settings=settings) as session:
        torrent = await session.add(torrent_path, save_to=folder, peers=[("127.0.0.1", int(port))])
        async for progress in torrent.progress(interval_s=0.01):
            print(progress.pieces_done, flush=True)


asyncio.run(main())
