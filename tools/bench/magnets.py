"""What `tools/bench/magnet` does: from a magnet link to the content, by a DHT on loopback alone."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tools.bench.clients import ClientError, Process, Torrent, first_difference, make_torrent, write_random
from tools.bench.clients.dht_network import DhtNetwork
from tools.bench.clients.swarm_client import COMMAND, json_event
from tools.bench.transfers import MIB, default_scratch, size

_CLIENTS = Path(__file__).with_name("clients")
_ANNOUNCED_TIMEOUT_S = 60.0
#: Who has found nobody by then is counted with it, and is not waited for.
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Row:
    """One download from a magnet link, or the medians of several.

    Attributes:
        metadata_s, complete_s: from the start of the leecher's process, so that its loading counts, until it
            knows the metadata, and until all is there and verified; of one that gave up, its patience.
        listening_s: until it was up: the part of it that is loading.
    """

    seeder: str
    leecher: str
    bytes: int
    listening_s: float
    metadata_s: float
    complete_s: float

    @classmethod
    def median(cls, rows: Sequence[Row]) -> Row:
        """Each figure's own median."""
        first = asdict(rows[0])
        names = [field.name for field in fields(cls) if isinstance(first[field.name], float)]
        return cls(
            **{**first, **{name: statistics.median(asdict(row)[name] for row in rows) for name in names}}
        )

    def json(self, **more: object) -> str:
        rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return json.dumps({**rounded, **more})


class Run:
    """A seeder, and then a leecher, of one torrent that only they have."""

    def __init__(self, network: DhtNetwork, scratch: Path, stack: contextlib.ExitStack) -> None:
        self._network = network
        self._node = f"{network.entry[0]}:{network.entry[1]}"
        self._scratch = scratch
        self._stack = stack

    def measure(self, seeder: str, leecher: str, torrent: Torrent) -> Row:
        self._start(seeder, "seed", str(torrent.path), torrent.content)
        # It is there for others once a lookup from the network finds it.
        self._network.wait_announced(torrent.infohash, _ANNOUNCED_TIMEOUT_S)
        folder = self._scratch / "leech"
        folder.mkdir()
        process = self._start(leecher, "leech", torrent.by_magnet().link, folder)
        listening, metadata = (_seconds_to(process, name) for name in ("listening", "metadata"))
        if metadata == _PATIENCE_S:
            return Row(seeder, leecher, torrent.total_bytes, listening, metadata, metadata)
        complete = _seconds_to(process, "complete")
        # libtorrent writes on after that word.
        process.stop()
        difference = first_difference(torrent.content, folder / torrent.content.name)
        if difference is not None:
            raise ClientError(f"{leecher} says it is complete, but {difference}")
        return Row(seeder, leecher, torrent.total_bytes, listening, metadata, complete)

    def _start(self, client: str, role: str, source: str, place: Path) -> Process:
        command: list[str | Path]
        if client == "swarm":
            where: list[str | Path] = [source, place] if role == "seed" else [source, "--output", place]
            command = [
                *COMMAND,
                role,
                *where,
                "--json",
                "--port",
                "0",
                "--no-trackers",
                "--no-lsd",
                "--no-pex",
            ]
            command += ["--dht-bootstrap", self._node]
        else:
            folder = place.parent if role == "seed" else place
            command = [
                sys.executable,
                _CLIENTS / "libtorrent_peer.py",
                role,
                source,
                folder,
                "--dht",
                self._node,
            ]
        state = self._scratch / f"state of {role}"
        return self._stack.enter_context(
            Process(command, env={"SWARM_STATE_DIR": str(state), "SWARM_NO_LSD": "1"})
        )


def _seconds_to(process: Process, event: str) -> float:
    """From its start until it said so."""
    try:
        return process.wait_for(_is_event(event), _PATIENCE_S, event).at - process.started_at
    except ClientError:
        if not process.is_running:
            raise
        return _PATIENCE_S


def _is_event(name: str) -> Any:
    return lambda text: json_event(text).get("event") == name


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools/bench/magnet",
        description="A DHT of libtorrent nodes on loopback, one seeder, and a leecher that is given nothing "
        "but a magnet link and one node's address: how long until it has the metadata, and the content. Each "
        "run is a JSON row on stderr, the medians are JSON rows on stdout.",
    )
    parser.add_argument("--nodes", type=int, default=20, help="of the DHT (default 20)")
    parser.add_argument("--size", type=size, default=16 * MIB, help="of the file (default 16M)")
    parser.add_argument(
        "--pairs",
        default="libtorrent:swarm,libtorrent:libtorrent,swarm:swarm,swarm:libtorrent",
        metavar="SEEDER:LEECHER,...",
        help="(default %(default)s)",
    )
    parser.add_argument("--runs", type=int, default=10, help="of each pair (default 10)")
    parser.add_argument("--scratch", type=Path, default=None, help="where the files go, deleted after")
    arguments = parser.parse_args()
    pairs = [tuple(pair.split(":")) for pair in arguments.pairs.split(",")]
    scratch = Path(
        tempfile.mkdtemp(prefix="swarm-magnet-", dir=arguments.scratch or default_scratch(arguments.size))
    )
    try:
        rows: dict[tuple[str, ...], list[Row]] = {pair: [] for pair in pairs}
        # In turn, so that what else the machine does hits all alike; a first time for the bytecode.
        for number in range(arguments.runs + 1):
            for pair in pairs:
                place = scratch / "run"
                content = place / "seed" / "content.bin"
                write_random(content, arguments.size, seed=len(pairs) * number + pairs.index(pair))
                torrent = make_torrent(content, place / "content.torrent", piece_length=1 << 18)
                # A DHT of its own: who has left is still in everybody's table, and libtorrent waits 15 s for
                # each of them before it announces. After some runs its seeders were not found in a minute.
                with contextlib.ExitStack() as stack:
                    network = stack.enter_context(DhtNetwork(arguments.nodes))
                    row = Run(network, place, stack).measure(pair[0], pair[1], torrent)
                shutil.rmtree(place)
                if number:
                    print(row.json(run=number), file=sys.stderr, flush=True)
                    rows[pair].append(row)
        for pair in pairs:
            print(Row.median(rows[pair]).json(runs=arguments.runs), flush=True)
    except ClientError as error:
        sys.exit(f"magnet: {error}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
