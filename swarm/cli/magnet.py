"""`swarm magnet`: the magnet link of a .torrent."""

from __future__ import annotations

import click

from swarm.cli.options import FileName, option
from swarm.cli.output import Output
from swarm.cli.torrent_file import read_torrent


@click.command()
@click.argument("file", type=FileName())
@option("--json", "is_json", is_flag=True, help="One JSON object on stdout.")
def command(file: str, is_json: bool) -> None:
    """Print the magnet link of the .torrent FILE."""
    _, torrent = read_torrent(file)
    link = torrent.magnet()
    out = Output(is_json=is_json)
    if is_json:
        out.json({"name": torrent.name, "infohash_v1": str(torrent.info_hash), "magnet": link})
    out.result(link)
