"""`swarm edit`: change trackers, comment and the like of a .torrent; the info-hash stays unless asked."""

from __future__ import annotations

import os

import click

from swarm.base.errors import SettingsError
from swarm.cli.mktorrent import split_urls, warn_of_no_urls
from swarm.cli.options import FileName, Text, Whole, option
from swarm.cli.output import Output
from swarm.cli.torrent_file import check_writable, output_path, read_torrent, write_torrent
from swarm.metainfo.edit import Changes, edit
from swarm.metainfo.torrent import Metainfo


@click.command()
@click.argument("file", type=FileName())
@option(
    "-a",
    "--announce",
    type=Text(),
    multiple=True,
    metavar="URL[,URL]...",
    help="These trackers instead of all: comma: same tier.",
)
@option("--add-tracker", type=Text(), multiple=True, metavar="URL[,URL]...", help="Another tier of trackers.")
@option("--remove-tracker", type=Text(), multiple=True, metavar="URL", help="Without this tracker.")
@option("--no-trackers", is_flag=True, help="Without any tracker.")
@option(
    "-w",
    "--web-seed",
    type=Text(),
    multiple=True,
    metavar="URL[,URL]...",
    help="These web seeds instead of all.",
)
@option("--no-web-seeds", is_flag=True, help="Without any web seed.")
@option("-c", "--comment", metavar="TEXT", help='Another comment; "" for none.')
@option("--created-by", metavar="TEXT", help='Another "created by"; "" for none.')
@option("--creation-date", type=Whole(min=0), metavar="SECONDS", help="Since 1970.")
@option("-d", "--no-date", is_flag=True, help="Without creation date.")
@option("--private/--public", "private", default=None, help="BEP 27; needs --new-info-hash.")
@option("-s", "--source", metavar="TEXT", help='Another "source"; needs --new-info-hash.')
@option("-n", "--name", metavar="NAME", help="Another name; needs --new-info-hash.")
@option("--new-info-hash", is_flag=True, help="Yes, make another torrent of it.")
@option("-o", "--output", type=FileName(), metavar="FILE|DIR", help="Write there instead of FILE itself.")
@option("-f", "--force", is_flag=True, help="Overwrite the output file.")
@option("--json", "is_json", is_flag=True, help="One JSON object on stdout.")
def command(
    file: str,
    announce: tuple[str, ...],
    add_tracker: tuple[str, ...],
    remove_tracker: tuple[str, ...],
    no_trackers: bool,
    web_seed: tuple[str, ...],
    no_web_seeds: bool,
    comment: str | None,
    created_by: str | None,
    creation_date: int | None,
    no_date: bool,
    private: bool | None,
    source: str | None,
    name: str | None,
    new_info_hash: bool,
    output: str | None,
    force: bool,
    is_json: bool,
) -> None:
    """Change trackers, comment and the like of the .torrent FILE; the info-hash stays unless asked."""
    raw, torrent = read_torrent(file)
    is_tracker_change = bool(announce or add_tracker or remove_tracker or no_trackers)
    changes = Changes(
        trackers=(
            _trackers(torrent, split_urls(announce), split_urls(add_tracker), remove_tracker, no_trackers)
            if is_tracker_change
            else None
        ),
        web_seeds=(
            tuple(url for tier in split_urls(web_seed) for url in tier) if web_seed or no_web_seeds else None
        ),
        comment=comment,
        created_by=created_by,
        creation_date=0 if no_date else creation_date,
        is_private=private,
        source=source,
        name=name,
    )
    if changes == Changes():
        raise SettingsError("nothing to change: give --announce, --comment, --web-seed, ...")
    if changes.is_of_info and not new_info_hash:
        raise SettingsError(
            "that would change the info-hash, and so leave the old swarm; add --new-info-hash"
        )
    edited = edit(raw, changes)
    # Read it back before it is written: a file that is no valid torrent must not replace one that is.
    result = Metainfo.parse(edited)
    path = output_path(output, torrent.name) if output is not None else file
    if output is None and not os.path.isfile(file):
        raise SettingsError(f"{file}: came through a pipe, so -o has to say where to write")
    may_replace = force or output is None
    check_writable(path, may_replace=may_replace)
    out = Output(is_json=is_json)
    warn_of_no_urls([*split_urls(announce), *split_urls(add_tracker)], out)
    write_torrent(path, edited, may_replace=may_replace)
    if is_json:
        out.json(
            {
                "name": result.name,
                "infohash_v1": str(result.info_hash),
                "infohash_v2": None,
                "magnet": result.magnet(),
                "path": path,
            }
        )
    out.result(f"info-hash  {result.info_hash}{'' if result.info_hash == torrent.info_hash else '  (new)'}")
    out.result(f"magnet     {result.magnet()}")
    out.result(f"written    {path}")


def _trackers(
    torrent: Metainfo,
    replaced: tuple[tuple[str, ...], ...],
    added: tuple[tuple[str, ...], ...],
    removed: tuple[str, ...],
    is_none: bool,
) -> tuple[tuple[str, ...], ...]:
    tiers = replaced or (() if is_none else torrent.trackers)
    kept = [tuple(url for url in tier if url not in removed) for tier in (*tiers, *added)]
    return tuple(tier for tier in kept if tier)
