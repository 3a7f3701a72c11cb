"""What `tools/bench/magnet` does: from a magnet link to the content, by a DHT on loopback alone."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tools.bench.clients import ClientError, Process, Torrent, first_difference, make_torrent, write_random
from tools.bench.clients.dht_network import DhtNetwork
from tools.bench.clients.swarm_client import COMMAND, json_event
from tools.bench.transfers import MIB, default_scratch, size

_SCRIPTS = Path(__file__).with_name("clients")
#: What a pair calls it -> what it is; a script is a Python program.
LEECHERS = {
    "swarm": "the command `swarm leech`",
    "swarm-script": "a script that uses swarm.Session",
    "libtorrent": "a script that uses libtorrent's session, tuned for loopback",
}
COLD_PAIRS = "libtorrent:swarm,libtorrent:swarm-script,libtorrent:libtorrent"
WARM_PAIRS = "libtorrent:swarm-script,libtorrent:libtorrent"
_ANNOUNCED_TIMEOUT_S = 60.0
#: Who has found nobody by then is counted with it, and is not waited for.
_PATIENCE_S = 30.0
#: What a warm leecher fetches first; and then, until it has written and announced that too.
_FIRST_BYTES = MIB
_SETTLING_S = 1.0


@dataclass(frozen=True)
class Row:
    """One download from a magnet link, or the medians of several.

    Attributes:
        is_warm: the clock began when a running leecher added the link; else when its process was started, so
            that its loading counts.
        listening_s: until it was up: the part of it that is loading. 0 for one that was.
        metadata_s, complete_s, written_s: until it knows the metadata, until it says that all is there and
            verified, and until its files have it all; of one that gave up, its patience. swarm says that it
            is complete when all is written; libtorrent when all is hashed, and goes on to write.
    """

    seeder: str
    leecher: str
    is_warm: bool
    bytes: int
    listening_s: float
    metadata_s: float
    complete_s: float
    written_s: float

    @classmethod
    def median(cls, rows: Sequence[Row]) -> Row:
        """Each figure's own median."""
        first = asdict(rows[0])
        names = [field.name for field in fields(cls) if isinstance(first[field.name], float)]
        return cls(
            **{**first, **{name: statistics.median(asdict(row)[name] for row in rows) for name in names}}
        )

    def json(self, **more: object) -> str:
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return json.dumps({**rounded, **more})


class Run:
    """A DHT, a seeder in it, and then a leecher, of a torrent that only they have.

    Args:
        scratch: an empty folder, for what the run leaves.
    """

    def __init__(self, network: DhtNetwork, scratch: Path, stack: contextlib.ExitStack) -> None:
        self._network = network
        self._node = f"{network.entry[0]}:{network.entry[1]}"
        self._scratch = scratch
        self._stack = stack

    def measure(self, seeder: str, leecher: str, torrent: Torrent, first: Torrent | None) -> Row:
        """From the link of `torrent` to its content.

        Args:
            first: what the leecher fetches before the clock begins; None: it is started with the clock.
        """
        seeded = [torrent] if first is None else [torrent, first]
        for one in seeded:
            self._seed(seeder, one)
        for one in seeded:
            # It is there for others once a lookup from the network finds it.
            self._network.wait_announced(one.infohash, _ANNOUNCED_TIMEOUT_S)
        folder = self._scratch / "leech"
        folder.mkdir()
        process = self._leech(leecher, (first or torrent).by_magnet().link, folder)
        if first is None:
            begun_at = process.started_at
            listening = _at(process, "listening") - begun_at
        else:
            _at(process, "complete", first)
            time.sleep(_SETTLING_S)
            link = torrent.by_magnet().link
            process.send_line(link)
            begun_at = process.wait_for(lambda text: json_event(text).get("link") == link, 5.0, "added").at
            listening = 0.0

        def row(*seconds: float) -> Row:
            return Row(seeder, leecher, first is not None, torrent.total_bytes, listening, *seconds)

        try:
            metadata = _at(process, "metadata", torrent)
        except ClientError:
            if not process.is_running:
                raise
            return row(_PATIENCE_S, _PATIENCE_S, _PATIENCE_S)
        complete = _at(process, "complete", torrent)
        written = _at(process, "written", torrent) if leecher == "libtorrent" else complete
        process.stop()
        difference = first_difference(torrent.content, folder / torrent.content.name)
        if difference is not None:
            raise ClientError(f"{leecher} says it is complete, but {difference}")
        return row(metadata - begun_at, complete - begun_at, written - begun_at)

    def _seed(self, client: str, torrent: Torrent) -> None:
        if client == "swarm":
            command = self._swarm("seed", torrent.path, torrent.content)
        else:
            command = self._script("libtorrent", "seed", torrent.path, torrent.content.parent)
        self._start(command, f"seeding {torrent.content.name}")

    def _leech(self, client: str, link: str, folder: Path) -> Process:
        if client == "swarm":
            command = self._swarm("leech", link, "--output", folder)
        elif client == "libtorrent":
            command = self._script("libtorrent", "leech", link, folder)
        else:
            command = self._script("swarm", link, folder)
        return self._start(command, "leeching")

    def _swarm(self, *arguments: str | Path) -> list[str | Path]:
        alone = ["--no-trackers", "--no-lsd", "--no-pex", "--dht-bootstrap", self._node]
        return [*COMMAND, *arguments, "--json", "--port", "0", *alone]

    def _script(self, library: str, *arguments: str | Path) -> list[str | Path]:
        return [sys.executable, _SCRIPTS / f"{library}_peer.py", *arguments, "--dht", self._node]

    def _start(self, command: Sequence[str | Path], task: str) -> Process:
        environment = {"SWARM_STATE_DIR": str(self._scratch / f"state of {task}"), "SWARM_NO_LSD": "1"}
        return self._stack.enter_context(Process(command, env=environment))


def _at(process: Process, name: str, torrent: Torrent | None = None) -> float:
    """When it said so, of that torrent.

    Raises:
        ClientError: it has ended, or has not said it after `_PATIENCE_S`.
    """
    infohash = None if torrent is None else torrent.infohash.hex()

    def is_it(text: str) -> bool:
        event = json_event(text)
        return event.get("event") == name and event.get("infohash", infohash) == infohash

    return process.wait_for(is_it, _PATIENCE_S, name).at


class Bench:
    """All runs of one call, in one scratch folder."""

    def __init__(self, scratch: Path, node_count: int, *, is_warm: bool) -> None:
        self._scratch = scratch
        self._node_count = node_count
        self._first = self._torrent("first", _FIRST_BYTES) if is_warm else None

    def _torrent(self, name: str, total_bytes: int) -> Torrent:
        content = self._scratch / name / f"{name}.bin"
        write_random(content, total_bytes, seed=total_bytes)
        # As clients choose it: a thousand or two of pieces, and none of less than 256 KiB.
        piece_length = max(1 << 18, 1 << (total_bytes // 1024 - 1).bit_length())
        return make_torrent(content, content.with_suffix(".torrent"), piece_length)

    def measure(
        self,
        pairs: Sequence[tuple[str, str]],
        total_bytes: int,
        run_count: int,
        on_row: Callable[[int, Row], None],
    ) -> list[Row]:
        """The medians of each pair; in turn, so that what else the machine does hits all alike."""
        torrent = self._torrent("content", total_bytes)
        rows: dict[tuple[str, str], list[Row]] = {pair: [] for pair in pairs}
        # A first time for the bytecode.
        for number in range(run_count + 1):
            for pair in pairs:
                row = self._once(pair, torrent)
                if number:
                    on_row(number, row)
                    rows[pair].append(row)
        shutil.rmtree(torrent.path.parent)
        return [Row.median(rows[pair]) for pair in pairs]

    def _once(self, pair: tuple[str, str], torrent: Torrent) -> Row:
        # A DHT of its own: who has left is still in everybody's table, and libtorrent waits 15 s for
        # each of them before it announces. After some runs its seeders were not found in a minute.
        place = self._scratch / "run"
        place.mkdir()
        try:
            with contextlib.ExitStack() as stack:
                network = stack.enter_context(DhtNetwork(self._node_count))
                return Run(network, place, stack).measure(*pair, torrent, self._first)
        finally:
            shutil.rmtree(place)


def _pairs(text: str, *, is_warm: bool) -> list[tuple[str, str]]:
    """Raises ValueError: the message says what there is."""
    found = []
    for pair in text.split(","):
        seeder, _, leecher = pair.partition(":")
        leechers = [name for name in LEECHERS if not (is_warm and name == "swarm")]
        if seeder not in ("swarm", "libtorrent") or leecher not in leechers:
            raise ValueError(f"{pair}: seeders are swarm and libtorrent, leechers here {', '.join(leechers)}")
        found.append((seeder, leecher))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools/bench/magnet",
        description="A DHT of libtorrent nodes on loopback, one seeder, and a leecher that is given nothing "
        "but a magnet link and one node's address: how long until it has the metadata, and the content. Each "
        "run is a JSON row on stderr, the medians are JSON rows on stdout.",
        epilog="Leechers: " + "; ".join(f"{name}, {what}" for name, what in LEECHERS.items()) + ".",
    )
    parser.add_argument("--nodes", type=int, default=20, help="of the DHT (default 20)")
    parser.add_argument(
        "--size",
        type=size,
        nargs="+",
        default=[16 * MIB],
        metavar="SIZE",
        help="of the file: 1M, 2G; several for a series (default 16M)",
    )
    parser.add_argument(
        "--warm",
        action="store_true",
        help="the leecher runs and has fetched another torrent; the clock begins when it adds the link, not "
        "when its process is started",
    )
    parser.add_argument(
        "--pairs",
        metavar="SEEDER:LEECHER,...",
        help=f"default {COLD_PAIRS}; with --warm {WARM_PAIRS}",
    )
    parser.add_argument("--runs", type=int, default=10, help="of each pair and size (default 10)")
    parser.add_argument("--scratch", type=Path, default=None, help="where the files go, deleted after")
    arguments = parser.parse_args()
    is_warm = arguments.warm
    try:
        pairs = _pairs(arguments.pairs or (WARM_PAIRS if is_warm else COLD_PAIRS), is_warm=is_warm)
    except ValueError as error:
        parser.error(str(error))
    parent = arguments.scratch or default_scratch(max(arguments.size))
    scratch = Path(tempfile.mkdtemp(prefix="swarm-magnet-", dir=parent))
    try:
        bench = Bench(scratch, arguments.nodes, is_warm=is_warm)
        for total_bytes in arguments.size:
            for row in bench.measure(pairs, total_bytes, arguments.runs, _say_run):
                print(row.json(runs=arguments.runs), flush=True)
    except ClientError as error:
        sys.exit(f"magnet: {error}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _say_run(number: int, row: Row) -> None:
    print(row.json(run=number), file=sys.stderr, flush=True)
