"""A program that uses the library: one swarm session, JSON lines, as libtorrent_peer.py with a magnet link.

Fetches the link it is given, then those that come on stdin, a line each; ends when stdin closes.
Events: `listening` (port); of each link `added`, `metadata`, `complete`. Each carries `at`, time.monotonic.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import uvloop

from swarm import EngineSettings, Session, SessionSettings


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "at": time.monotonic(), **fields}), flush=True)


async def fetch(session: Session, link: str, folder: str) -> None:
    say("added", link=link)
    torrent = await session.add(link, save_to=folder)
    say("metadata", infohash=str(torrent.info_hash))
    await torrent.completed()
    say("complete", infohash=str(torrent.info_hash))


async def run(arguments: argparse.Namespace) -> None:
    host, _, port = arguments.dht.rpartition(":")
    settings = SessionSettings(
        dht_routers=((host, int(port)),),
        is_lsd_enabled=False,
        engine=EngineSettings(is_exchanging=False),
    )
    fetches = []
    async with Session(port=0, settings=settings) as session:
        say("listening", port=session.port)
        link = arguments.link
        while link:
            fetches.append(asyncio.create_task(fetch(session, link, arguments.folder)))
            # Whoever started us closes stdin, also by dying.
            link = (await asyncio.to_thread(sys.stdin.readline)).strip()
        for task in fetches:
            task.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("link", help="a magnet link")
    parser.add_argument("folder", help="where the content will be")
    parser.add_argument("--dht", metavar="HOST:PORT", required=True, help="a node that leads into the DHT")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
