"""What `tools/bench/load` does: read a .torrent of very many files or pieces, in a fresh process."""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.bench.clients.torrents import bencode

ROOT = Path(__file__).resolve().parents[2]

#: Loads argv[1] once with a clock around it; prints seconds and the peak RSS in KiB (Linux).
_MEASURED = """
import sys, time
{imports}
raw = open(sys.argv[1], "rb").read()
begin = time.perf_counter()
{load}
seconds = time.perf_counter() - begin
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(seconds, peak)
"""

#: name -> (module that must be there, imports, what is measured).
LOADERS = {
    "swarm": ("swarm", "from swarm.metainfo.torrent import Metainfo", "torrent = Metainfo.parse(raw)"),
    "libtorrent": (
        "libtorrent",
        "import libtorrent as lt",
        "torrent = lt.load_torrent_buffer(raw, {'max_buffer_size': 1 << 28, 'max_pieces': 1 << 21, "
        "'max_decode_tokens': 10_000_000, 'max_decode_depth': 100})",
    ),
}


def many_files(file_count: int, piece_count: int, seed: int = 1) -> bytes:
    """A .torrent of so many files in nested folders and so many pieces (of random hashes)."""
    rng = random.Random(seed)
    piece_length = 1 << 20
    total_bytes = piece_count * piece_length
    length, more = divmod(total_bytes, file_count)
    files: list[object] = [
        {
            "length": length + (number < more),
            "path": [f"part {number // 1000:03}", f"measurement {number:06}.dat"],
        }
        for number in range(file_count)
    ]
    info = {
        "name": "many files",
        "piece length": piece_length,
        "files": files,
        "pieces": rng.randbytes(20 * piece_count),
    }
    return bencode({"announce": "http://127.0.0.1:6969/announce", "info": info})


def load_once(name: str, torrent: Path) -> tuple[float, float]:
    """(seconds, peak RSS in MiB) of one load in a process of its own."""
    _, imports, load = LOADERS[name]
    program = _MEASURED.format(imports=imports, load=load)
    command = [sys.executable, "-c", program, str(torrent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    seconds, peak_kib = done.stdout.split()
    return float(seconds), int(peak_kib) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools/bench/load",
        description="Load a .torrent of very many files or pieces, as bytes in memory, in a fresh process; "
        "prints the medians as JSON rows.",
    )
    parser.add_argument("--files", type=int, default=100_000, help="default 100000")
    parser.add_argument("--pieces", type=int, default=200_000, help="default 200000")
    parser.add_argument("--runs", type=int, default=5, help="default 5")
    arguments = parser.parse_args()
    shapes = {
        (1, arguments.pieces),
        (arguments.files, arguments.files // 10),
        (arguments.files, arguments.pieces),
    }
    with tempfile.TemporaryDirectory(prefix="swarm-bench-") as folder:
        for file_count, piece_count in sorted(shapes):
            torrent = Path(folder) / "many.torrent"
            torrent.write_bytes(many_files(file_count, piece_count))
            for name, (module, _, _) in LOADERS.items():
                if importlib.util.find_spec(module) is None:
                    print(f"{name} left out: not installed", file=sys.stderr)
                    continue
                runs = [load_once(name, torrent) for _ in range(arguments.runs)]
                row = {
                    "loader": name,
                    "files": file_count,
                    "pieces": piece_count,
                    "torrent_bytes": torrent.stat().st_size,
                    "seconds": round(statistics.median(seconds for seconds, _ in runs), 4),
                    "max_rss_mib": round(statistics.median(peak for _, peak in runs), 1),
                    "runs": arguments.runs,
                }
                print(json.dumps(row), flush=True)
