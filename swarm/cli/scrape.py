"""`swarm scrape`: ask the trackers of a torrent how large its swarm is."""

from __future__ import annotations

import asyncio

import click

from swarm.base.errors import SwarmError, TrackerError
from swarm.base.ids import InfoHash
from swarm.base.units import format_count
from swarm.cli.exits import EXIT_FAILED, ExitWith
from swarm.cli.options import FileName, bind_option, option
from swarm.cli.output import Output
from swarm.cli.torrent_file import read_torrent
from swarm.cli.waiting import waiting_for
from swarm.metainfo import magnet
from swarm.wire.tracker.announce import ScrapeEntry


@click.command("scrape")
@click.argument("source", type=FileName(), metavar="FILE|MAGNET")
@bind_option
@option("--json", "is_json", is_flag=True, help="Print JSON lines.")
def command(source: str, bind: str | None, is_json: bool) -> None:
    """Ask the trackers of a torrent for its seeds, leechers and downloads.

    Where a tracker says so, the leechers that still download are told from those that have all they want.
    Exits 0 if any of them knows.
    """
    output = Output(is_json=is_json)
    info_hash, urls = _read(source)
    if not urls:
        raise SwarmError(f"{source}: names no trackers that could be asked")
    answers = asyncio.run(_ask(info_hash, urls, bind, output))
    for url, answer in zip(urls, answers, strict=True):
        _say(output, info_hash, url, answer)
    if not any(isinstance(answer, ScrapeEntry) for answer in answers):
        raise ExitWith(EXIT_FAILED)


def _read(source: str) -> tuple[InfoHash, list[str]]:
    """The info-hash, and the announce URLs in order, each of them once."""
    if magnet.is_link(source):
        link = magnet.parse(source)
        return link.info_hash, list(dict.fromkeys(link.trackers))
    _, metainfo = read_torrent(source)
    return metainfo.info_hash, list(dict.fromkeys(url for tier in metainfo.trackers for url in tier))


async def _ask(
    info_hash: InfoHash, urls: list[str], bind: str | None, output: Output
) -> list[ScrapeEntry | TrackerError]:
    from swarm.net.outlet import Outlet
    from swarm.net.trackers import TrackerClient

    client = TrackerClient(outlet=Outlet.of(bind))

    async def one(url: str) -> ScrapeEntry | TrackerError:
        try:
            async with waiting_for(url, output):
                found = await client.scrape(url, [info_hash])
        except TrackerError as error:
            return error
        return found.get(info_hash) or TrackerError("it does not know this torrent")

    try:
        return await asyncio.gather(*(one(url) for url in urls))
    finally:
        await client.close()


def _say(output: Output, info_hash: InfoHash, url: str, answer: ScrapeEntry | TrackerError) -> None:
    if isinstance(answer, TrackerError):
        output.event("scrape", tracker=url, infohash=str(info_hash), error=answer.reason)
        if not output.is_json:
            output.warning(f"{url}: {answer.reason}")
        return
    output.event(
        "scrape",
        tracker=url,
        infohash=str(info_hash),
        seeds=answer.seeds,
        leechers=answer.leechers,
        downloaders=answer.downloaders,
        downloads=answer.downloads,
    )
    leechers = format_count(answer.leechers, "leecher")
    if answer.downloaders is not None:
        leechers += f" ({answer.downloaders} downloading)"
    counts = [format_count(answer.seeds, "seed"), leechers, format_count(answer.downloads, "download")]
    output.result(f"{url}: {', '.join(counts)} completed")
