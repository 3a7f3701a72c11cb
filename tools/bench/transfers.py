"""What `tools/bench/transfer` does: one seeder process -> one leecher process on loopback, measured."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tools.bench.clients import (
    CLIENTS,
    Client,
    Opentracker,
    Peer,
    SwarmTracker,
    Torrent,
    Tracker,
    first_difference,
    make_torrent,
    write_random,
)

MIB = 1 << 20
_SUFFIXES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

DEFAULT_PAIRS = (
    "swarm:swarm,libtorrent:libtorrent,aria2:aria2,"
    "libtorrent:swarm,swarm:libtorrent,aria2:swarm,swarm:aria2,floor:floor"
)

START_TIMEOUT_S = 120.0
TRANSFER_TIMEOUT_S = 300.0
_FIRST_MIB_POLL_S = 0.001
_ASIDE_CHUNK_BYTES = 512 << 10


@dataclass(frozen=True)
class Row:
    """One transfer, or the medians of several.

    Attributes:
        seconds: from the start of the leecher's process to its word that all is there and verified.
        startup_s: the part of it until it had loaded its program and begun (0 where it does not say so).
        first_mib_s: from the start of its process to the first MiB on disk, seen from outside.
        seconds_after_first_mib: from then to the end.
        mb_per_s, mb_per_s_after_first_mib: in 10^6 bytes.
        seeder_cpu_s: user and system, all threads, while it served (not its own start and check).
        leecher_cpu_s, leecher_max_rss_mib: of its whole process.
    """

    seeder: str
    leecher: str
    piece_length: int
    bytes: int
    seconds: float
    startup_s: float
    first_mib_s: float
    seconds_after_first_mib: float
    mb_per_s: float
    mb_per_s_after_first_mib: float
    seeder_cpu_s: float
    leecher_cpu_s: float
    leecher_max_rss_mib: float

    @classmethod
    def median(cls, rows: Sequence[Row]) -> Row:
        """Each figure's own median."""
        first = asdict(rows[0])
        names = [field.name for field in fields(cls) if isinstance(first[field.name], float)]
        middle = {name: statistics.median(asdict(row)[name] for row in rows) for name in names}
        return cls(**{**first, **middle})

    def json(self, **more: object) -> str:
        rounded = {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return json.dumps({**rounded, **more})


def _is_there(path: Path) -> int:
    """Bytes of a growing file that have been written; blocks, as its length says nothing (sparse files)."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _wait_first_mib(leecher: Peer, target: Path, total_bytes: int, timeout_s: float) -> tuple[float, int]:
    """(when at least one MiB was on disk, how much it was)."""
    deadline = time.monotonic() + timeout_s
    enough_bytes = min(MIB, total_bytes)
    while (there_bytes := _is_there(target)) < enough_bytes:
        if time.monotonic() > deadline or not leecher.process.is_running:
            raise leecher.process.failure("no first MiB")
        time.sleep(_FIRST_MIB_POLL_S)
    return time.monotonic(), min(there_bytes, total_bytes)


def set_memory_aside(folder: Path, length_bytes: int) -> Path:
    """Make the system find memory for a file of `length_bytes`; returns what to delete when it is needed.

    A virtual machine may hand free memory back to its host within a second or two, in runs of 2 MiB, and
    then every first touch costs several times what the transfer does. So two files are written in turns
    and one is deleted when the leecher starts: what becomes free then is too scattered to be handed back.
    """
    chunk = bytes(_ASIDE_CHUNK_BYTES)
    kept, freed = folder / "kept", folder / "freed"
    with kept.open("wb", buffering=0) as one, freed.open("wb", buffering=0) as other:
        for _ in range(0, length_bytes, len(chunk)):
            one.write(chunk)
            other.write(chunk)
    return freed


def transfer_once(
    seeding: Client, leeching: Client, torrent: Torrent, scratch: Path, tracker: Tracker | None
) -> Row:
    """Move the torrent once, compare every byte, measure.

    Args:
        scratch: a fresh folder.
        tracker: a running one through which they meet; None: the leecher is given the seeder's address.
    """
    here = scratch / "here"
    here.mkdir()
    target = here / torrent.content.name
    aside = set_memory_aside(scratch, torrent.total_bytes + 256 * MIB)
    with seeding.seed(torrent, scratch / "seeder") as seeder:
        seeder.wait_ready(START_TIMEOUT_S)
        if tracker is not None:
            tracker.wait_for_members(torrent.infohash, 1)
        served_before = seeder.usage()
        aside.unlink()
        peers = [] if tracker is not None else [seeder.endpoint]
        with leeching.leech(torrent, here, scratch / "leecher", peers) as leecher:
            first_at, first_bytes = _wait_first_mib(leecher, target, torrent.total_bytes, TRANSFER_TIMEOUT_S)
            end_at = leecher.wait_complete(TRANSFER_TIMEOUT_S)
            cost, served = leecher.usage(), seeder.usage()
            begin_at = leecher.wait_ready(START_TIMEOUT_S)
    difference = first_difference(torrent.content, target)
    if difference is not None:
        raise SystemExit(f"{seeding.name} -> {leeching.name}: {difference}")
    seconds, rest_s = end_at - leecher.started_at, max(end_at - first_at, 1e-6)
    return Row(
        seeder=seeding.name,
        leecher=leeching.name,
        piece_length=torrent.piece_length,
        bytes=torrent.total_bytes,
        seconds=seconds,
        startup_s=begin_at - leecher.started_at,
        first_mib_s=first_at - leecher.started_at,
        seconds_after_first_mib=rest_s,
        mb_per_s=torrent.total_bytes / seconds / 1e6,
        mb_per_s_after_first_mib=(torrent.total_bytes - first_bytes) / rest_s / 1e6,
        seeder_cpu_s=served.cpu_s - served_before.cpu_s,
        leecher_cpu_s=cost.cpu_s,
        leecher_max_rss_mib=cost.max_rss_bytes / MIB,
    )


def markdown(rows: Iterable[Row]) -> str:
    """The table for the README."""
    lines = [
        "| seeder -> leecher | pieces | s | first MiB, s | MB/s | MB/s after it "
        "| seeder CPU, s | leecher CPU, s | leecher RSS, MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.seeder} -> {row.leecher} | {row.piece_length >> 10} KiB | {row.seconds:.2f} "
        f"| {row.first_mib_s:.2f} | {row.mb_per_s:,.0f} | {row.mb_per_s_after_first_mib:,.0f} "
        f"| {row.seeder_cpu_s:.2f} | {row.leecher_cpu_s:.2f} | {row.leecher_max_rss_mib:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def size(text: str) -> int:
    """`256K`, `1M`, `2G` in bytes."""
    factor = _SUFFIXES.get(text[-1:].upper(), 1)
    return int(float(text.rstrip("kKmMgG")) * factor)


def clients_of(pairs: str) -> list[tuple[Client, Client]]:
    """The pairs whose clients are all installed; says on stderr what is left out."""
    found = []
    for pair in pairs.split(","):
        names = pair.strip().split(":")
        if len(names) != 2 or not set(names) <= set(CLIENTS):
            raise SystemExit(f"--pairs: '{pair}' is not SEEDER:LEECHER out of {', '.join(CLIENTS)}")
        seeding, leeching = CLIENTS[names[0]](), CLIENTS[names[1]]()
        missing = {text for client in (seeding, leeching) if (text := client.missing())}
        if not leeching.is_dialling_loopback:
            missing.add(f"{leeching.name} dials nobody on loopback")
        if missing:
            print(f"{pair} left out: {'; '.join(sorted(missing))}", file=sys.stderr)
        else:
            found.append((seeding, leeching))
    return found


def default_scratch(size_bytes: int) -> Path:
    """/dev/shm if four such files fit into half of what it has free, or the temporary folder."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 8 * size_bytes:
        return memory
    return Path(tempfile.gettempdir())


class Bench:
    """All transfers of one call, in one scratch folder."""

    def __init__(self, scratch: Path, content: Path, *, is_tracker_used: bool) -> None:
        self._scratch = scratch
        self._content = content
        self._is_tracker_used = is_tracker_used
        self._tracker: Tracker = SwarmTracker()
        if self._tracker.missing() is not None:
            folder = scratch / "tracker"
            folder.mkdir()
            scratch.chmod(0o755)
            self._tracker = Opentracker(folder)
        self._made: dict[tuple[int, bool], Torrent] = {}

    def _torrent(self, piece_length: int, is_tracked: bool) -> Torrent:
        key = (piece_length, is_tracked)
        if key not in self._made:
            path = self._scratch / f"{piece_length}-{is_tracked}.torrent"
            announce = self._tracker.announce if is_tracked else None
            self._made[key] = make_torrent(self._content, path, piece_length, announce)
        return self._made[key]

    def run(self, seeding: Client, leeching: Client, piece_length: int) -> Row:
        is_tracked = leeching.is_tracked and (self._is_tracker_used or not leeching.is_dialling)
        torrent = self._torrent(piece_length, is_tracked)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            if not is_tracked:
                return transfer_once(seeding, leeching, torrent, Path(folder), None)
            # A tracker of its own: it must not remember the run before.
            try:
                self._tracker.start([torrent.infohash])
                return transfer_once(seeding, leeching, torrent, Path(folder), self._tracker)
            finally:
                self._tracker.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools/bench/transfer",
        description="Move one file from a seeder process to a leecher process on loopback, verified, and "
        "measure. Each run is a JSON row on stderr, the medians are JSON rows on stdout.",
    )
    parser.add_argument("--size", type=size, default=size("2G"), help="of the file (default 2G)")
    parser.add_argument("--piece-length", type=size, action="append", help="repeatable (default 1M)")
    parser.add_argument("--pairs", default=DEFAULT_PAIRS, metavar="SEEDER:LEECHER,...",
                        help=f"out of {', '.join(CLIENTS)} (default {DEFAULT_PAIRS})")  # fmt: skip
    parser.add_argument("--runs", type=int, default=5, help="of each pair (default 5)")
    parser.add_argument("--via", choices=["tracker", "peer"], default="tracker",
                        help="how they meet: through a tracker on loopback, or the leecher is given the "
                        "seeder's address where it can be (default tracker)")  # fmt: skip
    parser.add_argument("--scratch", type=Path, help="where the files go, deleted after (default: /dev/shm "
                        "if it has room, to leave the disk out of it, or the temporary folder)")  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="print a table instead of the medians' rows")
    arguments = parser.parse_args()
    # Leave through every `with`, so that no client and no gigabyte stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    pairs = clients_of(arguments.pairs)

    with tempfile.TemporaryDirectory(
        prefix="swarm-bench-", dir=arguments.scratch or default_scratch(arguments.size)
    ) as folder:
        content = Path(folder) / "content" / "content.bin"
        write_random(content, arguments.size)
        bench = Bench(Path(folder), content, is_tracker_used=arguments.via == "tracker")
        medians = []
        for piece_length in arguments.piece_length or [MIB]:
            runs: dict[tuple[Client, Client], list[Row]] = {pair: [] for pair in pairs}
            for number in range(arguments.runs):
                # There and back, so that no pair always runs after the same other.
                for pair in pairs if number % 2 == 0 else reversed(pairs):
                    row = bench.run(*pair, piece_length)
                    print(row.json(run=number + 1), file=sys.stderr, flush=True)
                    runs[pair].append(row)
            medians += [Row.median(rows) for rows in runs.values() if rows]
    if arguments.markdown:
        print(markdown(medians))
    else:
        for row in medians:
            print(row.json(runs=arguments.runs))
