"""`mktorrent`: a .torrent of a file or folder, option for option like the C program of that name."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from typing import Any

import click

from swarm.base.errors import MetainfoError
from swarm.base.ids import InfoHash
from swarm.base.units import format_count, format_size, parse_size
from swarm.cli.options import FileName, option, threads_option
from swarm.cli.output import Output
from swarm.cli.progress import creation_bar
from swarm.cli.torrent_file import check_writable, output_path, write_torrent
from swarm.metainfo import magnet
from swarm.metainfo.builder import DEFAULT_PIECE_LENGTH, TorrentOptions, check_piece_length
from swarm.storage.create import create
from swarm.storage.source_files import own_name

#: Numbers up to this are exponents, as in the C program (18 is 2^18); larger ones are bytes.
_MAX_EXPONENT = 40


class PieceLength(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.2
    """A piece length: `18` (2^18), `256K` or `auto`; in bytes, 0 for auto."""

    name = "n|size|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip()
        if text.lower() == "auto":
            return 0
        try:
            if text.isascii() and text.isdigit() and int(text) <= _MAX_EXPONENT:
                length = 1 << int(text)
            else:
                length = parse_size(text)
            check_piece_length(length, 0)
        except (ValueError, MetainfoError) as error:
            self.fail(str(error), param, ctx)
        return length


def split_urls(values: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """`-a a,b -a c` as tiers ((a, b), (c,))."""
    tiers = (tuple(url.strip() for url in value.split(",") if url.strip()) for value in values)
    return tuple(tier for tier in tiers if tier)


def _refuse_v2(_ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if value:
        raise click.UsageError(f"--{param.name} torrents are not built yet; --v1 is what every client reads.")
    return value


#: Of trackers; ws:// and wss:// are those of browsers.
_SCHEMES = ("http://", "https://", "udp://", "ws://", "wss://")


def warn_of_no_urls(tiers: Iterable[tuple[str, ...]], output: Output) -> None:
    """Warn of trackers that nobody will find; as the C program we take them as they are."""
    for url in (url for tier in tiers for url in tier):
        if not url.lower().startswith(_SCHEMES):
            output.warning(f"{url}: trackers are at http://, https:// or udp:// URLs")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("target", type=FileName())
@option(
    "-a",
    "--announce",
    multiple=True,
    metavar="URL[,URL]...",
    help="Trackers: comma: same tier; repeated: next tier.",
)
@option("-c", "--comment", default="", metavar="TEXT", help='"comment" in the metainfo.')
@option("-d", "--no-date", is_flag=True, help='Leave "creation date" out.')
@option(
    "-e", "--exclude", multiple=True, metavar="GLOB[,GLOB]...", help="Leave out files and folders that match."
)
@option("-f", "--force", is_flag=True, help="Overwrite the output file.")
@option(
    "-l",
    "--piece-length",
    type=PieceLength(),
    default=str(DEFAULT_PIECE_LENGTH.bit_length() - 1),
    show_default=True,
    help="18 means 2^18 bytes, 256K the same.",
)
@option("-n", "--name", metavar="NAME", help="Name in the metainfo (default: TARGET's own).")
@option("-o", "--output", type=FileName(), metavar="FILE|DIR", help="Where to write (default: NAME.torrent).")
@option("-p", "--private", is_flag=True, help="Peers from the trackers only (BEP 27).")
@option("-s", "--source", default="", metavar="TEXT", help='"source" in the info dictionary.')
@threads_option
@option("-v", "--verbose", count=True, help="Say more.")
@option("-w", "--web-seed", multiple=True, metavar="URL[,URL]...", help="HTTP servers that have the content.")
@option("-x", "--cross-seed", is_flag=True, help="A random entry, so that the info-hash is unique.")
@option("--v1", is_flag=True, help="A torrent of version 1 (default).")
@option("--hybrid", is_flag=True, callback=_refuse_v2, expose_value=False, help="Not built yet.")
@option("--v2", is_flag=True, callback=_refuse_v2, expose_value=False, help="Not built yet.")
@option("--quiet", is_flag=True, help="No bar, no notes.")
@option("--json", "is_json", is_flag=True, help="One JSON object on stdout.")
def command(
    target: str,
    announce: tuple[str, ...],
    comment: str,
    no_date: bool,
    exclude: tuple[str, ...],
    force: bool,
    piece_length: int,
    name: str | None,
    output: str | None,
    private: bool,
    source: str,
    threads: int,
    verbose: int,
    web_seed: tuple[str, ...],
    cross_seed: bool,
    v1: bool,
    quiet: bool,
    is_json: bool,
) -> None:
    """Create a .torrent of the file or folder TARGET."""
    out = Output(is_json=is_json, is_quiet=quiet, verbosity=verbose)
    path = output_path(output, name or os.fsdecode(own_name(os.fsencode(target))))
    check_writable(path, may_replace=force)
    options = TorrentOptions(
        trackers=split_urls(announce),
        web_seeds=tuple(url for tier in split_urls(web_seed) for url in tier),
        piece_length=piece_length or None,
        name=name,
        comment=comment,
        source=source,
        is_private=private,
        creation_date=None if no_date else int(time.time()),
        cross_seed=f"swarm-{os.urandom(16).hex()}".encode() if cross_seed else b"",
    )
    warn_of_no_urls(options.trackers, out)
    with creation_bar(out) as progress:
        made = create(
            target,
            options,
            exclude=[glob for tier in split_urls(exclude) for glob in tier],
            omit=path,
            threads=threads,
            progress=progress,
        )
    for warning in made.warnings:
        out.warning(warning)
    write_torrent(path, made.raw, may_replace=force)
    info_hash = InfoHash(hashlib.sha1(made.info_bytes).digest())
    link = magnet.make(
        info_hash,
        name=made.name,
        trackers=[url for tier in options.trackers for url in tier],
        web_seeds=options.web_seeds,
    )
    geometry = made.geometry
    files = format_count(made.file_count, "file")
    out.result(f"info-hash  {info_hash}")
    out.result(f"magnet     {link}")
    out.result(f"size       {format_size(geometry.total_bytes)} ({geometry.total_bytes:,} bytes) in {files}")
    out.result(f"pieces     {geometry.piece_count:,} of {format_size(geometry.piece_length)}")
    out.result(f"written    {path}")
    if is_json:
        out.json(
            {
                "name": made.name,
                "infohash": str(info_hash),
                "infohash_v1": str(info_hash),
                "infohash_v2": None,
                "magnet": link,
                "total_bytes": geometry.total_bytes,
                "piece_length": geometry.piece_length,
                "piece_count": geometry.piece_count,
                "file_count": made.file_count,
                "private": private,
                "path": path,
            }
        )
