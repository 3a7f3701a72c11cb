"""Runs fuzz targets (tests/fuzz/targets.py) under atheris, each in a process of its own.

An input that breaks a target's invariant, takes seconds or fills the memory is kept as a file and ends that
target's run; `tools/fuzz NAME FILE` shows again what it does. What reached new code is worth keeping:
`--distil` picks the few inputs that together reach what all of them reach, for `tests/corpus`.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
#: One input may take so long, and the process so much memory, before it counts as a finding.
INPUT_S = 5
MEMORY_MIB = 1024
#: Files of one target that `--distil` keeps.
CORPUS_FILES_MAX = 30

_Arc = tuple[str, int, int]


class Outcome(NamedTuple):
    """How one target's run went."""

    name: str
    runs: int
    features: int
    finding: Path | None


def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 where something was found."""
    parser = argparse.ArgumentParser(prog="tools/fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets, or `all`; then files to run again")
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="for each target (default: 60)")
    parser.add_argument("--list", action="store_true", dest="is_list", help="name the targets")
    parser.add_argument(
        "--corpus", type=Path, metavar="DIR", help="keep new inputs in DIR/NAME, and go on there"
    )
    parser.add_argument(
        "--distil", action="store_true", help="pick the best of DIR/NAME into tests/corpus/NAME"
    )
    parser.add_argument("--run-inside", action="store_true", help=argparse.SUPPRESS)
    options, libfuzzer = parser.parse_known_args(argv)
    if options.run_inside:
        run_inside(options.names[0], libfuzzer)
        return
    if libfuzzer:
        parser.error(f"unknown: {' '.join(libfuzzer)}")

    from tests.fuzz.targets import TARGETS

    if options.is_list:
        print("\n".join(TARGETS))
        return
    names = list(TARGETS) if options.names == ["all"] else [name for name in options.names if name in TARGETS]
    files = [Path(name) for name in options.names if name not in TARGETS and options.names != ["all"]]
    if not names or not all(path.is_file() for path in files):
        parser.error("name targets (--list shows them), and after them files if you like")
    if files:
        for path in files:
            TARGETS[names[0]].check(path.read_bytes())
            print(f"{path}: nothing wrong")
        return
    if options.distil:
        if options.corpus is None:
            parser.error("--distil needs --corpus DIR")
        for name in names:
            print(f"{name}: {distil(name, options.corpus / name)} files")
        return
    if find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install -e '.[fuzz]'")
    with tempfile.TemporaryDirectory(prefix="swarm-fuzz-") as scratch:
        outcomes = [fuzz(name, options.seconds, (options.corpus or Path(scratch)) / name) for name in names]
    sys.exit(any(outcome.finding for outcome in outcomes))


def fuzz(name: str, seconds: int, folder: Path) -> Outcome:
    """Run one target; what reaches new code goes into `folder`, a finding beside the current directory."""
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (folder / f"seed-{number}").write_bytes(seed)
    for file_name, raw in target.corpus():
        (folder / file_name).write_bytes(raw)
    found = Path.cwd() / "fuzz-findings" / name
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    command = [
        sys.executable, str(ROOT / "tools" / "fuzz"), name, "--run-inside",
        f"-max_total_time={seconds}", f"-max_len={target.max_bytes}", f"-timeout={INPUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={found}/", "-print_final_stats=1",
        "-reload=0", str(folder),
    ]  # fmt: skip
    log = subprocess.run(command, cwd=ROOT, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, check=False)
    text = log.stdout.decode("utf-8", "replace")
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    features = re.findall(r"\bft: (\d+)", text)
    new = sorted(set(found.iterdir()) - before)
    outcome = Outcome(name, int(runs[1]) if runs else 0, int(features[-1]) if features else 0, None)
    if log.returncode or new:
        outcome = outcome._replace(finding=new[0] if new else found)
        print(text[max(text.find(" === Uncaught"), len(text) - 3000) :], file=sys.stderr)
    elif not any(found.iterdir()):
        found.rmdir()
    said = f"FOUND {outcome.finding}" if outcome.finding else "nothing wrong"
    print(f"{name}: {outcome.runs:,} runs, {outcome.features} features: {said}", flush=True)
    return outcome


def run_inside(name: str, libfuzzer: list[str]) -> None:
    """Be the process that is fuzzed; does not return."""
    import atheris

    # Everything of ours that is imported from here on counts its branches.
    with atheris.instrument_imports(include=["swarm"]):
        from tests.fuzz.targets import TARGETS

    atheris.Setup([sys.argv[0], *libfuzzer], TARGETS[name].check)
    atheris.Fuzz()


def distil(name: str, folder: Path) -> int:
    """Pick the inputs that reach the most, small ones first; returns how many files are in the corpus now.

    Files with names of words show something of their own, and stay.
    """
    from tests.fuzz.target import CORPUS
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    reached: set[_Arc] = set()
    for raw in (*target.seeds, *(raw for file_name, raw in target.corpus() if not _is_hash(file_name))):
        reached |= arcs_of(name, raw)
    candidates = sorted((path.read_bytes() for path in folder.iterdir()), key=lambda raw: (len(raw), raw))
    gains = {raw: arcs_of(name, raw) for raw in candidates if len(raw) <= target.max_bytes}
    for path in kept.iterdir():
        if _is_hash(path.name):
            path.unlink()
    for _ in range(CORPUS_FILES_MAX):
        best = max(gains, key=lambda raw: len(gains[raw] - reached), default=b"")
        if not gains.get(best, set()) - reached:
            break
        reached |= gains.pop(best)
        (kept / hashlib.sha1(best).hexdigest()[:12]).write_bytes(best)
    count = len(list(kept.iterdir()))
    if not count:
        shutil.rmtree(kept)
    return count


def _is_hash(file_name: str) -> bool:
    return re.fullmatch("[0-9a-f]{12}", file_name) is not None


def arcs_of(name: str, raw: bytes) -> set[_Arc]:
    """The jumps from line to line in our code that an input makes."""
    from tests.fuzz.targets import TARGETS

    arcs: set[_Arc] = set()
    ours = str(ROOT / "swarm")

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        file_name = frame.f_code.co_filename
        if not file_name.startswith(ours):
            return None
        last = 0

        def line(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal last
            if event == "line":
                arcs.add((file_name, last, frame.f_lineno))
                last = frame.f_lineno
            return line

        return line

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        TARGETS[name].check(raw)
    finally:
        sys.settrace(before)
    return arcs
