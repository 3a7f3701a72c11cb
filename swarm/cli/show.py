"""`swarm show`: what is in a .torrent or a magnet link."""

from __future__ import annotations

import datetime
from typing import Any

import click

from swarm.base.units import format_count, format_size
from swarm.cli.options import FileName, option
from swarm.cli.output import Output
from swarm.cli.torrent_file import read_torrent
from swarm.metainfo import magnet
from swarm.metainfo.torrent import Metainfo


@click.command()
@click.argument("source", type=FileName(), metavar="FILE|MAGNET")
@option("--json", "is_json", is_flag=True, help="One JSON object on stdout.")
def command(source: str, is_json: bool) -> None:
    """Show what is in a .torrent file or a magnet link."""
    out = Output(is_json=is_json)
    if magnet.is_link(source):
        fields = magnet_fields(magnet.parse(source))
    else:
        fields = torrent_fields(read_torrent(source)[1])
    if is_json:
        out.json(fields)
        return
    for line in summary(fields):
        out.result(line)


def torrent_fields(torrent: Metainfo) -> dict[str, Any]:
    """The keys that `--json` prints of a .torrent; paths begin with the torrent's name."""
    return {
        "name": torrent.name,
        "infohash_v1": str(torrent.info_hash),
        "infohash_v2": None,
        "total_bytes": torrent.total_bytes,
        "piece_length": torrent.geometry.piece_length,
        "piece_count": torrent.geometry.piece_count,
        "private": torrent.is_private,
        "files": [
            {"path": "/".join((torrent.name, *file.path)), "length": file.length, "pad": file.is_pad}
            for file in torrent.files
        ],
        "trackers": [list(tier) for tier in torrent.trackers],
        "web_seeds": list(torrent.web_seeds),
        "comment": torrent.comment,
        "created_by": torrent.created_by,
        "creation_date": torrent.creation_date,
        "source": torrent.source,
        "magnet": torrent.magnet(),
    }


def magnet_fields(link: magnet.Magnet) -> dict[str, Any]:
    """The same keys of a magnet link; null where only the metadata would tell."""
    return {
        "name": link.name,
        "infohash_v1": str(link.info_hash),
        "infohash_v2": None,
        "total_bytes": link.total_bytes,
        "piece_length": None,
        "piece_count": None,
        "private": None,
        "files": [],
        "trackers": [[url] for url in link.trackers],
        "web_seeds": list(link.web_seeds),
        "comment": None,
        "created_by": None,
        "creation_date": None,
        "source": None,
        "magnet": magnet.make(
            link.info_hash,
            name=link.name,
            trackers=link.trackers,
            web_seeds=link.web_seeds,
            peers=link.peers,
        ),
        "peers": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in link.peers],
    }


def summary(fields: dict[str, Any]) -> list[str]:
    """The lines for people; what is empty is left out."""
    lines = [f"{'name':<11}{fields['name']}", f"{'info-hash':<11}{fields['infohash_v1']}"]
    if fields["total_bytes"] is not None:
        size = f"{format_size(fields['total_bytes'])} ({fields['total_bytes']:,} bytes)"
        lines.append(f"{'size':<11}{size}")
    if fields["piece_count"] is not None:
        lines.append(f"{'pieces':<11}{fields['piece_count']:,} of {format_size(fields['piece_length'])}")
    if fields["private"]:
        lines.append(f"{'private':<11}yes: peers come from the trackers only")
    for tier, urls in enumerate(fields["trackers"], 1):
        lines += [f"{'tracker ' + str(tier):<11}{url}" for url in urls]
    lines += [f"{'web seed':<11}{url}" for url in fields["web_seeds"]]
    lines += [f"{'peer':<11}{peer}" for peer in fields.get("peers", ())]
    for key, label in (("comment", "comment"), ("created_by", "made by"), ("source", "source")):
        if fields[key]:
            lines.append(f"{label:<11}{fields[key]}")
    if fields["creation_date"] is not None:
        lines.append(f"{'made on':<11}{_date(fields['creation_date'])}")
    lines.append(f"{'magnet':<11}{fields['magnet']}")
    files = fields["files"]
    if files:
        lines += ["", f"{format_count(len(files), 'file')}:"]
        lines += [_file_line(file) for file in files]
    return lines


def _file_line(file: dict[str, Any]) -> str:
    return f"{format_size(file['length']):>10}  {file['path']}{'  (padding)' if file['pad'] else ''}"


def _date(seconds: int) -> str:
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, OSError, ValueError):
        # Beyond the years that `datetime` has.
        return str(seconds)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
