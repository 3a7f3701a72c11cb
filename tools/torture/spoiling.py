"""A real `swarm leech` on a small file system of its own, whose disk is filled and whose files are harmed.

Each round is one download that goes through one kind of harm in the middle and must end by itself, with exit
status 0 and every byte right. Needs root, for mounting a file system in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from swarm.metainfo.builder import TorrentOptions
from swarm.session.session import Session
from swarm.session.settings import SessionSettings
from swarm.storage.create import create_torrent
from tools.torture.crashing import PATIENCE_S, SWARM, environment_of
from tools.torture.reporting import Report, end, parser_of

SIZE = 6 << 20


@dataclass(slots=True)
class DiskReport(Report):
    """Rounds that ended well, by harm."""

    rounds: dict[str, int] = field(default_factory=dict)
    paused_s: float = 0.0


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


class Download:
    """One run of `swarm leech --json`, and what it said last."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.last: dict[str, object] = {}
        self._came = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "progress":
                self.last = event
                self._came.set()

    async def until(self, condition: Callable[[dict[str, object]], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not (self.last and condition(self.last)):
                self._came.clear()
                await self._came.wait()

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            await self._reading
            return await self.process.wait()


class Spoiler:
    """The harms; each is done when a part of the download is here."""

    def __init__(self, report: DiskReport, rng: random.Random) -> None:
        self.report = report
        self._rng = rng
        self.harms: dict[str, Callable[[Download, Path], Awaitable[None]]] = {
            "full": self._fill,
            "deleted": self._delete,
            "truncated": self._truncate,
            "replaced": self._replace,
            "moved": self._move_folder,
        }

    async def _fill(self, download: Download, disk: Path) -> None:
        ballast = disk / "ballast"
        await asyncio.to_thread(_fill_up, ballast)
        await download.until(lambda now: now["state"] == "paused")
        paused_at = time.monotonic()
        if "more needed" not in str(download.last.get("paused_reason")):
            self.report.wrong.append(f"it does not say what it needs: {download.last}")
        await asyncio.sleep(self._rng.uniform(0, 2))
        ballast.unlink()
        await download.until(lambda now: now["state"] != "paused")
        self.report.paused_s += time.monotonic() - paused_at

    async def _delete(self, download: Download, disk: Path) -> None:
        (disk / "content").unlink()

    async def _truncate(self, download: Download, disk: Path) -> None:
        os.truncate(disk / "content", self._rng.randrange(SIZE // 8))

    async def _replace(self, download: Download, disk: Path) -> None:
        (disk / "other").write_bytes(b"somebody else's" * 100)
        (disk / "other").rename(disk / "content")

    async def _move_folder(self, download: Download, disk: Path) -> None:
        (disk / "content").rename(disk / "elsewhere")


def _fill_up(path: Path) -> None:
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))


async def run(options: argparse.Namespace, folder: Path) -> DiskReport:
    report = DiskReport()
    rng = random.Random(options.seed)
    started_at = time.monotonic()
    content = folder / "content"
    content.write_bytes(rng.randbytes(SIZE))
    torrent = folder / "content.torrent"
    torrent.write_bytes(create_torrent(content, TorrentOptions(piece_length=1 << 16)))
    spoiler = Spoiler(report, rng)
    settings = SessionSettings(state_dir=folder / "seeder-state", is_dht_enabled=False)
    async with Session(port=0, bind="127.0.0.1", settings=settings) as seeder:
        seed = await seeder.add(torrent, content=content, is_seeding_only=True)
        await seed.completed()
        for number in range(options.rounds):
            name = list(spoiler.harms)[number % len(spoiler.harms)]
            # Room for the content twice: a moved one stays on the disk.
            with small_disk(folder / "disk", 2 * SIZE + (2 << 20)) as disk:
                await _round(name, spoiler, report, folder, disk, seeder.port)
            shutil.rmtree(folder / "state", ignore_errors=True)
            if report.wrong:
                break
    report.seconds = round(time.monotonic() - started_at, 1)
    report.paused_s = round(report.paused_s, 1)
    return report


async def _round(
    name: str, spoiler: Spoiler, report: DiskReport, folder: Path, disk: Path, port: int
) -> None:
    command = [
        *SWARM, "leech", str(folder / "content.torrent"), "-o", str(disk), "--peer", f"127.0.0.1:{port}",
        "--port", "0", "--bind", "127.0.0.1", "--down", "3M", "--no-trackers", "--no-dht", "--json",
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, env=environment_of(folder)
    )
    download = Download(process)
    try:
        await download.until(lambda now: isinstance(now["pieces_done"], int) and now["pieces_done"] >= 10)
        await spoiler.harms[name](download, disk)
        status = await download.ended()
    except TimeoutError:
        report.wrong.append(f"{name}: it hangs: {download.last}")
        return
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if status:
        report.wrong.append(f"{name}: exit status {status}")
    elif (disk / "content").read_bytes() != (folder / "content").read_bytes():
        report.wrong.append(f"{name}: complete, and wrong")
    report.rounds[name] = report.rounds.get(name, 0) + 1


def main() -> None:
    parser = parser_of(
        "disk",
        "Downloads whose disk is filled, whose file is deleted, cut, replaced or moved.",
        "one did not end by itself with every byte right. Needs root (mount).",
    )
    parser.add_argument("--rounds", type=int, default=25, help="downloads, one harm each (default: 25)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swarm-disk-") as folder:
        report = asyncio.run(run(options, Path(folder)))
    done = ", ".join(f"{count} {name}" for name, count in report.rounds.items())
    lines = [
        f"{sum(report.rounds.values())} downloads in {report.seconds} s: {done}",
        f"waited for room: {report.paused_s} s",
    ]
    end(report, lines, is_json=options.json)
