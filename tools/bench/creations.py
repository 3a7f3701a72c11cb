"""Makers of torrents, one after the other, over the same content: JSON rows on stdout."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarm.base.units import parse_size
from tools.bench.clients.process import user_environment

SMALL_FILES = 20_000
SMALL_FILE_BYTES = 10 * 1024
SMALL_FILES_PER_FOLDER = 100
#: What the C program takes where nothing is said, and we too.
PIECE_LENGTH = 1 << 18
THREADS = 2
_OPTIONS = ("-t", str(THREADS), "-d", "-a", "http://tracker.example/announce")
_SAMPLE_INTERVAL_S = 0.01
_BLOCK_BYTES = 16 * 1024 * 1024

#: target and output -> command.
Maker = Callable[[Path, Path], Sequence[str]]


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    seconds: float
    cpu_seconds: float
    max_rss_bytes: int


def makers() -> dict[str, Maker]:
    """Every maker that is installed, the C program first."""
    own_bin = Path(sys.executable).parent
    elsewhere = os.pathsep.join(
        folder for folder in os.get_exec_path() if Path(folder).resolve() != own_bin.resolve()
    )
    found: dict[str, Maker] = {}
    c_program = shutil.which("mktorrent", path=elsewhere)
    if c_program is None:
        print("mktorrent (C) is not installed: apt-get install mktorrent", file=sys.stderr)
    else:
        found["mktorrent-c"] = lambda target, output: [
            c_program, *_OPTIONS, "-o", str(output), str(target),
        ]  # fmt: skip
    ours = own_bin / "mktorrent"
    found["swarm"] = lambda target, output: [
        str(ours), *_OPTIONS, "-o", str(output), str(target),
    ]  # fmt: skip
    floor = Path(__file__).with_name("hash_floor.py")
    found["hashlib-floor"] = lambda target, _output: [
        sys.executable, str(floor), str(THREADS), str(PIECE_LENGTH), str(target),
    ]  # fmt: skip
    return found


def run(command: Sequence[str]) -> Cost:
    """Run to the end and say what it cost; SystemExit where it failed."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=user_environment()
    )
    assert process.stderr is not None
    is_over = threading.Event()
    sampler = _PeakMemory(process.pid, is_over)
    sampler.start()
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    is_over.set()
    sampler.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        sys.exit(f"{command[0]} failed: {said.decode(errors='replace')}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, sampler.peak_bytes)


class _PeakMemory(threading.Thread):
    """Samples a process's peak: what `wait4` says begins with that of the process that forked it, ours."""

    def __init__(self, pid: int, is_over: threading.Event) -> None:
        super().__init__(name=f"memory of {pid}", daemon=True)
        self.status = Path(f"/proc/{pid}/status")
        self.is_over = is_over
        self.peak_bytes = 0

    def run(self) -> None:
        while not self.is_over.wait(_SAMPLE_INTERVAL_S):
            try:
                lines = self.status.read_text().splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("VmHWM:"):
                    self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)


def measure(case: str, target: Path, total_bytes: int, runs: int, folder: Path) -> None:
    """Print a row per maker: medians of `runs`, taken in turns so that a slow moment hits all alike."""
    found = makers()
    costs: dict[str, list[Cost]] = {name: [] for name in found}
    output = folder / "made.torrent"
    for number in range(runs + 1):
        for name, command in found.items():
            output.unlink(missing_ok=True)
            cost = run(command(target, output))
            # The first round only warms the caches.
            if number:
                costs[name].append(cost)
    output.unlink(missing_ok=True)
    base = _median([cost.seconds for cost in costs.get("mktorrent-c", [])])
    for name, taken in costs.items():
        seconds = _median([cost.seconds for cost in taken])
        row = {
            "client": name,
            "case": case,
            "bytes": total_bytes,
            "seconds": round(seconds, 4),
            "mb_per_s": round(total_bytes / seconds / 1e6),
            "cpu_seconds": round(_median([cost.cpu_seconds for cost in taken]), 4),
            "max_rss": round(_median([cost.max_rss_bytes for cost in taken])),
            "times_c_speed": round(base / seconds, 3) if base else None,
            "runs": runs,
        }
        print(json.dumps(row), flush=True)


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else 0.0


def write_large(path: Path, size: int) -> None:
    """Random content, so that no file system makes it sparse or smaller."""
    block = random.Random(1).randbytes(min(_BLOCK_BYTES, size))
    with path.open("wb") as file:
        while size > 0:
            file.write(block[:size])
            size -= len(block)


def write_small(folder: Path, count: int) -> None:
    """`count` files of 10 KiB, a hundred a folder."""
    rng = random.Random(2)
    for number in range(count):
        inner = folder / f"d{number // SMALL_FILES_PER_FOLDER:04}"
        inner.mkdir(parents=True, exist_ok=True)
        (inner / f"f{number:06}.bin").write_bytes(rng.randbytes(SMALL_FILE_BYTES))


def main() -> None:
    """Entry point of tools/bench/mktorrent."""
    parser = argparse.ArgumentParser(
        prog="tools/bench/mktorrent",
        description="Time how long swarm, the C program mktorrent and bare hashlib in threads take for one "
        "large file and for 20,000 files of 10 KiB. One JSON row a maker and case: medians, with all content "
        "in the page cache.",
    )
    parser.add_argument(
        "--size", type=parse_size, default="4G", help="of the large file (default: 4G; 0: without)"
    )
    parser.add_argument(
        "--files", type=int, default=SMALL_FILES, help="small files (default: 20000; 0: without)"
    )
    parser.add_argument(
        "--runs", type=int, default=5, help="runs of each, without one to warm up (default: 5)"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the content goes for the time (default: a temporary one)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-mktorrent-", dir=arguments.folder) as name:
        folder = Path(name)
        if arguments.size:
            write_large(folder / "large.bin", arguments.size)
            measure("one large file", folder / "large.bin", arguments.size, arguments.runs, folder)
            (folder / "large.bin").unlink()
        if arguments.files:
            write_small(folder / "small", arguments.files)
            total = arguments.files * SMALL_FILE_BYTES
            measure(f"{arguments.files:,} small files", folder / "small", total, arguments.runs, folder)
