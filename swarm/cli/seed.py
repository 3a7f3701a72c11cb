"""`swarm seed`: offer content to others; a file or folder without a .torrent gets one first."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from swarm.base.dataclass import dataclass
from swarm.base.errors import MetainfoError, SwarmError
from swarm.cli import ending
from swarm.cli.ending import Ending, Interrupted, first_of
from swarm.cli.exits import EXIT_DONE, EXIT_INTERRUPTED, ExitWith
from swarm.cli.options import FileName, option
from swarm.cli.progress import creation_bar
from swarm.cli.report import Report
from swarm.cli.sources import magnet_of, read_source
from swarm.cli.torrent_file import check_writable, output_path, read_torrent, write_torrent
from swarm.cli.transfer import TransferOptions, status_of, transfer_options
from swarm.cli.waiting import waiting_for
from swarm.metainfo import magnet
from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.paths import decode_name, safe_part
from swarm.metainfo.torrent import Metainfo
from swarm.session.session import Session
from swarm.session.torrent import Torrent
from swarm.session.torrent_source import is_url
from swarm.storage.create import check_names_kept, create
from swarm.storage.faults import storage_error
from swarm.storage.source_files import find_files, own_name
from swarm.storage.whereabouts import find_content, named_as_there


@dataclass(frozen=True, slots=True)
class _Offer:
    """What is to be seeded.

    Args:
        content: the file or folder.
        is_verified: we have just hashed it.
        torrent_path: where the .torrent is that was made for it; "" if SOURCE was one.
    """

    torrent: Metainfo
    content: Path
    is_verified: bool
    torrent_path: str


@click.command("seed")
@click.argument("source", type=FileName(), metavar="SOURCE")
@click.argument("path", required=False, type=FileName(Path))
@option("--skip-verify", is_flag=True, help="Believe that the content is complete, without looking.")
@option(
    "-o",
    "--output",
    type=FileName(),
    metavar="FILE|DIR",
    help="Where to write a new .torrent (default: next to SOURCE).",
)
@option("-f", "--force", is_flag=True, help="Replace a .torrent of other content.")
@option(
    "--super-seed", is_flag=True, help="Show each piece to one peer at a time until one copy is out (BEP 16)."
)
@transfer_options
def command(
    source: str,
    path: Path | None,
    skip_verify: bool,
    output: str | None,
    force: bool,
    super_seed: bool,
    transfer: TransferOptions,
) -> None:
    """Offer content to the swarm until interrupted.

    SOURCE is a .torrent with its content at PATH (default: beside it; PATH is the content or the folder that
    holds it), or any other file or folder, which then gets a .torrent next to it.

    Without --super-seed an only seed spreads its pieces by itself, and openly; that is as fast.
    """  # fmt: skip
    is_torrent = is_url(source) or magnet.is_link(source) or _is_torrent_file(source)
    offer = None
    if not is_torrent:
        if path is not None:
            raise click.UsageError("PATH goes with a .torrent; here SOURCE itself is the content.")
        offer = _offer_of_content(source, output, force, transfer)
    status = ending.run(lambda end: _seed(source, path, offer, skip_verify, super_seed, transfer, end))
    if status != EXIT_DONE:
        raise ExitWith(status)


def _is_torrent_file(source: str) -> bool:
    return source.lower().endswith(".torrent") and not os.path.isdir(source)


# -- content without a torrent ----------------------------------------------------------------------


def _offer_of_content(source: str, output: str | None, force: bool, transfer: TransferOptions) -> _Offer:
    """Hash a file or folder and write its .torrent, or use the one that is there."""
    try:
        # "" is no file, but `abspath` would make the current folder of it.
        os.stat(source)
    except OSError as error:
        raise storage_error(error, source) from None
    content = Path(os.path.abspath(source))
    name = os.fsdecode(own_name(os.fsencode(content)))
    path = output_path(output if output is not None else f"{content.parent}/", name)
    out = transfer.output()
    if os.path.lexists(path) and not force:
        return _offer_again(path, content, transfer)
    check_writable(path, may_replace=True)
    options = TorrentOptions(
        trackers=tuple((url,) for url in transfer.trackers), piece_length=None, creation_date=int(time.time())
    )
    with creation_bar(out) as progress:
        made = create(content, options, omit=path, progress=progress, is_to_be_seeded=True)
    for warning in made.warnings:
        out.warning(warning)
    write_torrent(path, made.raw, may_replace=force)
    return _Offer(Metainfo.parse(made.raw, is_own=True), content, is_verified=True, torrent_path=path)


def _offer_again(path: str, content: Path, transfer: TransferOptions) -> _Offer:
    """The offer of the .torrent that is there; SwarmError if it is of other content."""
    try:
        raw, torrent = read_torrent(path, is_own=True)
    except MetainfoError:
        raise SwarmError(f"{path}: exists already and is no torrent; --force replaces it") from None
    torrent = named_as_there(raw, torrent, content)
    if not _is_of(torrent, path, content):
        raise SwarmError(f"{path}: exists already, for other content; --force replaces it")
    transfer.output().info(f"{path}: exists already and is used again; --force makes a new one")
    return _Offer(torrent, content, is_verified=False, torrent_path=path)


def _is_of(torrent: Metainfo, path: str, content: Path) -> bool:
    """Has `content` the names and sizes of the torrent? Its hashes are checked when it is seeded."""
    name = decode_name(os.fsencode(content.name))
    if torrent.name not in (safe_part(name), safe_part(name, is_own=True)):
        return False
    if torrent.is_multi_file != content.is_dir():
        return False
    files = find_files(os.fsencode(content), omit=path)
    check_names_kept(files, str(content))
    there = {(os.fsdecode(file.name), file.length) for file in files}
    return there == {("/".join(file.path), file.length) for file in torrent.files if not file.is_pad}


# -- seeding ----------------------------------------------------------------------------------------


async def _seed(
    source: str,
    path: Path | None,
    offer: _Offer | None,
    skip_verify: bool,
    is_super_seeding: bool,
    transfer: TransferOptions,
    end: Ending,
) -> int:
    session = transfer.session(is_super_seeding=is_super_seeding)
    output = transfer.output(is_live=True)
    report = Report(output)
    try:
        if offer is None:
            async with waiting_for(source, output):
                offer = await end.unless(_offer_of_torrent(session, source, path))
        async with session:
            report.opened(session)
            try:
                status = await end.unless(_transfer(session, offer, skip_verify, transfer, report))
            finally:
                report.close()
    except Interrupted:
        output.interrupted("the same command goes on seeding", is_saved=report.last_words())
        return EXIT_INTERRUPTED
    report.last_words()
    return status


async def _offer_of_torrent(session: Session, source: str, path: Path | None) -> _Offer:
    if magnet_of(source) is not None:
        raise SwarmError(
            "a magnet link says nothing of where the content is: give the .torrent, or the content"
        )
    raw, torrent = await read_source(session, source, is_own=True)
    place = path or (Path() if is_url(source) else Path(source).parent)
    torrent = named_as_there(raw, torrent, place)
    return _Offer(torrent, find_content(torrent, place), is_verified=False, torrent_path="")


async def _transfer(
    session: Session, offer: _Offer, skip_verify: bool, transfer: TransferOptions, report: Report
) -> int:
    torrent = await session.add(
        offer.torrent,
        content=offer.content,
        peers=transfer.peers,
        trackers=[url for url in transfer.trackers if (url,) not in offer.torrent.trackers],
        use_trackers=not transfer.no_trackers,
        is_seeding_only=True,
        skip_verify=skip_verify or offer.is_verified,
    )
    link = _magnet(offer.torrent, transfer.trackers)
    written = {"torrent": offer.torrent_path} if offer.torrent_path else {}
    report.add(torrent, {"magnet": link, **written})
    if written:
        report.result(f"torrent    {offer.torrent_path}")
    report.result(f"magnet     {link}")
    works: list[Any] = [_keep_seeding(session, torrent, report), report.run()]
    return await first_of(*works)


async def _keep_seeding(session: Session, torrent: Torrent, report: Report) -> int:
    """Seed until it fails, or the user ends it; returns the exit status of the failure."""
    try:
        await torrent.completed()
        report.state_changed(torrent)
        report.result(f"seeding    {torrent.content} on port {session.port}; Ctrl-C ends it")
        async for _ in torrent.progress():
            pass
    except SwarmError as error:
        report.error(str(error))
        return status_of(error)
    failure = torrent.error or SwarmError(f"{torrent.name} was stopped")
    report.error(str(failure))
    return status_of(failure)


def _magnet(torrent: Metainfo, trackers: tuple[str, ...]) -> str:
    known = [url for tier in torrent.trackers for url in tier]
    return magnet.make(
        torrent.info_hash,
        name=torrent.name,
        trackers=dict.fromkeys([*known, *trackers]),
        web_seeds=torrent.web_seeds,
    )
